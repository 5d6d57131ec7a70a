"""The cases of the corpus: named programs on three machines, all drawn from one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.networks import FILES, NETWORKS
from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import host_shape
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import PRESETS, Config
from pulsarray.images import host_shape as tensor_shape
from pulsarray.images import to_matrix
from pulsarray.model.functional import execute
from pulsarray.program import Program, pack, unpack
from pulsarray.sim.random.convolution_training import ConvolutionSetup
from pulsarray.sim.random.maps import draw_convolution, draw_network
from pulsarray.sim.random.training import Setup, samples
from pulsarray.zoo.networks import built_in
from pulsarray.zoo.workloads import WORKLOADS

__all__ = ["SEED", "Case", "Made", "all_cases"]

SEED = 2026
INFERENCE = {
    "small": PRESETS["small"],
    "base": PRESETS["base"],
    "odd": Config(
        dim=5, scale_bits=24, scratchpad_banks=5, scratchpad_depth=512, accumulator_banks=3,
        accumulator_depth=64, parameter_depth=8, bus_bits=32, tables=1, outstanding=2,
        queue_depth=2,
    ),
}  # fmt: skip
TRAINING = {
    "train-small": PRESETS["train-small"],
    "train": PRESETS["train"],
    "train-odd": Config(
        dim=3, operand_bits=16, acc_bits=48, scale_bits=0, training=True, bus_bits=64,
        scratchpad_banks=7, scratchpad_depth=2048, accumulator_banks=4, accumulator_depth=128,
        parameter_depth=8, tables=4, outstanding=3, queue_depth=3,
    ),
}  # fmt: skip
GRAPHS, STEPS, PERCEPTRONS = 200, 200, 40
_DIM, _WORDS = 4, 4_000
"""Words that enter an array of that D in a random convolution that learns, at most."""
_SMALL = 0.02
"""Learning rate of a training step."""
_GEMMS = (
    (64, 64, 64), (512, 512, 512), (1, 1, 1), (1, 784, 10), (7, 300, 130), (33, 40, 50),
    (200, 17, 9), (64, 1000, 64), (1000, 64, 16), (3, 5, 600),
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A program with data in its memory, and the tensors that say what it computed."""

    program: Program
    roles: tuple[str, ...] = ("output",)

    @property
    def bytes(self) -> str:
        """Digest of a program: instructions, memory, and where tensors and layers are."""
        program = self.program
        tensors = [(t.name, t.role, t.address, t.rows, t.columns) for t in program.tensors]
        layers = [(x.name, x.kind, x.first, x.last, x.m, x.k, x.n) for x in program.layers]
        return _digest(program.code, program.memory.tobytes(), repr((tensors, layers)).encode())

    @property
    def integers(self) -> str:
        """Digest of what the model computes: every tensor of the roles, by name."""
        after, config = execute(self.program), self.program.config
        tensors = [t for role in self.roles for t in self.program.with_role(role)]
        tensors.sort(key=lambda tensor: tensor.name)
        return _digest(*(unpack(after, tensor, config).tobytes() for tensor in tensors))


@dataclass(frozen=True)
class Trained(Made):
    """A training step: its exponents count by their names, wherever the machine keeps them."""

    training: Training = field(kw_only=True)
    state: TrainState = field(kw_only=True)

    @property
    def integers(self) -> str:
        """Digest of the outputs, and of the state after it."""
        program, config = self.program, self.program.config
        after = execute(program)

        def read(name: str) -> npt.NDArray[np.int64]:
            return unpack(after, program.tensor(name), config)

        state = self.training.decode_state(read, self.state)
        scales = repr((sorted(state.exponents.items()), sorted(state.counts.items())))
        exponents = self.training.tensors.exponents.name
        tensors = [*program.with_role("output"), *program.with_role("state")]
        names = sorted(tensor.name for tensor in tensors if tensor.name != exponents)
        return _digest(scales.encode(), *(read(name).tobytes() for name in names))


@dataclass(frozen=True)
class Case:
    """One program of the corpus.

    Parameters
    ----------
    name
        ``KIND/WHAT@MACHINE``.
    make
        Compiles it and fills its inputs.
    big
        Whether it takes minutes, or gigabytes.
    """

    name: str
    make: Callable[[], Made]
    big: bool = False


def all_cases() -> Iterator[Case]:
    """Every case."""
    yield from _networks()
    yield from _products()
    for number in range(PERCEPTRONS):
        for machine, config in INFERENCE.items():
            yield Case(f"mlp/{number:03d}@{machine}", partial(_perceptron, number, config))
    for number in range(GRAPHS):
        for machine, config in INFERENCE.items():
            yield Case(f"graph/{number:03d}@{machine}", partial(_graph, number, config))
    for number in range(STEPS):
        for machine, config in TRAINING.items():
            yield Case(f"step/{number:03d}@{machine}", partial(_step, number, config))
    for name, workload in WORKLOADS.items():
        make = partial(_workload, name)
        yield Case(f"workload/{name}@{workload.config}", make, workload.graph is not None)


