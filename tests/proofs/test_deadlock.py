"""Small programs in every interleaving, and mistakes that the exploration must find."""

from __future__ import annotations

from collections.abc import Sequence

from proofs.deadlock import Item, explore, outcomes, stands_behind
from pulsarray.config import Config
from pulsarray.isa import Instruction, Unit


def takes_all(_: Sequence[Instruction], __: Config) -> None:
    """A check that lets two units wait for one semaphore."""


def test_no_program_deadlocks_by_timing() -> None:
    taken, wrong = explore(3, units=2, semaphores=1)
    assert wrong == []
    assert taken > 100


def test_two_that_wait_for_one_semaphore_are_found() -> None:
    _, wrong = explore(4, units=2, semaphores=1, check=takes_all)
    assert any("by timing" in text for text in wrong)


def test_a_circle_is_stuck() -> None:
    circle = [Item(Unit.LOAD, 1, 2), Item(Unit.STORE, 2, 1)]
    assert outcomes(circle, 2, 1) == {"stuck"}
    assert not stands_behind(circle, 2)


def test_a_full_queue_hides_a_signal() -> None:
    """What is waited for stands behind more instructions than the queue and its head hold."""
    program = [*[Item(Unit.LOAD, 1, 0)] * 2, *[Item(Unit.STORE, 0, 1)] * 2]
    assert outcomes(program, 1, 1) == {"done"}
    assert outcomes([program[0], *program[:2], *program[2:], program[3]], 1, 1) == {"stuck"}
