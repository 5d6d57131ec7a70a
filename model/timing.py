"""The timing model: every event and counter of a run, to the cycle, without simulating cycles.

It advances by events (an instruction starts, a burst is granted, a semaphore is signalled); what
happens between two events has a closed form. The rules are those of docs/machine.md; nothing here
looks at the RTL. Cost: a few microseconds an instruction and a burst, whatever D and the length of
a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np

from pulsarray.config import Config
from pulsarray.errors import ProgramError
from pulsarray.isa import Bank, Instruction, Unit
from pulsarray.model.channels import ReadChannel, WriteChannel
from pulsarray.model.counters import count
from pulsarray.model.fetch import NEVER, Fetch
from pulsarray.model.holds import Holds
from pulsarray.model.passes import Passes, StreamJob, WeightJob
from pulsarray.model.plan import Plan, Step
from pulsarray.model.semaphores import Semaphores
from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from pulsarray.run import RunResult
from pulsarray.stages import end_cycles, signal_cycles, sum_cycles, vector_latency

__all__ = ["TimingModel", "simulate_timing"]

_LOAD, _WEIGHT, _STREAM, _VECTOR, _STORE = (int(unit) for unit in Unit)
_GRANT = 5


def simulate_timing(
    program: Program, *, memory_latency: int = 64, memory_interval: int = 1
) -> RunResult:
    """Run the timing model, if it has not run with this memory yet.

    Parameters
    ----------
    program
        The program; it keeps the result.
    memory_latency, memory_interval
        L (cycles from an address to its first beat) and I (cycles a beat) of the memory.

    Raises
    ------
    ProgramError
        If the machine would stop: port conflict, semaphore overflow, deadlock.
    """
    memory = memory_latency, memory_interval
    if memory not in program.timings:
        program.timings[memory] = TimingModel.of(program).run(
            memory_latency=memory_latency, memory_interval=memory_interval
        )
    return program.timings[memory]


class TimingModel:
    """Timing of instructions, planned once to be run with one memory or order after the other.

    Parameters
    ----------
    config
        The machine.
    instructions
        A program's, up to END.
    code_bytes
        Bytes of its code.

    Raises
    ------
    UnknownResult
        If two units wait for one semaphore.
    """

    def __init__(
        self, config: Config, instructions: Sequence[Instruction], code_bytes: int
    ) -> None:
        self._plan = Plan(config, instructions, -(-code_bytes // config.fetch_bytes))

    @classmethod
    def of(cls, program: Program) -> TimingModel:
        """The timing of a program; errors are those of the class."""
        return cls(program.config, program.instructions, len(program.code))

    def reorder(self, order: Sequence[int], config: Config) -> None:
        """Put the instructions in another order, for a machine with other queues.

        Parameters
        ----------
        order
            For each instruction but END its place before.
        config
            The machine; only ``queue_depth`` may differ.
        """
        self._plan.reorder(order, config)

    def run(self, *, memory_latency: int = 64, memory_interval: int = 1) -> RunResult:
        """Run with a memory; parameters and errors are those of :func:`simulate_timing`."""
        return self.run_on(*self._channels(memory_latency, memory_interval))

    def run_on(self, reads: ReadChannel, writes: WriteChannel) -> RunResult:
        """Run with a memory's two channels, of the same latency and interval."""
        return self._run(reads, writes).result()

    def starts(self, *, memory_latency: int) -> list[int]:
        """The cycle in which each instruction starts; errors are those of a run."""
        outstanding = self._plan.config.outstanding
        self._run(
            ReadChannel(memory_latency, 1, outstanding),
            WriteChannel(memory_latency, 1, outstanding),
        )
        return [step.start for step in self._plan.steps]

    def _channels(self, latency: int, interval: int) -> tuple[ReadChannel, WriteChannel]:
        times = latency, interval, self._plan.config.outstanding
        return ReadChannel(*times), WriteChannel(*times)

    def _run(self, reads: ReadChannel, writes: WriteChannel) -> _Machine:
        self._plan.reset()
        machine = _Machine(self._plan, reads, writes)
        machine.run()
        return machine


