"""What an importer of TensorFlow Lite files in floating point has so far: values of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator, Tensor, TfliteFile
from pulsarray.compiler.importers.tflite.network import ELEMENTS
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.operator import Operator as Op
from pulsarray.compiler.ir.value import Array, Floats, Shape, Value, constant, network_input
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.flatten import Flatten
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.errors import InputError

__all__ = ["KINDS", "Frames", "RealNetwork"]

KINDS = ("float32", "bool", "complex64")
"""Types of what depends on the input: truth values are 0 and 1; of complex numbers the real part
and the imaginary one are values."""

Reduction = ReduceMax | ReduceMean | ReduceSum
_CONSTANTS = 1 << 27
"""Elements of all constants together."""


@dataclass(frozen=True, eq=False)
class Frames:
    """How rows of a value come about: each is a product of a frame of a signal with a matrix.

    Parameters
    ----------
    signal
        The signal, (1, N, C).
    window
        Where frames begin, and how long they are.
    matrix
        (length * C, elements of a row), or those of its diagonal, where all others are 0.
    """

    signal: Value
    window: Window
    matrix: Floats

    def times(self, matrix: Floats) -> Frames:
        """Rows times another matrix, or diagonal."""
        first = self.matrix
        if matrix.ndim == 1:
            made = first * matrix
        else:
            made = first[:, None] * matrix if first.ndim == 1 else first @ matrix
        return replace(self, matrix=made)

    @property
    def weight(self) -> Floats:
        """Of the convolution, (1, length, C, elements of a row)."""
        matrix = np.diag(self.matrix) if self.matrix.ndim == 1 else self.matrix
        return matrix.reshape(1, self.window.kernel[1], -1, matrix.shape[1])


class RealNetwork:
    """Operators so far, and the values that stand for tensors.

    A tensor (N, ...) is a value without its first axis, the batch; a constant that operators read
    like any value has that axis, of size 1, or lacks it.

    Parameters
    ----------
    file
        The file.
    name
        The network's name.

    Raises
    ------
    InputError
        If an input is no tensor of real numbers with a batch and fixed sizes.
    """

    def __init__(self, file: TfliteFile, name: str) -> None:
        self.file = file
        inputs = [file.tensors[index] for index in file.inputs]
        self.batch = _batch(inputs)
        self.reals: dict[int, Floats] = {}
        self.names: dict[int, str] = {}
        self.imaginary: dict[int, str] = {}
        self.frames: dict[str, Frames] = {}
        self._left = _CONSTANTS
        self._whole: dict[str, Value] = {}
        self._again: dict[tuple[str, Shape], Value] = {}
        self._labels: set[str] = set()
        self._defined: set[str] = set()
        self.draft = Draft(name, [])
        for tensor in inputs:
            made = self.draft.fresh(tensor.name)
            self.draft.values[made] = network_input(made, self.sample_shape(tensor))
            self.names[tensor.index] = made
            self._defined.add(made)

    def sample_shape(self, tensor: Tensor) -> Shape:
        """Shape of a tensor without its batch; all of it where it has none, as in a file of one
        sample what is reshaped or cut may have. One element alone has an axis.

        Raises
        ------
        InputError
            If a size is not fixed, there are too many elements, or the batch is another.
        """
        shape = tensor.shape
        has_batch = bool(shape) and shape[0] in (self.batch, -1)
        if not (has_batch or self.batch == 1) or min(shape[1:], default=1) < 1 or 0 in shape:
            raise InputError(
                f"tensor {tensor.short!r} must have shape ({self.batch}, ...), the batch first, "
                f"with fixed sizes of at least 1, not {shape}"
            )
        if prod(shape[has_batch:]) > ELEMENTS:
            raise InputError(f"tensor {tensor.short!r} of shape {shape} is too large")
        sizes = shape[has_batch:]
        return sizes or (() if has_batch and self.batch > 1 else (1,))

    def axis(self, tensor: Tensor, axis: int) -> int:
        """An axis of a tensor as one of its value, counted from the last as -1.

        Raises
        ------
        InputError
            If it is the batch, or none.
        """
        rank = len(tensor.shape)
        if not -rank <= axis < rank:
            raise InputError(f"there is no axis {axis} of {rank}")
        place = axis % rank - rank
        if -place > len(self.sample_shape(tensor)):
            raise InputError(f"axis {axis} is the batch")
        return place

    def whole_shape(self, tensor: Tensor) -> Shape:
        """Shape of a tensor with the batch that the file has."""
        return (self.batch, *tensor.shape[1:]) if tensor.shape[:1] == (-1,) else tensor.shape

    def tensor(self, operator: Operator, place: int) -> Tensor:
        """An input of an operator.

        Raises
        ------
        InputError
            If it is left out.
        """
        if not self.has(operator, place):
            raise InputError(f"input {place} is left out")
        return self.file.tensors[operator.inputs[place] or 0]

    def has(self, operator: Operator, place: int) -> bool:
        """Whether an input of an operator is there."""
        return place < len(operator.inputs) and operator.inputs[place] is not None

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the elements of a tensor are known."""
        return tensor.data is not None or tensor.index in self.reals

    def real_constant(self, operator: Operator, place: int, what: str) -> Floats:
        """A constant input as real numbers, in the shape that the file has.

        Raises
        ------
        InputError
            If it is left out or no constant of real numbers.
        """
        tensor = self.tensor(operator, place)
        if not self.is_constant(tensor):
            raise InputError(f"{what} {tensor.short!r} must be a constant")
        if tensor.index not in self.reals:
            self.spend(max(tensor.size, 0))
            self.reals[tensor.index] = tensor.reals()
        return self.reals[tensor.index]

    def integers(self, operator: Operator, place: int, what: str) -> list[int]:
        """A constant input of integers, such as axes, in one dimension.

        Raises
        ------
        InputError
            If it is left out or no constant of integers.
        """
        tensor = self.tensor(operator, place)
        if tensor.data is None or tensor.kind not in ("int32", "int64"):
            raise InputError(f"{what} {tensor.short!r} must be a constant of integers")
        self.spend(max(tensor.size, 0))
        return [int(number) for number in tensor.constant().reshape(-1)]

    def spend(self, elements: int) -> None:
        """Count the elements of constants, before they take memory.

        Raises
        ------
        InputError
            If all together are too many.
        """
        self._left -= elements
        if self._left < 0:
            raise InputError("constants are too large altogether")

    def value(self, operator: Operator, place: int = 0) -> Value:
        """An input that depends on the network's.

        Raises
        ------
        InputError
            If it is left out or a constant.
        """
        tensor = self.tensor(operator, place)
        if tensor.index not in self.names:
            raise InputError(f"input {tensor.short!r} must not be a constant")
        return self.draft.values[self.names[tensor.index]]

    def operand(self, operator: Operator, place: int) -> Value:
        """An input that may be a constant, which is the same for each sample then.

        Raises
        ------
        InputError
            If it is left out, or a constant that differs from sample to sample.
        """
        tensor = self.tensor(operator, place)
        if not self.is_constant(tensor):
            return self.value(operator, place)
        data = self.real_constant(operator, place, "input")
        if data.ndim and data.ndim == len(self.target(operator).shape):
            if len(data) == 1:
                data = data[0]
            elif self.batch > 1:
                raise InputError(f"constant {tensor.short!r} must be the same for each sample")
        return self.draft.values[self.draft.hold(constant(tensor.name, data))]

    def target(self, operator: Operator) -> Tensor:
        """The tensor that an operator makes."""
        return self.file.tensors[operator.outputs[0]]

    def label(self, operator: Operator) -> str:
        """A name for an operator, which no other has."""
        name = self.target(operator).short
        while name in self._labels:
            name += f"#{operator.index}"
        self._labels.add(name)
        return name

    def step(self, operator: Operator, op: Op, *sources: Value) -> Value:
        """Put an operator at the end that makes something on the way to a tensor."""
        label = self.label(operator)
        return self._add(label, op, sources, f"{label}.{op.title}", {})

    def shaped(self, operator: Operator, value: Value, sizes: Shape) -> Value:
        """A value's elements in other sizes.

        Raises
        ------
        InputError
            If there are others.
        """
        value = self._whole.get(value.name, value)
        if value.shape == sizes:
            return value
        if (value.name, sizes) in self._again:
            return self._again[value.name, sizes]
        op = Flatten() if len(sizes) == 1 and len(value.shape) > 1 else Reshape(sizes)
        made = self.step(operator, op, value)
        if value.name in self.frames:
            self.frames[made.name] = self.frames[value.name]
        self._whole[made.name] = value
        self._again[value.name, sizes] = made
        return made

    def reduction(self, operator: Operator, kind: type[Reduction]) -> Reduction:
        """What reduces a value along the axes of the file, which stay until the result is named."""
        tensor = self.tensor(operator, 0)
        axes = [self.axis(tensor, axis) for axis in self.integers(operator, 1, "axes")]
        return kind(tuple(axes))

    def product(
        self, operator: Operator, op: Op, source: Value, learned: Mapping[str, Array]
    ) -> Value:
        """Put an operator at the end that has weights."""
        label = self.label(operator)
        return self._add(label, op, (source,), f"{label}.{op.title}", learned)

    def _add(
        self,
        label: str,
        op: Op,
        sources: Sequence[Value],
        output: str,
        learned: Mapping[str, Array],
    ) -> Value:
        names = [source.name for source in sources]
        made = op.shape(*(v.shape for v in sources), *(array.shape for array in learned.values()))
        if prod(made) > ELEMENTS:
            raise InputError(f"a result of shape {made} is too large")
        return self.draft.add(label, op, names, self.draft.fresh(output), learned)

    def define(self, operator: Operator, value: Value, place: int = 0) -> None:
        """Let a value stand for a result of an operator, with all of its axes of size 1.

        Raises
        ------
        InputError
            If the file says another shape or type.
        """
        tensor = self.file.tensors[operator.outputs[place]]
        if tensor.kind not in KINDS:
            raise InputError(
                f"result {tensor.short!r} is {tensor.kind}, not float32 as the network's input"
            )
        shape = self.sample_shape(tensor)
        if shape != value.shape:
            if [n for n in shape if n > 1] != [n for n in value.shape if n > 1]:
                raise InputError(f"result must have shape {value.shape} a sample, not {shape}")
            value = self.shaped(operator, value, shape)
        known = value.name in self._defined
        name = value.name if known else self.draft.renamed(value, tensor.name)
        self._defined.add(name)
        if name != value.name:
            self._again = {k: v for k, v in self._again.items() if v.name != value.name}
        if value.name in self.frames:
            self.frames[name] = self.frames[value.name]
        if value.name in self._whole:
            self._whole[name] = self._whole[value.name]
        self.names[tensor.index] = name


def _batch(inputs: Sequence[Tensor]) -> int:
    """The batch of a file's inputs; 1 where it is open."""
    for tensor in inputs:
        if tensor.data is not None:
            raise InputError(f"input {tensor.short!r} is a constant")
        if tensor.kind != "float32":
            raise InputError(
                f"input {tensor.short!r} is {tensor.kind}; float32 is supported beside another "
                "input of float32"
            )
        if not tensor.shape:
            raise InputError(f"input {tensor.short!r} has no batch")
    sizes = {max(tensor.shape[0], 1) for tensor in inputs}
    if len(sizes) > 1:
        raise InputError(f"inputs must have one batch, not {sorted(sizes)}")
    return sizes.pop()
