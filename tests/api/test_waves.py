"""Waves that people can read: words beside raw words, the same cycles, save files that fit."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from operator import itemgetter
from pathlib import Path

import pytest

import pulsarray as pa
from pulsarray.config import load_config
from pulsarray.isa import Opcode, Unit
from pulsarray.report.timeline import spans
from pulsarray.sim.names import COLUMNS
from pulsarray.sim.saves import groups
from tests.cli.conftest import Command

PERIOD_PS = 2000


class Waves:
    """Signals of a VCD file by path: their widths, and their values over time."""

    def __init__(self, path: Path) -> None:
        self.bits: dict[str, int] = {}
        self.changes: dict[str, list[tuple[int, str]]] = defaultdict(list)
        names, scopes, now = defaultdict(list), list[str](), 0
        with path.open(encoding="ascii") as file:
            for line in file:
                word, _, rest = line.strip().partition(" ")
                if word == "$scope":
                    scopes.append(rest.split()[1])
                elif word == "$upscope":
                    scopes.pop()
                elif word == "$var":
                    _, size, code, name, *_ = rest.split()
                    names[code].append(".".join([*scopes, name]))
                    self.bits[names[code][-1]] = int(size)
                elif word[:1] == "#":
                    now = int(word[1:])
                elif word[:1] in ("b", "0", "1"):
                    digits, code = (word[1:], rest) if rest else (word[0], word[1:])
                    for name in names[code]:
                        self.changes[name].append((now, digits))

    def at(self, name: str, time: int) -> int:
        """The value of a signal at a time."""
        changes = self.changes[name]
        return int(changes[bisect_right(changes, time, key=itemgetter(0)) - 1][1], 2)

    def text(self, name: str, time: int) -> str:
        """The same as characters, without those that fill up."""
        value = self.at(name, time)
        return value.to_bytes(self.bits[name] // 8, "big").decode("ascii").strip("\0 ")


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Compiled, pa.Run, Waves]:
    folder = tmp_path_factory.mktemp("waves")
    compiled = pa.load("gemm:12x12x8").compile("tiny")
    run = compiled.run(on="icarus", waves=folder / "run.vcd")
    assert not run.complaint
    return compiled, run, Waves(folder / "run.vcd")


def test_every_unit_says_what_it_does_in_the_cycles_of_the_trace(
    step: tuple[pa.Compiled, pa.Run, Waves],
) -> None:
    compiled, run, waves = step
    cycles = waves.changes["pulsarray_sim.cycle"]
    begin = next(time - PERIOD_PS for time, value in cycles if value == "1")
    for span in spans(compiled.program, run.result):
        scope, time = f"pulsarray_sim.{span.unit}", begin + PERIOD_PS * span.first
        said = {
            name: waves.text(f"{scope}.{name}", time)
            for name in ("state", *COLUMNS)
            if name != "waits"
        }
        opcode, _, fields = span.text.partition(" ")
        assert said == {
            "state": "waits" if span.waits else "works",
            "opcode": opcode,
            "layer": span.layer,
            "phase": span.phase,
            "tensor": span.tensor,
            "fields": fields,
        }
        assert waves.text(f"{scope}.waits_for", time) == span.waits
        assert waves.at(f"{scope}.index", time) == span.index


def test_units_are_idle_in_the_end(step: tuple[pa.Compiled, pa.Run, Waves]) -> None:
    _, _, waves = step
    end = waves.changes["pulsarray_sim.clk"][-1][0]
    for unit in Unit:
        assert waves.text(f"pulsarray_sim.{unit.name}.state", end) == "idle"
        assert waves.text(f"pulsarray_sim.{unit.name}.opcode", end) == ""


def test_opcodes_at_fetch_by_name(step: tuple[pa.Compiled, pa.Run, Waves]) -> None:
    _, _, waves = step
    changes = waves.changes["pulsarray_sim.FETCH.value"]
    times = [time for time, digits in changes if "x" not in digits]
    assert len(times) > len(Opcode) // 2
    for time in times:
        code = waves.at("pulsarray_sim.FETCH.value", time)
        names = {opcode.value: opcode.name for opcode in Opcode}
        assert waves.text("pulsarray_sim.FETCH.text", time) == names.get(code, "?")


def test_save_files_name_signals_that_are_there(
    step: tuple[pa.Compiled, pa.Run, Waves],
) -> None:
    compiled, _, waves = step
    shown = dict(groups(compiled.program.config))
    assert set(shown) == {"machine", "FETCH", *(unit.name for unit in Unit)}
    for signals in shown.values():
        assert {wave.path: wave.bits for wave in signals}.items() <= waves.bits.items()
    assert any(wave.label == "queued" for wave in shown["STREAM"])


def test_save_files_of_somebody_else_stay(command: Command, tmp_path: Path) -> None:
    gemm = tmp_path / "gemm.pulse"
    assert command("compile", "gemm:6x9x5", "--config", "tiny", "-o", gemm).code == 0
    (tmp_path / "run.gtkw").write_text("[*] my own\n")
    done = command("simulate", gemm, "--on", "icarus", "--waves", tmp_path / "run.vcd")
    assert done.code == 0, done.err
    assert (tmp_path / "run.gtkw").read_text() == "[*] my own\n"
    commands = (tmp_path / "run.sucl").read_text()
    bits = Waves(tmp_path / "run.vcd").bits
    assert set(re.findall(r"variable_add (\S+)", commands)) <= bits.keys()
    assert {name.partition(".")[0] for name in bits} == {"pulsarray_sim"}


@pytest.mark.slow
def test_a_machine_without_trace_has_raw_words_only() -> None:
    shown = dict(groups(load_config("tiny", ["trace=false"])))
    assert {wave.form for signals in shown.values() for wave in signals} == {"hex"}


def test_waves_of_a_step_of_training(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "step.vcd"
    arguments = ("train", "and", "--epochs", 1, "--on", "icarus", "--waves", path)
    done = command(*arguments, "--step", 2)
    assert done.code == 0, done.err
    waves = Waves(path)
    phases = {
        waves.text(f"pulsarray_sim.{unit.name}.phase", time)
        for unit in Unit
        for time, _ in waves.changes[f"pulsarray_sim.{unit.name}.phase"]
    }
    assert phases == {"", "forward", "backward", "weight gradient", "update"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--waves", "w.vcd"), "--waves: the model has none; run --on icarus or --on verilator"),
        (("--step", 2), "--step: needs --waves"),
        (("--on", "icarus", "--waves", "w.txt"), "waves: the file must end in .fst or .vcd"),
    ],
)
def test_waves_of_a_step_wrong(
    command: Command, arguments: tuple[object, ...], message: str
) -> None:
    done = command("train", "xor", "--epochs", 1, *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_step_that_never_comes(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "w.vcd"
    arguments = ("--epochs", 1, "--on", "icarus", "--waves", path, "--step", 9)
    done = command("train", "xor", *arguments)
    assert done.code == 2
    assert "--step: the training has 4 steps, so there is no step 9" in done.err
    assert not path.exists()
