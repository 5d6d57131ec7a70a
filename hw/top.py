"""The machine: units, banks, memory interface, registers, and what holds them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, Out, Signature, connect

from pulsarray.config import SEMAPHORES, Config
from pulsarray.hw.blocks.fields import packed, packed_parts, packed_place, unpacked
from pulsarray.hw.blocks.fifo import Fifo
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.hw.control.counters import Counters
from pulsarray.hw.control.errors import Errors
from pulsarray.hw.control.fetch import LONGEST, Fetch
from pulsarray.hw.control.registers import Registers
from pulsarray.hw.control.semaphores import Semaphores
from pulsarray.hw.control.sequencer import Sequencer
from pulsarray.hw.memory.axi import axi4_members, axi4_read, axi4_write, axi_lite_members
from pulsarray.hw.memory.banks import Banks
from pulsarray.hw.memory.read_arbiter import ReadArbiter
from pulsarray.hw.units.load import LoadUnit
from pulsarray.hw.units.store import StoreUnit
from pulsarray.hw.units.stream import StreamUnit
from pulsarray.hw.units.weight import WeightUnit
from pulsarray.hw.vector.unit import VectorUnit
from pulsarray.isa import FORMATS, Bank, Unit
from pulsarray.registers import Status
from pulsarray.stages import end_cycles

__all__ = ["Machine", "machine_members"]

_ADDRESSES = ("m_axi_awaddr", "m_axi_araddr")
_PAGE_BITS = 12
_EVENTS = ("queue", "start", "complete")


def machine_members(config: Config, address_bits: int = 32) -> dict[str, Any]:
    """Ports of the machine but clock and reset, by name."""
    members: dict[str, Any] = {**axi4_members(config), **axi_lite_members()}
    members |= {name: Out(address_bits) for name in _ADDRESSES}
    members["interrupt"] = Out(1)
    if config.trace:
        members |= {"running": Out(1), "cycle": Out(32)}
        for unit in Unit:
            for event in _EVENTS:
                name = f"trace_{unit.name.lower()}_{event}"
                members |= {name: Out(1), f"{name}_index": Out(32)}
    return members


class Machine(Component):
    """The whole accelerator.

    Parameters
    ----------
    config
        Every parameter.
    address_bits
        Of the memory's addresses, 32 or 64; a program's have 32.

    Members
    -------
    m_axi_*
        AXI4 manager port to memory.
    s_axil_*
        AXI4-Lite subordinate port to the registers.
    interrupt
        The machine is done or stopped by an error.
    running, cycle, trace_*
        With ``trace``: the number of the current cycle, and the events of docs/machine.md.
    """

    def __init__(self, config: Config, address_bits: int = 32) -> None:
        self._config, self._address_bits = config, address_bits
        super().__init__(Signature(machine_members(config, address_bits)))

    if TYPE_CHECKING:  # ports are attributes that the signature makes

        def __getattr__(self, name: str) -> Any: ...

    def elaborate(self, platform: Any) -> Elaboratable:
        """Instantiate the parts, then connect them topic by topic."""
        m = Module()
        config = self._config
        m.submodules.registers = self._registers = Registers(config, self._address_bits)
        m.submodules.arbiter = self._arbiter = ReadArbiter(config)
        m.submodules.fetch = self._fetch = Fetch(config)
        m.submodules.banks = self._banks = Banks(config)
        m.submodules.semaphores = self._semaphores = Semaphores(len(Unit))
        self._units: dict[Unit, Any] = {
            Unit.LOAD: LoadUnit(config),
            Unit.WEIGHT: WeightUnit(config),
            Unit.STREAM: StreamUnit(config),
            Unit.VECTOR: VectorUnit(config),
            Unit.STORE: StoreUnit(config),
        }
        self._queues = {
            unit: Sequencer(
                packed_parts(unit),
                packed_place(unit, "wait"),
                config.queue_depth,
                blocks=config.queue_blocks,
            )
            for unit in Unit
        }
        for unit in Unit:
            m.submodules[unit.name.lower()] = self._units[unit]
            m.submodules[f"{unit.name.lower()}_queue"] = self._queues[unit]
        self._running, self._halt, self._clear = Signal(), Signal(), Signal()
        self._cycle = Signal(32)
        self._owners: dict[Unit, Value] = {}
        self._bus(m)
        self._dispatch(m)
        self._order(m)
        self._data(m)
        self._control(m)
        self._count(m)
        if config.trace:
            self._trace(m)
        return m

    def _bus(self, m: Module) -> None:
        """AXI4 to the arbiter and STORE, AXI4-Lite to the registers."""
        load, fetch, arbiter = self._units[Unit.LOAD], self._fetch, self._arbiter
        for signature, inner in (
            (axi4_read(self._config), arbiter.axi),
            (axi4_write(self._config), self._units[Unit.STORE].axi),
        ):
            _pass(m, self, "m_axi_", _without_address(signature.members), inner, "")
        self._addresses(m)
        _pass(m, self, "s_axil_", _plain(axi_lite_members(), "s_axil_"), self._registers, "s_axil_")
        for name, user in (("fetch", fetch), ("load", load)):
            m.d.comb += [
                getattr(arbiter, f"{name}_want").eq(user.want),
                getattr(arbiter, f"{name}_address").eq(user.address),
                getattr(arbiter, f"{name}_beats").eq(user.beats),
                user.grant.eq(getattr(arbiter, f"{name}_grant")),
                user.beat_valid.eq(getattr(arbiter, f"{name}_valid")),
                user.beat_data.eq(arbiter.axi.rdata),
                user.beat_error.eq(arbiter.axi.rresp != 0),
            ]
        m.d.comb += arbiter.halt.eq(self._halt)

    def _addresses(self, m: Module) -> None:
        """A program's addresses to the bus's: the base is added in whole pages of 4 KiB."""
        registers = self._registers
        high = [registers.base_address_high] if self._address_bits > 32 else []
        base = Cat(registers.base_address[_PAGE_BITS:], *high)
        for name, inner in (
            ("m_axi_araddr", self._arbiter.axi.araddr),
            ("m_axi_awaddr", self._units[Unit.STORE].axi.awaddr),
        ):
            page = Signal(len(base), name=f"{name}_page")
            m.d.comb += [
                page.eq(base + inner[_PAGE_BITS:]),
                getattr(self, name).eq(Cat(inner[:_PAGE_BITS], page)),
            ]

    def _dispatch(self, m: Module) -> None:
        """FETCH to the queue of the unit that the opcode belongs to."""
        fetch, registers = self._fetch, self._registers
        m.d.comb += [
            fetch.program_address.eq(registers.program_address),
            fetch.program_units.eq(registers.program_units),
            fetch.running.eq(self._running),
            fetch.halt.eq(self._halt),
            fetch.clear.eq(self._clear),
        ]
        for form in FORMATS.values():
            if form.unit is None:
                continue
            queue = self._queues[form.unit]
            with m.If(fetch.opcode == form.opcode):
                m.d.comb += [
                    fetch.ready.eq(queue.room),
                    queue.write.eq(fetch.shown),
                    queue.push.eq(fetch.valid & queue.room),
                ]
        for unit, queue in self._queues.items():
            m.d.comb += [
                queue.part.eq(packed(unit, fetch.unit.replicate(LONGEST))),
                queue.part_index.eq(fetch.index),
            ]

    def _order(self, m: Module) -> None:
        """Queues to units, and the semaphores between the units."""
        semaphores = self._semaphores
        m.d.comb += semaphores.clear.eq(self._clear)
        for unit, queue in self._queues.items():
            part = self._units[unit]
            m.d.comb += [
                queue.available.eq(semaphores.available),
                queue.ready.eq(part.ready),
                queue.halt.eq(self._halt | ~self._running),
                queue.clear.eq(self._clear),
                part.start.eq(queue.start),
                part.instruction.eq(unpacked(unit, queue.instruction, len(part.instruction))),
                part.index.eq(queue.index),
                part.halt.eq(self._halt),
                part.clear.eq(self._clear),
                semaphores.take[unit].eq(queue.take),
            ]
            self._signal(m, unit)

    def _signal(self, m: Module, unit: Unit) -> None:
        """A completion to the semaphores, with ``fast_clock`` through a register."""
        part = self._units[unit]
        name = unit.name.lower()
        signal, owner = Signal(SEMAPHORES, name=f"{name}_signal"), Signal(INDEX_BITS)
        complete = Signal(name=f"{name}_completes")
        assignments = [
            signal.eq(Mux(part.complete & ~self._clear, part.complete_signal, 0)),
            owner.eq(part.complete_index),
            complete.eq(part.complete & ~self._clear),
        ]
        if self._config.fast_clock:
            m.d.sync += assignments
        else:
            m.d.comb += assignments
        self._owners[unit] = Mux(complete, owner, part.index)
        m.d.comb += self._semaphores.signal[unit].eq(signal)

    def _data(self, m: Module) -> None:
        """Banks to units, and WEIGHT to STREAM."""
        banks = self._banks
        load, weight, stream, vector, store = (self._units[unit] for unit in Unit)
        m.d.comb += banks.clear.eq(self._clear)
        connect(m, reader=weight.port, bank=banks.weight)
        connect(m, reader=stream.port, bank=banks.stream)
        connect(m, reader=vector.a, bank=banks.vector_a)
        connect(m, reader=vector.b, bank=banks.vector_b)
        connect(m, reader=store.port, bank=banks.store)
        connect(m, writer=vector.target, bank=banks.vector_word)
        connect(m, writer=vector.acc, bank=banks.vector_sums)
        m.d.comb += [
            banks.sums.eq(stream.sums),
            banks.sums_valid.eq(stream.sums_valid),
            banks.target.eq(stream.target),
            *(getattr(stream, name).eq(getattr(weight, name)) for name in ("loaded", "begun")),
            *(
                getattr(stream, name).eq(getattr(weight, name))
                for name in ("w", "w_row", "w_valid")
            ),
            weight.take.eq(stream.take),
            weight.release_now.eq(stream.release_now),
            weight.release_later.eq(stream.release_later),
        ]
        self._loaded(m, load, vector)

    def _loaded(self, m: Module, load: Any, vector: Any) -> None:
        """Words from memory to banks of each class."""
        config, banks = self._config, self._banks
        operand, slot = config.operand_bits, 8 * config.acc_slot_bytes
        word, sums = banks.load_word, banks.load_sums
        operands = load.out_raw[: config.dim * operand]
        lanes = [load.out_raw[slot * i :][: config.acc_bits] for i in range(config.dim)]
        for port, data in ((word, operands), (sums, Cat(*lanes))):
            m.d.comb += [
                port.bank.eq(load.out_bank),
                port.address.eq(load.out_address),
                port.data.eq(data),
            ]
        wide = load.out_bank >= Bank.ACCUMULATOR
        chip = load.out_bank < Bank.PARAMETER
        m.d.comb += [
            word.enable.eq(load.out_enable & ~wide),
            word.hold.eq(load.out_hold & ~wide),
            sums.enable.eq(load.out_enable & wide & chip),
            sums.hold.eq(load.out_hold & wide & chip),
            vector.parameter_write_enable.eq(load.out_enable & (load.out_bank == Bank.PARAMETER)),
            vector.parameter_write_address.eq(load.out_address),
            vector.parameter_write_data.eq(load.out_raw),
        ]
        if config.tables:
            m.d.comb += [
                vector.table_write_enable.eq(load.out_enable & (load.out_bank == Bank.TABLE)),
                vector.table_write_address.eq(load.out_address),
                vector.table_write_data.eq(load.out_raw),
            ]

    def _control(self, m: Module) -> None:
        """Start, end, and errors."""
        registers, arbiter = self._registers, self._arbiter
        status = Signal(Status)
        m.submodules.errors = errors = Errors(self._config)
        self._report(m, errors)
        idle = arbiter.idle & self._units[Unit.STORE].idle
        busy = Cat(*(part.busy for part in self._units.values())).any()
        waiting = ~Cat(*(queue.empty for queue in self._queues.values())).all()
        ended, quiet = Signal(), Signal()
        done, failed = Signal(), Signal()
        m.d.sync += ended.eq(self._fetch.ended & ~self._clear)
        m.d.comb += quiet.eq(ended & ~busy & ~waiting & idle)
        for cycle in range(end_cycles(self._config) - 2):
            was_quiet = Signal(name=f"was_quiet{cycle}")
            m.d.sync += was_quiet.eq(quiet & ~self._clear)
            quiet = was_quiet
        m.d.comb += [
            self._clear.eq(registers.start & ~self._running),
            done.eq(self._running & quiet & ~self._halt),
            failed.eq(self._running & self._halt & idle),
            registers.status.eq(Cat(self._running, status[1:])),
            registers.error_code.eq(errors.code),
            registers.error_index.eq(
                Cat(errors.index, errors.index.all().replicate(32 - INDEX_BITS))
            ),
            errors.clear.eq(self._clear),
            self._halt.eq(errors.halt),
            self.interrupt.eq(status[1:].any() & registers.interrupt_enable[0]),
        ]
        with m.If(self._running):
            m.d.sync += self._cycle.eq(self._cycle + 1)
        with m.If(done | failed):
            m.d.sync += [self._running.eq(0), status.eq(Cat(0, done, failed))]
        with m.If(registers.clear):
            m.d.sync += status.eq(0)
        with m.If(self._clear):
            m.d.sync += [self._running.eq(1), self._cycle.eq(0), status.eq(0)]

    def _report(self, m: Module, errors: Errors) -> None:
        """Everything that can go wrong, to the one place that keeps the first of it."""
        banks, fetch = self._banks, self._fetch
        load = self._units[Unit.LOAD]
        m.d.comb += [
            errors.running.eq(self._running),
            errors.cycle.eq(self._cycle),
            errors.cycle_limit.eq(self._registers.cycle_limit),
            errors.stop.eq(self._registers.stop),
            errors.fetch_code.eq(fetch.error),
            errors.fetch_index.eq(fetch.error_index),
            errors.semaphore_error.eq(self._semaphores.error),
            errors.address.eq(banks.address_error),
            errors.conflict.eq(banks.conflict),
            errors.load_write.eq(load.out_enable),
            errors.load_bank.eq(load.out_bank),
            errors.load_address.eq(load.out_address),
            errors.load_index.eq(load.complete_index),
            errors.target_index.eq(banks.target_index),
            errors.vector_index.eq(self._units[Unit.VECTOR].complete_index),
            errors.target_error.eq(banks.target_error),
        ]
        for unit, part in self._units.items():
            m.d.comb += [
                errors.code_of[unit].eq(part.error),
                errors.index_of[unit].eq(part.error_index),
                errors.start[unit].eq(part.start),
                errors.start_index[unit].eq(part.index),
                errors.semaphore_index[unit].eq(self._owners[unit]),
            ]

    def _count(self, m: Module) -> None:
        """The counters; without them the cycles alone."""
        registers = self._registers
        if not self._config.counters:
            m.d.comb += registers.counter_valid.eq(1)
            m.d.comb += registers.counter_value.eq(self._cycle)
            return
        m.submodules.counters = counters = Counters()
        axi = self._units[Unit.STORE].axi
        m.d.comb += [
            counters.running.eq(self._running),
            counters.clear.eq(self._clear),
            counters.fetch.eq(self._fetch.state),
            counters.read_beat.eq(self._arbiter.axi.rvalid),
            counters.write_beat.eq(axi.wvalid & axi.wready),
            counters.number.eq(registers.counter_number),
            registers.counter_valid.eq(counters.valid),
            registers.counter_value.eq(counters.value),
        ]
        for unit, queue in self._queues.items():
            part = self._units[unit]
            m.d.comb += [
                counters.active[unit].eq(part.active),
                counters.stall[unit].eq(part.stall),
                counters.busy[unit].eq(part.busy),
                counters.occupied[unit].eq(queue.occupied),
                counters.start[unit].eq(queue.start),
                counters.missing[unit].eq(queue.missing),
            ]

    def _trace(self, m: Module) -> None:
        m.d.comb += [self.running.eq(self._running), self.cycle.eq(self._cycle)]
        for unit, queue in self._queues.items():
            part, name = self._units[unit], f"{unit.name.lower()}_indices"
            m.submodules[name] = queued = Fifo(INDEX_BITS, self._config.queue_depth)
            m.d.comb += [
                queued.push.eq(queue.push),
                queued.entering.eq(self._fetch.index),
                queued.pop.eq(queue.pop),
                queued.clear.eq(self._clear),
            ]
            sources: dict[str, tuple[Value, Value]] = {
                "queue": (queue.pop, queued.head),
                "start": (queue.start, queue.index),
                "complete": (part.complete, part.complete_index),
            }
            for event, (valid, index) in sources.items():
                name = f"trace_{unit.name.lower()}_{event}"
                m.d.comb += [
                    getattr(self, name).eq(valid & self._running),
                    getattr(self, f"{name}_index").eq(index),
                ]


def _without_address(members: Any) -> dict[str, Any]:
    return {name: member for name, member in members.items() if not name.endswith("addr")}


def _plain(members: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): member for name, member in members.items()}


def _pass(m: Module, outer: Any, prefix: str, members: Any, inner: Any, inner_prefix: str) -> None:
    """Connect the signals of a port of the machine to the same port of a part."""
    for name, member in members.items():
        here, there = getattr(outer, f"{prefix}{name}"), getattr(inner, f"{inner_prefix}{name}")
        m.d.comb += here.eq(there) if member.flow == Out else there.eq(here)
