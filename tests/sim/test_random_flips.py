"""Programs with flipped bits on RTL: what the model accepts is equal, what stops is refused."""

from __future__ import annotations

from collections import Counter

from pulsarray.errors import UnknownResult
from pulsarray.model.run import run
from pulsarray.run import RunResult
from pulsarray.sim.random_flips import Flip, flipped_program, judge, noise_program
from tests.sim.bad_programs import CONFIG


def test_model_and_machine_agree_after_noise() -> None:
    verdicts = judge(CONFIG, range(40), "verilator")
    assert [(verdict.flip.seed, verdict.wrong) for verdict in verdicts if verdict.wrong] == []
    kinds = Counter(verdict.model for verdict in verdicts)
    assert kinds["runs"] > 5
    assert kinds["unknown result"] > 0


def test_machine_shows_what_the_model_refuses() -> None:
    """Of some programs with an unknown result, noise changes it."""
    flips = [Flip.draw(CONFIG, seed) for seed in range(40)]
    seeds = [flip.seed for flip in flips if isinstance(flip.expected, UnknownResult)]
    verdicts = judge(CONFIG, seeds, "verilator")
    assert any(verdict.machine == "ends, depends on noise" for verdict in verdicts)


def test_reproducible() -> None:
    assert flipped_program(CONFIG, 3).code == flipped_program(CONFIG, 3).code


def test_noise_is_a_program_with_a_result() -> None:
    assert isinstance(run(noise_program(CONFIG, 1)), RunResult)
