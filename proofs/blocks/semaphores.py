"""Semaphores: a count against sums of whole numbers, and how sixteen of them are joined."""

from __future__ import annotations

from proofs.prover import Fault, Proof
from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES
from pulsarray.hw.control.semaphores import Semaphore, Semaphores

__all__ = ["count_proof", "joined_proof"]

_COUNT = """
  // As whole numbers; 12 bits hold every sum.
  reg signed [11:0] whole = 0, following_whole;
  integer unit;
  always @* begin
    following_whole = whole;
    for (unit = 0; unit < {units}; unit = unit + 1)
      following_whole = following_whole + $signed({{1'b0, signal[unit]}});
    for (unit = 0; unit < {units}; unit = unit + 1)
      following_whole = following_whole - $signed({{1'b0, take[unit]}});
  end
  integer takers;
  always @* begin
    takers = 0;
    for (unit = 0; unit < {units}; unit = unit + 1) takers = takers + take[unit];
  end
  wire leaves = following_whole < 0 || following_whole > {maximum};
  wire wrong = leaves || takers > 1;
  reg went_wrong = 0;  // then the machine stops
  always @(posedge clk) begin
    whole <= rst || clear ? 0 : following_whole;
    went_wrong <= !rst && !clear && (went_wrong || wrong);
  end
  always @* if (!went_wrong) begin
    assert (whole == $signed({{4'b0, count}}));
    assert (available == (whole > 0));
    assert (error == wrong);
  end
  always @* cover (!went_wrong && whole == 3 && take == 1);
  always @* cover (!went_wrong && leaves);
"""
_COUNT_FAULTS = (
    Fault("the range is open above", r"error = following\[8\]", "error = following[8] & ~count[7]"),
    Fault("one is available at 0", r"available = \|count", "available = ~(&count)"),
    Fault("a take is lost", r"= ~\(\|take\);", "= ~(|(take & ~1));"),
    Fault("two units may take at once", r"following\[8\] \| several", "following[8]"),
)


def count_proof(units: int) -> Proof:
    """Of one count, with a number of units."""
    return Proof(
        name="semaphore",
        variant=f"{units} units",
        claim="The count is the signals less the takes of all units since it was cleared, until it "
        f"leaves 0..{SEMAPHORE_MAX} or two units take at once, which are errors; `available` says "
        "that it is above 0.",
        component=lambda: Semaphore(units),
        properties=_COUNT.format(units=units, maximum=SEMAPHORE_MAX),
        cover_depth=5,
        faults=_COUNT_FAULTS,
    )


_ONE = """
  wire [{units}-1:0] take{n}, signal{n};
  wire error{n}, available{n}, clear{n};
  always @* assert (clear{n} == clear && available[{n}] == available{n});
"""
_UNIT = """
  always @* assert (take{n}[{u}] == take[{place}] && signal{n}[{u}] == signal[{place}]);
"""
_ERROR = """
  always @* assert (error[{u}] == ({touched}));
"""


def joined_proof(units: int) -> Proof:
    """Of all semaphores with a number of units: who gets what of which."""
    numbers = range(SEMAPHORES)
    text = [_ONE.format(units=units, n=n) for n in numbers]
    probes = {}
    for n in numbers:
        for port in ("take", "signal", "error", "available", "clear"):
            probes[f"{port}{n}"] = f"semaphore{n}.{port}"
        for u in range(units):
            text.append(_UNIT.format(n=n, u=u, place=u * SEMAPHORES + n))
    for u in range(units):
        touched = [f"((take{n}[{u}] | signal{n}[{u}]) & error{n})" for n in numbers]
        text.append(_ERROR.format(u=u, touched=" | ".join(touched)))
    return Proof(
        name="semaphores",
        variant=f"{units} units",
        claim="Each of the sixteen counts has the bits of its number; a unit has an error exactly "
        "when a count that it touches has one.",
        component=lambda: Semaphores(units),
        properties="".join(text),
        probes=probes,
        faults=(
            Fault(
                "a unit hears of others' errors",
                r"error\[1\] = \|\(\(take.*\) & list\)",
                "error[1] = |list",
            ),
            Fault(
                "two semaphores exchange a bit",
                r"signal\[16\]",
                "signal[17]",
            ),
        ),
    )
