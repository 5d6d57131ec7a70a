"""Convolutional networks: what they cost, and that machine, model and references agree.

``python benchmarks/networks.py`` has three parts; each option chooses one, without any all run:

--onnx   the nine ImageNet networks that the onnx package carries, with random weights, on ``base``:
         cycles of the timing model beside the bound, and which layers stay below 80 % of theirs
--tiny   trained networks of MLPerf Tiny, if their files are beside the repository: Verilator
         against the model, and every tensor against LiteRT's reference kernels
--lenet  LeNet-5 on 1,000 test images, all on Verilator, every run compared with the model

Exit code 1 if a comparison finds a difference or a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from rich.table import Table

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.interpreter import host_shape, run_float
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.compiler.reference.run import run as run_integers
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from pulsarray.errors import CheckFailed, InputError
from pulsarray.images import to_matrix
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program, unpack
from pulsarray.report import build_report
from pulsarray.sim.compare import compare
from pulsarray.sim.device import Device, run_model, simulate
from pulsarray.sim.random.maps import with_inputs
from pulsarray.zoo.networks import built_in, load_digits

__all__ = ["Bar", "lenet_part", "onnx_part", "tiny_part"]

CONFIG = PRESETS["base"]
LOW = 0.8
"""Layers below this share of their own bound are explained."""
RESNET50, RESNET8 = 17_900_000, 60_000
FILES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NETWORKS = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet", "vgg19", "zfnet512",
)  # fmt: skip
MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
TINY = {"ResNet-8": "pretrainedResnet_quant", "DS-CNN": "kws_ref_model"}
SEED, INPUTS, BATCH = 1, 20, 20

Ints = npt.NDArray[np.int64]


class Bar(NamedTuple):
    """One figure: what, the value, and its bar with whether it is reached ("" without one)."""

    what: str
    value: str
    bar: str = ""
    reached: bool = True


# -- cost of the networks of the onnx package -----------------------------------------------------


@dataclass(frozen=True)
class Gap:
    """Layers that stay below 80 % of their own bound for one reason."""

    reason: str
    layers: int
    cycles: int
    bound: int


@dataclass(frozen=True)
class Cost:
    """What a network costs; ``problem`` says why nothing is known.

    Parameters
    ----------
    macs, cycles, array, bus
        Of one image; ``array`` and ``bus`` are the two bounds.
    seconds, gigabytes
        To import, quantize and compile it, and the most memory that this took.
    """

    name: str
    problem: str = ""
    macs: int = 0
    cycles: int = 0
    array: int = 0
    bus: int = 0
    seconds: float = 0.0
    gigabytes: float = 0.0
    gaps: list[Gap] = field(default_factory=list)

    @property
    def bound(self) -> int:
        """No program takes fewer cycles."""
        return max(self.array, self.bus)

    @property
    def share(self) -> float:
        """The bound by the cycles: 1 is the best possible."""
        return self.bound / self.cycles if self.cycles else 0.0


def cost(name: str, folder: Path | None) -> Cost:
    """Import, quantize, compile and time a network; its report goes into the folder."""
    begin = time.perf_counter()
    try:
        graph = import_onnx(FILES / f"light_{name}.onnx", random_weights=SEED)
        samples = np.random.default_rng(SEED).normal(size=(2, *host_shape(graph)))
        network = quantize_graph(graph, samples, CONFIG)
        program = compiler.compile(network, CONFIG, name=name)
    except InputError as error:
        return Cost(name, str(error))
    seconds = time.perf_counter() - begin
    report = build_report(program, simulate_timing(program))
    if folder is not None:
        text = json.dumps(report, indent=1)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    figures = report["macs"], report["cycles"], report["bound"]["compute"]
    bus = report["bound"]["memory"]
    return Cost(name, "", *figures, bus, seconds, peak, gaps(report, program, network))


def gaps(report: dict[str, Any], program: Program, network: Graph) -> list[Gap]:
    """The layers below 80 % of their own bound, by reason, most cycles first."""
    groups = {n.name: n.op.groups for n in network.nodes if isinstance(n.op, Convolution)}
    by_reason: dict[str, Gap] = {}
    for row, layer in zip(report["layers"], program.layers, strict=True):
        if row["cycles"] and row["bound_cycles"] < LOW * row["cycles"]:
            bus = max(layer.read_bytes, layer.write_bytes) // CONFIG.bus_bytes
            reason = _reason(row, groups.get(layer.name, 1), network, bus)
            old = by_reason.get(reason, Gap(reason, 0, 0, 0))
            by_reason[reason] = Gap(
                reason,
                old.layers + 1,
                old.cycles + row["cycles"],
                old.bound + row["bound_cycles"],
            )
    return sorted(by_reason.values(), key=lambda gap: -gap.cycles)


def _reason(row: dict[str, Any], groups: int, network: Graph, bus: int) -> str:
    """Why a layer takes longer than its own bound."""
    cycles, stream = row["cycles"], row["units"]["stream"]
    if not row["macs"]:
        unit = "array" if 2 * stream["busy"] >= cycles else "vector unit"
        return f"no products: {_plain_kind(row['kind'])} on the {unit}"
    if bus > LOW * cycles > stream["busy"]:
        return "memory bus: weights that are used once"
    extra = "channels of each tap no multiple of D"
    if groups > 1:
        channels = network.inputs_of(_node(network, row["name"]))[0].shape[2]
        kind = "depthwise" if groups == channels else "grouped"
        extra = f"{kind} convolution: few groups at a time fit the array"
    causes = {
        extra: stream["busy"] - row["bound_cycles"],
        "array waits for its weights": stream["stall"],
        "array waits for data or results": stream["wait"] + stream["start"] + stream["drain"],
        "array without instructions": stream["idle"],
    }
    return max(causes, key=lambda cause: causes[cause])


def _plain_kind(kind: str) -> str:
    """One name for the steps of local response normalization."""
    return "normalization" if kind in ("square", "multiply") else kind.partition("+")[0]


def _node(network: Graph, name: str) -> Node:
    return next(n for n in network.nodes if n.name == name and isinstance(n.op, Convolution))


def costs(names: Sequence[str], folder: Path | None) -> Iterator[Cost]:
    """Each network in a process of its own, which gives its memory back."""
    spawn = multiprocessing.get_context("spawn")
    for name in names:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            try:
                yield pool.submit(cost, name, folder).result()
            except BrokenProcessPool:
                yield Cost(name, "its process was killed, probably for want of memory (needs 7 GB)")


def onnx_part(
    console: Console, names: Sequence[str] = NETWORKS, folder: Path | None = None
) -> list[Bar]:
    """The nine networks: a table of cost, and one of the layers far from their bounds."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    rows = list(costs(names, folder))
    console.print(_cost_table(rows))
    console.print(_gap_table(rows))
    for one in rows:
        if one.problem:
            console.print(f"{one.name}: {one.problem}", style="red", markup=False)
    return _cost_bars(rows)


