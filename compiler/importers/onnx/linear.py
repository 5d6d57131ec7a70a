"""ONNX operators that are affine in their first input once the others are constant.

Moving, repeating and interpolating elements, filling in constants and cumulative sums are all one
product of a sample with a matrix, and an offset. ONNX's own reference implementation says which: of
zeros, and of single elements. Where that is too large a matrix, the operator is refused.
"""

from __future__ import annotations

from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.constants import FOLDED, fold_constants
from pulsarray.compiler.importers.onnx.evaluate import evaluate
from pulsarray.compiler.importers.onnx.file import Call, Constant
from pulsarray.compiler.importers.onnx.orders import Ints, Shape, Tensor, arranged
from pulsarray.compiler.importers.onnx.tensors import BATCH, Network
from pulsarray.compiler.ir.value import Array, Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.resize import Resize, nearest
from pulsarray.errors import InputError

__all__ = ["AFFINE", "LARGEST_MATRIX", "affine", "gathered", "spread"]

AFFINE = frozenset(
    {
        *("AffineGrid", "CenterCropPad", "Col2Im", "Compress", "CumSum", "DFT", "Expand"),
        *("GatherElements", "GatherND", "GridSample", "MaxUnpool", "ReverseSequence", "Scatter"),
        *("ScatterElements", "ScatterND", "TensorScatter", "Tile", "Trilu"),
    }
)
"""Operators that are done so."""
LARGEST_MATRIX = 1 << 24
"""Elements of a matrix."""
_LARGEST_TRIAL = 1 << 15
"""Elements of all samples on which an operator is tried."""
_LARGEST_BASIS = 1 << 20
"""Elements of a matrix whose rows are found one by one."""
_OPEN_BATCH = 2
"""Samples on which it is tried what an operator does where the file leaves the batch open."""
_CLOSE = 1e-4


class _Trial:
    """What an operator makes of samples.

    Raises
    ------
    InputError
        If the operator cannot work on them, or does not make as many samples.
    """

    def __init__(self, network: Network, call: Call) -> None:
        tensor = network.tensor(call.inputs[0], call.where)
        self.call, self.opset, self.given = call, network.file.opset, tensor.shape
        self.count = network.file.batch or _OPEN_BATCH
        if self.count * prod(self.given) > _LARGEST_TRIAL:
            raise InputError(
                f"{call.where}: {call.kind} of {self.count} samples of {prod(self.given)} elements "
                f"is too large, only up to {_LARGEST_TRIAL} elements"
            )
        names = [name for name in call.inputs[1:] if name]
        self.constants = [self._constant(network, name) for name in names]
        if call.kind == "CumSum":
            self.constants = [value.reshape(()) for value in self.constants]
        if call.text("reduction", "none") in ("max", "min"):
            raise InputError(f"{call.where}: {call.kind} must replace, add or multiply elements")
        self.shape: Shape = self(np.zeros((self.count, prod(self.given)))).shape[1:]
        self.size = prod(self.shape)
        _check_size(call, prod(self.given), self.size)

    def _constant(self, network: Network, name: str) -> Constant:
        """An operand; in a shape, the batch that the file leaves open is that of the trial."""
        if self.call.kind != "Expand" or name not in network.others:
            return network.raw(name, self.call.where, "operand")
        sizes = network.new_shape(name, self.call.where)
        return np.array([self.count if size == BATCH else size for size in sizes], np.int64)

    def __call__(self, samples: Floats) -> Constant:
        """Results of samples (samples, elements)."""
        data = samples.astype(np.float32).reshape(self.count, *self.given)
        how = fold_constants if self.call.kind in FOLDED else evaluate
        made = how(self.call, [data, *self.constants], self.opset)[0]
        if made.ndim < 2 or len(made) != self.count or not made.size:
            raise InputError(
                f"{self.call.where}: {self.call.kind} must keep all samples of a batch, and "
                "elements of each"
            )
        return made

    def rows(self, samples: Floats) -> Floats:
        """Results as (samples, elements)."""
        return self(samples).reshape(self.count, -1).astype(np.float64)


def affine(network: Network, call: Call) -> None:
    """One of :data:`AFFINE`; an Expand that repeats nothing is none."""
    if call.kind == "Expand" and _repeats_nothing(network, call):
        network.alias(call.outputs[0], call.inputs[0], call.where)
        return
    trial = _Trial(network, call)
    offset = trial.rows(np.zeros((trial.count, prod(trial.given))))[0]
    weight = _moved(trial, offset)
    if not _is_right(trial, weight, offset):
        weight = _by_basis(trial, offset)
    if not _is_right(trial, weight, offset):
        raise InputError(f"{call.where}: {call.kind} must do the same with each sample by itself")
    output, tensor = call.outputs[0], network.tensor(call.inputs[0], call.where)
    made = _product(network, call, tensor, weight, offset, network.fresh(output))
    network.define(output, arranged(made.value, made.shape, made.places.reshape(trial.shape)))


def _repeats_nothing(network: Network, call: Call) -> bool:
    """Whether an Expand is to sizes that its input has."""
    tensor = network.tensor(call.inputs[0], call.where)
    sizes = network.new_shape(call.inputs[1], call.where)
    batch = network.file.batch
    whole = (BATCH if batch is None else batch, *tensor.shape)
    pairs = zip(sizes[::-1], whole[::-1], strict=False)
    return len(sizes) <= len(whole) and all(size in (1, size_there) for size, size_there in pairs)


