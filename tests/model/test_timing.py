"""The timing model against the equations of docs/machine.md, one tile and burst at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.config import PRESETS, Config
from pulsarray.errors import ProgramError
from pulsarray.isa import Bank, Instruction, Opcode, ScaleAction, StreamFlag, WeightFlag, encode_all
from pulsarray.model.timing import TimingModel, simulate_timing
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

make = Instruction.make
TINY = PRESETS["tiny"]


def assemble(instructions: list[Instruction], config: Config = TINY) -> Program:
    code = encode_all([*instructions, make(Opcode.END)])
    memory = np.zeros(1 << 16, np.uint8)
    return Program(config=config, code=code, code_address=0, memory=memory, tensors=[], layers=[])


def mask(*numbers: int) -> int:
    return sum(1 << n for n in numbers)


def test_empty_program_costs_fetch_and_two_cycles() -> None:
    result = simulate_timing(assemble([]), memory_latency=10)
    # Grant 0, address 1, first of 8 beats of the unit at 11, last at 18, popped 19, END 20; the
    # whole fetch of 128 beats must have arrived: beats 11 to 138.
    assert result.cycles == 138 + 2
    assert result.counters["read_beats"] == 128


def test_a_plan_runs_again_and_again() -> None:
    program = assemble([make(Opcode.LOAD, bank=0, run=4, address=4096, signal=1)])
    model = TimingModel.of(program)
    for latency in (10, 200, 10):
        expected = simulate_timing(program, memory_latency=latency)
        result = model.run(memory_latency=latency)
        assert result.counters == expected.counters
        np.testing.assert_array_equal(result.events, expected.events)


def test_load_times() -> None:
    load = make(Opcode.LOAD, bank=0, run=4, address=4096)
    result = simulate_timing(assemble([load]), memory_latency=10)
    queue, start, complete = result.events[0, 1:]
    # Popped 19, dispatched 20, in the IR 21, started 22, granted 23, on the bus 24; its data
    # follow the fetch's last beat (138).
    assert (queue, start) == (21, 22)
    assert complete == 138 + 4 + 1


def test_store_times_when_nothing_else_moves() -> None:
    store = make(Opcode.STORE, bank=0, run=8, address=4096)
    result = simulate_timing(assemble([store]), memory_latency=10)
    start, complete = result.events[0, 2:]
    # Slot s+1, first beat s+3, last s+10; the response when both the beats are in and L is over.
    assert complete == max(start + 3 + 8, start + 2 + 10)


def test_vector_times() -> None:
    vector = make(Opcode.VECTOR, a_bank=0x40, target_bank=1, count3=5)
    result = simulate_timing(assemble([vector]))
    start, complete = result.events[0, 2:]
    assert complete == start + 5 + 8


TRAINING = Config(
    dim=2, operand_bits=16, acc_bits=40, scale_bits=0, bus_bits=32, queue_depth=8, training=True
)


@pytest.mark.parametrize(
    ("instruction", "front"),
    [
        (make(Opcode.EXPONENT, register=1), 1),
        *((make(Opcode.SCALE, action=action), 9) for action in ScaleAction),
    ],
)
def test_times_of_registers(instruction: Instruction, front: int) -> None:
    result = simulate_timing(assemble([instruction, *[instruction] * 2], TRAINING))
    for queue, start, complete in result.events[:, 1:]:
        assert complete == start + 9
        assert start > queue
    assert result.counters["vector_busy"] == 3 * front


def test_the_next_instruction_follows_the_front() -> None:
    """Behind words enough to fill the queue."""
    program = assemble(
        [
            make(Opcode.VECTOR, a_bank=0x41, target_bank=1, count3=200),
            make(Opcode.EXPONENT, register=1),
            make(Opcode.SCALE),
            make(Opcode.SCALE, action=ScaleAction.ADAPT),
            make(Opcode.VECTOR, a_bank=0x41, target_bank=1),
        ],
        TRAINING,
    )
    first, *starts = simulate_timing(program).events[:, 2].tolist()
    assert [start - first for start in starts] == [200, 201, 210, 219]


def test_read_holds_its_port_for_as_long_as_the_front() -> None:
    def run(exponents: int, action: ScaleAction) -> None:
        vector = make(Opcode.VECTOR, a_bank=0x41, target_bank=1, count3=200, signal=1)
        pause = [make(Opcode.EXPONENT, register=1)] * exponents
        scale = make(Opcode.SCALE, action=action)
        store = make(Opcode.STORE, bank=0x40, run=8, address=8192, wait=1)
        simulate_timing(assemble([vector, *pause, scale, store], TRAINING))

    # STORE reads from 10 cycles after the front of VECTOR on: SCALE's ninth is the one before.
    run(0, ScaleAction.READ)
    run(1, ScaleAction.WRITE)
    run(1, ScaleAction.ADAPT)
    with pytest.raises(ProgramError, match="read port of accumulator bank 0") as caught:
        run(1, ScaleAction.READ)
    assert (caught.value.code, caught.value.index) == (ErrorCode.PORT_CONFLICT, 3)


def test_write_holds_its_port_for_one_cycle() -> None:
    def run(words: int, bank: int, action: ScaleAction = ScaleAction.WRITE) -> tuple[int, int]:
        load = make(Opcode.LOAD, bank=0x40, address=4096)
        vector = make(Opcode.VECTOR, a_bank=0x41, target_bank=1, count3=words)
        scale = make(Opcode.SCALE, action=action, bank=bank)
        events = simulate_timing(assemble([load, vector, scale], TRAINING)).events
        return int(events[0, 3]), int(events[2, 3])

    loaded, written = run(300, 0x41)
    meeting = 300 + loaded - written
    for words in range(meeting - 2, meeting + 3):
        loaded, written = run(words, 0x41)
        assert (loaded == written) == (words == meeting)
        run(words, 0x40, ScaleAction.READ)
        if loaded != written:
            run(words, 0x40)
    with pytest.raises(ProgramError, match="write port of accumulator bank 0") as caught:
        run(meeting, 0x40)
    assert (caught.value.code, caught.value.index) == (ErrorCode.PORT_CONFLICT, 2)


def test_semaphore_orders_units_and_its_wait_is_counted() -> None:
    first = make(Opcode.VECTOR, a_bank=0x40, target_bank=1, count3=50, signal=mask(3))
    then = make(Opcode.STORE, bank=1, run=4, address=4096, wait=mask(3))
    result = simulate_timing(assemble([first, then]))
    assert result.events[1, 2] == result.events[0, 3] + 1
    waited = result.events[1, 2] - result.events[1, 1] - 1
    assert result.counters["semaphore_3_wait"] == waited == result.counters["store_wait"]


def test_deadlock_names_unit_and_semaphore() -> None:
    store = make(Opcode.STORE, bank=1, run=4, address=4096, wait=mask(7))
    with pytest.raises(
        ProgramError, match=r"deadlock: STORE \(instruction 0\) waits for semaphore 7"
    ):
        simulate_timing(assemble([store]))


def test_port_conflict_names_both() -> None:
    store = make(Opcode.STORE, bank=1, run=40, address=4096)
    vector = make(Opcode.VECTOR, a_bank=1, target_bank=2, count3=40)
    with pytest.raises(
        ProgramError, match="both hold the read port of scratchpad bank 1"
    ) as caught:
        simulate_timing(assemble([store, vector]))
    assert caught.value.code == ErrorCode.PORT_CONFLICT
    assert caught.value.index == 0


def test_two_waiting_units_are_refused() -> None:
    programs = [
        make(Opcode.STORE, bank=1, address=4096, wait=1),
        make(Opcode.LOAD, bank=1, address=4096, wait=1),
    ]
    with pytest.raises(ProgramError, match="semaphore 0 is waited for by STORE and LOAD"):
        simulate_timing(assemble(programs))


def test_semaphore_overflow() -> None:
    tick = make(Opcode.VECTOR, a_bank=0x40, target_bank=1, signal=1)
    with pytest.raises(ProgramError, match="semaphore 0 overflows") as caught:
        simulate_timing(assemble([tick] * 256))
    assert (caught.value.code, caught.value.index) == (ErrorCode.SEMAPHORE, 255)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_passes_follow_the_recurrence(data: st.DataObject) -> None:
    """Random tiles and passes: starts and completions equal the equations taken one by one."""
    config = Config(dim=data.draw(st.sampled_from([2, 4, 5])), bus_bits=16, queue_depth=3)
    streams, tiles = [], 0
    for _ in range(data.draw(st.integers(1, 6))):
        flags = data.draw(st.sampled_from([0, StreamFlag.TRANSPOSE, StreamFlag.KEEP]))
        length = data.draw(st.integers(1, 9))
        length *= config.dim if flags & StreamFlag.TRANSPOSE else 1
        passes = data.draw(st.integers(1, 5))
        tiles += 0 if flags & StreamFlag.KEEP else passes
        streams.append((int(flags), length, passes))
    weights = []
    while tiles:
        count = data.draw(st.integers(1, tiles))
        weights.append((int(data.draw(st.sampled_from([0, WeightFlag.TRANSPOSE]))), count))
        tiles -= count
    program = assemble(
        [
            *(
                make(
                    Opcode.STREAM,
                    source_bank=0,
                    target_bank=Bank.ACCUMULATOR,
                    flags=flags,
                    inner=1,
                    count3=passes,
                    count4=length,
                )
                for flags, length, passes in streams[:1]
            ),
            *(make(Opcode.WEIGHT, bank=1, flags=flags, count1=count) for flags, count in weights),
            *(
                make(
                    Opcode.STREAM,
                    source_bank=0,
                    target_bank=Bank.ACCUMULATOR,
                    flags=flags,
                    inner=1,
                    count3=passes,
                    count4=length,
                )
                for flags, length, passes in streams[1:]
            ),
        ],
        config,
    )
    check_passes(program, streams, weights)


def check_passes(
    program: Program, streams: list[tuple[int, int, int]], weights: list[tuple[int, int]]
) -> None:
    """Walk the equations with the queue times that the model found."""
    try:
        events = simulate_timing(program).events
    except ProgramError as error:
        # A queue full of one unit's work can block FETCH for ever: that is a deadlock by design.
        if "deadlock" not in str(error):
            raise
        return
    ops = [instruction.op for instruction in program.instructions]
    rows = {
        op: [events[i] for i, o in enumerate(ops) if o is op]
        for op in (Opcode.WEIGHT, Opcode.STREAM)
    }
    dim = program.config.dim
    tiles = [(job, i) for job, (_, count) in enumerate(weights) for i in range(count)]
    weight, stream = _Walk(rows[Opcode.WEIGHT]), _Walk(rows[Opcode.STREAM])
    emitted, released, transposed, taken = -(10**9), -(10**9), False, 0
    next_read = 0
    for job, (flags, length, passes) in enumerate(streams):
        delay = dim if flags & StreamFlag.TRANSPOSE else 0
        at = stream.start(job) + 1
        if not delay and stream.delay:
            at = max(at, stream.end + dim + 1)
        for _ in range(passes):
            if not flags & StreamFlag.KEEP:
                owner, number = tiles[taken]
                taken += 1
                turn = bool(weights[owner][0])
                if number == 0:
                    next_read = weight.start(owner) + 1
                if turn:
                    next_read = max(next_read, emitted) if transposed else next_read
                    emitted = max(next_read + dim, emitted + dim, released)
                else:
                    next_read = emitted = max(next_read, emitted + dim, released)
                transposed = turn
                next_read += dim
                if number == weights[owner][1] - 1:
                    weight.close(next_read - 1, emitted + dim, 0)
                at = max(at, emitted + (0 if delay else dim))
                released = at + delay
            at += length
        stream.close(at - 1, at - 1 + delay + 2 * dim + 3, delay)


class _Walk:
    """Starts of one unit's instructions, checked against the model's events."""

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.rows, self.end, self.delay, self.closed = rows, 0, 0, 0

    def start(self, job: int) -> int:
        queue, start = self.rows[job][1:3]
        assert start == max(queue + 1, self.end)
        return int(start)

    def close(self, end: int, complete: int, delay: int) -> None:
        assert self.rows[self.closed][3] == complete
        self.end, self.delay = end, delay
        self.closed += 1


@pytest.mark.parametrize("latency", [1, 64])
def test_every_units_counts_sum_to_cycles(latency: int) -> None:
    program = assemble(
        [
            make(Opcode.LOAD, bank=0, run=16, address=4096, signal=mask(0, 1)),
            make(Opcode.WEIGHT, bank=0, count1=2, stride1=4, wait=mask(0)),
            make(
                Opcode.STREAM,
                source_bank=0 + 1,
                target_bank=0x40,
                inner=1,
                count3=2,
                count4=7,
                wait=mask(1),
                signal=mask(2),
            ),
            make(Opcode.VECTOR, a_bank=0x40, target_bank=2, count3=7, wait=mask(2), signal=mask(3)),
            make(Opcode.STORE, bank=2, run=7, address=8192, wait=mask(3)),
        ]
    )
    result = simulate_timing(program, memory_latency=latency)
    for unit in ("load", "weight", "stream", "vector", "store", "fetch"):
        total = sum(v for k, v in result.counters.items() if k.startswith(f"{unit}_"))
        assert total == result.cycles
