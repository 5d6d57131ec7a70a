"""What a training program keeps in memory, and the exponent registers by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from itertools import accumulate

import numpy as np

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.numerics.mantissas import factor
from pulsarray.compiler.numerics.tables import Table, table
from pulsarray.compiler.ops.causal_softmax import CausalSoftmax, allowed
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.drop import mask_name
from pulsarray.compiler.training.layers import DIVIDES, MapShape, Step
from pulsarray.compiler.training.lower.chip import CODE_MAX
from pulsarray.compiler.training.lower.geometry import Geometry, geometries
from pulsarray.compiler.training.lower.paging import lines
from pulsarray.config import EXPONENTS, Config
from pulsarray.errors import InputError
from pulsarray.program import Tensor

__all__ = [
    "DECAY_ROW",
    "LIMIT_ROWS",
    "MASK_ROW",
    "MOMENTUM_ROW",
    "RATE_ROW",
    "SQUARE",
    "TrainTensors",
    "usable_depth",
]

RATE_ROW, DECAY_ROW, MOMENTUM_ROW = range(3)
"""Rows of the parameter bank that the host may change: mantissas of the rates."""
MASK_ROW, *LIMIT_ROWS = range(3, 6)
"""Rows of constants: the largest code in lanes that count and the smallest in others; Huber's
limits, from above and from below."""
_ALIGNED_ONE = 1 << 30
SQUARE = "square"
"""Name of the exponent of what is kept at twice that of a register."""
_STAGING = 2
"""Accumulator words that exponents pass on their way to registers and back; or for epsilon."""


def _exponent_names(network: TrainingNetwork) -> list[str]:
    """What every step needs, then step by step, so that neighbours are used together."""
    names = ["temporary", "minus one", "input", "target", *network.rates]
    for memory in (op.memory for ops in network.stateful.values() for op in ops):
        names += [memory.exponent, *([SQUARE] if memory.times == 2 else [])]
    if network.normalizes:
        names.append("guard")
    owned = [name for step in network.steps for name in _owned(network, step)]
    names += [name for name in network.exponents if name not in set(owned)]
    return list(dict.fromkeys(names + owned))


def _owned(network: TrainingNetwork, step: Step) -> list[str]:
    """Exponents of a step's value, error and parameters."""
    names = [n for kind in ("output", "error") if (n := f"{step.name}.{kind}") in network.exponents]
    if f"{step.owner}.weight" in network.nodes.values:
        names.append(f"{step.owner}.weight")
    names += dict.fromkeys(step.scales.values())
    kept = [(name, op.memory) for name in step.learned for op in network.stateful.get(name, ())]
    return names + [memory.format(name).name for name, memory in kept]


def pages(network: TrainingNetwork) -> bool:
    """Whether a network has more shared exponents than there are registers."""
    return len(_exponent_names(network)) >= EXPONENTS


def usable_depth(network: TrainingNetwork, config: Config) -> int:
    """Words of an accumulator bank that a training of a network may use."""
    taken = pages(network) + ("epsilon" in network.rates)
    return config.accumulator_depth - _STAGING * taken


def _functions(network: TrainingNetwork) -> list[str]:
    names = [name for step in network.steps for name in step.tables]
    if network.loss.name == "log-cosh":
        names.append("tanh")
    if network.loss.name == "cross-entropy":
        names += ["exp", "reciprocal"]
    names += [name for step in network.steps for name in step.divides]
    if network.optimizer.divides:
        names += DIVIDES
    return list(dict.fromkeys(names))


@singledispatch
def seen(_op: Operator, _shape: MapShape, _dim: int) -> Array | None:
    """Where elements of a row count for an operator's result, 1, and where not, 0; None if all do.

    Of the last block alone if that is the same for all rows.
    """
    return None


@seen.register
def _(_op: Softmax, shape: MapShape, dim: int) -> Array | None:
    lanes = shape[2] % dim
    return np.asarray(np.arange(dim) < lanes)[None] if lanes else None


@seen.register
def _(_op: CausalSoftmax, shape: MapShape, dim: int) -> Array | None:
    mask = allowed(shape)
    return np.pad(mask, ((0, 0), (0, -shape[2] % dim)))


@dataclass(frozen=True)
class NormTensors:
    """A normalization in memory: epsilon with its exponent, and the divisors."""

    epsilon: Tensor
    exponent: int
    divisor: Tensor