class _Machine:
    """State of one run. Events are ``(cycle, what)``: starts by unit, then the grant of a burst."""

    def __init__(self, plan: Plan, reads: ReadChannel, writes: WriteChannel) -> None:
        config = plan.config
        self.config: Config = config
        self.vector_latency, self.signal_cycles = vector_latency(config), signal_cycles(config)
        self.plan = plan
        self.steps = self.plan.steps
        self.events: list[tuple[int, int]] = []
        self.semaphores = Semaphores()
        self.queues, self.waiter = self.plan.queues, self.plan.waiter
        self.started = [0] * len(Unit)  # instructions started, by unit
        self.dispatched = [0] * len(Unit)
        self.scheduled = [-1] * len(Unit)  # cycle of the next start, as far as it is known
        self.reads, self.writes = reads, writes
        self.passes = Passes(config.dim)
        self.weight_jobs: list[WeightJob] = []
        self.stream_job: StreamJob | None = None
        self.loading: Step | None = None
        self.bursts: Sequence[int] = ()
        self.burst = 0
        self.load_want = NEVER
        self.holds = Holds()
        self.fetch = Fetch(self.plan, reads.interval, self.dispatch)

    def run(self) -> None:
        """Handle every event; of what stops the machine, the earliest is raised."""
        self.schedule_grant()
        events = self.events
        while events:
            cycle, order = heappop(events)
            if order == _GRANT:
                self.grant(cycle)
            elif self.scheduled[order] == cycle:
                self.start(order, cycle)
        stuck = not self.fetch.ended or any(step.complete < 0 for step in self.steps)
        if stuck:
            self._hold_on()
        stops = [self.holds.conflict(), self.semaphores.overflow(self.steps)]
        errors = [(cycle, error.code, error) for cycle, error in filter(None, stops)]
        if errors:
            raise min(errors, key=lambda stop: stop[:2])[2]
        if stuck:
            raise self.deadlock()

    def _hold_on(self) -> None:
        """What waits for ever in mid-work holds its ports for ever."""
        for job in self.weight_jobs:
            step = self.steps[job.index]
            if step.end < 0:
                self.holds.read(step.bank, step.start + 1, NEVER, _WEIGHT, job.index)
        stream = self.stream_job
        if stream is not None:
            step = self.steps[stream.index]
            self.holds.read(step.bank, step.start + 1, NEVER, _STREAM, stream.index)
            if stream.first >= 0:
                self._hold_target(step, stream, NEVER)

    def _hold_target(self, step: Step, job: StreamJob, last: int) -> None:
        """STREAM holds both ports of its accumulator bank from its first sum on."""
        bank, first = step.targets[0], job.first + self._stream_latency(job)
        self.holds.read(bank, first, last, _STREAM, step.index)
        self.holds.write(bank, first, last, _STREAM, step.index)

    def _stream_latency(self, job: StreamJob) -> int:
        """Cycles from a word's read to that of its sum."""
        return job.delay + 2 * self.config.dim + 2

    def deadlock(self) -> ProgramError:
        """What each unit waits for, when nothing can happen any more."""
        stuck = [unit for unit in Unit if self.started[unit] < len(self.queues[unit])]
        texts = []
        for unit in stuck:
            step = self.queues[unit][self.started[unit]]
            missing = self.semaphores.missing(step)
            why = f"semaphore {missing}" if missing >= 0 else "its turn"
            texts.append(f"{unit.name} (instruction {step.index}) waits for {why}")
        for job in self.weight_jobs:
            texts.append(f"WEIGHT (instruction {job.index}) waits for the array")
        text = "; ".join(texts) or "an instruction never completes"
        return ProgramError(ErrorCode.CYCLE_LIMIT, -1, f"deadlock: {text}")

    # Starts

    def offer(self, unit: int) -> None:
        """Schedule the start of the unit's next instruction, once all that it needs is known."""
        queue, number = self.queues[unit], self.started[unit]
        if number >= self.dispatched[unit]:
            return
        step = queue[number]
        previous_end = queue[number - 1].end if number else 0
        if step.queue < 0 or previous_end < 0:
            return
        start = step.queue + 1
        if start < previous_end:
            start = previous_end
        if step.waits:
            start = self.semaphores.available(step, start)
        if start >= 0 and start != self.scheduled[unit]:
            self.scheduled[unit] = start
            heappush(self.events, (start, unit))

    def start(self, unit: int, cycle: int) -> None:
        """Start the unit's next instruction in this cycle."""
        queue, number = self.queues[unit], self.started[unit]
        step = queue[number]
        self.scheduled[unit] = -1
        if step.waits:
            free = queue[number - 1].end if number else -1
            self.semaphores.take(step, max(step.queue, free) + 1)
        step.start = cycle
        self.started[unit] = number = number + 1
        if number < self.dispatched[unit]:
            following = queue[number]
            after = following.dispatch + 1
            following.queue = after if after > cycle else cycle
            if self.fetch.blocked_on == unit:
                self.fetch_on()
        _STARTERS[unit](self, step, cycle)

    def fetch_on(self) -> None:
        """FETCH goes on: an instruction has left the queue that it waited for."""
        wanted = self.fetch.wanted
        self.fetch.advance()
        if self.fetch.wanted != wanted:
            self.schedule_grant()

    def dispatch(self, step: Step, cycle: int) -> None:
        """FETCH hands an instruction to its unit's queue."""
        unit = step.unit
        step.dispatch = cycle
        number = self.dispatched[unit]
        self.dispatched[unit] = number + 1
        if number == self.started[unit]:
            previous = self.queues[unit][number - 1].start if number else -1
            step.queue = max(cycle + 1, previous)
            self.offer(unit)

    def finish(self, step: Step, end: int, complete: int) -> None:
        """Both ends of an instruction are known."""
        step.end = end
        self.completes(step, complete)
        self.offer(step.unit)

    def completes(self, step: Step, cycle: int) -> None:
        """An instruction's effects are complete in this cycle."""
        step.complete = cycle
        for k in step.signals:
            unit = self.waiter[k]
            if self.semaphores.rise(k, cycle + self.signal_cycles) and unit >= 0:
                self.offer(unit)

    # Units

    def start_load(self, step: Step, cycle: int) -> None:
        """LOAD asks for its bursts one after the other."""
        self.loading, self.bursts, self.burst = step, step.bursts, 0
        self.load_want = cycle + 1
        self.schedule_grant()

    def start_store(self, step: Step, cycle: int) -> None:
        """STORE has the write channel for itself."""
        end, complete = self.writes.transfer(cycle, step.bursts)
        self.holds.read(step.bank, cycle + 1, end, _STORE, step.index)
        self.finish(step, end, complete)

    def start_vector(self, step: Step, cycle: int) -> None:
        """VECTOR issues its words at once; EXPONENT takes a cycle, SCALE all of its pipeline."""
        if not step.words:
            self._start_registers(step, cycle)
            return
        end = cycle + step.work
        complete = end + self.vector_latency
        for bank in step.sources:
            self.holds.read(bank, cycle + 1, end, _VECTOR, step.index)
        for bank in step.targets:
            self.holds.write(bank, cycle + 1 + self.vector_latency, complete, _VECTOR, step.index)
        self.finish(step, end, complete)

    def _start_registers(self, step: Step, cycle: int) -> None:
        """EXPONENT and SCALE are complete when a word issued in their first cycle would be."""
        end, complete = cycle + step.work, cycle + 1 + self.vector_latency
        for bank in step.sources:
            self.holds.read(bank, cycle + 1, end, _VECTOR, step.index)
        for bank in step.targets:
            self.holds.write(bank, complete, complete, _VECTOR, step.index)
        self.finish(step, end, complete)

    def start_weight(self, step: Step, cycle: int) -> None:
        """WEIGHT's tiles wait for the passes that use them."""
        job = WeightJob(step.index, step.transposed, step.tiles, cycle + 1)
        self.weight_jobs.append(job)
        self.passes.start_weight(job)
        self.advance_passes()

    def start_stream(self, step: Step, cycle: int) -> None:
        """STREAM's passes wait for their tiles."""
        delay = self.config.dim if step.transposed else 0
        self.stream_job = StreamJob(step.index, step.words, step.tiles, delay, step.keep, cycle + 1)
        self.passes.start_stream(self.stream_job)
        self.advance_passes()

    def advance_passes(self) -> None:
        """Place tiles and passes, and finish the instructions whose last one is placed."""
        self.passes.advance()
        jobs = self.weight_jobs
        while jobs and jobs[0].complete >= 0:
            job = jobs.pop(0)
            step = self.steps[job.index]
            self.completes(step, job.complete)
            if step.end < 0:
                self._end_weight(step, job)
        if jobs and jobs[-1].end >= 0 and self.steps[jobs[-1].index].end < 0:
            self._end_weight(self.steps[jobs[-1].index], jobs[-1])
        stream = self.stream_job
        if stream is not None and stream.end >= 0:
            self.stream_job = None
            self._end_stream(self.steps[stream.index], stream)

    def _end_weight(self, step: Step, job: WeightJob) -> None:
        step.end = job.end
        self.holds.read(step.bank, step.start + 1, job.end, _WEIGHT, step.index)
        self.offer(_WEIGHT)

    def _end_stream(self, step: Step, job: StreamJob) -> None:
        complete = job.end + job.delay + sum_cycles(self.config)
        self.holds.read(step.bank, step.start + 1, job.end, _STREAM, step.index)
        self._hold_target(step, job, complete)
        self.finish(step, job.end, complete)

    # Read requests

    def schedule_grant(self) -> None:
        """Look again at who wants to read when, in the first cycle in which anyone can."""
        reads, fetch, want = self.reads, self.fetch, self.load_want
        if fetch.wanted < NEVER:
            if reads.earliest(fetch.wanted) > fetch.stop:
                fetch.wanted = NEVER
            elif fetch.wanted < want:
                want = fetch.wanted
        if want < NEVER:
            heappush(self.events, (reads.earliest(want), _GRANT))

    def grant(self, cycle: int) -> None:
        """Grant a burst in this cycle, if someone wants one: FETCH before LOAD."""
        fetch, reads = self.fetch, self.reads
        if fetch.wanted <= cycle <= fetch.stop and reads.earliest(fetch.wanted) <= cycle:
            fetch.granted(reads.grant(cycle, self.plan.fetch_beats))
            self.schedule_grant()
        elif self.load_want <= cycle and reads.earliest(self.load_want) <= cycle:
            self.grant_load(cycle)

    def grant_load(self, cycle: int) -> None:
        """Grant LOAD's bursts from this cycle on, until something else may come between."""
        reads, events, step = self.reads, self.events, self.loading
        assert step is not None
        bursts, burst = self.bursts, self.burst
        # A start in the next event's cycle t can make FETCH want a burst in t + 2 at the earliest.
        horizon = min(self.fetch.wanted - 1, events[0][0] + 1 if events else NEVER)
        if not burst:
            first = max(cycle + 1 + reads.latency, reads.last + reads.interval)
            step.first = first + (step.word_beats - 1) * reads.interval + 1
        self.burst = reads.grant_from(cycle, bursts, burst, horizon)
        if self.burst < len(bursts):
            self.load_want = reads.free
            self.schedule_grant()
            return
        self.load_want = NEVER
        if step.bank < Bank.PARAMETER:
            self.holds.write(step.bank, step.first, reads.last + 1, _LOAD, step.index)
        self.finish(step, reads.free - 1, reads.last + 1)
        self.schedule_grant()

    def result(self) -> RunResult:
        """Counters and events."""
        steps = self.steps
        last = max([self.fetch.end_dispatch, self.reads.last, *(s.complete for s in steps)])
        counters = count(
            last + end_cycles(self.config),
            self.queues,
            fetch=(self.plan.fetch_units, self.fetch.queued, self.fetch.end_dispatch),
            waits=self.semaphores.waits,
            beats=(self.reads.beats, self.writes.beats),
        )
        kept = steps if self.config.trace else []
        table = [time for s in kept for time in (s.index, s.queue, s.start, s.complete)]
        events = np.array(table, np.int64).reshape(-1, 4)
        return RunResult(
            source="model",
            counters=counters,
            events=events,
            memory=None,
            memory_latency=self.reads.latency,
            memory_interval=self.reads.interval,
        )


_STARTERS = (
    _Machine.start_load,
    _Machine.start_weight,
    _Machine.start_stream,
    _Machine.start_vector,
    _Machine.start_store,
)
