"""Port traps: a bank reports a collision exactly when two units hold one of its ports, and of all
errors of a cycle the one that counts first is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proofs.prover import Fault, Proof
from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.hw.control.errors import FETCH_CODES, GROUPS, UNIT_CODES, Errors
from pulsarray.hw.memory.bank import READERS, WRITERS, MemoryBank
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode

__all__ = ["bank_proof", "errors_proof"]

_UNITS = len(Unit)
_PORT = """
  // Who holds the {name} port, and how many do.
  wire [{units}-1:0] holds_{name} = {{{held}}};
  wire [{units}-1:0] beyond_{name} = {{{beyond}}};
  integer holders_{name}, unit_{name};
  always @* begin
    holders_{name} = 0;
    for (unit_{name} = 0; unit_{name} < {units}; unit_{name} = unit_{name} + 1) begin
      // All but the first that hold it are told of.
      assert (conflict[{first} + unit_{name}] == (holds_{name}[unit_{name}] && holders_{name} > 0));
      assert (outside[{first} + unit_{name}] == beyond_{name}[unit_{name}]);
      holders_{name} = holders_{name} + holds_{name}[unit_{name}];
    end
    assert ((holders_{name} > 1) == (|conflict[{first} +: {units}]));
    cover (holders_{name} == 2);
  end
"""


def bank_proof(kind: str, depth: int) -> Proof:
    """Of a bank of a kind."""
    place = 1 + (depth - 1).bit_length()
    return Proof(
        name="bank ports",
        variant=f"{kind} of {depth} words",
        claim="A bank reports a collision exactly when two units hold its read port or two its "
        "write port: for all of them but the first in order; and a word outside for exactly "
        "those who ask for one.",
        component=lambda: MemoryBank(accumulator=kind == "accumulator", bits=8, depth=depth),
        properties=_port("read", READERS[kind], 0, place)
        + _port("write", WRITERS[kind], _UNITS, place),
        cover_depth=1,
        faults=(
            Fault(
                "who holds only the port is no holder", r"= read_holds\[4\]", "= read_enables[4]"
            ),
            Fault(
                "one collision is not told", r"(read_held\[3\]) & \(\|\S+\)", r"\1 & read_held[1]"
            ),
            Fault("ports are mixed", r"(write_held\[3\] & )write_held\[0\]", r"\1read_held[1]"),
            Fault("a word outside is read in silence", r"outside\[4\] = .*;", "outside[4] = 1'b0;"),
        ),
    )


def _port(name: str, units: Sequence[Unit], first: int, place: int) -> str:
    """Verilog of what one port's collisions and words outside are."""

    def of(text: str) -> str:
        parts = [
            " | ".join(text.format(name=name, n=n, inside=n * place) for n in _places(units, unit))
            for unit in reversed(Unit)
        ]
        return ", ".join(part or "1'b0" for part in parts)

    return _PORT.format(
        name=name,
        units=_UNITS,
        first=first,
        held=of("{name}_holds[{n}]"),
        beyond=of("({name}_enables[{n}] & ~" + f"{name[:4]}ers[{{inside}}])"),
    )


def _places(units: Sequence[Unit], unit: Unit) -> list[int]:
    return [n for n, other in enumerate(units) if other == unit]


_ERRORS = """
  // What units and FETCH may say, and the bits that no bank sets.
{assumed}
  // Instructions that started last.
{owners}
  // The lowest code of all errors of this cycle, and whose collision is the first in order.
  reg [3:0] least;
  reg [{bits}-1:0] owner;
  always @* begin
    least = 0;
{codes}
    owner = 0;
{collisions}
  end
  reg [3:0] kept_code = 0;
  reg [{bits}-1:0] kept_owner;
  always @(posedge clk) begin
    if (rst || clear) kept_code <= 0;
    else if (running && kept_code == 0) kept_code <= least;
    if (kept_code == 0) kept_owner <= owner;
  end
{compared}
  always @* cover (halt && code == {conflict});
"""
_AT_ONCE = """
  always @* begin
    assert (code == kept_code && halt == (kept_code != 0));
    if (code == {conflict}) assert (index == kept_owner);
  end
"""
_LATER = """
  // With a register between, which keeps what it has.
  reg [3:0] last_code = 0;
  reg [{bits}-1:0] last_owner;
  always @(posedge clk) begin
    if (rst || clear) last_code <= 0;
    else if (running && kept_code != 0) last_code <= kept_code;
    if (running && kept_code != 0) last_owner <= kept_owner;
  end
  wire [3:0] group_code = {group_code};
  wire [{bits}-1:0] group_index = {group_index};
  always @* begin
    assert (kept_code == group_code);
    assert (kept_code != {conflict} || kept_owner == group_index);
    assert (last_code == 0 || last_code == kept_code);
    assert (code == last_code && halt == (last_code != 0));
    if (code == {conflict}) assert (index == last_owner && last_owner == kept_owner);
  end
"""
_READING = (Unit.WEIGHT, Unit.STREAM, Unit.VECTOR, Unit.STORE)
_READ: dict[int, str] = {unit: f"last_{unit}" for unit in _READING}
_WRITE: dict[int, str] = {
    Unit.LOAD: "load_index",
    Unit.STREAM: "target_index",
    Unit.VECTOR: "vector_index",
}


