"""Whatever is wrong: one line, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pulsarray.program import Program
from tests.cli.conftest import Command, Done, complaints

ROOT = Path(__file__).resolve().parents[2]
PULSARRAY = [sys.executable, "-m", "pulsarray"]


def assert_refused(done: Done, message: str, code: int = 2) -> None:
    assert done.code == code, done.err
    assert message in done.err
    (line,) = complaints(done.err)
    assert line.startswith("pulsarray: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lunch"], "No such command 'lunch'"),
        (["info", "--lunch"], "No such option: --lunch"),
        (["info", "extra"], "unexpected extra argument"),
        (["info", "--config", "nope"], "'nope' is neither a file nor a preset"),
        (["info", "--set", "dim"], "expected key=value, not 'dim'"),
        (["info", "--set", "dim=1"], "dim must be 2 to 64, not 1"),
        (["info", "--set", "bus_bits=256"], "bus_bits must be one of 16, 32, 64"),
        (["doctor", "--config", "nope"], "'nope' is neither a file nor a preset"),
        (["generate"], "Missing option '--output'"),
        (["generate", "-o", "/dev/null/x"], "/dev/null/x: "),
        (["generate", "-o", "/dev/null"], "/dev/null: is a file, not a folder"),
        (["synth"], "Missing option '--target'"),
        (["synth", "-t", "asic"], "--target: must be one of ecp5, xilinx7, gowin, ice40, gates, n"),
        (["synth", "-t", "ecp5", "--seed", "2"], "--seed: is for placing: give --place too"),
        (["synth", "-t", "ecp5", "--html", "/nowhere/a.html"], "no folder /nowhere"),
        (["compile"], "Missing"),
        (["compile", "gemm:4x4x4"], "Missing option '--output'"),
        (["compile", "gemm:4x4x4", "-o", "/nowhere/p.pulse"], "no folder /nowhere"),
        (["estimate", "lunch"], "must be an .onnx, .tflite or .nir file, gemm:MxKxN, mnist-mlp, "),
        (["estimate", "none.tflite"], "none.tflite: cannot read"),
        (["estimate", "lenet", "--shape", "28x28"], "--shape: only for network files, not"),
        (["estimate", "none.onnx", "--shape", "3,4"], "expected positive numbers as 3x224x224"),
        (["compile", "xor", "--training", "--shape", "2", "-o", "/tmp/p"], "not with --training"),
        (["estimate", "none.onnx"], "none.onnx"),
        (["estimate", "gemm:4x4"], "gemm:4x4"),
        (["estimate", "gemm:0x4x4"], "gemm:0x4x4"),
        (["estimate", "gemm:-1x4x4"], "gemm:-1x4x4"),
        (["estimate", "gemm:99999x99999x99999"], "bytes of memory"),
        (["estimate", "gemm:4x4x4", "--batch", "2"], "not for gemm"),
        (["estimate", "mnist-mlp", "--sums"], "only for gemm:MxKxN"),
        (["estimate", "mnist-mlp", "--batch", "0"], "--batch"),
        (["estimate", "mnist-mlp", "--calibrate", "none.npz"], "none.npz: cannot read"),
        (["estimate", "gemm:4x4x4", "--memory-latency", "0"], "--memory-latency"),
        (["estimate", "gemm:4x4x4", "--config", "train"], "operand_bits"),
        (["simulate", "none.pulse"], "none.pulse: cannot read"),
        (["simulate", "none.pulse", "--on", "fpga"], "'fpga' is not one of"),
        (["disasm", "none.pulse"], "none.pulse: cannot read"),
        (["disasm", "/dev/null"], "not a Pulsarray program"),
        (["compare", "none.json", "none.json"], "none.json: cannot read"),
        (["compare"], "Missing argument"),
    ],
)
def test_refused(command: Command, arguments: list[str], message: str) -> None:
    assert_refused(command(*arguments), message)


def test_compare_needs_two(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    command("estimate", "gemm:4x4x4", "-c", "tiny", "--report", path)
    assert_refused(command("compare", path), "needs two reports or more, not 1")
    assert_refused(command("compare", path, path, "--config", "base"), "is for configuration")
    path.write_text('{"schema_version": 1}')
    assert_refused(command("compare", path, path), "field 'source' is missing")


def test_program_files(command: Command, gemm: Path) -> None:
    assert_refused(command("simulate", gemm, "--config", "small"), "compiled for configuration")
    assert_refused(command("disasm", gemm, "--set", "dim=5"), "compiled for configuration")
    content = gemm.read_bytes()
    gemm.write_bytes(content[:-10])
    assert_refused(command("simulate", gemm), "truncated or altered")
    gemm.write_bytes(content[:100] + b"?" + content[101:])
    assert_refused(command("simulate", gemm), "truncated or altered")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros((6, 9), np.int8)}, "array 'z' is no input of the program; inputs: x"),
        ({}, "input 'x' is missing; inputs: x"),
        ({"x": np.zeros((9, 6), np.int8)}, "x: shape must be (6, 9), not (9, 6)"),
        ({"x": np.zeros(54, np.float32)}, "x: shape must be (6, 9), not (54,)"),
        ({"x": np.full((6, 9), 128)}, "x: codes must be -128 to 127, not 128 to 128"),
        ({"x": np.zeros((0, 9), np.int8)}, "x: shape must be (6, 9), not (0, 9)"),
        ({"x": np.full((6, 9), np.nan)}, "x: values must be finite numbers"),
        ({"x": np.zeros((6, 9), np.bool_)}, "x: dtype must be integer or floating point, not bool"),
        ({"x": np.zeros((6, 9), np.complex64)}, "array 'x' must hold numbers, not complex64"),
        ({"x": np.full((6, 9), "a")}, "array 'x' must hold numbers, not <U1"),
        ({"x": np.full((6, 9), None)}, "damaged or not an .npz of numbers"),
    ],
)
def test_inputs(
    command: Command, gemm: Path, tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    path, outputs = tmp_path / "x.npz", tmp_path / "y.npz"
    np.savez(path, **arrays)
    assert_refused(command("simulate", gemm, "--inputs", path, "--outputs", outputs), message)
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((5, 3))}, "c.npz: shape must be (samples, 784), not (5, 3)"),
        ({"a": np.zeros((0, 784))}, "c.npz: at least one sample is needed"),
        ({"a": np.full((5, 784), np.inf)}, "c.npz: values must be finite"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "must hold one array of samples, not 2 (a, b)"),
    ],
)
def test_calibration(
    command: Command, tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    path, output = tmp_path / "c.npz", tmp_path / "p.pulse"
    np.savez(path, **arrays)
    assert_refused(command("compile", "mnist-mlp", "--calibrate", path, "-o", output), message)
    assert not output.exists()


def test_onnx(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    line = [sys.executable, ROOT / "examples" / "make_onnx.py", tmp_path]
    subprocess.run(line, check=True, capture_output=True)
    assert_refused(command("estimate", path), "net.onnx: quantization needs samples of the input")
    path.write_text("hello")
    assert_refused(command("estimate", path), "net.onnx: not a valid ONNX file")


def test_inputs_that_are_no_npz(command: Command, gemm: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_text("hello")
    assert_refused(command("simulate", gemm, "--inputs", path), "not an .npz file")
    np.save(tmp_path / "x.npy", np.zeros(3))
    assert_refused(command("simulate", gemm, "--inputs", tmp_path / "x.npy"), "not an .npz file")
    np.savez(path, x=np.zeros((6, 9)))
    path.write_bytes(path.read_bytes()[:-40] + path.read_bytes()[-30:])
    assert_refused(command("simulate", gemm, "--inputs", path), "x.npz")
    assert_refused(command("simulate", gemm, "--inputs", tmp_path), "cannot read")


def test_calibration_of_two_arrays(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3), b=np.zeros(3))
    done = command("estimate", "mnist-mlp", "--calibrate", path)
    assert_refused(done, "must hold one array of samples, not 2 (a, b)")


def test_what_a_configuration_does_not_have(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "p.pulse"
    off = ["--set", "counters=false", "--set", "trace=false"]
    command("compile", "gemm:4x4x4", "-c", "tiny", *off, "-o", path)
    assert_refused(command("simulate", path, "--report", tmp_path / "r.json"), "counters = false")
    assert_refused(command("simulate", path, "--events", tmp_path / "e.json"), "trace = false")
    assert_refused(command("simulate", path, "--waves", tmp_path / "w.fst"), "the model has none")
    assert command("simulate", path).code == 0
    assert list(tmp_path.glob("*.json")) == []


def test_missing_simulator(
    command: Command, gemm: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("simulate", gemm, "--on", "icarus")
    assert_refused(done, "apt-get install iverilog", code=3)


@pytest.mark.parametrize("option", ["--report", "--outputs", "--events"])
def test_output_that_cannot_be_written(command: Command, gemm: Path, option: str) -> None:
    assert_refused(
        command("simulate", gemm, option, "/proc/none/file"), "/proc/none/file: cannot write"
    )


def test_full_disk(gemm: Path, tmp_path: Path) -> None:
    """A disk without room: the file size limit of the process stands in for it."""
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
    target = tmp_path / "r.json"
    arguments = ["simulate", str(gemm), "--report", str(target)]
    code = f"{limit}from pulsarray.cli.main import run; raise SystemExit(run({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert complaints(done.stderr) == [f"pulsarray: {target}: cannot write: File too large"]
    assert sorted(tmp_path.iterdir()) == [gemm]


def test_full_disk_of_waves(
    command: Command, gemm: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pulsarray.api import waves

    monkeypatch.setattr(waves, "ROOM_BYTES", 1 << 62)
    done = command("simulate", gemm, "--on", "icarus", "--waves", tmp_path / "w.vcd")
    assert_refused(done, "the waves may be cut short; make room")
    assert sorted(tmp_path.iterdir()) == [gemm]


def test_full_disk_of_a_copied_folder(
    command: Command, gemm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulsarray.api import running

    def fail(*_: object) -> None:
        reason = "[Errno 28] No space left on device: '/a' -> '/cache/a'"
        raise shutil.Error([("/a", "/cache/a", reason)])

    monkeypatch.setattr(running, "on_simulator", fail)
    done = command("simulate", gemm, "--on", "icarus")
    assert_refused(done, "/cache/a: No space left on device")


def test_full_standard_output() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PULSARRAY, "info"], stdout=full, stderr=-1, text=True, check=False)
    assert done.returncode == 2
    assert complaints(done.stderr) == ["pulsarray: standard output: No space left on device"]


CLOSED = "pulsarray: standard output: Bad file descriptor\n"
FULL = "pulsarray: standard output: No space left on device\n"


@pytest.mark.parametrize("verb", ["info", "info --json", "--help", "--version"])
@pytest.mark.parametrize(
    ("streams", "code", "err"),
    [
        (">&-", 2, CLOSED),
        ("<&- >&-", 2, CLOSED),
        (">/dev/full", 2, FULL),
        (">&- 2>&-", 2, ""),
        ("2>/dev/full", 0, ""),
    ],
)
def test_standard_streams(verb: str, streams: str, code: int, err: str) -> None:
    line = f"{' '.join(PULSARRAY)} {verb} {streams}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, err)
    assert bool(done.stdout) == (code == 0)


def test_a_file_is_written_where_standard_output_is_closed(tmp_path: Path) -> None:
    """It must not get the descriptor of standard output, and with it what is printed."""
    path = tmp_path / "p.pulse"
    line = f"{' '.join(PULSARRAY)} compile gemm:4x4x4 -c tiny -o {path} >&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, complaints(done.stderr)) == (2, [CLOSED.strip()])
    assert len(Program.load(path).instructions) > 1


def test_full_messages_hide_no_exit_code() -> None:
    line = f"{' '.join(PULSARRAY)} info --config none 2>/dev/full"
    assert subprocess.run(["sh", "-c", line], check=False).returncode == 2


def test_closed_pipe_is_no_error(gemm: Path) -> None:
    line = f"{' '.join(PULSARRAY)} disasm {gemm} --json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_characters_that_the_encoding_has_not(gemm: Path) -> None:
    done = subprocess.run(
        [*PULSARRAY, "simulate", str(gemm)],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2588 busy" in done.stdout


def interruptible(*arguments: str) -> subprocess.Popen[str]:
    """A process of the command that minds SIGINT even where this one ignores it."""
    return subprocess.Popen(
        [*PULSARRAY, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_interrupt_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "never.pulse"
    arguments = ["compile", "gemm:2000x2000x2000", "-c", "tiny", "-o", str(path)]
    process = interruptible(*arguments)
    assert process.stderr is not None
    assert process.stderr.readline()  # the sign of life: it is at work
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in err.splitlines() if not line.endswith("...")] == [
        "pulsarray: interrupted"
    ]
    assert not path.exists()


def test_interrupt_while_modules_are_imported(tmp_path: Path) -> None:
    """One that lasts stands for those that take a third of a second together."""
    slow = tmp_path / "typer.py"
    slow.write_text(
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(30)\n"
        "except BaseException: raise ImportError('as some packages do') from None\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from pulsarray.__main__ import main; main()"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "pulsarray: interrupted\n")


def test_an_interrupt_that_python_drops() -> None:
    """In a ``__del__`` an exception is dropped, and the work would go on."""
    code = (
        "import os, signal, time\n"
        "from pulsarray.cli import main as m\n"
        "class Dropped:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(0)\n"
        "def work():\n"
        "    Dropped()\n"
        "    time.sleep(30)\n"
        "m.app = lambda _: lambda **_: work()\n"
        "from pulsarray.__main__ import main; main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    _, err = process.communicate(timeout=25)
    assert (process.returncode, err) == (130, "pulsarray: interrupted\n")


def test_an_interrupt_when_all_is_done() -> None:
    """While Python takes itself down it would end the process by the signal."""
    code = (
        "import os, signal\n"
        "from pulsarray.cli import main as m\n"
        "class Last:\n"
        "    kill, pid, number = os.kill, os.getpid(), signal.SIGINT\n"
        "    def __del__(self): self.kill(self.pid, self.number)\n"
        "os.last = Last()  # dropped with the module\n"
        "m.run = lambda _: 0\n"
        "from pulsarray.__main__ import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_ignored_interrupt_stays_ignored() -> None:
    """As in the background of a shell, where Ctrl-C is meant for something else."""
    code = "import os, signal; from pulsarray.cli import main as m; "
    code += "m.run = lambda _: os.kill(os.getpid(), signal.SIGINT) or 0; "
    code += "from pulsarray.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["info", "--config", "smal"], "small"),
        (["info", "--config", "TrainSmall"], "train-small"),
        (["info", "--set", "queue-depht=4"], "queue_depth"),
        (["estimate", "Resnet-8"], "resnet8"),
        (["inspect", "lente"], "lenet"),
        (["train", "xor_tanh"], "xor-tanh"),
        (["train", "xor", "--loss", "crossentropy"], "cross-entropy"),
    ],
)
def test_did_you_mean(command: Command, arguments: list[str], suggestion: str) -> None:
    assert_refused(command(*arguments), f"; did you mean {suggestion!r}?")


def test_no_suggestion_for_what_is_like_nothing(command: Command) -> None:
    assert "did you mean" not in command("info", "--config", "breakfast").err


@pytest.mark.parametrize(
    "arguments",
    [
        "compile gemm:4x4x4 -c {file} -o {file}",
        "estimate gemm:4x4x4 -c {file} --report {file}",
        "simulate {gemm} -c {file} --report {file}",
        "train xor -c {file} --weights {file}",
        "train xor --resume {file} --weights {file}",
        "compare a b -c {file} --html {file}",
    ],
)
def test_what_is_read_is_not_overwritten(
    command: Command, gemm: Path, tmp_path: Path, arguments: str
) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text('preset = "tiny"\n')
    words = arguments.format(file=file, gemm=gemm).split()
    assert_refused(command(*words), "tiny.toml: cannot write: is also the file that is read")
    assert file.read_text() == 'preset = "tiny"\n'


def test_outputs_in_one_file(command: Command, gemm: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    done = command("simulate", gemm, "--report", both, "--outputs", both)
    assert_refused(done, "both: cannot write: is also the file of another option")
    assert_refused(command("simulate", gemm, "--report", gemm), "is also the file that is read")
    assert Program.load(gemm)
    assert not both.exists()


def test_a_cache_that_cannot_be_made(
    command: Command, gemm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PULSARRAY_CACHE", str(tmp_path / "file" / "cache"))
    done = command("simulate", gemm, "--on", "icarus")
    assert_refused(done, "cannot make the cache folder: Not a directory; PULSARRAY_CACHE may")
