"""The read side of LOAD and of FETCH: what they ask for, and what becomes of the beats."""

from __future__ import annotations

from proofs.prover import Fault, Proof
from pulsarray.config import Config
from pulsarray.hw.control.fetch import Fetch
from pulsarray.hw.units.load import LoadUnit
from pulsarray.isa import UNIT_BYTES, Bank
from pulsarray.registers import ErrorCode

__all__ = ["fetch_proof", "load_proof"]

_OFFER = """
  // What is asked for stands until it is granted, unless the machine stops.
  always @* assume (!grant || want);
  reg offered = 0;
  reg [31:0] offered_address;
  reg [8:0] offered_beats;
  always @(posedge clk) begin
    offered <= !rst && !clear && want && !grant;
    offered_address <= address;
    offered_beats <= beats;
  end
  always @* begin
    assert (!want || !halt);
    if (offered && !halt{unless})
      assert (want && address == offered_address && beats == offered_beats);
    cover (offered && want && grant);
  end
"""
_LOAD = """
  // The sequencer starts an instruction when the one before has asked for everything; beats come
  // for transfers that have started; once halted, the machine stays so until it is cleared.
  always @* assume (!start || ready);
  always @* assume (!beat_valid || words_active);
  reg stopped = 0;
  always @(posedge clk) stopped <= !rst && !clear && (stopped || halt);
  wire sound = !halt && !stopped;

  // Beats of a word are counted from its first.
  wire [7:0] bank = head[47:40];
  wire [{bits}:0] top = bank >= {accumulator} && bank < {table} ? {sums} - 1 : {operands} - 1;
  reg [{bits}:0] count = 0;
  reg ends = 0;
  always @(posedge clk) begin
    ends <= !rst && !clear && !halt && beat_valid && count == top;
    if (rst || clear) count <= 0;
    else if (beat_valid) count <= count == top ? 0 : count + 1;
  end
  always @* if (sound) begin
    assert (count == place && count <= top);
    assert (words_active || count == 0);
  end
  // A word is written after its last beat, and after no other, ...
  always @* if (!stopped) assert (out_enable == ends);
  // ... and any beat of it is where its number says, to the bank that LOAD named.
  (* anyconst *) reg [{bits}:0] number;
  reg [{bus}-1:0] data;
  reg [7:0] to;
  reg there = 0;
  wire [{sums}*{bus}-1:0] shifted = out_raw >> number * {bus};
  always @* assume (number < {sums});
  always @(posedge clk) begin
    if (beat_valid && count == number) data <= beat_data;
    if (beat_valid) to <= bank;
    there <= !rst && !clear && !halt && beat_valid && count == top && number <= top;
  end
  always @* if (sound) begin
    if (count > number || there) assert (shifted[{bus}-1:0] == data);
    if (out_enable && ends) assert (out_bank == to);
    cover (there && number == {last} && out_enable);
  end
  // A beat with an error is told, unless an instruction that starts is wrong itself.
  always @* assert ((error == {axi_read}) == (beat_valid && beat_error && error != {bad_field}));
"""


def load_proof(name: str, config: Config) -> Proof:
    """Of a configuration's LOAD."""
    sums = 4 * config.beats_per_word
    text = _LOAD.format(
        bits=(sums - 1).bit_length(),
        accumulator=int(Bank.ACCUMULATOR),
        table=int(Bank.TABLE),
        sums=sums,
        operands=config.beats_per_word,
        last=min(1, sums - 1),
        bus=config.bus_bits,
        axi_read=int(ErrorCode.AXI_READ),
        bad_field=int(ErrorCode.BAD_FIELD),
    )
    return Proof(
        name="LOAD",
        variant=name,
        claim="A request stands until it is granted, and none is made after a halt; a word is "
        "written after its last beat and after no other, with every beat in its place, to the "
        "bank that was named; a beat with an error is told.",
        component=lambda: LoadUnit(config),
        properties=_OFFER.format(unless="") + text,
        cover_depth=12,
        faults=_LOAD_FAULTS,
    )


_LOAD_FAULTS = (
    Fault(
        "a request is made after a halt",
        r"want = active & _027_ & ~wrong",
        "want = active & ~wrong",
    ),
    Fault(
        "two beats exchange places",
        r"\(place == 2'h1\) \? beat_data",
        "(place == 2'h2) ? beat_data",
    ),
    Fault("a word is written a beat early", r"\? 2'h3 :", "? 2'h2 :"),
    Fault("an error is told of no beat", r"beat_valid & beat_error", "beat_error"),
    Fault(
        "the bank is that of the next transfer",
        r"whole \? head\[47:40\]",
        "whole ? following[47:40]",
    ),
)

_FETCH = """
  // The program stays as it is and ends within 4 GiB; beats come for what was granted.
  (* anyconst *) reg [31:0] length;
  (* anyconst *) reg [31:0] base;
  reg [15:0] owed = 0;
  always @* begin
    assume (program_units == length && program_address == base && length < 32'h8000000);
    assume (!beat_valid || owed != 0);
    assume (!clear || (owed == 0 && !grant));
  end
  always @(posedge clk) owed <= rst ? 0 : owed + (grant ? {beats} : 0) - beat_valid;

  // Every byte of the buffer is free, asked for, there, or part of the fetch that is being read.
  wire [31:0] room = ahead * {fetch} + owed * {bus} + {place} * {bus} + level * {unit}
    + {taken} * {unit};
  always @* begin
    assert (room == 2 * {fetch});
    assert (level * {unit} <= 2 * {fetch});
    // Nothing beyond the program is asked for or taken.
    assert (asked <= (length + {units} - 1) / {units} && taken <= length);
    if (want) assert (asked * {units} < length && beats == {beats});
    assert (address == base + asked * {fetch});
    if (pop) assert (level != 0 && taken != length);
  end
"""


def fetch_proof(name: str, config: Config) -> Proof:
    """Of a configuration's FETCH."""
    units = config.fetch_bytes // UNIT_BYTES
    text = _FETCH.format(
        beats=config.fetch_bytes // config.bus_bytes,
        fetch=config.fetch_bytes,
        bus=config.bus_bytes,
        place="place" if config.bus_bytes < UNIT_BYTES else "0",
        unit=UNIT_BYTES,
        units=units,
        taken=f"taken[{units.bit_length() - 2}:0]" if units > 1 else "0",
    )
    return Proof(
        name="FETCH",
        variant=name,
        claim="A request stands until it is granted; no more is asked for than the buffer has "
        "room for, so that no beat is lost, and nothing beyond the program; nothing is taken that "
        "is not there.",
        component=lambda: Fetch(config),
        properties=_OFFER.format(unless=" && running && !ended") + text,
        cover_depth=5,
        faults=_FETCH_FAULTS,
    )


_FETCH_FAULTS = (
    Fault("a fetch is asked for that has no room", r" & \(\|ahead\)", ""),
    Fault(
        "room is free before the last unit is read", r"taken\[3:0\] == 4'hf", "taken[3:0] == 4'h7"
    ),
    Fault("a unit is taken that is not there", r"pop = \(\|level\) &", "pop ="),
    Fault("the program's end is not seen", r" & \(taken !=\s+program_units\)", ""),
)
