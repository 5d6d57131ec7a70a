"""All lanes of the vector unit, and the reduction over them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.lane import Lane, pair, term_bits
from pulsarray.hw.vector.lane_control import control_layout
from pulsarray.hw.vector.rounding import WIDE, saturate
from pulsarray.stages import vector_stages

__all__ = ["Lanes"]


class Lanes(Shared):
    """From the words of both sources to the words that are written.

    The cycles are those of :func:`pulsarray.stages.vector_stages`.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    control
        What all lanes are told: the record of :func:`control_layout`.
    a_words, a_sums, b_words, b_sums
        What the banks gave, in cycle ``select``.
    count
        Lanes that are not excluded, in cycle ``reduce``.
    codes, sums
        The words that result, in cycle ``result``.
    slots
        A word for the parameter bank, in the format of an accumulator word in memory.
    noting
        With ``training``: lanes that count for the statistic, in cycle ``round``.
    magnitude, near_limit
        With ``training``: all bits of the magnitudes of those lanes before the rounding, in cycle
        ``after``, and whether the sum after it comes near its limit in one of them, in the next.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        dim = config.dim
        words = data.ArrayLayout(signed(config.operand_bits), dim)
        sums = data.ArrayLayout(signed(config.acc_bits), dim)
        members: dict[str, Any] = {
            "control": In(control_layout(config)),
            **{f"{source}_words": In(words) for source in "ab"},
            **{f"{source}_sums": In(sums) for source in "ab"},
            "count": In(range(dim + 1)),
            "codes": Out(words),
            "sums": Out(sums),
            "slots": In(8 * config.acc_word_bytes),
        }
        if config.training:
            members |= {"noting": In(range(dim + 1)), "magnitude": Out(WIDE), "near_limit": Out(1)}
        super().__init__(
            members,
            dim=dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scale_bits=config.scale_bits,
            parameter_depth=config.parameter_depth,
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
            training=config.training,
            tflite=config.tflite,
            residual=config.residual,
            leaky=config.leaky,
            fast_clock=config.fast_clock,
        )
        self._at = vector_stages(config)

    def body(self, platform: Any) -> Elaboratable:
        """The lanes, and a tree from their terms to the total that all of them get."""
        m = Module()
        config = self._config
        counted = Signal(config.dim)
        m.submodules.total = total = ReductionTotal(config)
        m.d.comb += counted.eq((1 << self.count) - 1)
        lanes: list[Lane] = []
        slot = 8 * config.acc_slot_bytes
        for number in range(config.dim):
            lane = Lane(config)
            m.submodules[f"lane{number}"] = lane
            m.d.comb += [
                lane.control.eq(self.control),
                lane.a_word.eq(self.a_words[number]),
                lane.a_sum.eq(self.a_sums[number]),
                lane.b_word.eq(self.b_words[number]),
                lane.b_sum.eq(self.b_sums[number]),
                lane.slot.eq(self.slots[slot * number :][:slot]),
                lane.counted.eq(counted[number]),
                lane.total.eq(total.total),
                self.codes[number].eq(lane.result.code),
                self.sums[number].eq(lane.result.sum),
            ]
            lanes.append(lane)
        m.d.comb += total.root.eq(self._tree(m, [lane.term for lane in lanes]))
        if config.training:
            self._note(m, lanes)
        return m

    def _note(self, m: Module, lanes: list[Lane]) -> None:
        """What the lanes say of a word, together."""
        noted = Signal(len(lanes))
        m.d.comb += noted.eq((1 << self.noting) - 1)
        magnitude: Value = Const(0, WIDE)
        for number, lane in enumerate(lanes):
            largest = Signal(WIDE, name=f"magnitude{number}")
            m.d.comb += [lane.noted.eq(noted[number]), largest.eq(magnitude | lane.magnitude)]
            magnitude = largest
        for _ in range(self._at.round + 1, self._at.after):
            magnitude = self._register(m, "noted_magnitude", magnitude)
        m.d.comb += [
            self.magnitude.eq(magnitude),
            self.near_limit.eq(Cat(lane.near_limit for lane in lanes).any()),
        ]

    def _register(self, m: Module, name: str, value: Any) -> Any:
        register = Signal.like(value, name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _tree(self, m: Module, terms: list[Any]) -> Any:
        """The sum or the largest of all terms, at once or a level of the tree a cycle."""
        level, is_sum = 0, self.control.is_sum
        is_cut = self._at.result > self._at.reduce
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=False)
            alone = terms[len(terms) - len(terms) % 2 :]
            terms = [self._node(m, f"{level}_{n}", *pair, is_sum) for n, pair in enumerate(pairs)]
            terms += alone
            if is_cut:
                terms = [self._register(m, f"level{level}", term) for term in terms]
                is_sum = self._register(m, f"is_sum{level}", is_sum)
            level += 1
        return terms[0]

    def _node(self, m: Module, name: str, a: Any, b: Any, is_sum: Value) -> Any:
        node = ReductionNode(self._config)
        m.submodules[f"node{name}"] = node
        m.d.comb += [node.a.eq(a), node.b.eq(b), node.is_sum.eq(is_sum)]
        return node.result


class ReductionNode(Shared):
    """One node of the tree.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    a, b, is_sum, result
        ``a + b`` or the larger of both, for codes and for sums.
    """

    def __init__(self, config: Config) -> None:
        terms = pair(config, term_bits(config))
        super().__init__(
            {"a": In(terms), "b": In(terms), "is_sum": In(1), "result": Out(terms)},
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two adders and two comparisons."""
        m = Module()
        for name in ("code", "sum"):
            a, b = self.a[name], self.b[name]
            larger = Mux(a > b, a, b)
            m.d.comb += self.result[name].eq(Mux(self.is_sum, a + b, larger))
        return m


class ReductionTotal(Shared):
    """What the root of the tree holds, as wide as a result.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    root, total
        The sums or maxima of all terms, and the same saturated.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {"root": In(pair(config, term_bits(config))), "total": Out(pair(config))},
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two saturations."""
        m = Module()
        m.d.comb += [
            self.total.code.eq(saturate(self.root.code, self._config.operand_bits)),
            self.total.sum.eq(saturate(self.root.sum, self._config.acc_bits)),
        ]
        return m
