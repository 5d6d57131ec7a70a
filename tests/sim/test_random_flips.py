"""Programs with flipped bits on RTL: what the model accepts is equal, what stops is refused."""

from __future__ import annotations

from collections import Counter

from pulsarray.errors import UnknownResult
from pulsarray.isa import encode_all
from pulsarray.model.run import run
from pulsarray.run import RunResult
from pulsarray.sim.random.flips import Flip, flipped_program, judge, noise_program
from tests.sim.bad_programs import CONFIG, END, program, store


def test_model_and_machine_agree_after_noise() -> None:
    flips = [Flip.draw(CONFIG, seed) for seed in range(40)]
    verdicts = judge(CONFIG, flips, "verilator")
    assert [(verdict.flip.seed, verdict.wrong) for verdict in verdicts if verdict.wrong] == []
    kinds = Counter(verdict.model for verdict in verdicts)
    assert kinds["runs"] > 5
    assert kinds["unknown result"] > 0


def test_noise_shows_what_the_model_refuses() -> None:
    """Words that nothing has written come from the program before."""
    code = encode_all([store(run=32), END])
    flip = Flip.of(1, program(code))
    assert isinstance(flip.expected, UnknownResult)
    (verdict,) = judge(CONFIG, [flip], "verilator")
    assert (verdict.model, verdict.machine) == ("unknown result", "ends, depends on noise")


def test_reproducible() -> None:
    assert flipped_program(CONFIG, 3).code == flipped_program(CONFIG, 3).code


def test_noise_is_a_program_with_a_result() -> None:
    assert isinstance(run(noise_program(CONFIG, 1)), RunResult)
