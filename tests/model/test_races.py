"""Programs whose result nobody can tell: what each lacks is named, what mends it is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.errors import UnknownResult
from pulsarray.isa import (
    Alu,
    Bank,
    Instruction,
    Opcode,
    ScaleAction,
    StreamFlag,
    VectorFlag,
    encode_all,
)
from pulsarray.model.checks import check
from pulsarray.model.races import ordered
from pulsarray.program import Program
from tests.model.test_checks import TRAINING
from tests.sim.bad_programs import CONFIG, load, make, store, stream, vector, weight

PAGE = 4096
SUMS = int(Bank.ACCUMULATOR)
_KEEP, _WINDOW = int(StreamFlag.KEEP), int(StreamFlag.WINDOW_READ)


def look(*instructions: Instruction, training: bool = False) -> list[Instruction]:
    """Check a program: its instructions in an order that is allowed."""
    code = encode_all([*instructions, make(Opcode.END)])
    config = TRAINING if training else CONFIG
    memory = np.zeros(4 * PAGE, np.uint8)
    program = Program(
        config=config, code=code, code_address=PAGE, memory=memory, tensors=[], layers=[]
    )
    return list(ordered(program, check(program, memory.size), memory.size))


def refused(*instructions: Instruction, training: bool = False) -> UnknownResult:
    with pytest.raises(UnknownResult) as caught:
        look(*instructions, training=training)
    assert caught.value.code == 0
    return caught.value


def filled(bank: int, **fields: int) -> Instruction:
    """A LOAD of sixteen words."""
    return load(bank=bank, run=16, **fields)


def moved(**fields: int) -> Instruction:
    """A VECTOR of eight words from bank 0 to bank 1."""
    return vector(**{"a_bank": 0, "target_bank": 1, **fields})


# Words that nothing has written


def test_word_that_nothing_writes() -> None:
    error = refused(load(bank=1, run=3, signal=1), store(bank=1, local=2, run=3, wait=1))
    assert error.index == 1
    assert str(error) == (
        "instruction 1 (STORE wait=SEM0 bank=SCRATCHPAD1 local=2 run=3 address=2048): "
        "reads word 3 of SCRATCHPAD1, which nothing before it in this run has written, or only "
        "from such words"
    )


def test_word_that_is_written_by_a_later_instruction_in_no_order() -> None:
    load_0 = filled(0, signal=1)
    error = refused(load_0, weight(bank=1, row_stride=1), moved(wait=1))
    assert error.index == 1
    assert "reads word 0 of SCRATCHPAD1, which nothing before it in this run" in str(error)
    assert "no semaphore makes WEIGHT wait for instruction 2 (VECTOR wait=SEM0" in str(error)
    look(load_0, moved(wait=1, signal=2), weight(bank=1, row_stride=1, wait=2))


def test_words_that_a_loop_leaves_out() -> None:
    sparse = load(bank=1, run=1, count0=4, local_stride0=2, signal=1)
    error = refused(sparse, store(bank=1, run=4, wait=1))
    assert "word 1 of SCRATCHPAD1" in str(error)
    look(sparse, store(bank=1, run=1, count0=4, local_stride0=2, wait=1))


def test_parameter_columns_that_are_read() -> None:
    bias = load(bank=Bank.PARAMETER, run=1, local=4)
    user = moved(flags=1, parameter=1, wait=1)
    look(bias, filled(0, signal=1), user)
    error = refused(bias, filled(0, signal=1), moved(flags=2, parameter=1, wait=1))
    assert "parameter row 1, column 1" in str(error)


def test_table_is_written_whole() -> None:
    words = CONFIG.table_words
    user = moved(activation=2, wait=1)
    look(load(bank=Bank.TABLE, run=words), filled(0, signal=1), user)
    error = refused(load(bank=Bank.TABLE, run=words - 1), filled(0, signal=1), user)
    assert f"word {words - 1} of TABLE" in str(error)


@pytest.mark.parametrize(("fresh", "known"), [(1 << 3, 8), (1 << 4, 1), (1 << 3 | 1 << 4, 1)])
def test_sums_that_are_only_added_to_stay_unknown(fresh: int, known: int) -> None:
    """Level 3 comes back to the rows of level 4: fresh is its first turn, or the first row."""
    program = (
        filled(1, signal=1),
        filled(2, signal=2),
        weight(wait=1, row_stride=1),
        stream(wait=2, count3=2, inner=2, fresh=fresh, signal=4),
    )
    look(*program, store(bank=SUMS, run=known, wait=4))
    error = refused(*program, store(bank=SUMS, run=known + 1, wait=4))
    assert f"word {known} of ACCUMULATOR{SUMS - 0x40}" in str(error)


def test_vector_makes_unknown_words_of_unknown_words() -> None:
    program = load(bank=0, run=4, signal=1), moved(wait=1, signal=2)
    look(*program, store(bank=1, run=4, wait=2))
    assert "word 4 of SCRATCHPAD1" in str(refused(*program, store(bank=1, run=5, wait=2)))


def test_product_with_nothing_is_known() -> None:
    blank = moved(alu=Alu.MUL, flags=int(VectorFlag.B_SCALAR), signal=1)
    look(blank, store(bank=1, run=8, wait=1))
    refused(moved(alu=Alu.ADD, flags=int(VectorFlag.B_SCALAR), signal=1), store(bank=1, wait=1))


def test_statistic_reads_every_word() -> None:
    statistic = {"flags": int(VectorFlag.STATISTIC), "x_target": 1, "acc_bank": SUMS + 1}
    look(filled(0, signal=1), moved(wait=1, **statistic), training=True)
    error = refused(load(bank=0, run=7, signal=1), moved(wait=1, **statistic), training=True)
    assert "word 7 of SCRATCHPAD0" in str(error)


def test_window_leaves_words_out() -> None:
    program = filled(2, signal=1), filled(1, signal=2), weight(wait=2, row_stride=1)
    window = {"count4": 20, "row_step4": 1, "column_limit": 1, "flags": _WINDOW}
    window["target_stride4"] = 0
    look(*program, stream(wait=1, row_limit=16, **window))
    error = refused(*program, stream(wait=1, row_limit=17, **window))
    assert "word 16 of SCRATCHPAD2" in str(error)


def test_first_pass_keeps_no_tile() -> None:
    error = refused(filled(2, signal=1), stream(wait=1, flags=_KEEP))
    assert "no pass before it takes one" in str(error)


def test_registers_are_known() -> None:
    bank = {"bank": SUMS, "word": 1, "register": 1}
    look(
        make(Opcode.SCALE, action=ScaleAction.WRITE, **bank),
        make(Opcode.SCALE, action=ScaleAction.READ, **bank),
        training=True,
    )


# Order between units


def test_lost_signal_of_two_writers() -> None:
    first, second = filled(1), moved(wait=1)
    error = refused(filled(0, signal=1), first, second)
    assert error.index == 2
    also = "word 0 of SCRATCHPAD1 is also written by instruction 1 (LOAD bank=SCRATCHPAD1 run=16)"
    assert also in str(error)
    assert "no semaphore makes VECTOR wait until that LOAD, or one after it" in str(error)
    look(first, filled(0, signal=1), second)


def test_reader_is_overwritten() -> None:
    program = filled(0, signal=1), store(wait=1)
    error = refused(*program, load())
    assert error.index == 2
    assert "is also read by instruction 1 (STORE" in str(error)
    look(*program, load(local=2))
    look(filled(0, signal=1), store(wait=1, signal=2), load(wait=2))


def test_order_by_way_of_another_unit() -> None:
    """STORE is behind VECTOR, which is behind LOAD."""
    look(filled(0, signal=1), filled(2), moved(wait=1, signal=2), store(bank=0, wait=2))
    refused(filled(0, signal=1), filled(2), moved(wait=1, signal=2), store(bank=2, wait=2))


@pytest.mark.parametrize("bank", [1, 2])
def test_two_signallers_prove_what_neither_could_hide(bank: int) -> None:
    """The second count is there only when both have signalled; the first may be of either."""
    both = (
        filled(3, signal=8),
        filled(0, signal=4),
        filled(1, signal=1),
        moved(wait=4, target_bank=2, signal=1),
    )
    assert refused(*both, store(bank=bank, wait=9)).index == 4
    look(*both, store(bank=3, wait=9), store(bank=bank, wait=1))


def test_memory_between_store_and_load() -> None:
    """Of bytes of one word in memory."""
    program = filled(0, signal=1), store(address=0x800, wait=1, signal=2)
    error = refused(*program, load(bank=1, address=0x804))
    assert "memory at 0x804 is also written by instruction 1 (STORE" in str(error)
    look(*program, load(bank=1, address=0x804, wait=2))
    look(*program, load(bank=1, address=0x808))


def test_store_over_code() -> None:
    """FETCH has read what is dispatched, and may still have to read what follows."""
    address = PAGE + make(Opcode.LOAD).format.bytes + make(Opcode.STORE).format.bytes
    program = filled(0, signal=1), store(address=address, run=1, wait=1)
    error = refused(*program)
    assert f"writes the program's bytes at {address:#x}" in str(error)
    look(program[0], store(address=address - 4, run=1, wait=1))
    look(program[0], store(address=address + 32, run=1, wait=1))


# Tiles


def test_stream_knows_what_the_weights_waited_for() -> None:
    """Only WEIGHT waits for the loads."""
    loads = filled(1), filled(2, signal=1)
    look(*loads, weight(wait=1, row_stride=1), stream())
    kept = stream(flags=_KEEP, source=8)
    error = refused(*loads, weight(wait=1, row_stride=1), stream(), kept, moved())
    assert error.index == 5


def test_weights_are_read_when_their_passes_are_complete() -> None:
    loads = filled(1), filled(2, signal=1)
    look(*loads, weight(wait=1, row_stride=1), stream(signal=2), filled(1, wait=2))
    error = refused(
        *loads, weight(wait=1, count0=2, row_stride=1), stream(signal=2), filled(1, wait=2)
    )
    assert "is also read by instruction 2 (WEIGHT" in str(error)


# VECTOR's pipeline


def test_words_too_close_behind() -> None:
    one, two = moved(wait=1), moved(a_bank=1, target_bank=2)
    error = refused(filled(0, signal=1), one, two)
    assert error.index == 2
    assert "word 7 of SCRATCHPAD1 is also written by instruction 1 (VECTOR" in str(error)
    assert "fewer than 9 words apart" in str(error)


@pytest.mark.parametrize("between", [1, 0])
def test_nine_places_are_enough(between: int) -> None:
    """Eight words and one EXPONENT."""
    gap = [make(Opcode.EXPONENT, register=1)] * between
    program = filled(0, signal=1), moved(wait=1), *gap, moved(a_bank=1, target_bank=2)
    if between:
        look(*program)
    else:
        refused(*program)


def test_semaphore_to_itself() -> None:
    one, two = moved(wait=1, signal=2), moved(a_bank=1, target_bank=2, wait=2)
    look(filled(0, signal=1), one, two)


def test_way_round_by_store() -> None:
    one, two = moved(wait=1, signal=2), moved(a_bank=1, target_bank=2, wait=4)
    look(filled(0, signal=1), one, store(bank=1, wait=2, signal=4), two)


@pytest.mark.parametrize("words", [1, 2])
def test_scale_reads_in_its_eighth_place(words: int) -> None:
    """The word before the last is there, the last is not."""
    write = vector(a_bank=1, target_bank=Bank.NONE, acc_bank=SUMS, count3=words, wait=1)
    read = make(Opcode.SCALE, action=ScaleAction.READ, bank=SUMS, word=0)
    program = filled(1, signal=1), write, read
    if words == 2:
        look(*program, training=True)
    else:
        assert refused(*program, training=True).index == 2


def test_words_of_one_vector() -> None:
    in_place = vector(a_bank=0, target_bank=0, wait=1)
    look(filled(0, signal=1), in_place)
    look(filled(0, signal=1), vector(a_bank=0, target_bank=0, a=1, wait=1))
    error = refused(filled(0, signal=1), vector(a_bank=0, target_bank=0, target=1, wait=1))
    assert "reads word 1 of SCRATCHPAD0 at a later place than it writes it" in str(error)
