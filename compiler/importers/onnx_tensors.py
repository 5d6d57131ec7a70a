"""Tensors of an ONNX file as views of a graph's values.

A file has images as (C, H, W) and reorders them at will; a graph has them as (H, W, C). So a tensor
is a value and, where the order is not the usual one, which element of the value each of its
elements is: reshaping, transposing and flattening only change that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Flatten, Floats, Node
from pulsarray.compiler.importers.onnx_file import Call, Constant, OnnxFile, real
from pulsarray.compiler.spatial import Shuffle
from pulsarray.errors import InputError

__all__ = ["Network", "Tensor"]

Ints = npt.NDArray[np.int64]
Shape = tuple[int, ...]

_LARGEST_VALUE = 1 << 28
"""Elements of a value."""
_LARGEST_VIEW = 1 << 26
"""Elements of a value that is reordered."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """What a name in a file stands for.

    Parameters
    ----------
    value
        Name of a value of the graph.
    shape
        Shape in the file, without the batch.
    order
        Place of each element in the value, of this shape; None for the usual order: (C, H, W) of
        an image (H, W, C), else the same.
    """

    value: str
    shape: Shape
    order: Ints | None = None


class Network:
    """A graph while it is imported.

    Parameters
    ----------
    file
        The file.
    shape
        Shape of a sample in the file.
    images
        Whether tensors (C, H, W) are images, which the graph has as (H, W, C).
    channels_last
        Whether the input has the graph's order of dimensions already.

    Members
    -------
    nodes
        The operators.
    constants
        Constants by name.
    shapes
        Shape of each value of the graph.
    """

    def __init__(self, file: OnnxFile, shape: Shape, images: bool, channels_last: bool) -> None:
        self.file = file
        self.images = images
        self.channels_last = channels_last
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = dict(file.constants)
        swap = images and not channels_last and len(shape) == 3
        value_shape = (*shape[1:], shape[0]) if swap else shape
        self.shapes: dict[str, Shape] = {file.input: value_shape}
        self._tensors: dict[str, Tensor] = {file.input: Tensor(file.input, shape)}
        self._whole: dict[str, str] = {}
        self._labels: set[str] = set()
        _check_size(value_shape, "input")
        if images and channels_last:
            _check_view(shape, "input")
            order = np.arange(prod(shape)).reshape(shape)
            self._tensors[file.input] = Tensor(file.input, shape, order)

    @property
    def folds_later(self) -> bool:
        """Whether factors and offsets stay operators of their own, for a later pass to fold."""
        return False

    def is_constant(self, name: str) -> bool:
        """Whether a value is known at compile time."""
        return name in self.constants

    def raw(self, name: str, where: str, what: str) -> Constant:
        """A constant operand.

        Raises
        ------
        InputError
            If it depends on the input.
        """
        if name not in self.constants:
            raise InputError(f"{where}: {what} {name!r} must be a constant")
        return self.constants[name]

    def constant(self, name: str, where: str, what: str) -> Floats:
        """A constant operand as float64."""
        return real(self.raw(name, where, what), where, f"{what} {name!r}")

    def integers(self, name: str, where: str, what: str) -> tuple[int, ...]:
        """A constant operand as integers."""
        values = self.raw(name, where, what)
        if values.dtype.kind not in "iu":
            raise InputError(f"{where}: {what} {name!r} must be integers, not {values.dtype}")
        return tuple(int(value) for value in values.reshape(-1))

    def tensor(self, name: str, where: str) -> Tensor:
        """An operand that depends on the input.

        Raises
        ------
        InputError
            If it is a constant or missing.
        """
        if name not in self._tensors:
            raise InputError(f"{where}: needs a value that depends on the input, not {name!r}")
        return self._tensors[name]

    def define(self, name: str, tensor: Tensor) -> None:
        """Give a tensor a name of the file."""
        self._tensors[name] = tensor

    def label(self, call: Call) -> str:
        """A name for an operator that no other has."""
        name = call.name if call.name not in self._labels else call.outputs[0]
        while name in self._labels:
            name += "'"
        self._labels.add(name)
        return name

    def fresh(self, name: str) -> str:
        """A name for a value that no other has."""
        while name in self.shapes or name in self._tensors or name in self.constants:
            name += "'"
        return name

    def emit(self, node: Node) -> Tensor:
        """Put an operator at the end; its result in the usual order."""
        shape = node.shape(*(self.shapes[name] for name in node.inputs))
        _check_size(shape, node.name)
        self.nodes.append(node)
        self.shapes[node.output] = shape
        if self.images and len(shape) == 3:
            return Tensor(node.output, (shape[2], *shape[:2]))
        return Tensor(node.output, shape)

    def emit_as(self, call: Call, node: Node) -> None:
        """Put an operator at the end as that of the file."""
        self.define(call.outputs[0], self.emit(node))

    def elementwise(self, call: Call, tensor: Tensor, node: Node) -> None:
        """Put an operator at the end that keeps the order of its input's elements."""
        made = self.emit(node)
        self.define(call.outputs[0], replace(tensor, value=made.value))

    def image(self, name: str, where: str) -> Tensor:
        """An operand as an image in the usual order.

        Raises
        ------
        InputError
            If it is not one.
        """
        tensor = self.tensor(name, where)
        if not self.images or len(tensor.shape) != 3:
            given = ", ".join(map(str, tensor.shape))
            raise InputError(f"{where}: needs an image (N, C, H, W), not (N, {given})")
        return self.usual(tensor, where)

    def usual(self, tensor: Tensor, where: str) -> Tensor:
        """A tensor in the usual order: its channels, or elements, are put in order if need be.

        Raises
        ------
        InputError
            If more than these is out of order.
        """
        if tensor.order is None:
            return tensor
        order = self._channel_order(tensor)
        if order is None:
            raise InputError(
                f"{where}: its input's rows, columns and channels are mixed by Reshape or "
                "Transpose; only the channels may be"
            )
        output = self.fresh(f"{tensor.value} in order")
        return self.emit(Shuffle(output, tensor.value, output, order))

    def _channel_order(self, tensor: Tensor) -> tuple[int, ...] | None:
        """Channels of the value that a tensor has, if they are all that is out of order."""
        assert tensor.order is not None
        shape = self.shapes[tensor.value]
        if len(tensor.shape) == 1 and len(shape) == 1:
            return tuple(tensor.order.tolist())
        if self.images and len(tensor.shape) == 3 and len(shape) == 3:
            channels, height, width = tensor.shape
            first = tensor.order[:, 0, 0]
            pixels = np.arange(height * width).reshape(height, width) * channels
            if np.array_equal(tensor.order, first[:, None, None] + pixels):
                return tuple(first.tolist())
        return None

    def places(self, tensor: Tensor, where: str) -> Ints:
        """Place of each element of a tensor in its value."""
        if tensor.order is not None:
            return tensor.order
        _check_view(tensor.shape, where)
        numbers = np.arange(prod(tensor.shape))
        if self.images and len(tensor.shape) == 3:
            channels, height, width = tensor.shape
            return numbers.reshape(height, width, channels).transpose(2, 0, 1)
        return numbers.reshape(tensor.shape)

    def rearrange(self, call: Call, tensor: Tensor, places: Ints) -> None:
        """Make an operator's result of the same elements in another shape or order."""
        value = tensor.value
        flat = len(self.shapes[value]) == 1
        if places.ndim == 1 and not flat:
            name = call.outputs[0]
            self.emit(Flatten(self.label(call), value, name))
            self._whole[name] = value
            value = name
        elif places.ndim != 1 and flat:
            value = self._whole.get(value, value)
        made = Tensor(value, places.shape)
        if not self._is_usual(made, places, call.where):
            made = replace(made, order=places)
        self.define(call.outputs[0], made)

    def origin(self, value: str) -> str | None:
        """The value that one is in another shape; None if it is a value of its own."""
        return self._whole.get(value)

    def _is_usual(self, tensor: Tensor, places: Ints, where: str) -> bool:
        shape = self.shapes[tensor.value]
        if self.images and len(tensor.shape) == 3:
            usual = len(shape) == 3 and (shape[2], *shape[:2]) == tensor.shape
        else:
            usual = shape == tensor.shape
        return usual and np.array_equal(places, self.places(tensor, where))

    def result(self) -> str:
        """Name of the value that is the network's result, in the order that a host takes it in.

        Raises
        ------
        InputError
            If no operator writes it, or its elements are out of order.
        """
        name = self.file.output
        tensor = self.tensor(name, f"output {name}")
        if self.channels_last and len(tensor.shape) == 3:
            plain = np.arange(prod(tensor.shape)).reshape(tensor.shape)
            if self.shapes[tensor.value] != tensor.shape or not np.array_equal(
                self.places(tensor, name), plain
            ):
                raise InputError(f"output {name}: must have channels last, as the input has")
            return tensor.value
        return self.usual(tensor, f"output {name}").value


def _check_size(shape: Shape, where: str) -> None:
    if prod(shape) > _LARGEST_VALUE:
        raise InputError(f"{where}: a value of shape {shape} is too large")


def _check_view(shape: Shape, where: str) -> None:
    if prod(shape) > _LARGEST_VIEW:
        raise InputError(f"{where}: a value of shape {shape} is too large to be reordered")
