"""A graph while it is imported: its operators, constants, and what the file's names stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.file import FLOATS, Call, Constant, OnnxFile, real
from pulsarray.compiler.importers.onnx.groups import grouping
from pulsarray.compiler.importers.onnx.orders import (
    NO_AXIS,
    Arrangement,
    Ints,
    Shape,
    Tensor,
    arranged,
    channel_axis,
    usual_places,
    usual_shape,
)
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Floats, network_input
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.flatten import Flatten, Unflatten
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.shuffle import Shuffle
from pulsarray.compiler.passes.maps import LARGEST_REORDER
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["BATCH", "OTHER_BATCH", "Network", "Rearranged", "Tensor"]

OTHER_BATCH = 1009
"""A batch with which constants are computed again where the file leaves it open."""
BATCH = 1 << 40
"""In a shape, in place of the batch where the file leaves that open."""
_MOST_PARTS = 1 << 9
"""Parts of a map behind one another that become channels."""
_LARGEST_VALUE = 1 << 28
"""Elements of a value."""
_LARGEST_VIEW = 1 << 26
"""Elements of a value that is reordered."""


class Rearranged(Exception):
    """An input is wanted in another arrangement: the host can give it so, the import begins anew.

    Parameters
    ----------
    name, arrangement
        Which of the file's inputs, and how.
    """

    def __init__(self, name: str, arrangement: Arrangement) -> None:
        super().__init__("an input is wanted in another arrangement")
        self.name, self.arrangement = name, arrangement


class Network:
    """A graph while it is imported.

    Parameters
    ----------
    file
        The file.
    shapes
        Shape of a sample of each input in the file.
    images
        Whether the file has operators on images: factors and offsets are normalizations then.
    arrangements
        How the graph has inputs; none of one while nothing has asked for it.

    Members
    -------
    draft
        Its operators and their values.
    constants
        Constants by name.
    samples
        Shape of a sample of each input.
    numbers
        Whole numbers: the input that they are of, and the place of each in a sample of it.
    others
        What is known at compile time but for an open batch, as :data:`OTHER_BATCH` makes it.
    joined
        Of a value that is others side by side, the axis (from the end), and these.
    uses
        How often each value of the file is read, the result once more.
    """

    def __init__(
        self,
        file: OnnxFile,
        shapes: Mapping[str, Shape],
        images: bool,
        arrangements: Mapping[str, Arrangement],
    ) -> None:
        self.file = file
        self.images = images
        self.arrangements = arrangements
        self.constants: dict[str, Constant] = dict(file.constants)
        self.others: dict[str, Constant] = {}
        self.joined: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.uses = Counter(file.uses)
        self._tensors: dict[str, Tensor] = {}
        self._flat: dict[str, str] = {}
        self._flattens: dict[str, tuple[str, str]] = {}
        self._whole: dict[str, str] = {}
        self._usual: dict[tuple[str, Shape], tuple[Ints, Tensor]] = {}
        self._alike: dict[str, str] = {}
        self._labels: set[str] = set()
        written = {name for call in file.calls for name in call.outputs}
        self.draft = Draft(file.name, [], {*written, *shapes})
        self._inputs = frozenset(shapes)
        self.samples = shapes
        self.numbers: dict[str, tuple[str, Ints]] = {}
        for entry in file.inputs:
            shape = shapes[entry.name]
            self.define(entry.name, self._input(entry.name, shape), entry.batch_axis)
            if entry.element not in FLOATS:
                if entry.batch_axis:
                    raise InputError(f"input {entry.name}: whole numbers need their batch first")
                _check_view(shape, f"input {entry.name}")
                self.numbers[entry.name] = entry.name, np.arange(prod(shape)).reshape(shape)

    def _input(self, name: str, shape: Shape) -> Tensor:
        """Declare an input; what its name in the file stands for."""
        wanted = self.arrangements.get(name)
        value_shape = wanted.shape if wanted else usual_shape(shape)
        _check_size(value_shape, "input")
        self.draft.values[name] = network_input(name, value_shape)
        if wanted and wanted.kinds:
            return Tensor(name, shape)
        return arranged(name, value_shape, wanted.places) if wanted else Tensor(name, shape)

    @property
    def learns(self) -> bool:
        """Whether it is to be trained: normalizations, factors and dropout stay what they are."""
        return False

    @property
    def folds_later(self) -> bool:
        """Whether factors and offsets stay operators of their own, for a later pass to fold."""
        return False

    def keeps_norms(self, tensor: Tensor) -> bool:
        """Whether a factor and offset for each channel of a tensor is a normalization."""
        return self.images or self.learns or self.folds_later or len(self.shape(tensor.value)) == 3

    @property
    def nodes(self) -> list[Node]:
        """The operators."""
        return self.draft.nodes

    def shape(self, value: str) -> Shape:
        """Shape of a value of the graph."""
        return self.draft.shape(value)

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
        if name not in self.others:
            return self.constants[name]
        alike = _of_one_sample(self.constants[name], self.others[name])
        if alike is None:
            raise InputError(
                f"{where}: {what} {name!r} depends on the batch, which the file leaves open; only "
                "the first size of a Reshape may"
            )
        return alike

    def note_other(self, name: str, value: Constant) -> None:
        """Note what a constant is with :data:`OTHER_BATCH`, if that is something else."""
        if not np.array_equal(self.constants[name], value):
            self.others[name] = value

    def new_shape(self, name: str, where: str) -> tuple[int, ...]:
        """The shape that a Reshape makes, of which one size may be :data:`BATCH`."""
        other, sizes = self.others.get(name), self.constants.get(name)
        if other is None or sizes is None or other.shape != sizes.shape or other.ndim != 1:
            return self.integers(name, where, "shape")
        open_ = (sizes == 0) & (other == OTHER_BATCH)
        if np.count_nonzero(open_) != 1 or not np.array_equal(sizes[~open_], other[~open_]):
            return self.integers(name, where, "shape")
        return tuple(BATCH if batch else int(n) for n, batch in zip(sizes, open_, strict=True))

    def constant(self, name: str, where: str, what: str) -> Floats:
        """A constant operand as float64."""
        return real(self.raw(name, where, what), where, f"{what} {name!r}")

    def weight(self, name: str, where: str) -> Array:
        """A constant weight, in float32 where the file has it so: half of the memory."""
        raw = self.raw(name, where, "weight")
        return raw if raw.dtype == np.float32 else self.constant(name, where, "weight")

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
            If it is a constant or missing, or has its batch elsewhere than first.
        """
        tensor = self.tensor_of_any_order(name, where)
        if axis := tensor.batch_axis:
            place = "in no axis" if axis == NO_AXIS else f"as axis {axis}"
            raise InputError(f"{where}: needs {name!r} with the batch first, not {place}")
        return tensor

    def tensor_of_any_order(self, name: str, where: str) -> Tensor:
        """As :meth:`tensor`, wherever its batch is."""
        if name in self.numbers:
            raise InputError(f"{where}: needs real numbers, not {name!r}, which are whole")
        return self.input_of(name, where)

    def input_of(self, name: str, where: str) -> Tensor:
        """As :meth:`tensor`, of whole numbers, too."""
        if name not in self._tensors:
            kind = "constant " if self.is_constant(name) else ""
            raise InputError(
                f"{where}: needs a value that depends on the input, not {kind}{name!r}"
            )
        return self._tensors[name]

    def batch_axis(self, name: str) -> int:
        """Axis of a tensor's batch: 0 but where an operator has moved it."""
        return self._tensors[name].batch_axis if name in self._tensors else 0

    def define(self, name: str, tensor: Tensor, batch_axis: int | None = None) -> None:
        """Give a tensor a name of the file.

        A batch of one can be any axis of one element: the first if possible.
        """
        if batch_axis is not None:
            tensor = replace(tensor, batch_axis=batch_axis)
        if tensor.batch_axis and self.file.batch == 1:
            places = tensor.whole_places
            ones = [axis for axis, size in enumerate(places.shape) if size == 1]
            tensor = self.with_batch(tensor, ones[0] if len(places.shape) > 1 and ones else NO_AXIS)
        self._tensors[name] = tensor

    def sample(self, name: str, where: str, *, whole: bool = False) -> tuple[Tensor, int]:
        """An operand's axes that an operator may work along, and the number of axes before them.

        They are those of a sample, or, of a file of one sample with its batch elsewhere than
        first (or where the batch is wanted, too), all.
        """
        tensor = self.tensor_of_any_order(name, where)
        if self.file.batch == 1 and (tensor.batch_axis or whole):
            return self.whole(tensor), 0
        return self.tensor(name, where), 1

    def with_first_axis(self, name: str, where: str) -> str:
        """Name of a tensor of one sample with its batch as an axis before all others."""
        tensor, output = self.tensor_of_any_order(name, where), self.fresh(f"{name} whole")
        self._tensors[output] = replace(self.whole(tensor), batch_axis=0)
        return output

    def ask_for_rows(self, name: str, where: str) -> None:
        """Have an input of two axes as rows and columns of one channel, if it is one.

        Raises
        ------
        Rearranged
            If it is one and has another arrangement.
        """
        tensor = self.whole(self.tensor_of_any_order(name, where))
        if self._root(tensor) in self._inputs:
            image = arranged(tensor.value, self.shape(tensor.value), tensor.places[None])
            self._ask(image, usual_shape(image.shape))

    def ask_for_channels(self, name: str, where: str) -> None:
        """Have an input with its last axis as channels, if it is one.

        Raises
        ------
        Rearranged
            If it is one and has another arrangement.
        """
        tensor = self.input_of(name, where)
        if self._root(tensor) in self._inputs and name not in self.numbers:
            first = np.moveaxis(tensor.places, -1, 0)
            self._ask(
                arranged(tensor.value, self.shape(tensor.value), first), usual_shape(first.shape)
            )

    def whole(self, tensor: Tensor) -> Tensor:
        """A tensor of a batch of one with that among its own axes."""
        return self.with_batch(tensor, NO_AXIS)

    def with_batch(self, tensor: Tensor, axis: int) -> Tensor:
        """A tensor of a batch of one with that as another axis of one element."""
        places = tensor.whole_places
        places = places if axis == NO_AXIS else places.squeeze(axis)
        made = arranged(tensor.value, self.shape(tensor.value), places)
        return replace(made, batch_axis=axis)

    def turned(self, name: str, axis: int, where: str) -> str:
        """Name of a value with its batch as that axis, where one sample has room for it."""
        tensor = self.tensor_of_any_order(name, where)
        sizes = tensor.whole_places.shape
        if tensor.batch_axis == axis or self.file.batch != 1 or sizes[axis : axis + 1] != (1,):
            return name
        output = self.fresh(f"{name} turned")
        self._tensors[output] = self.with_batch(tensor, axis)
        return output

    def aligned(self, names: Sequence[str], where: str) -> list[Tensor]:
        """Operands that are combined element by element, with their batches in one axis.

        Raises
        ------
        InputError
            If they have them elsewhere, and there is more than one sample.
        """
        tensors = [self.tensor_of_any_order(name, where) for name in names]
        if len({(t.batch_axis, t.batch_axis and len(t.shape)) for t in tensors}) == 1:
            return tensors
        if self.file.batch != 1:
            return [self.tensor(name, where) for name in names]
        wholes = [self.whole(tensor) for tensor in tensors]
        rank = max(len(tensor.shape) for tensor in wholes)
        return [self._ranked(tensor, rank) for tensor in wholes]

    def _ranked(self, tensor: Tensor, rank: int) -> Tensor:
        """A tensor with more axes of one element before its own."""
        places = tensor.places.reshape((1,) * (rank - len(tensor.shape)) + tensor.shape)
        made = arranged(tensor.value, self.shape(tensor.value), places)
        return replace(made, batch_axis=NO_AXIS)

    def alias(self, name: str, other: str, where: str) -> None:
        """Give a constant or a tensor another name of the file."""
        if other in self.numbers:
            self.numbers[name] = self.numbers[other]
        elif other in self.constants:
            self.constants[name] = self.constants[other]
            if other in self.others:
                self.others[name] = self.others[other]
        else:
            self.define(name, self.tensor_of_any_order(other, where))

    def label(self, call: Call) -> str:
        """A name for an operator that no other has."""
        name = call.name if call.name not in self._labels else call.outputs[0]
        return self._unique(name)

    def _unique(self, name: str) -> str:
        while name in self._labels:
            name += "'"
        self._labels.add(name)
        return name

    def fresh(self, name: str) -> str:
        """A name for a value that no other has."""
        while name in self.draft.values or name in self._tensors or name in self.constants:
            name += "'"
        return name

    def emit(
        self,
        name: str,
        op: Operator,
        sources: Sequence[str],
        output: str,
        parameters: Mapping[str, Array] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> Tensor:
        """Put an operator at the end, as :meth:`Draft.add`; its result in the usual order."""
        made = self.draft.add(name, op, sources, output, parameters, constants)
        if isinstance(op, Concat):
            self.joined[output] = op.axis, tuple(sources)
        _check_size(made.shape, name)
        if len(made.shape) == 1:
            return Tensor(output, made.shape)
        height, width, channels = made.shape
        return Tensor(output, (channels, height, width))

    def emit_as(
        self,
        call: Call,
        rank: int,
        op: Operator,
        source: str,
        parameters: Mapping[str, Array] | None = None,
        name: str = "",
    ) -> None:
        """Put an operator at the end as that of the file, its result with so many dimensions."""
        name = name or self.label(call)
        made = self.emit(name, op, (source,), call.outputs[0], parameters)
        self.define(call.outputs[0], _ranked(made, rank))

    def elementwise(self, call: Call, tensor: Tensor, made: Tensor) -> None:
        """Make an operator's result, whose elements are in the order of its input's, the file's."""
        self._alike[made.value] = tensor.value
        self.define(call.outputs[0], replace(tensor, value=made.value))

    def image(self, name: str, where: str) -> Tensor:
        """An operand as an image, or a row of one, in the usual order.

        Raises
        ------
        InputError
            If it is neither.
        """
        tensor = self.tensor(name, where)
        if len(tensor.shape) not in (2, 3):
            text = ", ".join(map(str, tensor.shape))
            raise InputError(f"{where}: needs an image (N, C, H, W) or (N, C, L), not (N, {text})")
        return self.usual(tensor, where)

    def vector(self, tensor: Tensor) -> Tensor:
        """A tensor of one dimension as a vector of the graph, whatever its order."""
        if len(self.shape(tensor.value)) == 1:
            return tensor
        self._ask(tensor, tensor.shape)
        value = tensor.value
        if value not in self._flat:
            spare = self.fresh(f"{value} flat")
            name, output = self._flattens.get(value, (self._unique(spare), spare))
            self.emit(name, Flatten(), (value,), output)
            self._flat[value], self._whole[output] = output, value
        return arranged(self._flat[value], tensor.shape, tensor.places)

    def usual(self, tensor: Tensor, where: str) -> Tensor:
        """A tensor in the usual order: its channels, or elements, are put in order if need be.

        Raises
        ------
        InputError
            If more than these is out of order.
        """
        if tensor.order is None:
            return tensor
        key = tensor.value, tensor.shape
        known = self._usual.get(key)
        if known is None or not np.array_equal(known[0], tensor.order):
            known = self._usual[key] = tensor.order, self._put_in_order(tensor, where)
        return known[1]

    def _put_in_order(self, tensor: Tensor, where: str) -> Tensor:
        """A tensor in the usual order, by operators."""
        shape = usual_shape(tensor.shape)
        if len(shape) == 1:
            tensor = self.vector(tensor)
        else:
            self._ask(tensor, shape)
        if len(shape) == 3:
            tensor = self._as_map(tensor, shape)
        return self._shuffled(tensor, where)

    def _as_map(self, tensor: Tensor, shape: Shape) -> Tensor:
        """A tensor whose value has a shape (H, W, C), where that is possible without more."""
        if len(self.shape(tensor.value)) == 1:
            return self._unflattened(tensor, shape)
        if self.shape(tensor.value)[2] != shape[2]:
            tensor = self.grouped(tensor, 0) or self._turned(tensor, shape[2]) or tensor
        if self.shape(tensor.value)[2] != shape[2]:
            return tensor
        return arranged(self.with_pixels(tensor.value, shape[:2]), shape, tensor.places)

    def _turned(self, tensor: Tensor, channels: int) -> Tensor | None:
        """A large map whose parts behind one another become so many channels; None if it is not."""
        size = prod(self.shape(tensor.value))
        if size <= LARGEST_REORDER or size != prod(tensor.shape) or channels > _MOST_PARTS:
            return None
        output = self.fresh(f"{tensor.value} in {channels} parts")
        op = Reshape((channels, size // channels, 1))
        made = self.emit(output, op, (tensor.value,), output).value
        return self.grouped(arranged(made, self.shape(made), tensor.places), 0)

    def with_pixels(self, value: str, sizes: Shape) -> str:
        """A map with its pixels in so many rows and columns, in the same order."""
        shape = (*sizes, self.shape(value)[-1])
        if self.shape(value) == shape:
            return value
        output = self.fresh(f"{value} as {sizes[0]} x {sizes[1]}")
        return self.emit(self._unique(output), Reshape(shape), (value,), output).value

    def _ask(self, tensor: Tensor, shape: Shape) -> None:
        """Begin anew with an input so that a tensor is usual, if it has the input's elements.

        Of what is asked of one input a map is the last.
        """
        root = self._root(tensor)
        known = self.arrangements.get(root)
        if root not in self._inputs or (known and len(shape) <= len(known.shape)):
            return
        places = np.empty(prod(shape), np.int64)
        places[tensor.places.reshape(-1)] = usual_places(tensor.shape).reshape(-1)
        wanted = places[self._tensors[root].places]
        if HostView.of(wanted) is not None:
            raise Rearranged(root, Arrangement(shape, wanted))

    def _root(self, tensor: Tensor) -> str:
        """The value whose elements a tensor has in the same order."""
        root = tensor.value
        while root in self._alike:
            root = self._alike[root]
        return root

    def _unflattened(self, tensor: Tensor, shape: Shape) -> Tensor:
        """A vector's elements as a map, whose places they take."""
        output = self.fresh(f"{tensor.value} as a map")
        order = np.empty(prod(shape), np.int64)
        order[usual_places(tensor.shape).reshape(-1)] = tensor.places.reshape(-1)
        op = Unflatten(shape, tuple(order.tolist()))
        self.emit(self._unique(output), op, (tensor.value,), output)
        return Tensor(output, tensor.shape)

    def _shuffled(self, tensor: Tensor, where: str) -> Tensor:
        """Channels, or the elements of a vector, in the usual order."""
        shape = self.shape(tensor.value)
        order = channel_axis(tensor, shape[-1], 0)
        if (
            order is None
            or usual_shape(tensor.shape) != shape
            or not np.array_equal(tensor.places, _with_channels(tensor.shape, order))
        ):
            return self._scattered(tensor, where)
        if tensor.order is None or np.array_equal(order, np.arange(len(order))):
            return replace(tensor, order=None)
        output = self.fresh(f"{tensor.value} in order")
        op = Shuffle(tuple(order.tolist()))
        self.emit(self._unique(output), op, (tensor.value,), output)
        return Tensor(output, tensor.shape)

    def _scattered(self, tensor: Tensor, where: str) -> Tensor:
        """Elements that lie anywhere as a map in the usual order."""
        if prod(tensor.shape) > LARGEST_REORDER:
            raise InputError(
                f"{where}: its input's rows, columns and channels are mixed by Reshape or "
                f"Transpose; of {prod(tensor.shape)} elements, more than {LARGEST_REORDER}, only "
                "the channels may be"
            )
        return self._unflattened(self.flat(tensor), usual_shape(tensor.shape))

    def flat(self, tensor: Tensor) -> Tensor:
        """A tensor whose elements are those of a vector of the graph."""
        shape = self.shape(tensor.value)
        row = self.vector(arranged(tensor.value, shape, tensor.places.reshape(-1)))
        return Tensor(row.value, tensor.shape, row.places.reshape(tensor.shape))

    def by_channel(self, tensor: Tensor, axis: int, where: str) -> tuple[Tensor, Ints]:
        """A tensor of which an axis is the channels of its value, and the channel of each index.

        Raises
        ------
        InputError
            If values would have to move between channels, rows and columns.
        """
        order = channel_axis(tensor, self.shape(tensor.value)[-1], axis)
        if order is not None:
            return tensor, order
        if grouped := self.grouped(tensor, axis):
            return grouped, np.arange(tensor.shape[axis])
        if joined := self._joined(tensor, axis):
            return joined
        first = np.moveaxis(tensor.places, axis, 0)
        try:
            made = self.usual(arranged(tensor.value, self.shape(tensor.value), first), where)
        except InputError:
            raise InputError(
                f"{where}: axis {axis + 1} of (N, {', '.join(map(str, tensor.shape))}) must be "
                "the channels; others are not possible, since no value moves between rows, "
                "columns and channels"
            ) from None
        back = np.moveaxis(made.places, 0, axis)
        made = arranged(made.value, self.shape(made.value), back)
        return made, np.arange(tensor.shape[axis])

    def grouped(self, tensor: Tensor, axis: int) -> Tensor | None:
        """A tensor of which an axis was a group of channels, or several rows of them."""
        shape = self.shape(tensor.value)
        if len(shape) < 3 or self._root(tensor) in self._inputs:
            return None
        made = grouping(tensor.places, shape, axis)
        if made is None:
            return None
        name = self.fresh(f"{tensor.value} in groups of {tensor.shape[axis]}")
        constants = {"weight": made.weight, "bias": np.zeros(made.weight.shape[3])}
        value = self.emit(name, made.op, (tensor.value,), name, constants=constants).value
        return arranged(value, self.shape(value), made.places)

    def _joined(self, tensor: Tensor, axis: int) -> tuple[Tensor, Ints] | None:
        """A large tensor of which an axis is the columns of a map with their channels."""
        shape, size = self.shape(tensor.value), tensor.shape[axis]
        if prod(tensor.shape) <= LARGEST_REORDER or len(shape) < 3 or size != prod(shape[1:]):
            return None
        order = channel_axis(tensor, size, axis)
        if order is None:
            return None
        output = self.fresh(f"{tensor.value} by rows")
        op = Reshape((shape[0], 1, size))
        value = self.emit(self._unique(output), op, (tensor.value,), output).value
        return arranged(value, self.shape(value), tensor.places), order

    def places(self, tensor: Tensor, where: str) -> Ints:
        """Place of each element of a tensor in its value."""
        _check_view(tensor.shape, where)
        return tensor.places

    def rearrange(self, call: Call, tensor: Tensor, places: Ints, batch_axis: int = 0) -> None:
        """Make an operator's result of the same elements in another shape or order."""
        value = tensor.value
        if places.ndim == 1 and len(self.shape(value)) == 3 and value not in self._flattens:
            self._flattens[value] = self.label(call), self.fresh(call.outputs[0])
        self.define(call.outputs[0], arranged(value, self.shape(value), places), batch_axis)

    def origin(self, value: str) -> str | None:
        """The value that one is in another shape; None if it is a value of its own."""
        return self._whole.get(value)

    def input_views(self) -> dict[str, HostView | None]:
        """How the host has each input; None where it is the graph's vector."""
        return {entry.name: self._input_view(entry.name) for entry in self.file.inputs}

    def _input_view(self, name: str) -> HostView | None:
        tensor, wanted = self._tensors[name], self.arrangements.get(name)
        if wanted and wanted.kinds:
            return replace(HostView.plain(tensor.shape), kinds=wanted.kinds)
        return self._view(tensor)

    def _view(self, tensor: Tensor) -> HostView | None:
        view = HostView.of(tensor.places)
        return None if view == HostView.plain(self.shape(tensor.value)) else view

    def arrange_alike(self, output: str, name: str) -> None:
        """Ask for an input in the arrangement of a result, if it has another one.

        Raises
        ------
        Rearranged
            If it has.
        """
        if output not in self._tensors or name not in self._inputs:
            return
        made, source = (self.whole(self._tensors[n]) for n in (output, name))
        if made.places.shape != source.places.shape or name in self.numbers:
            return
        shapes = [self.shape(tensor.value) for tensor in (made, source)]
        if shapes[0] != shapes[1] or not np.array_equal(made.places, source.places):
            places = made.places.reshape(self._tensors[name].shape)
            raise Rearranged(name, Arrangement(shapes[0], places))

    def results(self) -> dict[str, tuple[str, HostView | None]]:
        """By output of the file: the value that it is, and how the host has it.

        Raises
        ------
        InputError
            If no operator writes one, or no loops bring its elements in the file's order.
        """
        return {name: self._result(name) for name in self.file.outputs}

    def _result(self, name: str) -> tuple[str, HostView | None]:
        tensor = self.tensor_of_any_order(name, f"output {name}")
        if HostView.of(tensor.places) is None:
            tensor = self.usual(tensor, f"output {name}")
        return tensor.value, self._view(tensor)


def _of_one_sample(empty: Constant, many: Constant) -> Constant | None:
    """A constant of one sample of an open batch, if it is the same for all; else None.

    It is known for no samples and for :data:`OTHER_BATCH`.
    """
    sizes = [*zip(empty.shape, many.shape, strict=False)]
    axes = [axis for axis, (none, count) in enumerate(sizes) if none != count]
    if empty.ndim != many.ndim or len(axes) != 1 or sizes[axes[0]] != (0, OTHER_BATCH):
        return None
    first = many.take([0], axes[0])
    return first if np.array_equal(np.broadcast_to(first, many.shape), many) else None


def _ranked(tensor: Tensor, rank: int) -> Tensor:
    """A tensor with so many dimensions: vectors have one, of maps (H, W, C) two are (C, W)."""
    if len(tensor.shape) == 1 or rank == 3:
        return tensor
    channels, height, width = tensor.shape
    if rank < 3:
        return replace(tensor, shape=(channels, width) if rank == 2 else tensor.shape)
    return replace(tensor, shape=(channels, *[1] * (rank - 3), height, width))


def _with_channels(shape: Shape, order: Ints) -> Ints:
    """Usual places but for channels in another order."""
    shift = order - np.arange(len(order))
    return usual_places(shape) + shift.reshape(-1, *[1] * (len(shape) - 1))


def _check_size(shape: Shape, where: str) -> None:
    if prod(shape) > _LARGEST_VALUE:
        raise InputError(f"{where}: a value of shape {shape} is too large")


def _check_view(shape: Shape, where: str) -> None:
    if prod(shape) > _LARGEST_VIEW:
        raise InputError(f"{where}: a value of shape {shape} is too large to be reordered")