def _product(
    network: Network, call: Call, tensor: Tensor, weight: Array, offset: Floats, output: str
) -> Tensor:
    """Elements of a sample times a matrix (elements, results), plus an offset."""
    row = network.flat(tensor)
    ordered = np.empty_like(weight)
    ordered[row.places.reshape(-1)] = weight
    constants = {"weight": ordered, "bias": offset}
    return network.emit(network.label(call), Dense(), (row.value,), output, constants=constants)


def gathered(network: Network, call: Call, value: str, places: Ints, output: str) -> Tensor:
    """Elements of a value at any places, each as often as it is named.

    Raises
    ------
    InputError
        If they are too many.
    """
    shape = network.shape(value)
    _check_size(call, prod(shape), places.size)
    weight = np.zeros((prod(shape), places.size), np.float32)
    weight[places.reshape(-1), np.arange(places.size)] = 1.0
    whole = arranged(value, shape, np.arange(prod(shape)))
    made = _product(network, call, whole, weight, np.zeros(places.size), network.fresh(output))
    return arranged(made.value, made.shape, made.places.reshape(places.shape))


def spread(network: Network, call: Call, tensor: Tensor, shape: Shape) -> Tensor:
    """A tensor that repeats along axes in which it has size 1, or which it lacks."""
    output = f"{tensor.value} for {call.outputs[0]}"
    if prod(tensor.shape) * prod(shape) > LARGEST_MATRIX:
        sizes = (1, 1, *network.shape(tensor.value))[-3:]
        if sizes[2] == 1:
            return _in_channels(network, tensor, shape, network.fresh(output))
        if sizes[:2] == (1, 1):
            return _in_pixels(network, tensor, shape, network.fresh(output))
    return gathered(network, call, tensor.value, np.broadcast_to(tensor.places, shape), output)


def _in_channels(network: Network, tensor: Tensor, shape: Shape, output: str) -> Tensor:
    """Pixels of one channel, with so many that are alike."""
    numbers, count = _numbers(tensor, shape)
    constants = {"weight": np.ones((1, 1, 1, count)), "bias": np.zeros(count)}
    op = Convolution(Window((1, 1)))
    made = network.emit(output, op, (tensor.value,), output, constants=constants)
    return arranged(made.value, network.shape(made.value), tensor.places * count + numbers)


def _in_pixels(network: Network, tensor: Tensor, shape: Shape, output: str) -> Tensor:
    """A vector, or a map of one pixel, as so many pixels that are alike."""
    value, channels = tensor.value, network.shape(tensor.value)[-1]
    if len(network.shape(value)) == 1:
        name = network.fresh(f"{output} pixel")
        value = network.emit(name, Reshape((1, 1, channels)), (value,), name).value
    numbers, count = _numbers(tensor, shape)
    op = Resize(nearest(1, [0] * count), nearest(1, [0]))
    made = network.emit(output, op, (value,), output)
    return arranged(made.value, network.shape(made.value), numbers * channels + tensor.places)


def _numbers(tensor: Tensor, shape: Shape) -> tuple[Ints, int]:
    """Of each element of a repeated tensor which copy it is, and how many there are."""
    times = [made if size == 1 else 1 for size, made in zip(tensor.shape, shape, strict=True)]
    return np.broadcast_to(np.arange(prod(times)).reshape(times), shape), prod(times)


def _check_size(call: Call, count: int, results: int) -> None:
    if count * results > LARGEST_MATRIX:
        raise InputError(
            f"{call.where}: {call.kind} of {count} elements to {results} is too large; their "
            f"product may be up to {LARGEST_MATRIX}"
        )


def _moved(trial: _Trial, offset: Floats) -> Floats:
    """The matrix of an operator that moves elements: it moves their numbers, too."""
    numbers = np.arange(1.0, prod(trial.given) + 1)
    changes = trial.rows(np.broadcast_to(numbers, (trial.count, numbers.size)))[0] - offset
    weight = np.zeros((numbers.size, trial.size))
    moved = np.isin(changes, numbers)
    weight[changes[moved].astype(int) - 1, np.flatnonzero(moved)] = 1.0
    return weight


def _by_basis(trial: _Trial, offset: Floats) -> Floats:
    """The matrix of any operator: a row for each element that is 1 while all others are 0."""
    size = prod(trial.given)
    if size * trial.size > _LARGEST_BASIS:
        raise InputError(
            f"{trial.call.where}: {trial.call.kind} of {size} elements to {trial.size} is too "
            f"large; where it does more than move them, their product may be up to {_LARGEST_BASIS}"
        )
    padded = np.eye(-(-size // trial.count) * trial.count, size)
    groups = padded.reshape(-1, trial.count, size)
    return np.concatenate([trial.rows(group) for group in groups])[:size] - offset


def _is_right(trial: _Trial, weight: Floats, offset: Floats) -> bool:
    """Whether that is what the operator does with random samples."""
    samples = np.random.default_rng(0).standard_normal((trial.count, prod(trial.given)))
    wanted = trial.rows(samples)
    return bool(np.abs(samples @ weight + offset - wanted).max() <= _CLOSE * np.abs(wanted).max())
