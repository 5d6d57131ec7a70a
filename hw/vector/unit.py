"""VECTOR and EXPONENT: everything but products, one word a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES, Config
from pulsarray.encoding import Field
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.choice import chosen
from pulsarray.hw.blocks.delay import Delay
from pulsarray.hw.blocks.fields import fields
from pulsarray.hw.blocks.pipeline import Pipeline
from pulsarray.hw.blocks.ports import ADDRESS_BITS, BANK_BITS, INDEX_BITS, OperandPort, WritePort
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.control.sequencer import unit_members
from pulsarray.hw.vector.check import wrong_exponent, wrong_scale, wrong_vector
from pulsarray.hw.vector.exponents import EXPONENT_SUM_BITS, ExponentFile, ShiftSum
from pulsarray.hw.vector.lane_control import lane_controls
from pulsarray.hw.vector.lanes import Lanes
from pulsarray.hw.vector.parameters import column_cycles
from pulsarray.hw.vector.scale import ScaleController
from pulsarray.isa import FORMATS, Bank, Opcode, Reduce, ScaleAction, VectorFlag
from pulsarray.registers import ErrorCode
from pulsarray.stages import vector_latency, vector_stages

__all__ = ["VectorUnit"]

_VECTOR, _EXPONENT, _SCALE = (
    FORMATS[opcode] for opcode in (Opcode.VECTOR, Opcode.EXPONENT, Opcode.SCALE)
)
_LEVELS = _VECTOR.levels
_STREAMS = ("a", "b", "target", "acc")
_LOOPS = {f"count{level}" for level in range(_LEVELS)} | {
    f"{name}_stride{level}" for name in _STREAMS for level in range(_LEVELS)
}
_KEPT = [
    field
    for field in _VECTOR.fields
    if field.name not in {"opcode", "units", "wait", *_STREAMS, *_LOOPS}
]
"""Fields that words need after the start."""
_REGISTERS = {"x_target": "register", "x_a": "a", "x_b": "b"}
"""Fields of VECTOR, and those of EXPONENT, that name exponent registers."""
_ALIASES = {
    "factor_alu": "alu",
    "slope_alu": "alu",
    "tflite_early": "tflite",
    "residual_multiplier": "multiplier2",
    "use_lane_shift": "lane_scale",
    "use_lane_multiplier": "lane_scale",
}
Stages = list[dict[str, Value]]
"""What travels with the words, cycle by cycle."""


def _shape(field: Field) -> Any:
    return signed(field.bits) if field.signed else unsigned(field.bits)


def _told_by(name: str) -> str:
    """The value of a word that becomes a control of the lanes."""
    if name in _ALIASES:
        return _ALIASES[name]
    return "row" if name.endswith("_row") else name


class VectorUnit(Shared):
    """The vector unit (docs/machine.md, VECTOR and EXPONENT).

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    (those of :func:`pulsarray.hw.unit.unit_members`)
    a, b
        Read ports of both sources.
    target, acc
        Write ports of both destinations.
    parameter_write_enable, parameter_write_address, parameter_write_data
        A word for the parameter bank, in the format of an accumulator word in memory.
    table_write_enable, table_write_address, table_write_data
        A word for the table bank, as in memory; absent without tables.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._at = config, vector_stages(config)
        self._writes = vector_latency(config)
        self._notes = self._at.after + 2  # cycle of the note of a word's statistic
        dim = config.dim
        read = OperandPort(dim=dim, acc_bits=config.acc_bits)
        members: dict[str, Any] = {
            **unit_members(8 * _VECTOR.bytes),
            "a": Out(read),
            "b": Out(read),
            "target": Out(WritePort(dim=dim, lane_bits=config.operand_bits)),
            "acc": Out(WritePort(dim=dim, lane_bits=config.acc_bits)),
            "parameter_write_enable": In(1),
            "parameter_write_address": In(ADDRESS_BITS),
            "parameter_write_data": In(8 * config.acc_word_bytes),
        }
        if config.tables:
            members |= {
                "table_write_enable": In(1),
                "table_write_address": In(ADDRESS_BITS),
                "table_write_data": In(8 * config.word_bytes),
            }
        super().__init__(
            members,
            dim=dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scale_bits=config.scale_bits,
            scratchpads=config.scratchpad_banks,
            accumulators=config.accumulator_banks,
            depth=config.parameter_depth,
            word_cycles=config.word_cycles,
            vector_multiply=config.vector_multiply,
            tables=config.tables,
            table_segments=config.table_segments,
            training=config.training,
            tflite=config.tflite,
            residual=config.residual,
            leaky=config.leaky,
            fast_clock=config.fast_clock,
            queue_blocks=config.queue_blocks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The front, the stages that tell the lanes what to do, the lanes, and the write."""
        m = Module()
        self._want = fields(_VECTOR, self.instruction)
        absent = set() if self._config.training else {*_REGISTERS}
        kept = data.StructLayout(
            {field.name: _shape(field) for field in _KEPT if field.name not in absent}
        )
        self._held: Any = Signal(kept, reset_less=True)
        self._index = Signal(INDEX_BITS)  # with a reset, as what keeps errors has it too
        self._scaling, self._emptying = Signal(name="scaling"), Signal(name="emptying")
        if self._config.training:
            self._scales = ScaleController(dim=self._config.dim)
            self._word = Signal(ADDRESS_BITS, name="scale_word", reset_less=True)
        m.submodules.datapath = lanes = Lanes(self._config)
        words, step, setting = self._front(m)
        pipe = Pipeline(m)
        self._issue(m, pipe, words, step, setting)
        if self._config.training:
            exponents = self._exponents(m, pipe, setting)
        self._row(m, pipe, words, step)
        self._check(m)
        self._commands(m, pipe)
        self._place(m, words)
        stages = [pipe.values]
        for cycle in range(self._writes):
            self._tell(m, pipe, lanes)
            pipe.advance(self.clear)
            if cycle == 1:
                self._shift(m, pipe)
            stages.append(pipe.values)
        self._feed(m, lanes)
        self._write(m, pipe, lanes, stages[self._at.result])
        if self._config.training:
            m.submodules.scales = self._scales
            self._note(m, stages, lanes)
            self._do_scale(m, stages, exponents)
        self._finish(m, pipe)
        return m

    def _front(self, m: Module) -> tuple[AddressGenerator, Signal, Signal]:
        """Loops of the words; EXPONENT keeps the front for one cycle, SCALE for all stages."""
        want = self._want
        m.submodules.words = words = AddressGenerator(levels=_LEVELS, streams=len(_STREAMS))
        step, setting, is_vector = Signal(), Signal(), Signal()
        self._part(m, words)
        m.d.comb += [
            is_vector.eq(want["opcode"] == Opcode.VECTOR),
            words.start.eq(self.start & is_vector),
            step.eq(self._issues & (self._parts == self._config.word_cycles - 1)),
            words.step.eq(step),
            words.clear.eq(self.clear),
            self.active.eq(words.active | setting | self._scaling),
            self.ready.eq((~words.active | (step & words.done)) & ~self._emptying),
        ]
        for stream, name in enumerate(_STREAMS):
            m.d.comb += words.bases[stream].eq(want[name])
            strides = "target" if name == "acc" else name
            for level in range(_LEVELS):
                m.d.comb += words.strides[stream][level].eq(want[f"{strides}_stride{level}"])
        for level in range(_LEVELS):
            m.d.comb += words.counts[level].eq(want[f"count{level}"])
        is_exponent = want["opcode"] == Opcode.EXPONENT
        m.d.sync += setting.eq(self.start & is_exponent & ~self.clear)
        # Registers of EXPONENT are where those of VECTOR are read.
        exponent = fields(_EXPONENT, self.instruction)
        with m.If(self.start):
            m.d.sync += self._index.eq(self.index)
            for name in self._held.shape().members:
                value = want[name]
                if name in _REGISTERS:
                    value = Mux(is_exponent, exponent[_REGISTERS[name]], value)
                m.d.sync += self._held[name].eq(value)
        return words, step, setting

    def _part(self, m: Module, words: AddressGenerator) -> None:
        """Parts of the current word, one a cycle; the first one reads it."""
        cycles = self._config.word_cycles
        self._issues, self._reads = Signal(name="issues"), Signal(name="reads_word")
        self._parts = Signal(cycles.bit_length() - 1, name="part")
        m.d.comb += [
            self._issues.eq(words.active & ~self.halt),
            self._reads.eq(self._issues & (self._parts == 0)),
        ]
        with m.If(self._issues):
            m.d.sync += self._parts.eq(self._parts + 1)
        with m.If(self.start | self.clear):
            m.d.sync += self._parts.eq(0)

    def _flag(self, flag: VectorFlag) -> Value:
        return self._held.flags[int(flag).bit_length() - 1]

    def _issue(
        self, m: Module, pipe: Pipeline, words: AddressGenerator, step: Signal, setting: Signal
    ) -> None:
        """Reads of a word, and what it takes with it besides commands to the lanes."""
        dim, held = self._config.dim, self._held
        for stream, (port, bank) in enumerate(((self.a, held.a_bank), (self.b, held.b_bank))):
            used = bank != Bank.NONE
            m.d.comb += [
                port.enable.eq(self._reads & used),
                port.bank.eq(bank),
                port.address.eq(words.addresses[stream]),
                port.hold.eq(words.active & used),
            ]
        count = Signal(range(dim + 1))
        m.d.comb += count.eq(dim)
        with m.If(words.last[0] & (held.last_lanes != 0) & (held.last_lanes < dim)):
            m.d.comb += count.eq(held.last_lanes)
        pipe.add("valid", self._issues, until=self._writes, cleared=True)
        ends = setting | (step & words.done)
        if self._config.training:
            ends = ends | self._enter(m, pipe)
        pipe.add("ends", ends, until=self._writes, cleared=True)
        if self._config.word_cycles > 1:
            pipe.add("part", self._parts, until=self._at.result)
            pipe.add("whole", step, until=self._writes)
        is_whole = self._config.word_cycles > 1
        pipe.add("count", count, until=self._at.result if is_whole else self._at.reduce)
        pipe.add("raw_shift", held.shift, until=2)
        pipe.add("raw_shift2", held.shift2, until=2)

    def _place(self, m: Module, words: AddressGenerator) -> None:
        """Where a word goes and whose it is, from its issue to its write."""
        layout = data.StructLayout(
            {
                "index": INDEX_BITS,
                "signal": SEMAPHORES,
                **{f"{name}_bank": BANK_BITS for name in ("target", "acc")},
                **{f"{name}_address": ADDRESS_BITS for name in ("target", "acc")},
            }
        )
        held = self._held
        place: Any = Signal(layout, name="place")
        m.submodules.places = places = Delay(
            layout.size, self._writes, blocks=self._config.queue_blocks
        )
        self._written: Any = data.View(layout, places.leaving)
        m.d.comb += [
            places.entering.eq(place),
            place.index.eq(self._index),
            place.signal.eq(held.signal),
            *(place[f"{name}_bank"].eq(held[f"{name}_bank"]) for name in ("target", "acc")),
            place.target_address.eq(words.addresses[2]),
            place.acc_address.eq(words.addresses[3]),
        ]

    def _row(self, m: Module, pipe: Pipeline, words: AddressGenerator, step: Signal) -> None:
        """The row of parameters steps with level 0."""
        held, flag = self._held, self._flag
        row = Signal(ADDRESS_BITS, reset_less=True)
        with m.If(self.start):
            m.d.sync += row.eq(self._want["parameter"])
        with m.Elif(step & words.last[1:].all()):
            m.d.sync += row.eq(row + held.parameter_step)
        used = flag(VectorFlag.BIAS) | flag(VectorFlag.LANE_SCALE) | flag(VectorFlag.B_LANE)
        inside = row < self._config.parameter_depth
        place = Cat(self._parts, Mux(inside, row, 0))
        pipe.add("row", place, until=max(column_cycles(self._config).values()))
        with m.If(self._reads & used & ~inside):
            m.d.comb += [self.error.eq(ErrorCode.ADDRESS), self.error_index.eq(self._index)]

    def _check(self, m: Module) -> None:
        """BAD_FIELD when the instruction starts; it has a lower code than ADDRESS."""
        opcode, config, raw = self._want["opcode"], self._config, self.instruction
        wrong = Mux(
            opcode == Opcode.EXPONENT,
            wrong_exponent(fields(_EXPONENT, raw)),
            Mux(
                opcode == Opcode.SCALE,
                wrong_scale(fields(_SCALE, raw), config),
                wrong_vector(self._want, config),
            ),
        )
        with m.If(self.start & wrong):
            m.d.comb += [self.error.eq(ErrorCode.BAD_FIELD), self.error_index.eq(self.index)]

    def _in_scratchpad(self, bank: Value) -> Value:
        """Whether a bank's words come with half their range added."""
        return bank < Bank.ACCUMULATOR

    def _is_after(self) -> Value:
        """Whether the second source is added after the rounding."""
        if not self._config.training:
            return Const(0)
        return self._flag(VectorFlag.ADD_AFTER) | self._flag(VectorFlag.SUB_AFTER)

    def _commands(self, m: Module, pipe: Pipeline) -> None:
        """What the lanes are told that is known when a word is issued."""
        config, held, flag = self._config, self._held, self._flag
        half = 1 << (config.operand_bits - 1)
        zero_a, zero_b = (
            zero + Mux(self._in_scratchpad(bank), half, 0)
            for zero, bank in ((held.zero_a, held.a_bank), (held.zero_b, held.b_bank))
        )
        from_bank = (held.b_bank != Bank.NONE) & ~self._is_after()
        addend = Mux(from_bank, -zero_b, 0)
        values: dict[str, Value] = {
            "use_bias": flag(VectorFlag.BIAS),
            "b_lane": flag(VectorFlag.B_LANE) & ~flag(VectorFlag.B_SCALAR),
            "b_addend": Mux(flag(VectorFlag.B_SCALAR), held.scalar, addend),
            "alu": held.alu[:4],
            "lane_scale": flag(VectorFlag.LANE_SCALE),
            "leaky": flag(VectorFlag.LEAKY),
            "residual": flag(VectorFlag.RESIDUAL),
            "tflite": flag(VectorFlag.TFLITE),
            "activation": held.activation[: 3 if config.training else 2],
            "table": held.table[:3],
            "table_shift": held.shift2[:6],
            "multiplier": held.multiplier[: config.scale_bits],
            "multiplier2": held.multiplier2[: config.scale_bits],
            "low": held.low[: config.operand_bits],
            "high": held.high[: config.operand_bits],
            "crossed": held.low[: config.operand_bits].as_signed()
            > held.high[: config.operand_bits].as_signed(),
            "b_after": self._is_after(),
            "c_word": self._in_scratchpad(held.b_bank),
            "add_after": flag(VectorFlag.ADD_AFTER),
            "sub_after": flag(VectorFlag.SUB_AFTER),
            "is_max": held.reduce == Reduce.MAX,
            "is_sum": held.reduce == Reduce.SUM,
            "zero_a": zero_a,
            "zero_target": held.zero_target,
        }
        needed: dict[str, int] = {}
        for cycle, controls in lane_controls(config).items():
            needed |= {_told_by(name): cycle for name in controls}
        for name, value in values.items():
            if name in needed:
                pipe.add(name, value, until=needed[name])

    def _exponents(self, m: Module, pipe: Pipeline, setting: Signal) -> ExponentFile:
        """The exponent registers: their part of the shift."""
        held = self._held
        m.submodules.exponents = exponents = ExponentFile()
        # EXPONENT's fields lie where VECTOR has these two.
        m.d.comb += [
            exponents.write.eq(setting),
            exponents.value.eq(held.activation),
            exponents.maximum.eq(held.target_bank[0]),
            exponents.target.eq(held.x_target),
            exponents.a.eq(held.x_a),
            exponents.b.eq(held.x_b),
            exponents.clear.eq(self.clear),
        ]
        pipe.add("exponent", exponents.total, until=max(2, self._at.operate))
        is_after, statistic = self._is_after(), self._flag(VectorFlag.STATISTIC)
        offset = Signal(signed(EXPONENT_SUM_BITS))
        m.d.comb += offset.eq(exponents.sum - held.shift)
        pipe.add("offset", offset, until=self._notes - 1)
        pipe.add("note", statistic & ~is_after, until=self._notes)
        pipe.add("note_limit", statistic & is_after, until=self._notes)
        pipe.add("note_register", held.x_target[:6], until=self._notes)
        return exponents

    def _enter(self, m: Module, pipe: Pipeline) -> Signal:
        """SCALE follows the words before it through the stages."""
        scale = Signal(name="scale")
        is_scale = self._want["opcode"] == Opcode.SCALE
        m.d.sync += scale.eq(self.start & is_scale & ~self.clear)
        with m.If(self.start):
            m.d.sync += self._word.eq(self._want["a"])
        pipe.add("scale", scale, until=self._writes, cleared=True)
        return scale

    def _note(self, m: Module, stages: Stages, lanes: Lanes) -> None:
        """Statistics of the words, each as soon as it is known: only SCALE sees them."""
        scales, last = self._scales, stages[self._notes]
        rounding = stages[self._at.round]
        m.d.comb += [
            lanes.noting.eq(Mux(rounding["note"] | rounding["note_limit"], rounding["count"], 0)),
            scales.magnitude.eq(lanes.magnitude),
            scales.near_limit.eq(lanes.near_limit),
            scales.offset.eq(stages[self._notes - 1]["offset"]),
            scales.note.eq(last["valid"] & last["note"]),
            scales.note_limit.eq(last["valid"] & last["note_limit"]),
            scales.note_register.eq(last["note_register"]),
        ]

    def _do_scale(self, m: Module, stages: Stages, exponents: ExponentFile) -> None:
        """In the cycle of the write; a word is read in the cycle before."""
        # SCALE's fields lie where VECTOR has these.
        action, register, scales = self._held.alu, self._held.activation, self._scales
        present = [stage["scale"] for stage in stages]
        is_read = action == ScaleAction.READ
        reads = Signal(name="reads")
        m.d.comb += [
            self._scaling.eq(Cat(present).any()),
            self._emptying.eq(Cat(present[:-1]).any()),
            reads.eq(present[-2] & is_read & ~self.halt),
            scales.read.eq(present[-1] & is_read),
            scales.adapt.eq(present[-1] & (action == ScaleAction.ADAPT)),
            scales.first.eq(register),
            *(scales.word[lane].eq(self.a.operand[lane]) for lane in range(self._config.dim)),
            scales.values.eq(exponents.values),
            exponents.load.eq(scales.load),
            exponents.loaded.eq(scales.loaded),
            scales.clear.eq(self.clear),
        ]
        with m.If(self._scaling & is_read):
            m.d.comb += self.a.hold.eq(1)
        with m.If(reads):
            m.d.comb += [self.a.enable.eq(1), self.a.address.eq(self._word)]
        with m.If(present[-1] & (action == ScaleAction.WRITE)):
            m.d.comb += [
                self.acc.enable.eq(1),
                self.acc.hold.eq(1),
                self.acc.bank.eq(self._held.a_bank),
                self.acc.address.eq(self._word),
            ]

    def _shift(self, m: Module, pipe: Pipeline) -> None:
        """In cycle 2: shifts that have the exponents in them."""
        until_of = {"shift": self._at.operate}
        if self._config.leaky:
            until_of["shift2"] = self._at.choose
        for name, until in until_of.items():
            training = self._config.training
            total = ShiftSum(acc_bits=self._config.acc_bits, exponents=training)
            m.submodules[f"{name}_sum"] = total
            m.d.comb += total.shift.eq(pipe.values[f"raw_{name}"])
            if training:
                m.d.comb += total.exponent.eq(pipe.values["exponent"])
            pipe.add(name, total.total, until=until)

    def _tell(self, m: Module, pipe: Pipeline, lanes: Lanes) -> None:
        """Everything that the lanes need in the pipeline's present cycle."""
        cycle, values, control = pipe.cycle, pipe.values, lanes.control
        for name in lane_controls(self._config)[cycle]:
            m.d.comb += control[name].eq(values[_told_by(name)])
        if cycle < self._at.result:
            m.d.comb += control.valid[cycle].eq(values["valid"])
        if cycle == self._at.reduce:
            m.d.comb += lanes.count.eq(values["count"])
        if "part" in values:
            m.d.comb += lanes.part[cycle].eq(values["part"])
        if "part" in values and cycle == self._at.result:
            m.d.comb += lanes.whole_count.eq(values["count"])

    def _feed(self, m: Module, lanes: Lanes) -> None:
        """Words from the banks, and words for the lanes' own memories."""
        m.d.comb += [
            lanes.a_operands.eq(self.a.operand),
            lanes.b_operands.eq(self.b.operand),
        ]
        self._feed_parameters(m, lanes)
        if self._config.tables:
            self._feed_tables(m, lanes.control)

    def _feed_parameters(self, m: Module, lanes: Lanes) -> None:
        """A word of constants, its parts in as many cycles.

        LOAD takes longer to bring the next, and what it puts in place of this one's first beat
        does not reach a part before its turn.
        """
        part = Signal(self._config.word_cycles.bit_length() - 1, name="constant_part")
        first, address = self.parameter_write_enable, self.parameter_write_address
        enable = first
        if self._config.word_cycles > 1:
            kept, now = Signal.like(address, name="kept_address"), Signal.like(address, name="now")
            m.d.comb += now.eq(Mux(first, address, kept))
            with m.If(first):
                m.d.sync += [kept.eq(address), part.eq(1)]
            with m.Elif(part != 0):
                m.d.sync += part.eq(part + 1)
            enable, address = first | (part != 0), now
        row, size = address[2:], len(lanes.slots)
        writes = enable & (row < self._config.parameter_depth)
        slots = [
            self.parameter_write_data[size * number :][:size]
            for number in range(self._config.word_cycles)
        ]
        m.d.comb += [
            lanes.slots.eq(chosen(slots, part)),
            lanes.control.parameter_row.eq(Cat(part, row)),
            lanes.control.parameter_write.eq(writes << address[:2]),
        ]

    def _feed_tables(self, m: Module, control: Any) -> None:
        """Every lane has all tables; a word is for one plane of one of them."""
        config, address = self._config, self.table_write_address
        words, planes = config.table_words, config.table_planes
        number = address[(words - 1).bit_length() :][:5]  # of a plane of all tables
        # Division by three of a number below 32.
        table = number if planes == 1 else ((number * 11) >> 5)[:3]
        writes = self.table_write_enable & (address < config.tables * planes * words)
        m.d.comb += [
            control.table_write.eq(writes << (number - planes * table)[:2]),
            control.table_address.eq(Cat(address[: (words - 1).bit_length()], table)),
            control.table_data.eq(self.table_write_data),
        ]

    def _write(self, m: Module, pipe: Pipeline, lanes: Lanes, before: Mapping[str, Value]) -> None:
        """The words that result."""
        values = pipe.values
        sums: Any = lanes.sums
        if self._config.training:
            sums = Signal.like(self.acc.data, name="result_sums")
            m.d.comb += sums.eq(lanes.sums)
            with m.If(before["scale"]):
                for lane in range(self._config.dim):
                    m.d.comb += sums[lane].eq(self._scales.written[lane])
        scales = before["scale"] if self._config.training else Const(0)
        for name, result in (("target", lanes.codes), ("acc", sums)):
            port, bank = getattr(self, name), self._written[f"{name}_bank"]
            writes = values["valid"] & (bank != Bank.NONE)
            word = Signal.like(port.data, name=f"{name}_word", reset_less=True)
            for lane in range(self._config.dim):
                with m.If(lanes.fresh[lane // self._config.lanes] | scales):
                    m.d.sync += word[lane].eq(result[lane])
            m.d.comb += [
                port.enable.eq(writes & values["whole"] if "whole" in values else writes),
                port.hold.eq(writes),
                port.bank.eq(bank),
                port.address.eq(self._written[f"{name}_address"]),
                port.data.eq(word),
            ]

    def _finish(self, m: Module, pipe: Pipeline) -> None:
        """The completion of an instruction with its last word."""
        values = pipe.values
        # Instructions on the way: one in each stage, and one at the front.
        started = Signal(range(self._writes + 3))
        m.d.sync += started.eq(started + self.start - self.complete)
        with m.If(self.clear):
            m.d.sync += started.eq(0)
        m.d.comb += [
            self.busy.eq(started != 0),
            self.complete.eq(values["ends"]),
            self.complete_index.eq(self._written.index),
            self.complete_signal.eq(self._written.signal),
        ]
