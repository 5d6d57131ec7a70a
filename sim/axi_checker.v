// Passive AXI4 checker on the machine's memory port. `violation` keeps the number of the first
// broken rule (0: none); pulsarray/sim/protocol.py names the rules. Parts: held payloads, shape of
// bursts, WLAST against AWLEN, bursts outstanding, unknown values.
module axi_checker #(
    parameter BUS_BITS = 64,
    parameter OUTSTANDING = 8
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [31:0]           awaddr,
    input  wire [7:0]            awlen,
    input  wire [2:0]            awsize,
    input  wire [1:0]            awburst,
    input  wire                  awvalid,
    input  wire                  awready,
    input  wire [BUS_BITS-1:0]   wdata,
    input  wire [BUS_BITS/8-1:0] wstrb,
    input  wire                  wlast,
    input  wire                  wvalid,
    input  wire                  wready,
    input  wire                  bvalid,
    input  wire                  bready,
    input  wire [31:0]           araddr,
    input  wire [7:0]            arlen,
    input  wire [2:0]            arsize,
    input  wire [1:0]            arburst,
    input  wire                  arvalid,
    input  wire                  arready,
    input  wire                  rlast,
    input  wire                  rvalid,
    input  wire                  rready,
    output reg  [7:0]            violation
);
    localparam BYTES = BUS_BITS / 8;
    localparam [2:0] SIZE = $clog2(BYTES);

    localparam AR_UNSTABLE = 1, AW_UNSTABLE = 2, W_UNSTABLE = 3, AR_SHAPE = 4, AW_SHAPE = 5,
               AR_BOUNDARY = 6, AW_BOUNDARY = 7, WLAST_POSITION = 8, READS_OUTSTANDING = 9,
               WRITES_OUTSTANDING = 10, UNKNOWN_VALUE = 11;

    wire [44:0] ar = {araddr, arlen, arsize, arburst};
    wire [44:0] aw = {awaddr, awlen, awsize, awburst};
    wire [BUS_BITS+BYTES:0] w = {wdata, wstrb, wlast};
    reg ar_held, aw_held, w_held;
    reg [44:0] ar_payload, aw_payload;
    reg [BUS_BITS+BYTES:0] w_payload;

    // The k-th burst of W must have the length of the k-th AW, whichever comes first.
    reg [7:0] aw_lengths [0:255];
    reg [7:0] w_lengths [0:255];
    reg [7:0] aw_count, w_count, compared, beat;
    reg [7:0] reads, writes;

    initial begin
        violation = 0;
        {ar_held, aw_held, w_held} = 0;
        {aw_count, w_count, compared, beat, reads, writes} = 0;
    end

    function bad_shape(input [31:0] address, input [2:0] size, input [1:0] burst);
        bad_shape = size != SIZE || burst != 2'd1 || (address & (BYTES - 1)) != 0;
    endfunction

    function crosses(input [31:0] address, input [7:0] length);
        crosses = (address & 32'hFFF) + (length + 32'd1) * BYTES > 32'd4096;
    endfunction

    task report(input broken, input [7:0] rule);
        if (broken && violation == 0) violation = rule;
    endtask

    task check_held;
        begin
            report(ar_held && (!arvalid || ar != ar_payload), AR_UNSTABLE);
            report(aw_held && (!awvalid || aw != aw_payload), AW_UNSTABLE);
            report(w_held && (!wvalid || w != w_payload), W_UNSTABLE);
            ar_held = arvalid && !arready;
            aw_held = awvalid && !awready;
            w_held = wvalid && !wready;
            if (ar_held) ar_payload = ar;
            if (aw_held) aw_payload = aw;
            if (w_held) w_payload = w;
        end
    endtask

    task check_addresses;
        begin
            if (arvalid && arready) begin
                report(bad_shape(araddr, arsize, arburst), AR_SHAPE);
                report(crosses(araddr, arlen), AR_BOUNDARY);
                reads = reads + 1;
                report(reads > OUTSTANDING, READS_OUTSTANDING);
            end
            if (awvalid && awready) begin
                report(bad_shape(awaddr, awsize, awburst), AW_SHAPE);
                report(crosses(awaddr, awlen), AW_BOUNDARY);
                writes = writes + 1;
                report(writes > OUTSTANDING, WRITES_OUTSTANDING);
                aw_lengths[aw_count] = awlen;
                aw_count = aw_count + 1;
            end
            if (rvalid && rready && rlast) reads = reads - 1;
            if (bvalid && bready) writes = writes - 1;
        end
    endtask

    task check_data;
        begin
            if (wvalid && wready) begin
                if (compared == w_count && aw_count != w_count)
                    report(wlast != (beat == aw_lengths[w_count]), WLAST_POSITION);
                if (wlast) begin
                    w_lengths[w_count] = beat;
                    w_count = w_count + 1;
                end
                beat = wlast ? 8'd0 : beat + 8'd1;
            end
            if (compared != aw_count && compared != w_count) begin
                report(aw_lengths[compared] != w_lengths[compared], WLAST_POSITION);
                compared = compared + 1;
            end
        end
    endtask

    task check_unknown;
        begin
            report((^{arvalid, awvalid, wvalid, rready, bready}) === 1'bx, UNKNOWN_VALUE);
            if (arvalid) report((^ar) === 1'bx, UNKNOWN_VALUE);
            if (awvalid) report((^aw) === 1'bx, UNKNOWN_VALUE);
            if (wvalid) report((^w) === 1'bx, UNKNOWN_VALUE);
        end
    endtask

    wire quiet = !(arvalid || awvalid || wvalid || rvalid || bvalid || ar_held || aw_held || w_held
                   || compared != aw_count && compared != w_count);

    always @(posedge clk) begin
        if (rst) begin
            violation = 0;
            {ar_held, aw_held, w_held} = 0;
            {aw_count, w_count, compared, beat, reads, writes} = 0;
        end else if (quiet !== 1'b1) begin
            check_held;
            check_addresses;
            check_data;
            check_unknown;
        end
    end
endmodule
