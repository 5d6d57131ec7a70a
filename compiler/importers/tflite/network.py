"""What an importer of TensorFlow Lite files has so far: operators, maps, and what tensors mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, isfinite, prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator, Tensor, TfliteFile
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.operator import Operator as Kernel
from pulsarray.compiler.ir.value import Shape, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import Convolution, Join, Reshape, Split, Swap
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = [
    "ELEMENTS",
    "HOSTED",
    "NO_PADDING",
    "OTHER_CODES",
    "Meaning",
    "Network",
    "Shape",
    "copying",
    "host_codes",
    "map_shape",
    "place_of",
    "quantization",
    "sample_sizes",
]

Ints = npt.NDArray[np.int64]
ELEMENTS = 1 << 27  # of a map, its padding included
_LENGTH = 1 << 22  # of an axis of a map
_CONSTANTS = 1 << 28  # elements of all weights
_FREE = 1 << 20  # of them whatever the file's size
_SHARED = 64  # operators that may share one constant
NO_PADDING = (0, 0, 0, 0)
OTHER_CODES = {
    "uint8": "; weights of uint8 have 9 bits without their zero point: convert it to int8 again",
    "int16": "; codes of 16 bits (16x8) do not fit memory and array: convert it to int8",
}
"""Why codes of another type are not taken."""
HOSTED = {"softmax": "SOFTMAX", "argmax": "ARG_MAX", "argmin": "ARG_MIN"}
"""Operators of a host, by their titles."""


@dataclass(frozen=True)
class Meaning:
    """What a tensor means.

    Parameters
    ----------
    source
        The map that holds its codes.
    shape
        Its own shape as a map: that of the source, or flattened, or with a border.
    padding
        A border of zero points that the source does not have yet: top, left, bottom, right.
    turned
        Whether the source has its rows as columns: it is (W, H, C).
    host
        What the host computes from the source: "", "real" numbers, or a key of :data:`HOSTED`.
    answer
        Codes to which the host rounds a softmax; None for none.
    """

    source: Value
    shape: Shape
    padding: tuple[int, int, int, int] = NO_PADDING
    turned: bool = False
    host: str = ""
    answer: Affine8 | None = None


def copying(zero: int) -> Scale:
    """The scale that keeps codes whose zero point is taken away."""
    return Scale(np.array([1 << 30]), np.array([30]), zero)


def sample_sizes(tensor: Tensor, batch: int, least: int = 1) -> tuple[int, ...]:
    """Sizes of a tensor's axes without the batch, which may be part of the first one.

    Raises
    ------
    InputError
        If it has fewer axes than it must have, no batch, other axes than a map or no elements, or
        is absurdly large.
    """
    shape = tensor.shape
    first = batch if shape[:1] == (-1,) else next(iter(shape), 0)
    sizes = ((first // batch,) if first > batch else ()) + shape[1:]
    known = first >= batch > 0 == first % batch and len(shape) >= least
    if not known or len(sizes) > 3 or min(sizes, default=1) < 1:
        raise InputError(
            f"tensor {tensor.short!r} must have shape ({batch}, H, W, C) or ({batch}, C) with "
            f"fixed sizes of at least 1, not {shape}"
        )
    if max(sizes, default=1) > _LENGTH or prod(sizes) > ELEMENTS:
        raise InputError(f"tensor {tensor.short!r} of shape {shape} is too large")
    return sizes


def map_shape(tensor: Tensor, batch: int, least: int = 1) -> Shape:
    """(H, W, C) of a tensor (N, H, W, C), (N, W, C) or (N, C).

    Raises
    ------
    InputError
        As :func:`sample_sizes`.
    """
    sizes = sample_sizes(tensor, batch, least)
    height, width, channels = (1,) * (3 - len(sizes)) + sizes
    return height, width, channels


def place_of(tensor: Tensor, batch: int, axis: int) -> int:
    """Which axis of its map an axis of a tensor is.

    Raises
    ------
    InputError
        If it is the batch, or none.
    """
    rank, sizes = len(tensor.shape), sample_sizes(tensor, batch)
    if not -rank <= axis < rank or axis % rank < rank - len(sizes):
        raise InputError(f"axis {axis} of an input of rank {rank} is the batch, or none")
    return axis % rank - rank + 3


class Network:
    """Operators so far, and the values of the tensors that they made.

    Parameters
    ----------
    file
        The file.
    sources
        The tensors that hold the codes of the network's inputs.
    batch
        Samples that the file's tensors hold.
    """

    def __init__(self, file: TfliteFile, sources: Sequence[Tensor], batch: int) -> None:
        self.file = file
        self.batch = batch
        self.parts = Parts()
        self.taken: set[str] = set()
        self.values: dict[int, Meaning] = {}
        self.repeated: dict[tuple[str, Shape], Value] = {}
        self.room = min(_CONSTANTS, _FREE + _SHARED * file.size)
        self.inputs: dict[int, Value] = {}
        for source in sources:
            name, shape = self.parts.free(source.name), map_shape(source, batch, 2)
            self.inputs[source.index] = self.parts.input(name, shape, host_codes(source))
            self.values[source.index] = Meaning(self.inputs[source.index], shape)

    def tensor(self, operator: Operator, place: int) -> Tensor | None:
        """An input of an operator; None if it is left out."""
        index = operator.inputs[place] if place < len(operator.inputs) else None
        return None if index is None else self.file.tensors[index]

    def value(self, operator: Operator, place: int = 0) -> Meaning:
        """An input that is no constant, as it is.

        Raises
        ------
        InputError
            If it is a constant, or left out.
        """
        tensor = self.tensor(operator, place)
        if tensor is None:
            raise InputError(f"input {place} is left out")
        if tensor.index not in self.values:
            raise InputError(f"input {tensor.short!r} must not be a constant")
        return self.values[tensor.index]

    def plain(self, operator: Operator, place: int = 0) -> Meaning:
        """An input in int8 whose border, if it has one, is part of its map.

        Raises
        ------
        InputError
            If it is a constant, left out, or computed by the host.
        """
        value = self.integers(operator, place)
        tensor = self.tensor(operator, place)
        return value if tensor is None else self.with_border(tensor, value)

    def integers(self, operator: Operator, place: int = 0) -> Meaning:
        """An input in int8; its border may still be missing.

        Raises
        ------
        InputError
            If it is a constant, left out, or computed by the host.
        """
        value = self.value(operator, place)
        if value.host in HOSTED:
            raise InputError(f"{HOSTED[value.host]} is only possible as the last operator")
        if value.host:
            raise InputError("works on real numbers; int8 is supported (full-integer files)")
        return value

    def with_border(self, tensor: Tensor, value: Meaning) -> Meaning:
        """A value in order, whose border is part of its map: an operator makes it if need be."""
        if value.turned:
            source = self.between(tensor, "swapped", Swap(), value.source, value.shape)
            self.values[tensor.index] = Meaning(source, value.shape)
            return self.values[tensor.index]
        if value.padding == NO_PADDING:
            return value
        source_name, channels = value.source, value.source.shape[2]
        self.spend(channels)
        target = self.new_map(tensor, value.shape)
        window = Window((1, 1), padding=value.padding)
        self.parts.product(
            self.node_name(tensor),
            Convolution(window, channels, copying(source_name.codes.zero)),
            source_name.name,
            np.ones((1, 1, 1, channels), np.int8),
            np.zeros(channels, np.int64),
            target.name,
            "PAD",
        )
        self.values[tensor.index] = Meaning(target, value.shape)
        return self.values[tensor.index]

    def image(self, operator: Operator, place: int = 0) -> Value:
        """An input's map, which must not be flattened.

        Raises
        ------
        InputError
            If it is flattened, a constant, left out, or computed by the host.
        """
        return self.settled(operator, place).source

    def settled(self, operator: Operator, place: int = 0) -> Meaning:
        """An input whose map has its shape; operators make it if need be.

        Raises
        ------
        InputError
            If it is a constant, left out, or computed by the host.
        """
        value, tensor = self.plain(operator, place), self.tensor(operator, place)
        if value.shape == value.source.shape or tensor is None:
            return value
        source = self.reshaped(tensor, value.source, value.shape)
        self.values[tensor.index] = Meaning(source, value.shape)
        return self.values[tensor.index]

    def reshaped(self, tensor: Tensor, source: Value, shape: Shape) -> Value:
        """The elements of a map in order, in another shape."""
        channels, common = source.shape[2], gcd(source.shape[2], shape[2])
        if channels != common:
            source = self._step(tensor, "split", Split(channels // common), source)
        if (parts := shape[2] // common) > 1:
            height, width, _ = source.shape
            if width % parts:
                source = self._step(tensor, "row", Reshape((1, height * width)), source)
            source = self._step(tensor, "join", Join(parts), source)
        if source.shape != shape:
            source = self._step(tensor, "reshape", Reshape((shape[0], shape[1])), source)
        return source

    def _step(self, tensor: Tensor, what: str, op: Kernel, source: Value) -> Value:
        return self.between(tensor, what, op, source, op.shape(source.shape))

    def bordered(self, operator: Operator, place: int = 0) -> Meaning:
        """An input, not flattened, whose border the operator makes part of its window."""
        value = self.integers(operator, place)
        return value if value.padding != NO_PADDING else self.settled(operator, place)

    def constant(self, operator: Operator, place: int, kind: str) -> Ints:
        """A constant input's elements.

        Raises
        ------
        InputError
            If it is no constant of that type, or constants become too large altogether.
        """
        tensor = self.tensor(operator, place)
        if tensor is None:
            raise InputError(f"input {place} is left out")
        if tensor.kind != kind or tensor.data is None:
            text = tensor.kind if tensor.data is not None else f"computed, {tensor.kind}"
            raise InputError(f"{tensor.short!r} must be a constant of type {kind}, not {text}")
        if not tensor.size:
            raise InputError(f"constant {tensor.short!r} has no elements")
        self.spend(tensor.size)
        return tensor.constant()

    def whole_numbers(self, operator: Operator, place: int) -> list[int]:
        """A constant input of integers, such as axes, in one dimension.

        Raises
        ------
        InputError
            If it is left out or no such constant.
        """
        tensor = self.tensor(operator, place)
        kind = tensor.kind if tensor is not None and tensor.kind == "int64" else "int32"
        return [int(number) for number in self.constant(operator, place, kind).reshape(-1)]

    def shaped(self, operator: Operator, shape: Shape) -> tuple[Value, Shape]:
        """The map of a result of known shape, and the shape that the file gives it.

        Raises
        ------
        InputError
            If that has other elements.
        """
        tensor = self.target(operator)
        wanted = map_shape(tensor, self.batch)
        if prod(wanted) != prod(shape):
            raise InputError(f"result must have shape (H, W, C) = {shape}, not {wanted}")
        return self.new_map(tensor, shape), wanted

    def alike(self, operator: Operator, value: Meaning) -> Value:
        """The map of a result with one element for each of an input, flattened or not."""
        tensor = self.target(operator)
        if (computed := map_shape(tensor, self.batch)) != value.shape:
            raise InputError(f"result must have shape (H, W, C) = {value.shape}, not {computed}")
        return self.new_map(tensor, value.source.shape)

    def between(self, tensor: Tensor, what: str, op: Kernel, source: Value, shape: Shape) -> Value:
        """Append an operator that makes the same codes on the way to a tensor."""
        made = self.parts.map(self.parts.free(f"{tensor.name}.{what}"), shape, source.codes)
        self.parts.add(self.node_name(tensor, f".{what}"), op, (source.name,), made.name, what)
        return made

    def spend(self, elements: int) -> None:
        """Count the elements of weights, before they take memory.

        Raises
        ------
        InputError
            If all weights together are larger than any file of this size has.
        """
        self.room -= elements
        if self.room < 0:
            raise InputError("weights are too large altogether for a file of this size")

    def place(self, operator: Operator, axis: int, place: int = 0) -> int:
        """Which axis of its map an axis of an operator's input is.

        Raises
        ------
        InputError
            As :func:`place_of`, or if the input is left out.
        """
        tensor = self.tensor(operator, place)
        if tensor is None:
            raise InputError(f"input {place} is left out")
        return place_of(tensor, self.batch, axis)

    def is_end(self, tensor: Tensor) -> bool:
        """Whether nothing but conversions and reshapings comes after a tensor."""
        readers = [o for o in self.file.operators if tensor.index in o.inputs]
        return (tensor.index in self.file.outputs or bool(readers)) and all(
            o.kind in ("DEQUANTIZE", "QUANTIZE", "RESHAPE") and self.is_end(self.target(o))
            for o in readers
        )

    def target(self, operator: Operator) -> Tensor:
        """The tensor that an operator makes."""
        return self.file.tensors[operator.outputs[0]]

    def result(self, operator: Operator, shape: Shape) -> Value:
        """The map of an operator's result, which has a known shape.

        Raises
        ------
        InputError
            If the file says another shape, or its tensor is not int8 with one scale.
        """
        tensor = self.target(operator)
        if (computed := map_shape(tensor, self.batch)) != shape:
            raise InputError(f"result must have shape (H, W, C) = {shape}, not {computed}")
        return self.new_map(tensor, shape)

    def new_map(self, tensor: Tensor, shape: Shape) -> Value:
        """A map for a tensor, with a name of its own.

        Raises
        ------
        InputError
            If the tensor is not int8 with one scale and zero point.
        """
        taken, name = self.parts.values, tensor.name
        name = name if name not in taken else f"{name}#{tensor.index}"
        scale, zero = quantization(tensor)
        return self.parts.map(self.parts.free(name), shape, Affine8(scale, zero))

    def node_name(self, tensor: Tensor, what: str = "") -> str:
        """A short name for the operator that makes a tensor, with its index if it is taken."""
        short = tensor.short + what
        name = short if short not in self.taken else f"{short}#{tensor.index}"
        while name in self.taken:
            name += "#"
        self.taken.add(name)
        return name

    def add(
        self, operator: Operator, op: Kernel, sources: Sequence[Value], target: Value, shape: Shape
    ) -> None:
        """Append an operator whose result a tensor means, with a shape of its own."""
        name = self.node_name(self.target(operator))
        names = tuple(source.name for source in sources)
        self.parts.add(name, op, names, target.name, operator.kind)
        self.values[self.target(operator).index] = Meaning(target, shape)

    def add_product(
        self,
        operator: Operator,
        op: Kernel,
        source: Value,
        weight: Ints,
        bias: Ints,
        target: Value,
    ) -> None:
        """Append a product whose result a tensor means."""
        name = self.node_name(self.target(operator))
        self.parts.product(name, op, source.name, weight, bias, target.name, operator.kind)
        self.values[self.target(operator).index] = Meaning(target, target.shape)

    def reshape_input(self, index: int, shape: Shape) -> Value:
        """Give an input of the network another shape of as many elements."""
        known = self.inputs[index]
        self.inputs[index] = self.parts.input(known.name, shape, known.codes)
        self.values[index] = Meaning(self.inputs[index], shape)
        return self.inputs[index]


def host_codes(tensor: Tensor) -> Affine8:
    """Codes that a host makes as LiteRT does, of what it gives or of a softmax."""
    scale, zero = quantization(tensor)
    return Affine8(scale, zero, half_away=True)


def quantization(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of a map.

    Raises
    ------
    InputError
        If it is not int8 with one positive scale and a zero point of int8.
    """
    if tensor.kind != "int8":
        raise InputError(
            f"tensor {tensor.short!r} is {tensor.kind}; int8 is supported (full-integer files)"
            f"{OTHER_CODES.get(tensor.kind, '')}"
        )
    if len(tensor.scales) != 1 or len(tensor.zeros) > 1:
        raise InputError(
            f"tensor {tensor.short!r} needs one scale and zero point, not {len(tensor.scales)} "
            f"and {len(tensor.zeros)}"
        )
    scale, zero = float(tensor.scales[0]), int(tensor.zeros[0]) if len(tensor.zeros) else 0
    if not (isfinite(scale) and scale > 0.0) or not -128 <= zero <= 127:
        raise InputError(
            f"tensor {tensor.short!r} needs a positive scale and a zero point within int8, not "
            f"{scale} and {zero}"
        )
    return scale, zero
