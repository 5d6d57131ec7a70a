"""The read arbiter: who is granted, and whose the beats are."""

from __future__ import annotations

from proofs.blocks import fifo
from proofs.blocks.channel import stays
from proofs.prover import Fault, Proof
from pulsarray.config import Config
from pulsarray.hw.memory.read_arbiter import ReadArbiter

__all__ = ["proof"]

_PROPERTIES = """
  // The memory answers what it was asked, and nothing else.
  always @* assume (!axi__rvalid || level > 0);

  wire can_grant = level < {places} && (!axi__arvalid || axi__arready) && !halt;
  always @* begin
    assert (fetch_grant == (can_grant && fetch_want));
    assert (load_grant == (can_grant && load_want && !fetch_want));
    assert (level <= {places});
    assert (idle == (level == 0 && !axi__arvalid));
    assert (axi__rready);
  end

  // What was granted is on the bus in the next cycle.
  reg granted = 0;
  reg [31:0] address;
  reg [8:0] beats;
  always @(posedge clk) begin
    granted <= !rst && (fetch_grant || load_grant);
    address <= fetch_grant ? fetch_address : load_address;
    beats <= fetch_grant ? fetch_beats : load_beats;
  end
  wire [8:0] length = beats - 1;
  wire is_offered = axi__arvalid && axi__araddr == address && axi__arlen == length[7:0];
  always @* assert (!granted || is_offered);

  // Of any burst the beats go to who asked for it, and every beat goes to one of both.
  wire choose_now, chosen_burst, value_burst;
  wire [15:0] ahead_burst;
  reg for_load;
  always @(posedge clk) if (choose_now && (fetch_grant || load_grant)) for_load <= load_grant;
  always @* begin
    assert (!chosen_burst || value_burst == for_load);
    if (chosen_burst && ahead_burst == 0 && axi__rvalid) assert (load_valid == for_load);
    assert ({{1'b0, fetch_valid}} + load_valid == axi__rvalid);
    cover (chosen_burst && ahead_burst == 0 && load_valid && level == {some} && axi__rlast);
  end
"""
_FAULTS = (
    Fault("one burst too many", r"level != 4'h\w", "level != 4'hf"),
    Fault(
        "LOAD before FETCH",
        r"load_grant = can & load_want & ~fetch_want",
        "load_grant = can & load_want",
    ),
    Fault(
        "beats of LOAD go to FETCH",
        r"fetch_valid = axi__rvalid & ~head",
        "fetch_valid = axi__rvalid",
    ),
    Fault("an offer is withdrawn", r"grant \| \(~axi__arready & axi__arvalid\)", "grant"),
    Fault("a burst ends at any beat", r"ends = axi__rvalid & axi__rlast", "ends = axi__rlast"),
    Fault(
        "the owner is who wants, not who is granted",
        r"\.entering\(load_grant\)",
        ".entering(load_want)",
    ),
)


def proof(name: str, config: Config) -> Proof:
    """Of a configuration's arbiter."""
    places = config.outstanding
    stable = stays("axi__arvalid", "axi__arready", ["axi__araddr", "axi__arlen"])
    return Proof(
        name="read arbiter",
        variant=name,
        claim="FETCH is granted before LOAD, never more bursts than may be outstanding; an address "
        "offered stands until it is taken; every beat goes to the unit that asked for its burst.",
        component=lambda: ReadArbiter(config),
        properties=_PROPERTIES.format(places=places, some=min(places, 2)) + stable,
        below={f"fifo_1_{places}": fifo.properties(1, places, users="assert")},
        probes={
            "choose_now": "owners.choosing",
            "chosen_burst": "owners.chosen",
            "value_burst": "owners.value",
            "ahead_burst": "owners.ahead",
        },
        cover_depth=places + 4,
        faults=_FAULTS,
    )
