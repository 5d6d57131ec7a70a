// The simulated memory of docs/machine.md, section 4: in order, first beat `latency` cycles after
// ARVALID, beats `interval` cycles apart, always ready. Bytes from `size` on answer DECERR.
// `load` (one cycle) reads the pages of <folder>/<job>.in; `dump` (one cycle) writes those that the
// machine wrote since the last dump to <folder>/<job>.out. The folder comes from +folder=. A page is
// its number (32 bits), then 4096 bytes; sim/pages.py knows the order of the bytes in both files.
module pulsarray_memory #(
    parameter BUS_BITS = 64,
    parameter MEMORY_BITS = 22
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [31:0]           latency,
    input  wire [31:0]           interval,
    input  wire [31:0]           size,
    input  wire [31:0]           job,
    input  wire                  load,
    input  wire                  dump,
    input  wire [31:0]           awaddr,
    input  wire [7:0]            awlen,
    input  wire                  awid,
    input  wire                  awvalid,
    output wire                  awready,
    input  wire [BUS_BITS-1:0]   wdata,
    input  wire [BUS_BITS/8-1:0] wstrb,
    input  wire                  wlast,
    input  wire                  wvalid,
    output wire                  wready,
    output reg                   bid,
    output reg  [1:0]            bresp,
    output reg                   bvalid,
    input  wire                  bready,
    input  wire [31:0]           araddr,
    input  wire [7:0]            arlen,
    input  wire                  arid,
    input  wire                  arvalid,
    output wire                  arready,
    output reg                   rid,
    output reg  [BUS_BITS-1:0]   rdata,
    output reg  [1:0]            rresp,
    output reg                   rlast,
    output reg                   rvalid,
    input  wire                  rready,
    output reg                   early
);
    localparam BYTES = BUS_BITS / 8;
    localparam SHIFT = $clog2(BYTES);
    localparam BEATS = 1 << (MEMORY_BITS - SHIFT);
    localparam PAGE_SHIFT = 12;
    localparam PAGE_BEATS = 1 << (PAGE_SHIFT - SHIFT);
    localparam PAGES = 1 << (MEMORY_BITS - PAGE_SHIFT);
    localparam [1:0] OKAY = 2'd0, DECERR = 2'd3;

    reg [BUS_BITS-1:0] bytes [0:BEATS-1];
    reg written [0:PAGES-1];

    integer file, count, beat;
    reg [31:0] page;

    // Variables below are blocking and private to the one block at the end: `now` is the number of
    // the cycle that ends at this clock edge, and the edge decides what cycle now + 1 shows.
    reg [63:0] now;

    reg [63:0] ar_cycles [0:255];
    reg [31:0] ar_addresses [0:255];
    reg [7:0] ar_lengths [0:255];
    reg ar_ids [0:255];
    reg [7:0] ar_head, ar_tail;
    reg reading, read_id;
    reg [63:0] read_next, read_last;
    reg [31:0] read_address;
    reg [8:0] read_left;

    reg [63:0] aw_cycles [0:255];
    reg [31:0] aw_addresses [0:255];
    reg [7:0] aw_lengths [0:255];
    reg aw_ids [0:255];
    reg [7:0] aw_head, aw_tail;
    reg writing, write_failed;
    reg [63:0] write_begin, write_end;
    reg [31:0] write_address;

    reg [63:0] b_cycles [0:255];
    reg [1:0] b_responses [0:255];
    reg b_ids [0:255];
    reg [7:0] b_head, b_tail;
    reg [63:0] b_last;

    assign arready = 1'b1;
    assign awready = 1'b1;
    assign wready = 1'b1;

    task clear;
        begin
            now = 64'd1 << 32;  // later than any interval after an imaginary burst in cycle 0
            {ar_head, ar_tail, aw_head, aw_tail, b_head, b_tail} = 0;
            {reading, writing, write_failed, read_id} = 0;
            {read_next, read_last, read_address, read_left} = 0;
            {write_begin, write_end, write_address, b_last} = 0;
            early = 0;
        end
    endtask

    initial begin
        clear;
        for (page = 0; page < PAGES; page = page + 1) written[page] = 0;
        {rid, rresp, rlast, rvalid, bid, bresp, bvalid} = 0;
        rdata = 0;
    end

    function [63:0] later(input [63:0] a, input [63:0] b);
        later = a > b ? a : b;
    endfunction

    task accept_addresses;
        begin
            if (arvalid) begin
                ar_cycles[ar_tail] = now;
                ar_addresses[ar_tail] = araddr;
                ar_lengths[ar_tail] = arlen;
                ar_ids[ar_tail] = arid;
                ar_tail = ar_tail + 1;
            end
            if (awvalid) begin
                aw_cycles[aw_tail] = now;
                aw_addresses[aw_tail] = awaddr;
                aw_lengths[aw_tail] = awlen;
                aw_ids[aw_tail] = awid;
                aw_tail = aw_tail + 1;
            end
        end
    endtask

    integer lane;
    reg [BUS_BITS-1:0] merged;

    task store;
        if (write_address >= size) write_failed = 1;
        else begin
            written[write_address >> PAGE_SHIFT] = 1;
            if (&wstrb) bytes[write_address >> SHIFT] = wdata;
            else begin
                merged = bytes[write_address >> SHIFT];
                for (lane = 0; lane < BYTES; lane = lane + 1)
                    if (wstrb[lane]) merged[8*lane +: 8] = wdata[8*lane +: 8];
                bytes[write_address >> SHIFT] = merged;
            end
        end
    endtask

    task accept_data;
        if (!writing && aw_head == aw_tail) early = 1;
        else begin
            if (!writing) begin
                writing = 1;
                write_failed = 0;
                write_begin = later(write_end, now);
                write_address = aw_addresses[aw_head];
            end
            store;
            write_address = write_address + BYTES;
            if (wlast) answer;
        end
    endtask

    task answer;
        begin
            write_end = later(write_begin + (aw_lengths[aw_head] + 64'd1) * interval, now + 1);
            b_last = later(later(write_end, aw_cycles[aw_head] + latency), b_last + 1);
            b_cycles[b_tail] = b_last;
            b_responses[b_tail] = write_failed ? DECERR : OKAY;
            b_ids[b_tail] = aw_ids[aw_head];
            b_tail = b_tail + 1;
            aw_head = aw_head + 1;
            writing = 0;
        end
    endtask

    task begin_read;
        begin
            reading = 1;
            read_next = later(ar_cycles[ar_head] + latency, read_last + interval);
            read_address = ar_addresses[ar_head];
            read_left = ar_lengths[ar_head] + 9'd1;
            read_id = ar_ids[ar_head];
            ar_head = ar_head + 1;
        end
    endtask

    task deliver;
        begin
            rvalid <= 1;
            rid <= read_id;
            rlast <= read_left == 1;
            rresp <= read_address >= size ? DECERR : OKAY;
            rdata <= read_address >= size ? {BUS_BITS{1'b0}} : bytes[read_address >> SHIFT];
            read_address = read_address + BYTES;
            read_left = read_left - 1;
            read_last = now + 1;
            read_next = now + 1 + interval;
            if (read_left == 0) reading = 0;
        end
    endtask

    reg [8*1024-1:0] folder, name;
    initial if (!$value$plusargs("folder=%s", folder)) folder = ".";

    task load_pages;
        begin
            $sformat(name, "%0s/%0d.in", folder, job);
            file = $fopen(name, "rb");
            while ($fread(page, file) == 4)
                count = $fread(bytes, file, page * PAGE_BEATS, PAGE_BEATS);
            $fclose(file);
        end
    endtask

    task dump_pages;
        begin
            $sformat(name, "%0s/%0d.out", folder, job);
            file = $fopen(name, "wb");
            for (page = 0; page < PAGES; page = page + 1)
                if (written[page]) begin
                    written[page] = 0;
                    $fwrite(file, "%u", page);
                    for (beat = page * PAGE_BEATS; beat < (page + 1) * PAGE_BEATS; beat = beat + 1)
                        $fwrite(file, "%u", bytes[beat]);
                end
            $fclose(file);
        end
    endtask

    always @(posedge clk) begin
        if (load) load_pages;
        if (dump) dump_pages;
        if (rst) begin
            clear;
            rvalid <= 0;
            bvalid <= 0;
        end else begin
            accept_addresses;
            if (wvalid) accept_data;
            if (!rvalid || rready) begin
                rvalid <= 0;
                if (!reading && ar_head != ar_tail) begin_read;
                if (reading && read_next <= now + 1) deliver;
            end
            if (!bvalid || bready) begin
                bvalid <= 0;
                if (b_head != b_tail && b_cycles[b_head] <= now + 1) begin
                    bvalid <= 1;
                    bresp <= b_responses[b_head];
                    bid <= b_ids[b_head];
                    b_head = b_head + 1;
                end
            end
            now = now + 1;
        end
    end
endmodule
