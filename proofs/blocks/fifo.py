"""Queues: the order of words, and their number."""

from __future__ import annotations

from proofs.prover import Fault, Proof
from pulsarray.hw.blocks.fifo import Fifo

__all__ = ["SIZES", "proof", "properties"]

SIZES = ((7, 3), (1, 8), (41, 8), (144, 10), (232, 4), (256, 4), (520, 4), (712, 4), (5, 5), (1, 1))
"""All queues of the presets, and odd ones."""

_CLAIM = (
    "Any word that enters leaves after those before it, unchanged; `level` is what entered less "
    "what left; the ring never runs over."
)
_PROPERTIES = """
  // Words enter when there is room, and leave when there are some.
  always @* begin
    {users} (!push || level < {depth} || pop);
    {users} (!pop || level > 0);
  end

  // A word is chosen at any time; how many are ahead of it is counted.
  (* anyseq *) wire choose;
  reg chosen = 0;
  reg [{bits}-1:0] value;
  reg [15:0] ahead;
  wire choosing = choose && !chosen;
  always @(posedge clk) begin
    if (rst || clear || (chosen && pop && ahead == 0)) chosen <= 0;
    else if (choosing && push) begin
      chosen <= 1; value <= entering; ahead <= level - pop;
    end else if (chosen && pop) ahead <= ahead - 1;
  end
  wire [15:0] sum = leave__addr + ahead;
  wire [15:0] place = sum >= {depth} ? sum - {depth} : sum;
  wire [15:0] end_sum = leave__addr + level;
  always @* begin
    assert (!chosen || ahead != 0 || head == value);
    assert (!chosen || (ahead < level && store[place] == value));
    assert (level <= {depth} && enter__addr < {depth} && leave__addr < {depth});
    assert (enter__addr == (end_sum >= {depth} ? end_sum - {depth} : end_sum));
  end

  reg [31:0] entered = 0, left_ = 0;
  always @(posedge clk) begin
    entered <= rst || clear ? 0 : entered + push;
    left_ <= rst || clear ? 0 : left_ + pop;
  end
  wire [31:0] inside = entered - left_;
  always @* assert (level == inside);
  always @* cover (chosen && ahead == 0 && level == {depth});
"""
_FAULTS = (
    Fault("the level forgets what leaves", r"(level <= .*) - pop\)", r"\1)"),
    Fault("a word is written where the oldest is", r"store\[enter__addr\] <=", "store[0] <="),
    Fault("clear keeps the level", r"(level <= rst \? \S+ :) clear \? \S+ :", r"\1"),
)


def properties(bits: int, depth: int, *, users: str = "assume") -> str:
    """Verilog for a queue of a size; ``users`` is ``assert`` where its user is proven, too.

    ``chosen``, ``value`` and ``ahead`` are any one word in it, and how many are before it.
    """
    return _PROPERTIES.format(bits=bits, depth=depth, users=users)


def proof(bits: int, depth: int) -> Proof:
    """Of a queue of a size."""
    return Proof(
        name="queue",
        variant=f"{bits} bits x {depth}",
        claim=_CLAIM,
        component=lambda: Fifo(bits, depth),
        properties=properties(bits, depth),
        cover_depth=depth + 3,
        faults=_FAULTS,
    )