def _networks() -> Iterator[Case]:
    for machine, config in INFERENCE.items():
        for name, batch in (("mnist-mlp", 1), ("mnist-mlp", 64), ("lenet", 2), ("resnet8", 1)):
            make = partial(_built_in, name, batch, config)
            yield Case(f"network/{name}x{batch}@{machine}", make)
    base = INFERENCE["base"]
    yield Case("network/resnet50x1@base", partial(_built_in, "resnet50", 1, base), big=True)
    for name in NETWORKS:
        yield Case(f"onnx/{name}@base", partial(_onnx, name, base), big=True)


def _products() -> Iterator[Case]:
    for sizes in _GEMMS:
        for machine, config in INFERENCE.items():
            for sums in (False, True):
                name = f"gemm/{'x'.join(map(str, sizes))}{'-sums' if sums else ''}@{machine}"
                yield Case(name, partial(_gemm, sizes, config, sums))


def _random(kind: int, number: int) -> np.random.Generator:
    return np.random.default_rng((SEED, kind, number))


def _gemm(sizes: tuple[int, int, int], config: Config, sums: bool) -> Made:
    return Made(compile_gemm(*sizes, config, sums=sums, seed=SEED))


@cache
def _known(name: str) -> tuple[Graph, Floats]:
    return built_in(name)


def _built_in(name: str, batch: int, config: Config) -> Made:
    graph, calibration = _known(name)
    program = compiler.compile(graph, config, batch=batch, calibration=calibration)
    return Made(_fed(program))


def _onnx(name: str, config: Config) -> Made:
    graph = import_onnx(FILES / f"light_{name}.onnx", random_weights=SEED)
    calibration = np.random.default_rng(SEED).normal(size=(2, *host_shape(graph)))
    return Made(_fed(compiler.compile(graph, config, calibration=calibration)))


def _perceptron(number: int, config: Config) -> Made:
    """One to four dense layers of up to 300 outputs, batches of up to 100."""
    random = _random(0, number)
    widths = [int(np.exp(random.uniform(0, np.log(301)))) for _ in range(random.integers(2, 6))]
    batch = int(np.exp(random.uniform(0, np.log(101))))
    builder = Builder("mlp", widths[0])
    for k, n in pairwise(widths):
        builder.dense(random.normal(0, k**-0.5, (k, n)), random.normal(0, 0.3, n))
        chosen = str(random.choice(["relu", "sigmoid", "tanh", "clip", "none"]))
        if chosen == "clip":
            builder.clip(-0.5, 1.0)
        elif chosen != "none":
            getattr(builder, chosen)()
    calibration = random.normal(0, 1, (32, widths[0]))
    program = compiler.compile(builder.build(), config, batch=batch, calibration=calibration)
    return Made(_fed(program))


def _graph(number: int, config: Config) -> Made:
    """An integer network: every fourth one is a single convolution."""
    random = _random(1, number)
    draw = draw_network if number % 4 else draw_convolution
    graph = draw(random, config)
    return Made(_fed(compiler.compile(graph, config, batch=int(random.integers(1, 4)))))


def _fed(program: Program) -> Program:
    """The program with random codes as its inputs, the same whatever their layout."""
    random, memory = np.random.default_rng(SEED), program.memory.copy()
    for tensor in program.with_role("input"):
        codes = random.integers(-128, 128, tensor_shape(tensor))
        data = pack(to_matrix(codes, tensor, tensor.name), tensor, program.config)
        memory[tensor.address : tensor.address + data.size] = data
    return replace(program, memory=memory)


def _step(number: int, config: Config) -> Made:
    """A step of a random training network: dense layers, or around a convolution, in turn."""
    random = _random(2, number)
    if number % 2:
        maps = ConvolutionSetup.draw(random, _DIM, _WORDS)
        return _trained(maps.network(number), maps.batch, *maps.samples(number), config)
    setup = Setup.draw(random)
    network = setup.network(number)
    return _trained(network, setup.batch, *samples(network, setup.batch, number), config)


def _workload(name: str) -> Made:
    workload = WORKLOADS[name]
    data, config = workload.data(), workload.machine
    batch = min(workload.batch, len(data.inputs))
    x, t = data.inputs[:batch], data.targets[:batch]
    return _trained(workload.network(0), batch, x, t, config)


def _trained(network: TrainingNetwork, batch: int, x: Floats, t: Floats, config: Config) -> Made:
    """One step, or its first part, on data: what it computes is the state after it."""
    training = compile_training(network, config, batch=batch)
    interpreter = TrainInterpreter(network, config.table_segments)
    state = interpreter.initial(x, t, learning_rate=_SMALL, batch=batch)
    inputs, targets = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, inputs, targets)
    part: dict[str, Any] = {"input": inputs[: training.chunk], "target": targets[: training.chunk]}
    filled = training.filled(training.first, training.encode_state(state) | part)
    return Trained(filled, training=training, state=state)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:12]
