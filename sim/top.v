// Simulation top: the machine, its memory and the protocol checker. With TRACE every event is one
// line "unit kind index cycle" of <folder>/<job>.events (kind 0 queue, 1 start, 2 complete). With
// NAMES waves say what each unit does in words (names.v).
module pulsarray_sim #(
    parameter BUS_BITS = 64,
    parameter MEMORY_BITS = 22,
    parameter OUTSTANDING = 8
) (
    input  wire        clk,
    input  wire        rst,
    input  wire [31:0] latency,
    input  wire [31:0] interval,
    input  wire [31:0] size,
    input  wire [31:0] job,
    input  wire        load,
    input  wire        dump,
    output wire [7:0]  violation,
    input  wire [11:0] s_axil_awaddr,
    input  wire [2:0]  s_axil_awprot,
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [31:0] s_axil_wdata,
    input  wire [3:0]  s_axil_wstrb,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    output wire [1:0]  s_axil_bresp,
    output wire        s_axil_bvalid,
    input  wire        s_axil_bready,
    input  wire [11:0] s_axil_araddr,
    input  wire [2:0]  s_axil_arprot,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    output wire [31:0] s_axil_rdata,
    output wire [1:0]  s_axil_rresp,
    output wire        s_axil_rvalid,
    input  wire        s_axil_rready,
    output wire        interrupt
);
    wire [31:0] awaddr, araddr;
    wire [7:0] awlen, arlen;
    wire [2:0] awsize, awprot, arsize, arprot;
    wire [1:0] awburst, arburst, bresp, rresp;
    wire [3:0] awcache, arcache;
    wire awid, awvalid, awready, wlast, wvalid, wready, bid, bvalid, bready;
    wire arid, arvalid, arready, rid, rlast, rvalid, rready;
    wire [BUS_BITS-1:0] wdata, rdata;
    wire [BUS_BITS/8-1:0] wstrb;

    localparam [7:0] EARLY_DATA = 12;
    wire [7:0] broken_rule;
    wire early_data;
    assign violation = early_data && broken_rule == 0 ? EARLY_DATA : broken_rule;

`ifdef PULSARRAY_TRACE
    wire [31:0] cycle;
    wire [14:0] event_bits;
    wire [31:0] load_queue, load_start, load_complete;
    wire [31:0] weight_queue, weight_start, weight_complete;
    wire [31:0] stream_queue, stream_start, stream_complete;
    wire [31:0] vector_queue, vector_start, vector_complete;
    wire [31:0] store_queue, store_start, store_complete;
    wire [32*15-1:0] indices = {
        store_complete, store_start, store_queue, vector_complete, vector_start, vector_queue,
        stream_complete, stream_start, stream_queue, weight_complete, weight_start, weight_queue,
        load_complete, load_start, load_queue};
`endif

    pulsarray machine (
        .clk(clk), .rst(rst), .interrupt(interrupt),
        .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(awsize),
        .m_axi_awburst(awburst), .m_axi_awid(awid), .m_axi_awcache(awcache),
        .m_axi_awprot(awprot), .m_axi_awvalid(awvalid), .m_axi_awready(awready),
        .m_axi_wdata(wdata), .m_axi_wstrb(wstrb), .m_axi_wlast(wlast),
        .m_axi_wvalid(wvalid), .m_axi_wready(wready),
        .m_axi_bid(bid), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready),
        .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(arsize),
        .m_axi_arburst(arburst), .m_axi_arid(arid), .m_axi_arcache(arcache),
        .m_axi_arprot(arprot), .m_axi_arvalid(arvalid), .m_axi_arready(arready),
        .m_axi_rid(rid), .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast),
        .m_axi_rvalid(rvalid), .m_axi_rready(rready),
        .s_axil_awaddr(s_axil_awaddr), .s_axil_awprot(s_axil_awprot),
        .s_axil_awvalid(s_axil_awvalid), .s_axil_awready(s_axil_awready),
        .s_axil_wdata(s_axil_wdata), .s_axil_wstrb(s_axil_wstrb),
        .s_axil_wvalid(s_axil_wvalid), .s_axil_wready(s_axil_wready),
        .s_axil_bresp(s_axil_bresp), .s_axil_bvalid(s_axil_bvalid),
        .s_axil_bready(s_axil_bready),
        .s_axil_araddr(s_axil_araddr), .s_axil_arprot(s_axil_arprot),
        .s_axil_arvalid(s_axil_arvalid), .s_axil_arready(s_axil_arready),
        .s_axil_rdata(s_axil_rdata), .s_axil_rresp(s_axil_rresp),
        .s_axil_rvalid(s_axil_rvalid), .s_axil_rready(s_axil_rready)