def errors_proof(name: str, config: Config) -> Proof:
    """Of a configuration's choice of the error that is kept."""
    told = {**_READ, **{_UNITS + unit: owner for unit, owner in _WRITE.items()}}
    compared = _LATER if config.fast_clock else _AT_ONCE
    names = {"bits": INDEX_BITS, "conflict": int(ErrorCode.PORT_CONFLICT)}
    first = "".join(f"was_code{n} != 0 ? was_{{what}}{n} : " for n in range(GROUPS))
    groups = {f"group_{what}": first.format(what=what) + "0" for what in ("code", "index")}
    return Proof(
        name="errors",
        variant=name,
        claim="Of all errors of a cycle the one with the lowest code is kept until it is "
        "forgotten, and the machine halts; a collision is kept as PORT_CONFLICT exactly when there "
        "is one and nothing before it, with the instruction of the first unit in order.",
        component=lambda: Errors(config),
        properties=_ERRORS.format(
            **names,
            assumed="".join(_assumed(told)),
            owners="".join(_last_started()),
            codes="".join(_codes(config)),
            collisions="".join(_collisions(told)),
            compared=compared.format(**names, **groups),
        ),
        cover_depth=4,
        faults=(
            Fault("a collision is not kept", r"(first0_18 =) conflict\[5\]", r"\1 1'b0"),
            Fault(
                "one trap goes off for another", r"(first0_20 =) conflict\[2\]", r"\1 conflict[3]"
            ),
            Fault(
                "the wrong one is named",
                r"(first0_10 \| first0_20\) \?) stream_owner",
                r"\1 weight_owner",
            ),
            Fault("an error replaces the first", r"_ = running & ~halt &", "_ = running &"),
        ),
    )


def _assumed(told: Iterable[int]) -> Iterable[str]:
    bits = sum(1 << bit for bit in told)
    yield f"  always @* assume ((address & ~10'd{bits}) == 0 && (conflict & ~10'd{bits}) == 0);\n"
    for unit in Unit:
        code = f"code_of[{4 * unit} +: 4]"
        allowed = " || ".join(f"{code} == {int(c)}" for c in (ErrorCode.NONE, *UNIT_CODES))
        yield f"  always @* assume ({allowed});\n"
    allowed = " || ".join(f"fetch_code == {int(c)}" for c in (ErrorCode.NONE, *FETCH_CODES))
    yield f"  always @* assume ({allowed});\n"


def _last_started() -> Iterable[str]:
    for unit, name in _READ.items():
        start = f"start_index[{INDEX_BITS * unit} +: {INDEX_BITS}]"
        yield f"  reg [{INDEX_BITS - 1}:0] {name} = 0;\n"
        yield f"  always @(posedge clk) {name} <= rst ? 0 : start[{unit}] ? {start} : {name};\n"
        yield f"  always @* assert ({Unit(unit).name.lower()}_owner == {name});\n"


def _codes(config: Config) -> Iterable[str]:
    """From the highest code to the lowest: what comes later replaces what came before."""
    there: dict[ErrorCode, str] = {
        ErrorCode.STOPPED: "stop",
        ErrorCode.CYCLE_LIMIT: "cycle_limit != 0 && cycle == cycle_limit",
        ErrorCode.SEMAPHORE: "semaphore_error != 0",
        ErrorCode.PORT_CONFLICT: "conflict != 0",
        ErrorCode.ADDRESS: f"address != 0 || target_error || (load_write && ({_outside(config)}))",
    }
    for code in sorted(ErrorCode, reverse=True):
        conditions = [there[code]] if code in there else []
        if code in UNIT_CODES:
            conditions += [f"code_of[{4 * unit} +: 4] == {int(code)}" for unit in Unit]
        if code in FETCH_CODES:
            conditions.append(f"fetch_code == {int(code)}")
        if conditions:
            yield f"    if ({' || '.join(conditions)}) least = {int(code)};\n"


def _outside(config: Config) -> str:
    words = config.tables * config.table_planes * config.table_words
    rows = {Bank.PARAMETER: 4 * config.parameter_depth, Bank.TABLE: words}
    return " || ".join(f"load_bank == {int(b)} && load_address >= {n}" for b, n in rows.items())


def _collisions(told: dict[int, str]) -> Iterable[str]:
    """Units in order, each as a reader before as a writer; the first is written last."""
    order = [bit for unit in Unit for bit in (unit, _UNITS + unit) if bit in told]
    for bit in reversed(order):
        yield f"    if (conflict[{bit}]) owner = {told[bit]};\n"
