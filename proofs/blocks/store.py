"""STORE: its two channels, and as many beats as a burst's address says."""

from __future__ import annotations

from proofs.blocks.channel import stays
from proofs.prover import Fault, Proof
from pulsarray.config import Config
from pulsarray.hw.units.store import StoreUnit
from pulsarray.registers import ErrorCode

__all__ = ["proof"]

_PROPERTIES = """
  wire burst_step, burst_last;
  wire [8:0] burst_beats;
  // Who starts instructions waits until it may; the memory answers what it was asked.
  always @* begin
    assume (!start || ready);
    assume (!axi__bvalid || level > 0);
    assume (!start || error != {bad_field});
    // Proven of the bursts:
    assume (!bursts_active || (burst_beats >= 1 && burst_beats <= {most}));
  end

  // What the bursts' proof assumes of their user.
  always @* begin
    assert (!burst_step || bursts_active);
    assert (!start || !bursts_active || (burst_step && burst_last));
    assert (level <= {places} && (!burst_step || level < {places}));
    assert (!(left != 0 && \\final  && bursts_active));
    assert (!burst_step || !halt);
    assert (axi__bready);
  end

  // Of any burst: as many beats as its address says, the last one marked, in addresses' order.
  (* anyseq *) wire choose;
  reg chosen = 0, newest = 0, mark = 0;
  reg [8:0] beats_of_it;
  reg [9:0] sent;
  reg ahead;
  wire accepted = axi__wvalid && axi__wready;
  wire mine = chosen && !ahead && accepted;
  always @(posedge clk) begin
    mark <= 0;
    if (rst || clear) chosen <= 0;
    else if (!chosen && choose && burst_step) begin
      chosen <= 1; newest <= 1; mark <= 1;
      beats_of_it <= burst_beats; sent <= 0; ahead <= cut;
    end else begin
      if (burst_step) newest <= 0;
      if (accepted) ahead <= 0;
      if (mine) sent <= sent + 1;
      if (mine && sent + 1 == beats_of_it) chosen <= 0;
    end
  end
  wire [8:0] length = beats_of_it - 1;
  wire [9:0] in_the_pipe = cut + axi__wvalid - ahead;
  always @* begin
    assert (!mark || (axi__awvalid && axi__awlen == length[7:0]));
    assert (!mine || axi__wlast == (sent + 1 == beats_of_it));
    assert (left <= {most});
    if (chosen) begin
      assert (beats_of_it >= 1 && beats_of_it <= {most} && sent < beats_of_it);
      assert (!ahead || (axi__wvalid && newest && sent == 0));
      assert (!newest || sent + in_the_pipe + left == beats_of_it);
      assert (!newest || !cut || \\end  == (left == 0));
      assert (newest || (axi__wvalid && sent + 1 == beats_of_it));
      assert (ahead || !axi__wvalid || axi__wlast == (sent + 1 == beats_of_it));
    end
  end
  always @* cover (mine && sent == 1 && axi__wlast);
"""
_FAULTS = (
    Fault(
        "data change while they wait",
        r"axi__wdata <= rst \? (\S+) : move \?",
        r"axi__wdata <= rst ? \1 : (move | halt) ?",
    ),
    Fault("an address is withdrawn", r"begin  \| \(~axi__awready & axi__awvalid\)", "begin "),
    Fault("a burst begins without room", r"room = \(level != \S+\) & ", "room = "),
    Fault(
        "a burst begins in another's beats",
        r"bursts_active & \(left == 9'h0\) & ",
        "bursts_active & ",
    ),
    Fault("the last beat is not marked", r"move \? \\end  :", "move ? 1'h0 :"),
)


def proof(name: str, config: Config) -> Proof:
    """Of a configuration's STORE."""
    properties = _PROPERTIES.format(
        bad_field=int(ErrorCode.BAD_FIELD),
        most=config.burst_bytes // config.bus_bytes,
        places=config.outstanding,
    )
    channels = [
        stays("axi__awvalid", "axi__awready", ["axi__awaddr", "axi__awlen"]),
        stays("axi__wvalid", "axi__wready", ["axi__wdata", "axi__wstrb", "axi__wlast"]),
    ]
    return Proof(
        name="STORE",
        variant=name,
        claim="Address and data stand until they are taken; every burst has the beats that its "
        "address says, the last one marked; no burst begins without room or after a halt.",
        component=lambda: StoreUnit(config),
        properties="".join([properties, *channels]),
        probes={
            "burst_step": "bursts.step",
            "burst_last": "bursts.last",
            "burst_beats": "bursts.beats",
        },
        cover_depth=12,
        faults=_FAULTS,
    )
