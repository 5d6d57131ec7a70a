"""The register port: the handshakes of AXI4-Lite, and registers that hold what was written."""

from __future__ import annotations

from proofs.blocks.channel import stays
from proofs.prover import Fault, Proof
from pulsarray.config import Config
from pulsarray.hw.control.registers import Registers
from pulsarray.registers import COUNTER_BASE, COUNTERS, REGISTERS, Control

__all__ = ["proof"]

_HANDSHAKES = """
  // As many responses as accesses, each after its access, one at a time.
  wire writes = s_axil_awvalid && s_axil_awready, reads = s_axil_arvalid && s_axil_arready;
  reg [1:0] owed_b = 0, owed_r = 0;
  always @(posedge clk) begin
    owed_b <= rst ? 0 : owed_b + writes - (s_axil_bvalid && s_axil_bready);
    owed_r <= rst ? 0 : owed_r + reads - (s_axil_rvalid && s_axil_rready);
  end
  wire asks_counter = s_axil_araddr >= {base} && s_axil_araddr < {base} + 4 * {counters};
  always @* begin
    assert (owed_b == s_axil_bvalid && owed_r == s_axil_rvalid);
    // Both channels of a write are taken together; nothing waits that need not.
    assert (s_axil_awready == s_axil_wready);
    assert (writes == (s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid));
    assert (reads == (s_axil_arvalid && !s_axil_rvalid && (!asks_counter || counter_valid)));
    assert (s_axil_bresp == 0 && s_axil_rresp == 0);
    cover (s_axil_bvalid && s_axil_rvalid);
  end
  // What is read is what the register was when its address was taken.
  reg [31:0] was;
  reg [31:0] now;
  always @* begin
    now = 0;
{values}
  end
  reg known = 0;
  always @(posedge clk) begin
    known <= !rst && (reads ? {known} : known && !s_axil_rready);
    if (reads) was <= now;
  end
  always @* if (known) assert (s_axil_rvalid && s_axil_rdata == was);
"""
_WRITTEN = """
  reg [31:0] spec_{name} = {initial};
  always @(posedge clk)
    if (rst) spec_{name} <= {initial};
    else if (writes && s_axil_awaddr[11:2] == {word}) begin
      if (s_axil_wstrb[0]) spec_{name}[7:0] <= s_axil_wdata[7:0];
      if (s_axil_wstrb[1]) spec_{name}[15:8] <= s_axil_wdata[15:8];
      if (s_axil_wstrb[2]) spec_{name}[23:16] <= s_axil_wdata[23:16];
      if (s_axil_wstrb[3]) spec_{name}[31:24] <= s_axil_wdata[31:24];
    end
  always @* assert ({name} == spec_{name});
"""
_ACTS = """
  always @* assert ({name} == (writes && s_axil_awaddr[11:2] == {word} && s_axil_wdata[{bit}]
    && s_axil_wstrb[0]));
"""


def proof(name: str, config: Config, address_bits: int = 32) -> Proof:
    """Of a configuration's registers."""
    stored = [
        register
        for register in REGISTERS
        if register.writable
        and register.name != "CONTROL"
        and (address_bits > 32 or register.name != "BASE_ADDRESS_HIGH")
    ]
    control = next(register for register in REGISTERS if register.name == "CONTROL")
    words = {register.name.lower(): register.address >> 2 for register in stored}
    values = [
        f"    if (s_axil_araddr[11:2] == {word}) now = {register};"
        for register, word in words.items()
    ]
    values.append("    if (asks_counter) now = counter_value;")
    text = _HANDSHAKES.format(
        base=COUNTER_BASE,
        counters=len(COUNTERS) if config.counters else 1,
        values="\n".join(values),
        known=" || ".join(
            ["asks_counter", *(f"s_axil_araddr[11:2] == {word}" for word in words.values())]
        ),
    )
    for register in stored:
        names = {"name": register.name.lower(), "word": register.address >> 2}
        text += _WRITTEN.format(**names, initial=register.initial)
    for bit in Control:
        place = {"word": control.address >> 2, "bit": bit.bit_length() - 1}
        text += _ACTS.format(name=str(bit.name).lower(), **place)
    return Proof(
        name="registers",
        variant=f"{name}, {address_bits}-bit addresses" if address_bits != 32 else name,
        claim="AXI4-Lite: as many responses as accesses, each stands until it is taken; a write is "
        "taken when both its channels are there; nothing waits but for a counter's turn. A "
        "register holds the bytes that were written and reads as it was when its address was "
        "taken; a bit of CONTROL acts once for each write of it.",
        component=lambda: Registers(config, address_bits),
        properties=text
        + stays("s_axil_bvalid", "s_axil_bready", ["s_axil_bresp"])
        + stays("s_axil_rvalid", "s_axil_rready", ["s_axil_rdata", "s_axil_rresp"]),
        cover_depth=3,
        faults=_FAULTS,
    )


_FAULTS = (
    Fault(
        "a response is withdrawn",
        r"\| \(~s_axil_bready & s_axil_bvalid\)",
        "",
    ),
    Fault("an address is taken without data", r"(awready = s_axil_awvalid) & s_axil_wvalid", r"\1"),
    Fault(
        "a second access while a response waits",
        r"(s_axil_arready = s_axil_arvalid) & ~s_axil_rvalid",
        r"\1",
    ),
    Fault(
        "what is read changes while it waits", r": value\) :\s+s_axil_rdata;", ": value) : value;"
    ),
    Fault("a strobe is not looked at", r"\(_083_ & s_axil_wstrb\[3\]\)", "_083_"),
    Fault("CONTROL acts without its strobe", r"(start = .*) & s_axil_wstrb\[0\]", r"\1"),
)
