// The machine under the names that vendors' tools know, with the attributes by which Vivado infers
// interfaces: AXI4 manager m_axi, AXI4-Lite subordinate s_axil, interrupt, clock, reset.
module pulsarray_axi (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF m_axi:s_axil, ASSOCIATED_RESET {{ interface.reset_port }}" *)
    input wire aclk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 {{ interface.reset_port }} RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY {{ interface.reset | upper | replace("-", "_") }}" *)
    input wire {{ interface.reset_port }},
{% for port in bus_ports %}
{% if port.parameter %}
    (* X_INTERFACE_PARAMETER = "{{ port.parameter }}" *)
{% endif %}
    (* X_INTERFACE_INFO = "{{ port.info }}" *)
    {{ port.direction }} wire{{ " [%d:0]" | format(port.width - 1) if port.width > 1 }} {{ port.name }},
{% endfor %}
    (* X_INTERFACE_INFO = "xilinx.com:signal:interrupt:1.0 interrupt INTERRUPT" *)
    (* X_INTERFACE_PARAMETER = "SENSITIVITY LEVEL_HIGH" *)
    output wire interrupt
);
{% set asserted = ("!" if interface.reset == "active-low" else "") + interface.reset_port %}
    // Nothing is accepted while the machine is being reset.
{% if interface.reset_style == "asynchronous" %}
    // Taken at once, left two edges after it has gone.
    (* ASYNC_REG = "TRUE" *) reg [1:0] resetting = 2'b11;
    always @(posedge aclk or {{ "negedge" if interface.reset == "active-low" else "posedge" }} {{ interface.reset_port }})
        if ({{ asserted }}) resetting <= 2'b11;
        else resetting <= {resetting[0], 1'b0};
    wire rst = resetting[1];
{% else %}
    wire rst = {{ asserted }};
{% endif %}
{% for channel in ("aw", "ar") %}
    assign m_axi_{{ channel }}id = {{ interface.id_bits }}'d0;
    assign m_axi_{{ channel }}cache = 4'd{{ interface.cache }};
    assign m_axi_{{ channel }}prot = 3'd{{ interface.prot }};
    assign m_axi_{{ channel }}lock = 1'd0;
    assign m_axi_{{ channel }}qos = 4'd{{ interface.qos }};
    assign m_axi_{{ channel }}region = 4'd{{ interface.region }};
{% endfor %}

    pulsarray machine (
        .clk(aclk), .rst(rst), .interrupt(interrupt),
{% for name in passed %}
        .{{ name }}({{ name }}{{ " && !rst" if name in requests }}),
{% endfor %}
        .m_axi_bid(1'b0), .m_axi_rid(1'b0),
{% for name in left_open %}
        .{{ name }}(){{ "," if not loop.last }}
{% endfor %}
    );
endmodule