def _cost_bars(rows: Sequence[Cost]) -> list[Bar]:
    compiled = sorted((one for one in rows if not one.problem), key=lambda one: -one.share)
    shares = ", ".join(f"{one.name} {one.share:.1%}" for one in compiled)
    text = f"{len(compiled)} of {len(rows)}"
    bars = [
        Bar("ONNX networks compiled for base", text, "all", len(compiled) == len(rows)),
        Bar("ONNX networks, base: bound by cycles", shares),
    ]
    for one in compiled:
        if one.name == "resnet50":
            text = f"{one.cycles:,} (bound {one.bound:,})"
            reached = one.cycles <= RESNET50
            bars.append(Bar("ResNet-50, base: cycles", text, f"at most {RESNET50:,}", reached))
    return bars


def _cost_table(rows: Sequence[Cost]) -> Table:
    columns = (
        "network",
        "GMAC",
        "cycles",
        "bound",
        "limit",
        "bound/cycles",
        "compiled in",
        "peak GB",
    )
    table = _table(f"ONNX networks, one image, D = {CONFIG.dim}, random weights, model", columns)
    for one in rows:
        if one.problem:
            table.add_row(one.name, "not compiled")
            continue
        limit = "array" if one.array >= one.bus else "bus"
        table.add_row(
            one.name, f"{one.macs / 1e9:.2f}", f"{one.cycles:,}", f"{one.bound:,}", limit,
            f"{one.share:.1%}", f"{one.seconds:.0f} s", f"{one.gigabytes:.1f}",
        )  # fmt: skip
    return table


def _gap_table(rows: Sequence[Cost]) -> Table:
    table = _table(
        f"Layers below {LOW:.0%} of their own bound",
        ("network", "reason", "layers", "cycles", "bound", "of all"),
    )
    table.columns[1].justify = "left"
    for one in rows:
        for gap in one.gaps:
            table.add_row(
                one.name, gap.reason, str(gap.layers), f"{gap.cycles:,}", f"{gap.bound:,}",
                f"{gap.cycles / one.cycles:.1%}",
            )  # fmt: skip
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table


# -- trained networks of MLPerf Tiny --------------------------------------------------------------