@dataclass(eq=False)
class TrainTensors:
    """Tensors in memory.

    Parameters
    ----------
    network, config
        What is trained on which machine.
    layout
        Memory.
    rows
        Rows of input, target and output.
    sums
        Whether gradients are summed up in memory.
    prefix
        Begins the names of the tensors that are this training's alone: data, exponents, rates.
        What layers of one name learn is shared by all trainings with the same memory.

    Members
    -------
    registers
        Exponent register of every name; its place in memory, if there are more than registers.
    pages, depth
        Whether there are more, and the words of an accumulator bank that are left for other things.
    functions
        Function tables in the order in which they lie on chip.
    geometries
        How the layers of a network of feature maps lie; empty for a chain of dense layers.

    Raises
    ------
    InputError
        If the network needs more registers or tables than the machine has.
    """

    network: TrainingNetwork
    config: Config
    layout: Layout
    rows: int
    sums: bool
    prefix: str = ""
    registers: dict[str, int] = field(init=False)
    pages: bool = field(init=False)
    depth: int = field(init=False)
    functions: dict[str, Table] = field(init=False)
    geometries: dict[str, Geometry] = field(init=False)

    def __post_init__(self) -> None:
        names = _exponent_names(self.network)
        self.pages = pages(self.network)
        if self.pages and not lines(self.config):
            raise InputError(
                f"{self.network.graph.name}: training needs {len(names)} shared exponents, and of "
                f"the {EXPONENTS - 1} of the machine too few lines of dim = {self.config.dim} take "
                "turns; use fewer layers or a smaller dim"
            )
        self.depth = usable_depth(self.network, self.config)
        self.registers = {name: number for number, name in enumerate(names, 1)}
        for value in self.network.nodes.values.values():
            if value.scale in self.registers:
                self.registers[value.name] = self.registers[value.scale]
        segments = self.config.table_segments
        self.functions = {name: table(name, segments) for name in _functions(self.network)}
        if len(self.functions) > self.config.tables:
            raise InputError(
                f"{self.network.graph.name}: training needs {len(self.functions)} function tables, "
                f"config has tables = {self.config.tables}"
            )
        self.geometries = geometries(self.network.steps, self.network.layers, self.config.dim)
        self._data()
        self._parameters()
        self._constants()

    def _add(self, name: str, role: str, rows: int, columns: int, *, wide: bool = False) -> Tensor:
        element = "sum" if wide else "code"
        for tensor in self.layout.tensors:
            if tensor.name == name and role == "state":
                return self._shared(tensor, rows, columns)
        return self.layout.add(name, role, rows, columns, element=element)

    def _shared(self, tensor: Tensor, rows: int, columns: int) -> Tensor:
        """A tensor that another training has, too."""
        if (tensor.rows, tensor.columns) != (rows, columns):
            raise InputError(
                f"{tensor.name}: must be {tensor.rows} x {tensor.columns} in all networks, "
                f"not {rows} x {columns}"
            )
        return tensor

    def _data(self) -> None:
        outputs = self.network.last.weight.shape[1]
        self.input = self._input()
        rows = self.rows * self.network.judged
        self.target = self._add(f"{self.prefix}target", "input", rows, outputs)
        self.output = self._add(f"{self.prefix}output", "output", rows, outputs)

    def _input(self) -> Tensor:
        """The input: a matrix of samples, a map's pixels, or all that a kernel sees of each.

        Several lie side by side, each from a column block of its own on.
        """
        name, shape = f"{self.prefix}input", self.network.input_shape
        if len(self.network.flow.inputs) > 1:
            return self._add(name, "input", self.rows, self.places[-1] * self.config.dim)
        if shape != self.network.flow.input_shape:
            return self._add(name, "input", self.rows, self.network.graph.input.size)
        window: tuple[int, ...] = ()
        if (packed := self.packed) is not None and packed.packed is not None:
            seen, shape = packed.packed
            window = (*seen.kernel, *seen.stride, *seen.padding, *seen.dilation)
        height, width, channels = self.input_shape
        return self.layout.add(
            name, "input", self.rows * height * width, channels, image=shape, window=window,
            view=self.network.graph.input_view,
        )  # fmt: skip

    @property
    def places(self) -> list[int]:
        """Of several inputs the first column blocks, and the number of blocks."""
        blocks = (-(-depth // self.config.dim) for *_, depth in self.network.flow.inputs.values())
        return list(accumulate(blocks, initial=0))

    def side_by_side(self, samples: Array) -> Array:
        """Several inputs (samples, elements) as they lie in memory, zeros between them."""
        columns = np.zeros((len(samples), self.input.columns), samples.dtype)
        parts = self.network.inputs(samples).values()
        for first, part in zip(self.places, parts, strict=False):
            columns[:, first * self.config.dim :][:, : part[0].size] = part.reshape(len(part), -1)
        return columns

    @property
    def steered(self) -> list[Tensor]:
        """What the learning rate is part of."""
        tensors = self.rates, self.exponents, self.epsilon
        return [tensor for tensor in tensors if tensor is not None]

    @property
    def packed(self) -> Geometry | None:
        """The layer whose windows on the input the host gathers, if there is one."""
        return next((g for g in self.geometries.values() if g.packed is not None), None)

    @property
    def input_shape(self) -> MapShape:
        """Of a network of feature maps, the input as the machine reads it."""
        return self.network.flow.input_shape if self.packed is None else self.packed.given

    def shape(self, layer: Step) -> tuple[int, int]:
        """Shape of a layer's weights in memory."""
        k, n = layer.weight.shape
        placed = self.geometries.get(layer.name)
        return (k if placed is None else placed.rows), n

    def _parameters(self) -> None:
        """What is kept of parameters, by its name, sums of gradients, and the exponents."""
        self.kept: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        for layer in self.network.layers:
            k, n = self.shape(layer)
            weight = f"{layer.name}.weight"
            for name, rows in ((weight, k), (f"{layer.name}.bias", 1)):
                for kept in self.network.stored(name):
                    self.kept[kept] = self._add(kept, "state", rows, n, wide=kept != weight)
                if self.sums and name in layer.learned:
                    total = f"{self.prefix}{name}.gradient"
                    self.gradients[name] = self._add(total, "state", rows, n, wide=True)
        self._masks()
        self._drops()
        self._seen()
        words = -(-max(EXPONENTS, 1 + max(self.registers.values())) // self.config.dim)
        self.exponents = self._add(
            f"{self.prefix}exponents", "state", words, self.config.dim, wide=True
        )

    def _norm(self, layer: Step) -> NormTensors:
        """What a normalization keeps: epsilon, and the divisors of the forward pass."""
        dim, (height, width, channels) = self.config.dim, layer.given
        mantissa, exponent = factor(layer.epsilon, f"{layer.name}: epsilon")
        epsilon = self.layout.add(
            f"{self.prefix}{layer.name}.epsilon", "constant", 1, dim, element="sum",
            values=np.full((1, dim), mantissa),
        )  # fmt: skip
        each = (1, channels) if layer.op.mixes_samples else (self.rows * height * width, dim)
        divisor = self._add(f"{self.prefix}{layer.name}.divisor", "intermediate", *each, wide=True)
        return NormTensors(epsilon, exponent, divisor)

    def _drops(self) -> None:
        """Of dropouts, which values are left."""
        self.drops: dict[str, Tensor] = {}
        for step in self.network.steps:
            if step.op.only_trains:
                rows = self.rows * step.result[0] * step.result[1]
                name = f"{self.prefix}{mask_name(step)}"
                self.drops[step.name] = self._add(name, "input", rows, step.result[2])

    def _seen(self) -> None:
        """Of softmax, the largest code where elements count, the least elsewhere."""
        self.seen: dict[str, Tensor] = {}
        for step in self.network.steps:
            if (mask := seen(step.op, step.result, self.config.dim)) is not None:
                values = np.where(mask > 0, CODE_MAX, -CODE_MAX - 1)
                self.seen[step.name] = self.layout.add(
                    f"{self.prefix}{step.name}.seen", "constant", *values.shape, element="sum",
                    values=values,
                )  # fmt: skip

    def _masks(self) -> None:
        """Of layers with groups of channels, which words of memory are weights."""
        self.masks: dict[str, Tensor] = {}
        for layer in self.network.layers:
            placed = self.geometries.get(layer.name)
            if placed is None or placed.groups == 1:
                continue
            values = np.zeros(self.shape(layer), np.int64)
            values[placed.places(layer.weight.shape)] = 1
            self.masks[layer.name] = self.layout.add(
                f"{self.prefix}{layer.name}.mask", "constant", *values.shape, values=values
            )

    def _constants(self) -> None:
        dim, words = self.config.dim, 3 * PARAMETER_COLUMNS
        self.rates = self._add(f"{self.prefix}rates", "constant", words, dim, wide=True)
        self.epsilon: Tensor | None = None
        if "epsilon" in self.network.rates:
            self.epsilon = self._add(f"{self.prefix}epsilon", "constant", 1, dim, wide=True)
        columns = self.network.last.weight.shape[1]
        rows = np.zeros((3, PARAMETER_COLUMNS, dim), np.int64)
        valid = np.arange(dim) < (columns - 1) % dim + 1
        rows[0, -1] = np.where(valid, CODE_MAX, -CODE_MAX - 1)
        limit = round((self.network.loss.parameter or 0.0) * _ALIGNED_ONE)
        rows[1:, -1] = [[limit], [-limit]]
        self.constants = self.layout.add(
            f"{self.prefix}constants", "constant", words, dim, element="sum",
            values=rows.reshape(-1, dim),
        )  # fmt: skip
        self.ones = self.layout.add(
            f"{self.prefix}ones", "constant", 1, 1, values=np.ones((1, 1), np.int64)
        )
        norms = (step for step in self.network.steps if step.epsilon)
        self.norms = {layer.name: self._norm(layer) for layer in norms}
        self.identity = self.ones
        if self.norms:
            self.identity = self.layout.add(
                f"{self.prefix}identity", "constant", dim, dim, values=np.eye(dim, dtype=np.int64)
            )
        tables = [function.words(self.config) for function in self.functions.values()]
        self.tables = (
            self.layout.add_raw(f"{self.prefix}tables", np.concatenate(tables)) if tables else None
        )
