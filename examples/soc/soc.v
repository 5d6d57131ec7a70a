// A system on chip for simulation: a RISC-V processor (PicoRV32) and the machine on one memory.
//
//   0x00000000  memory: firmware, its data, the buffer of programs
//   0x10000000  a character written here is printed
//   0x10000004  a number N written here writes all of memory to <memories>N.hex
//   0x10000008  a word written here ends the simulation; 0 is success
//   0x40000000  the machine's registers
//
// +firmware=FILE is what memory holds at first, +memories=NAME how names of its copies begin.
`timescale 1ns/1ps
module soc #(
    parameter BUS_BITS = 128,  // of the machine's memory bus
    parameter MEMORY_BITS = 20
);
    localparam WORDS = BUS_BITS / 32;
    localparam SHIFT = $clog2(BUS_BITS / 8);
    localparam [31:0] MEMORY_BYTES = 1 << MEMORY_BITS;

    reg clk = 0, rst = 1;
    always #1 clk = ~clk;

    reg [8*1024-1:0] firmware, memories, name;
    initial begin
        if (!$value$plusargs("firmware=%s", firmware)) firmware = "firmware.hex";
        if (!$value$plusargs("memories=%s", memories)) memories = "memory";
        $readmemh(firmware, memory.bytes);
        repeat (4) @(negedge clk);
        rst = 0;
    end

    // The processor sleeps (waitirq) until the machine's interrupt.
    wire interrupt, trap, valid;
    wire [31:0] address, wdata;
    wire [3:0] strobes;
    reg ready = 0;
    reg [31:0] rdata = 0;
    picorv32 #(
        .STACKADDR(MEMORY_BYTES), .COMPRESSED_ISA(1), .BARREL_SHIFTER(1), .ENABLE_FAST_MUL(1),
        .ENABLE_DIV(1), .ENABLE_IRQ(1), .ENABLE_IRQ_QREGS(0), .LATCHED_IRQ(0)
    ) processor (
        .clk(clk), .resetn(!rst), .trap(trap), .irq({28'd0, interrupt, 3'd0}), .eoi(),
        .mem_valid(valid), .mem_instr(), .mem_ready(ready), .mem_addr(address),
        .mem_wdata(wdata), .mem_wstrb(strobes), .mem_rdata(rdata),
        .mem_la_read(), .mem_la_write(), .mem_la_addr(), .mem_la_wdata(), .mem_la_wstrb(),
        .pcpi_valid(), .pcpi_insn(), .pcpi_rs1(), .pcpi_rs2(), .pcpi_wr(1'b0), .pcpi_rd(32'd0),
        .pcpi_wait(1'b0), .pcpi_ready(1'b0), .trace_valid(), .trace_data()
    );

    // One access at a time: memory by a port of the processor's own, in a cycle; registers over
    // AXI4-Lite.
    wire is_memory = address < MEMORY_BYTES;
    wire is_register = address[31:12] == 20'h40000;
    wire asks = valid && !ready;
    wire writes = strobes != 0;
    wire [31:0] place = address >> SHIFT;
    wire [31:0] word = address[31:2] % WORDS;
    wire awready, wready, bvalid, arready, rvalid;
    wire [31:0] register_data;
    reg address_sent = 0, data_sent = 0, asked = 0;
    integer lane;

    task access_memory;
        begin
            ready <= 1;
            rdata <= memory.bytes[place][32*word +: 32];
            for (lane = 0; lane < 4; lane = lane + 1)
                if (strobes[lane])
                    memory.bytes[place][32*word + 8*lane +: 8] = wdata[8*lane +: 8];
        end
    endtask

    task access_console;
        begin
            ready <= 1;
            case (address)
                32'h1000_0000: begin
                    $write("%c", wdata[7:0]);
                    if (wdata[7:0] == "\n") $fflush;
                end
                32'h1000_0004: begin
                    $sformat(name, "%0s%0d.hex", memories, wdata);
                    $writememh(name, memory.bytes);
                end
                32'h1000_0008: begin
                    $display("end %0d", wdata);
                    $finish;
                end
                default: fail("nothing is at this address");
            endcase
        end
    endtask

    task fail(input [8*32-1:0] reason);
        begin
            $display("FAIL: 0x%h: %0s", address, reason);
            $finish;
        end
    endtask

    always @(posedge clk) begin
        ready <= 0;
        if (trap && !rst) fail("the processor trapped");
        if (asks && is_memory) access_memory;
        if (asks && !is_memory && !is_register) access_console;
        if (asks && is_register) begin
            if (writes && awready) address_sent <= 1;
            if (writes && wready) data_sent <= 1;
            if (!writes && arready) asked <= 1;
        end
        if (bvalid || rvalid) begin
            ready <= 1;
            rdata <= register_data;
            {address_sent, data_sent, asked} <= 0;
        end
    end

    wire [31:0] awaddr, araddr;
    wire [7:0] awlen, arlen;
    wire awvalid_m, awready_m, wvalid_m, wready_m, wlast, bvalid_m, bready_m, awid, bid;
    wire arvalid_m, arready_m, rvalid_m, rready_m, rlast, arid, rid;
    wire [1:0] bresp, rresp;
    wire [BUS_BITS-1:0] wdata_m, rdata_m;
    wire [BUS_BITS/8-1:0] wstrb;
    pulsarray machine (
        .clk(clk), .rst(rst), .interrupt(interrupt),
        .s_axil_awaddr(address[11:0]), .s_axil_awprot(3'd0),
        .s_axil_awvalid(asks && is_register && writes && !address_sent), .s_axil_awready(awready),
        .s_axil_wdata(wdata), .s_axil_wstrb(strobes),
        .s_axil_wvalid(asks && is_register && writes && !data_sent), .s_axil_wready(wready),
        .s_axil_bresp(), .s_axil_bvalid(bvalid), .s_axil_bready(1'b1),
        .s_axil_araddr(address[11:0]), .s_axil_arprot(3'd0),
        .s_axil_arvalid(asks && is_register && !writes && !asked), .s_axil_arready(arready),
        .s_axil_rdata(register_data), .s_axil_rresp(), .s_axil_rvalid(rvalid),
        .s_axil_rready(1'b1),
        .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(), .m_axi_awburst(),
        .m_axi_awid(awid), .m_axi_awcache(), .m_axi_awprot(), .m_axi_awvalid(awvalid_m),
        .m_axi_awready(awready_m), .m_axi_wdata(wdata_m), .m_axi_wstrb(wstrb),
        .m_axi_wlast(wlast), .m_axi_wvalid(wvalid_m), .m_axi_wready(wready_m),
        .m_axi_bid(bid), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid_m), .m_axi_bready(bready_m),
        .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(), .m_axi_arburst(),
        .m_axi_arid(arid), .m_axi_arcache(), .m_axi_arprot(), .m_axi_arvalid(arvalid_m),
        .m_axi_arready(arready_m), .m_axi_rid(rid), .m_axi_rdata(rdata_m), .m_axi_rresp(rresp),
        .m_axi_rlast(rlast), .m_axi_rvalid(rvalid_m), .m_axi_rready(rready_m)
    );

    pulsarray_memory #(.BUS_BITS(BUS_BITS), .MEMORY_BITS(MEMORY_BITS)) memory (
        .clk(clk), .rst(rst), .latency(32'd64), .interval(32'd1), .size(MEMORY_BYTES),
        .job(32'd0), .load(1'b0), .dump(1'b0), .early(),
        .awaddr(awaddr), .awlen(awlen), .awid(awid), .awvalid(awvalid_m), .awready(awready_m),
        .wdata(wdata_m), .wstrb(wstrb), .wlast(wlast), .wvalid(wvalid_m), .wready(wready_m),
        .bid(bid), .bresp(bresp), .bvalid(bvalid_m), .bready(bready_m),
        .araddr(araddr), .arlen(arlen), .arid(arid), .arvalid(arvalid_m), .arready(arready_m),
        .rid(rid), .rdata(rdata_m), .rresp(rresp), .rlast(rlast), .rvalid(rvalid_m),
        .rready(rready_m)
    );
endmodule