def tiny_part(console: Console) -> list[Bar]:
    """The networks of MLPerf Tiny: RTL, model, integer definitions, LiteRT."""
    bars = []
    for name, stem in TINY.items():
        file = MODELS / f"{stem}.tflite"
        if file.exists():
            bars += _tiny(name, file)
        else:
            console.print(f"{name}: skipped, {file.name} is not in {MODELS.parent.name}/models")
    if bars:
        console.print(_bar_table("MLPerf Tiny, trained int8 networks, one input", bars))
    return bars


def _tiny(name: str, file: Path) -> list[Bar]:
    network = import_tflite(file)
    machine = machine_part(network)
    program = compiler.compile(network, CONFIG, name=name)
    samples = inputs(network.input.shape)
    memory = with_inputs(program, samples[:1])
    expected, got = run_model(program, memory), simulate(program, "verilator", memory=memory)
    different = compare(expected, got, program)
    maps = run_integers(machine, samples)
    computed = {place: codes for place, codes in maps.items() if place != network.input.name}
    assert got.memory is not None
    output = program.with_role("output")[0]
    wrong = unpack(got.memory, output, CONFIG).ravel() != maps[machine.output.name][0].ravel()
    if wrong.any():
        different.append(f"{np.count_nonzero(wrong)} outputs differ from the integer definitions")
    report = build_report(program, expected)
    cycles, limit = report["cycles"], RESNET8 if name == "ResNet-8" else 0
    return [
        Bar(
            f"{name} of MLPerf Tiny, base: cycles",
            f"{cycles:,} (bound {report['bound_cycles']:,})",
            f"at most {limit:,}" if limit else "",
            not limit or cycles <= limit,
        ),
        Bar(
            f"{name}: Verilator, model and integer definitions",
            different[0] if different else "identical",
            "identical",
            not different,
        ),
        *_references(name, file, computed, samples),
    ]


def inputs(shape: tuple[int, ...]) -> Ints:
    """Structured and random inputs, shape (samples, H, W, C): a flat, a ramp, noise, smooth."""
    random = np.random.default_rng(SEED)
    ramp = np.linspace(-128, 127, int(np.prod(shape))).round().reshape(shape)
    structured = [np.full(shape, code) for code in (-128, 0, 127)] + [ramp, ramp[::-1]]
    smooth = [np.clip(random.normal(0, 12, shape).cumsum(0), -128, 127) for _ in range(5)]
    noise = [random.integers(-128, 128, shape) for _ in range(INPUTS - len(structured + smooth))]
    return np.stack([*noise, *smooth, *structured]).astype(np.int64)


def _references(name: str, file: Path, maps: dict[str, Ints], samples: Ints) -> list[Bar]:
    """Every element of every tensor against LiteRT's reference and optimized kernels."""
    what = f"{name}: elements of all tensors, {len(samples)} inputs, other than LiteRT's"
    try:
        from ai_edge_litert.interpreter import OpResolverType
    except ImportError:
        return [Bar(what, "not compared: ai-edge-litert is not installed")]
    total = sum(codes.size for codes in maps.values())
    exact = _differing(_runner(file, OpResolverType.BUILTIN_REF), maps, samples)
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    fast = _differing(_runner(file, plain), maps, samples)
    text = f"reference kernels {exact:,} of {total:,}, optimized {fast:,} ({fast / total:.2%})"
    return [
        Bar(what, text, "none of reference kernels", exact == 0),
        Bar(
            f"{name}: final int8 outputs, LiteRT's default (XNNPACK) beside its reference kernels",
            _spread(
                _outputs(_runner(file, OpResolverType.BUILTIN_REF), samples),
                _outputs(_runner(file, OpResolverType.AUTO), samples),
            ),
        ),
    ]


