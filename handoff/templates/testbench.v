// Runs one program on the machine and compares all of memory and every counter with what the
// program's folder says they must be. The folder comes from +program=; its files are image.hex,
// expected.hex and run.hex, as `pulsarray export --hex` writes them.
`timescale 1ns/1ps
module testbench;
    parameter MEMORY_BITS = 16;
    localparam BUS_BITS = {{ config.bus_bits }};
    localparam BYTES = BUS_BITS / 8;
    localparam BEATS = (1 << MEMORY_BITS) / BYTES;
    localparam COUNTERS = {{ counters | length }};
    localparam MOST_SHOWN = 10;
    localparam [31:0] SLACK = 100_000;
{% for register in registers %}
    localparam [11:0] {{ register.name }} = 12'h{{ "%03x" | format(register.address) }};
{% endfor %}
    localparam [11:0] FIRST_COUNTER = 12'h{{ "%03x" | format(counter_base) }};
    localparam [31:0] START = {{ start }}, ERROR = {{ error }};

    reg clk = 0;
    reg rst = 1;
    always #1 clk = ~clk;

    reg [11:0] awaddr = 0, araddr = 0;
    reg [31:0] wdata = 0;
    reg awvalid = 0, wvalid = 0, arvalid = 0;
    wire awready, wready, bvalid, arready, rvalid, interrupt;
    wire [1:0] bresp, rresp;
    wire [31:0] rdata;
    wire [7:0] violation;

    // run.hex: these values, then the counters.
    localparam FACTS = 8;
    reg [31:0] facts [0:FACTS + COUNTERS - 1];
    wire [31:0] fingerprint_low = facts[0], fingerprint_high = facts[1], size = facts[2];
    wire [31:0] program_address = facts[3], program_units = facts[4];
    wire [31:0] latency = facts[5], interval = facts[6], compared_counters = facts[7];
    wire [31:0] expected_cycles = facts[8];
    reg [BUS_BITS-1:0] expected [0:BEATS-1];

    pulsarray_sim #(
        .BUS_BITS(BUS_BITS), .MEMORY_BITS(MEMORY_BITS), .OUTSTANDING({{ config.outstanding }})
    ) sim (
        .clk(clk), .rst(rst), .interrupt(interrupt), .violation(violation),
        .latency(latency), .interval(interval), .size(size), .job(32'd0),
        .load(1'b0), .dump(1'b0),
        .s_axil_awaddr(awaddr), .s_axil_awprot(3'd0),
        .s_axil_awvalid(awvalid), .s_axil_awready(awready),
        .s_axil_wdata(wdata), .s_axil_wstrb(4'hF),
        .s_axil_wvalid(wvalid), .s_axil_wready(wready),
        .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(1'b1),
        .s_axil_araddr(araddr), .s_axil_arprot(3'd0),
        .s_axil_arvalid(arvalid), .s_axil_arready(arready),
        .s_axil_rdata(rdata), .s_axil_rresp(rresp), .s_axil_rvalid(rvalid), .s_axil_rready(1'b1)
    );

    integer differences = 0;

    // Signals change at falling edges; readiness is looked at shortly before the rising one.
    reg address_taken, data_taken;
    task write_register(input [11:0] address, input [31:0] value);
        begin
            awaddr = address;
            wdata = value;
            awvalid = 1;
            wvalid = 1;
            while (awvalid || wvalid) begin
                #0.5 address_taken = awready;
                data_taken = wready;
                @(negedge clk);
                if (address_taken) awvalid = 0;
                if (data_taken) wvalid = 0;
            end
            while (!bvalid) @(negedge clk);
            if (bresp != 0) fail("a write to a register was refused");
            @(negedge clk);
        end
    endtask

    reg [31:0] value;
    task read_register(input [11:0] address);
        begin
            araddr = address;
            arvalid = 1;
            while (arvalid) begin
                #0.5 address_taken = arready;
                @(negedge clk);
                if (address_taken) arvalid = 0;
            end
            while (!rvalid) @(negedge clk);
            if (rresp != 0) fail("a read of a register was refused");
            value = rdata;
            @(negedge clk);
        end
    endtask

    task fail(input [8*100-1:0] text);
        begin
            $display("FAIL: %0s", text);
            $finish;
            forever @(negedge clk);
        end
    endtask

    function [8*20-1:0] counter_name(input integer number);
        case (number)
{% for name in counters %}
            {{ loop.index0 }}: counter_name = "{{ name }}";
{% endfor %}
            default: counter_name = "?";
        endcase
    endfunction

    reg [31:0] hardware_low, hardware_high;
    task require_fit;
        begin
            read_register(FINGERPRINT_LOW);
            hardware_low = value;
            read_register(FINGERPRINT_HIGH);
            hardware_high = value;
            if ({hardware_high, hardware_low} != {fingerprint_high, fingerprint_low}) begin
                $display("the program is for configuration %08x%08x, this machine is %08x%08x",
                         fingerprint_high, fingerprint_low, hardware_high, hardware_low);
                fail("the program is for another configuration");
            end
        end
    endtask

    reg [31:0] waited;
    task run;
        begin
            write_register(PROGRAM_ADDRESS, program_address);
            write_register(PROGRAM_UNITS, program_units);
            write_register(CYCLE_LIMIT, 0);
            write_register(CONTROL, START);
            waited = 0;
            while (!interrupt && waited < expected_cycles + SLACK) begin
                @(negedge clk);
                waited = waited + 1;
            end
            if (!interrupt) fail("no interrupt long after the program should have ended");
            read_register(STATUS);
            if ((value & ERROR) != 0) begin
                read_register(ERROR_CODE);
                $display("error code %0d", value);
                read_register(ERROR_INDEX);
                $display("at instruction %0d", value);
                fail("the machine stopped with an error");
            end
            if (violation != 0) begin
                $display("rule %0d of axi_checker.v", violation);
                fail("the machine broke the AXI protocol");
            end
        end
    endtask

    integer beat;
    task compare_memory;
        for (beat = 0; beat < size / BYTES; beat = beat + 1)
            if (sim.memory.bytes[beat] !== expected[beat]) begin
                differences = differences + 1;
                if (differences <= MOST_SHOWN)
                    $display("memory at 0x%08x: %x, expected %x",
                             beat * BYTES, sim.memory.bytes[beat], expected[beat]);
            end
    endtask

    integer number;
    task compare_counters;
        for (number = 0; number < compared_counters; number = number + 1) begin
            read_register(FIRST_COUNTER + 4 * number[11:0]);
            if (value !== facts[FACTS + number]) begin
                differences = differences + 1;
                $display("counter %0s: %0d, expected %0d",
                         counter_name(number), value, facts[FACTS + number]);
            end
        end
    endtask

    reg [8*1024-1:0] folder, file;
    initial begin
        if (!$value$plusargs("program=%s", folder)) folder = "sim/program";
        $sformat(file, "%0s/run.hex", folder);
        $readmemh(file, facts);
        repeat (4) @(negedge clk);
        rst = 0;
        require_fit;
        $sformat(file, "%0s/image.hex", folder);
        $readmemh(file, sim.memory.bytes, 0, size / BYTES - 1);
        $sformat(file, "%0s/expected.hex", folder);
        $readmemh(file, expected, 0, size / BYTES - 1);
        run;
        compare_memory;
        compare_counters;
        if (differences != 0) begin
            $display("%0d differences", differences);
            fail("the machine and what is expected differ");
        end
        $display("PASS: %0d bytes of memory and %0d counters as expected, %0d cycles",
                 size, compared_counters, expected_cycles);
        $finish;
    end
endmodule