`ifdef PULSARRAY_TRACE
        , .cycle(cycle), .running(),
        .trace_load_queue(event_bits[0]), .trace_load_queue_index(load_queue),
        .trace_load_start(event_bits[1]), .trace_load_start_index(load_start),
        .trace_load_complete(event_bits[2]), .trace_load_complete_index(load_complete),
        .trace_weight_queue(event_bits[3]), .trace_weight_queue_index(weight_queue),
        .trace_weight_start(event_bits[4]), .trace_weight_start_index(weight_start),
        .trace_weight_complete(event_bits[5]), .trace_weight_complete_index(weight_complete),
        .trace_stream_queue(event_bits[6]), .trace_stream_queue_index(stream_queue),
        .trace_stream_start(event_bits[7]), .trace_stream_start_index(stream_start),
        .trace_stream_complete(event_bits[8]), .trace_stream_complete_index(stream_complete),
        .trace_vector_queue(event_bits[9]), .trace_vector_queue_index(vector_queue),
        .trace_vector_start(event_bits[10]), .trace_vector_start_index(vector_start),
        .trace_vector_complete(event_bits[11]), .trace_vector_complete_index(vector_complete),
        .trace_store_queue(event_bits[12]), .trace_store_queue_index(store_queue),
        .trace_store_start(event_bits[13]), .trace_store_start_index(store_start),
        .trace_store_complete(event_bits[14]), .trace_store_complete_index(store_complete)
`endif
    );

    pulsarray_memory #(.BUS_BITS(BUS_BITS), .MEMORY_BITS(MEMORY_BITS)) memory (
        .clk(clk), .rst(rst), .latency(latency), .interval(interval), .size(size), .job(job),
        .load(load), .dump(dump), .early(early_data),
        .awaddr(awaddr), .awlen(awlen), .awid(awid), .awvalid(awvalid), .awready(awready),
        .wdata(wdata), .wstrb(wstrb), .wlast(wlast), .wvalid(wvalid), .wready(wready),
        .bid(bid), .bresp(bresp), .bvalid(bvalid), .bready(bready),
        .araddr(araddr), .arlen(arlen), .arid(arid), .arvalid(arvalid), .arready(arready),
        .rid(rid), .rdata(rdata), .rresp(rresp), .rlast(rlast), .rvalid(rvalid), .rready(rready)
    );

    axi_checker #(.BUS_BITS(BUS_BITS), .OUTSTANDING(OUTSTANDING)) rules (
        .clk(clk), .rst(rst), .violation(broken_rule),
        .awaddr(awaddr), .awlen(awlen), .awsize(awsize), .awburst(awburst),
        .awvalid(awvalid), .awready(awready),
        .wdata(wdata), .wstrb(wstrb), .wlast(wlast), .wvalid(wvalid), .wready(wready),
        .bvalid(bvalid), .bready(bready),
        .araddr(araddr), .arlen(arlen), .arsize(arsize), .arburst(arburst),
        .arvalid(arvalid), .arready(arready),
        .rlast(rlast), .rvalid(rvalid), .rready(rready)
    );

`ifdef PULSARRAY_TRACE
    reg [8*1024-1:0] folder, name;
    integer file, kind;

    initial begin
        file = 0;
        if (!$value$plusargs("folder=%s", folder)) folder = ".";
    end

    always @(posedge clk) begin
        if (event_bits != 0 && file != 0)
            for (kind = 0; kind < 15; kind = kind + 1)
                if (event_bits[kind])
                    $fwrite(file, "%0d %0d %0d %0d\n", kind / 3, kind % 3,
                            indices[32*kind +: 32], cycle);
        if ((load || dump) && file != 0) begin
            $fclose(file);
            file = 0;
        end
        if (load) begin
            $sformat(name, "%0s/%0d.events", folder, job);
            file = $fopen(name, "w");
        end
    end
`ifdef PULSARRAY_NAMES
    pulsarray_unit_names #(.UNIT("LOAD")) LOAD (
        .clk(clk), .load(load), .job(job), .queue(event_bits[0]), .start(event_bits[1]),
        .complete(event_bits[2]), .queue_index(load_queue), .start_index(load_start),
        .complete_index(load_complete));
    pulsarray_unit_names #(.UNIT("WEIGHT")) WEIGHT (
        .clk(clk), .load(load), .job(job), .queue(event_bits[3]), .start(event_bits[4]),
        .complete(event_bits[5]), .queue_index(weight_queue), .start_index(weight_start),
        .complete_index(weight_complete));
    pulsarray_unit_names #(.UNIT("STREAM")) STREAM (
        .clk(clk), .load(load), .job(job), .queue(event_bits[6]), .start(event_bits[7]),
        .complete(event_bits[8]), .queue_index(stream_queue), .start_index(stream_start),
        .complete_index(stream_complete));
    pulsarray_unit_names #(.UNIT("VECTOR")) VECTOR (
        .clk(clk), .load(load), .job(job), .queue(event_bits[9]), .start(event_bits[10]),
        .complete(event_bits[11]), .queue_index(vector_queue), .start_index(vector_start),
        .complete_index(vector_complete));
    pulsarray_unit_names #(.UNIT("STORE")) STORE (
        .clk(clk), .load(load), .job(job), .queue(event_bits[12]), .start(event_bits[13]),
        .complete(event_bits[14]), .queue_index(store_queue), .start_index(store_start),
        .complete_index(store_complete));
    pulsarray_name_of_opcode FETCH (.value(machine.fetch.opcode));
    pulsarray_name_of_error ERROR (.value(machine.errors.code));
`endif
`endif
endmodule