def _runner(file: Path, kernels: Any) -> Any:
    """LiteRT's interpreter; delegates do not keep what lies between input and output."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    runner = Interpreter(
        model_path=str(file),
        experimental_op_resolver_type=kernels,
        experimental_preserve_all_tensors=kernels is not OpResolverType.AUTO,
    )
    runner.allocate_tensors()
    return runner


def _invoke(runner: Any, codes: Ints) -> None:
    source = runner.get_input_details()[0]
    runner.set_tensor(source["index"], codes.astype(np.int8).reshape(source["shape"]))
    runner.invoke()


def _differing(runner: Any, maps: dict[str, Ints], samples: Ints) -> int:
    places = {detail["name"]: detail["index"] for detail in runner.get_tensor_details()}
    count = 0
    for number, codes in enumerate(samples):
        _invoke(runner, codes)
        for name, computed in maps.items():
            wanted = np.asarray(runner.get_tensor(places[name]))
            count += int(np.count_nonzero(computed[number].ravel() != wanted.ravel()))
    return count


def _outputs(runner: Any, samples: Ints) -> Ints:
    place, outputs = runner.get_output_details()[0]["index"], []
    for codes in samples:
        _invoke(runner, codes)
        outputs.append(np.array(runner.get_tensor(place), np.int64))
    return np.stack(outputs)


def _spread(first: Ints, second: Ints) -> str:
    apart = np.abs(first - second)
    return f"{np.count_nonzero(apart):,} of {apart.size:,} differ, by at most {apart.max()}"


# -- LeNet on digits ------------------------------------------------------------------------------


def lenet_part(console: Console, batch: int = BATCH) -> list[Bar]:
    """The built-in LeNet: 1,000 images in float and on Verilator."""
    graph, calibration = built_in("lenet")
    digits = load_digits()
    images = digits.test_images.reshape(-1, 28, 28, 1)
    network = quantize_graph(graph, calibration, CONFIG)
    program = compiler.compile(network, CONFIG, batch=batch)
    codes = network.input.codes.encode(images)
    begin = time.perf_counter()
    answers, problem = _on_verilator(program, codes, batch)
    seconds = time.perf_counter() - begin
    wanted = run_outputs(network, codes)[network.output.name].reshape(-1, 10)
    if not problem and not np.array_equal(answers, wanted):
        problem = "outputs differ from the integer definitions"
    real = float(np.mean(run_float(graph, images).argmax(axis=1) == digits.test_labels))
    right = float(np.mean(answers.argmax(axis=1) == digits.test_labels[: len(answers)]))
    each = simulate_timing(program).cycles / batch
    runs = f"{len(answers) // batch} runs of {batch}"
    good = problem or f"identical ({runs}, {seconds:.0f} s)"
    bars = [
        Bar(f"LeNet-5, {len(images):,} test images, base: Verilator against the model", good,
            "identical", not problem),
        Bar("LeNet-5: test accuracy", f"int8 on Verilator {right:.1%}, float64 {real:.1%}",
            "within 1 point", right >= real - 0.01),
        Bar(f"LeNet-5, base, batch {batch}: cycles an image", f"{each:,.0f}"),
    ]  # fmt: skip
    console.print(_bar_table("LeNet-5 on MNIST digits", bars))
    return bars


def _on_verilator(program: Program, codes: Ints, batch: int) -> tuple[Ints, str]:
    """Answers (samples, classes) of a simulator whose every run equals the model's; a problem."""
    source, result = program.with_role("input")[0], program.with_role("output")[0]
    answers: list[Ints] = [np.empty((0, result.columns), np.int64)]
    with Device("verilator", check=True) as device:
        device.load(program)
        for first in range(0, len(codes), batch):
            device.write(source.name, to_matrix(codes[first:][:batch], source, source.name))
            try:
                device.run()
            except CheckFailed as error:
                return np.concatenate(answers), str(error)
            answers.append(device.read(result.name))
    return np.concatenate(answers), ""


# -- the command ----------------------------------------------------------------------------------


def _bar_table(title: str, bars: Sequence[Bar]) -> Table:
    table = _table(title, ("what", "measured", "bar"))
    table.columns[1].justify = table.columns[2].justify = "left"
    for bar in bars:
        table.add_row(bar.what, bar.value, bar.bar, style="" if bar.reached else "red")
    return table


def main() -> int:
    """Run the chosen parts; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--onnx", action="store_true", help="the nine networks of the onnx package")
    parser.add_argument("--tiny", action="store_true", help="networks of MLPerf Tiny")
    parser.add_argument("--lenet", action="store_true", help="LeNet-5 on 1,000 digits")
    parser.add_argument("--json", action="store_true", help="print figures as JSON, no tables")
    parser.add_argument("--reports", type=Path, metavar="FOLDER", help="a report of each network")
    parser.add_argument("names", nargs="*", metavar="NETWORK", help="--onnx: only these")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NETWORKS))
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there is {', '.join(NETWORKS)}")
    console = Console(width=120, highlight=False, quiet=options.json)
    parts: dict[str, Callable[[], list[Bar]]] = {
        "onnx": lambda: onnx_part(console, options.names or NETWORKS, options.reports),
        "tiny": lambda: tiny_part(console),
        "lenet": lambda: lenet_part(console),
    }
    chosen = [name for name in parts if getattr(options, name)] or list(parts)
    bars = [bar for name in chosen for bar in parts[name]()]
    if options.json:
        sys.stdout.write(json.dumps([bar._asdict() for bar in bars], indent=1) + "\n")
    return 0 if all(bar.reached for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
