"""All lanes of the vector unit, and the reduction over them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.choice import chosen
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.lane import Lane, pair, term_bits
from pulsarray.hw.vector.lane_control import control_layout
from pulsarray.hw.vector.rounding import WIDE, saturate
from pulsarray.stages import vector_stages

__all__ = ["Lanes"]


class Lanes(Shared):
    """From the words of both sources to the words that are written.

    The cycles are those of :func:`pulsarray.stages.vector_stages`. With fewer lanes than a word has
    they take it in parts, one a cycle.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    control
        What all lanes are told: the record of :func:`control_layout`.
    part
        Which part of its word the lanes have, by cycle; absent where a word has one.
    a_operands, b_operands
        What the banks gave, in cycle ``select``.
    count
        Lanes of a word that are not excluded, in cycle ``reduce``.
    whole_count
        The same in cycle ``result``; absent where a word has one part.
    codes, sums, fresh
        Words that result, in cycle ``result``, and which of their parts do.
    slots
        A part of a word for the parameter bank, in the format of an accumulator word in memory.
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
            **{f"{source}_operands": In(sums) for source in "ab"},
            "count": In(range(dim + 1)),
            "codes": Out(words),
            "sums": Out(sums),
            "fresh": Out(config.word_cycles),
            "slots": In(8 * config.acc_slot_bytes * config.lanes),
        }
        self._at = vector_stages(config)
        if config.word_cycles > 1:
            number = range(config.word_cycles)
            members["part"] = In(
                data.ArrayLayout(unsigned(len(number).bit_length() - 1), self._at.result + 1)
            )
            members["whole_count"] = In(range(dim + 1))
        if config.training:
            members |= {"noting": In(range(dim + 1)), "magnitude": Out(WIDE), "near_limit": Out(1)}
        super().__init__(
            members,
            dim=dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scale_bits=config.scale_bits,
            parameter_depth=config.parameter_depth,
            word_cycles=config.word_cycles,
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
            training=config.training,
            tflite=config.tflite,
            residual=config.residual,
            leaky=config.leaky,
            fast_clock=config.fast_clock,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The lanes, and a tree from their terms to the total that all of them get."""
        m = Module()
        config = self._config
        counted = self._counting(m, "counted", self.count, self._at.reduce)
        m.submodules.total = total = ReductionTotal(config)
        lanes: list[Lane] = []
        slot = 8 * config.acc_slot_bytes
        for number in range(config.lanes):
            lane = Lane(config)
            m.submodules[f"lane{number}"] = lane
            m.d.comb += [
                lane.control.eq(self.control),
                *(
                    getattr(lane, name).eq(self._of_part(getattr(self, f"{name}s"), number))
                    for name in ("a_operand", "b_operand")
                ),
                lane.slot.eq(self.slots[slot * number :][:slot]),
                lane.counted.eq(counted[number]),
                lane.total.eq(total.total),
            ]
            lanes.append(lane)
        root, is_sum = self._tree(m, [lane.term for lane in lanes])
        m.d.comb += total.root.eq(self._gather(m, root, is_sum))
        self._results(m, lanes, total.total)
        if config.training:
            self._note(m, lanes)
        return m

    def _part(self, cycle: int) -> Value:
        """The part of a word that is in a cycle."""
        return Value.cast(self.part[cycle]) if self._config.word_cycles > 1 else Const(0)

    def _of_part(self, words: Any, number: int) -> Value:
        """What a lane takes of the words that the banks gave."""
        lanes = range(number, self._config.dim, self._config.lanes)
        return chosen([words[lane] for lane in lanes], self._part(self._at.select))

    def _counting(self, m: Module, name: str, count: Value, cycle: int) -> Value:
        """Lanes, of those that have a part in a cycle, that are not excluded."""
        size, whole = self._config.lanes, Signal(self._config.dim, name=f"{name}_whole")
        m.d.comb += whole.eq((1 << count) - 1)
        parts = [whole[first : first + size] for first in range(0, len(whole), size)]
        return chosen(parts, self._part(cycle))

    def _results(self, m: Module, lanes: list[Lane], total: Any) -> None:
        """Parts that the lanes have; with the last one all, where they are a reduction's."""
        config, control, at = self._config, self.control, self._at
        is_reduced, last = control.is_max | control.is_sum, config.word_cycles - 1
        for _ in range(at.reduce, at.result):
            is_reduced = self._register(m, "was_reduced", is_reduced)
        here = [self._part(at.result) == number for number in range(last)]
        m.d.comb += self.fresh.eq(~0)
        for number, is_here in enumerate(here):
            ends = self._part(at.result) == last
            m.d.comb += self.fresh[number].eq(is_here | (ends & is_reduced))
        for number in range(config.dim):
            part, lane = divmod(number, config.lanes)
            for words, name in ((self.codes, "code"), (self.sums, "sum")):
                result = lanes[lane].result[name]
                if part < last:
                    counts = number < self.whole_count
                    result = Mux(here[part], result, Mux(counts, total[name], 0))
                m.d.comb += words[number].eq(result)

    def _note(self, m: Module, lanes: list[Lane]) -> None:
        """What the lanes say of a word, together."""
        noted = self._counting(m, "noted", self.noting, self._at.round)
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

    def _tree(self, m: Module, terms: list[Any]) -> tuple[Any, Value]:
        """The sum or the largest of all terms, at once or a level of the tree a cycle; and which
        of them it is.
        """
        level, is_sum = 0, self.control.is_sum
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=False)
            alone = terms[len(terms) - len(terms) % 2 :]
            terms = [self._node(m, f"{level}_{n}", *pair, is_sum) for n, pair in enumerate(pairs)]
            terms += alone
            if self._at.gather > self._at.reduce:
                terms = [self._register(m, f"level{level}", term) for term in terms]
                is_sum = self._register(m, f"is_sum{level}", is_sum)
            level += 1
        return terms[0], is_sum

    def _gather(self, m: Module, root: Any, is_sum: Value) -> Any:
        """The parts of a word together: what it has been so far is kept."""
        if self._config.word_cycles == 1:
            return root
        before: Any = Signal(pair(self._config, term_bits(self._config)), name="before")
        both = self._node(m, "parts", root, before, is_sum)
        gathered = Signal.like(before, name="gathered")
        begins = self._part(self._at.gather) == 0
        m.d.comb += gathered.eq(Mux(begins, Value.cast(root), Value.cast(both)))
        m.d.sync += before.eq(gathered)
        return before if self._at.result > self._at.gather else gathered

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
        """Two differences and two sums: the larger of two is B, and what A is above it."""
        m = Module()
        for name in ("code", "sum"):
            a, b = self.a[name], self.b[name]
            difference = a - b
            above = difference[: len(a)] & ~difference[-1].replicate(len(a))
            added = Mux(self.is_sum, a, above)
            m.d.comb += self.result[name].eq(b + added)
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
