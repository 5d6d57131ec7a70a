// What a unit does, in words beside the raw words: with PULSARRAY_NAMES every unit has one of these
// in top.v. As instructions leave its queue in order, it reads the record of each from
// <folder>/<job>.<unit>.names: columns of characters whose widths are macros (names.py).
//
// A unit works on an instruction from its start to its completion or the next one's start, and
// waits with the next one if it works on none; the same cycles as in a timeline.
module pulsarray_unit_names #(parameter UNIT = "") (
    input wire        clk,
    input wire        load,
    input wire [31:0] job,
    input wire        queue,
    input wire        start,
    input wire        complete,
    input wire [31:0] queue_index,
    input wire [31:0] start_index,
    input wire [31:0] complete_index
);
    localparam BYTES = `PULSARRAY_OPCODE + `PULSARRAY_LAYER + `PULSARRAY_PHASE + `PULSARRAY_TENSOR
        + `PULSARRAY_WAITS + `PULSARRAY_FIELDS;

    reg [8*BYTES-1:0] queued, ahead, started;  // records: next in the queue, next to start, last
    reg waits, works;
    reg [31:0] ahead_index, started_index;

    wire now = start | works;
    wire [8*5-1:0] state = now ? "works" : waits ? "waits" : "idle ";
    wire [8*BYTES-1:0] record = start | (waits & ~works) ? ahead : works ? started : {BYTES{" "}};
    wire [31:0] index = start ? start_index : works ? started_index : ahead_index;
    wire [8*`PULSARRAY_OPCODE-1:0] opcode;
    wire [8*`PULSARRAY_LAYER-1:0] layer;
    wire [8*`PULSARRAY_PHASE-1:0] phase;
    wire [8*`PULSARRAY_TENSOR-1:0] tensor;
    wire [8*`PULSARRAY_WAITS-1:0] semaphores;
    wire [8*`PULSARRAY_FIELDS-1:0] fields;
    assign {opcode, layer, phase, tensor, semaphores, fields} = record;
    wire [8*`PULSARRAY_WAITS-1:0] waits_for = now ? {`PULSARRAY_WAITS{" "}} : semaphores;

    string folder;
    integer file, length;

    initial begin
        file = 0;
        {waits, works} = 0;
        {ahead_index, started_index} = 0;
        {queued, ahead, started} = {3 * BYTES{" "}};
        if (!$value$plusargs("folder=%s", folder)) folder = ".";
    end

    always @(posedge clk) begin
        works <= now & ~(complete && complete_index == index);
        waits <= queue | (waits & ~start);
        if (start) begin
            started <= ahead;
            started_index <= start_index;
        end
        if (queue) begin
            ahead <= queued;
            ahead_index <= queue_index;
            if (file != 0) length = $fread(queued, file);
        end
        if (load) begin
            {waits, works} <= 0;
            if (file != 0) $fclose(file);
            file = $fopen($sformatf("%s/%0d.%0s.names", folder, job, UNIT), "rb");
            if (file != 0) length = $fread(queued, file);
        end
    end
endmodule
