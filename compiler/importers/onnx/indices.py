"""Inputs of whole numbers: the host makes one-hot rows of them, or gives them as real numbers.

A table's row for each number is a product of its one-hot row with the table, which is exact. Before
that numbers are only moved and repeated, which is known at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
import onnx

from pulsarray.compiler.importers.onnx.constants import fold_constants
from pulsarray.compiler.importers.onnx.file import FLOATS, Call, Constant
from pulsarray.compiler.importers.onnx.moving import of_one_sample, place
from pulsarray.compiler.importers.onnx.orders import Arrangement, arranged
from pulsarray.compiler.importers.onnx.shapes import shape
from pulsarray.compiler.importers.onnx.tensors import OTHER_BATCH, Network, Rearranged, Tensor
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.errors import InputError

__all__ = ["read_numbers"]

_SAMPLES = 3
"""Samples on which it is seen that an operator keeps them apart."""
_LARGEST = 1 << 24
"""Elements of one-hot rows of a sample."""
_MOVES = frozenset(
    {
        *("Cast", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze"),
        *("Tile", "Transpose", "Unsqueeze"),
    }
)
"""Operators that leave whole numbers what they are."""


def read_numbers(network: Network, call: Call) -> None:
    """An operator that reads whole numbers of the input.

    Raises
    ------
    InputError
        If it does anything else than to move them, to compare them or to read a table's rows.
    """
    if call.kind == "Shape":
        return shape(network, call)
    numbers = [name for name in call.inputs if name in network.numbers]
    if len(numbers) == 1:
        if call.kind == "Cast" and call.integer("to", onnx.TensorProto.FLOAT) in FLOATS:
            return _as_real(network, call)
        if call.kind in _READERS and numbers[0] == call.inputs[_READERS[call.kind][0]]:
            return _READERS[call.kind][1](network, call)
        if call.kind == "Equal":
            return _equal(network, call, numbers[0])
        if call.kind in _MOVES and numbers[0] == call.inputs[0]:
            return _move(network, call)
    raise InputError(
        f"{call.where}: {call.kind} of {', '.join(map(repr, call.inputs))} is not possible; whole "
        "numbers of an input can be read by Gather from a constant, Equal with constants, OneHot, "
        "and Cast to floating point"
    )


def _as_real(network: Network, call: Call) -> None:
    """Real numbers, which the host gives."""
    name, places = network.numbers[call.inputs[0]]
    known = network.arrangements.get(name)
    if known and known.kinds:
        raise _at_once(call, name, known.kinds, "and as real numbers")
    tensor = network.input_of(name, call.where)
    made = tensor.places.reshape(-1)[places]
    network.define(call.outputs[0], arranged(name, network.shape(name), made))


def _move(network: Network, call: Call) -> None:
    """The same numbers at other places; whatever type Cast gives them they stay what they are."""
    name, places = network.numbers[call.inputs[0]]
    if call.kind in ("Cast", "Identity"):
        network.numbers[call.outputs[0]] = name, places
        return
    samples = np.stack([places + k * _size(network, name) for k in range(_SAMPLES)])
    constants = [_with_batch(network, call, other) for other in call.inputs[1:] if other]
    made = fold_constants(call, [samples, *constants], network.file.opset)[0]
    moved, batch_axis = of_one_sample(call, made, _size(network, name))
    if batch_axis:
        raise InputError(f"{call.where}: {call.kind} of whole numbers must keep the batch first")
    network.numbers[call.outputs[0]] = name, moved


def _size(network: Network, name: str) -> int:
    return prod(network.samples[name])


def _with_batch(network: Network, call: Call, name: str) -> Constant:
    """A constant; of a shape the batch, as its first size, is that of the samples."""
    if not network.is_constant(name):
        raise InputError(f"{call.where}: operand {name!r} must be a constant")
    known, other = network.constants[name], network.others.get(name)
    if call.kind in ("Expand", "Reshape") and known.size:
        first = known[0] == network.file.batch if other is None else other[0] == OTHER_BATCH
        known = np.array([_SAMPLES if first else known[0], *known[1:]])
    return known


def _one_hot(network: Network, call: Call, name: str, kinds: int) -> None:
    """See to it that the host gives one-hot rows of an input."""
    size = _size(network, name)
    if kinds < 1 or size * kinds > _LARGEST:
        raise InputError(
            f"{call.where}: {size} one-hot rows of {kinds} elements are too large; up to "
            f"{_LARGEST} elements a sample"
        )
    known = network.arrangements.get(name)
    if known is None:
        raise Rearranged(name, Arrangement((1, size, kinds), np.arange(size), kinds))
    if known.kinds != kinds:
        other = f"elsewhere as one of {known.kinds}" if known.kinds else "and as real numbers"
        raise _at_once(call, name, kinds, other)


def _at_once(call: Call, name: str, kinds: int, other: str) -> InputError:
    return InputError(
        f"{call.where}: {name!r} is read as one of {kinds}, {other}; this is not possible at once"
    )


def _equal(network: Network, call: Call, numbers: str) -> None:
    """1 where numbers are constants: elements of their one-hot rows."""
    (other,) = (x for x in call.inputs if x != numbers)
    constants = network.raw(other, call.where, "operand")
    name, places = network.numbers[numbers]
    if constants.dtype.kind not in "iu" or constants.size == 0 or constants.min() < 0:
        raise InputError(f"{call.where}: Equal needs whole numbers from 0 on in {other!r}")
    kinds = int(constants.max()) + 1
    _one_hot(network, call, name, kinds)
    try:
        wanted = places[None] * kinds + constants
    except ValueError:
        wanted = places
    if wanted.ndim != places.ndim + 1 or len(wanted) != 1:
        raise InputError(f"{call.where}: {other!r}, {constants.shape}, does not fit a sample")
    place(network, call, Tensor(name, wanted.shape[1:]), wanted[0], call.outputs[0])


def _rows(network: Network, call: Call) -> None:
    """A table's row for each number."""
    name, places = network.numbers[call.inputs[1]]
    table = network.weight(call.inputs[0], call.where)
    if call.integer("axis", 0) or table.ndim < 2 or not table.size:
        raise InputError(f"{call.where}: a table must have rows along axis 0, not {table.shape}")
    kinds, columns = len(table), prod(table.shape[1:])
    _one_hot(network, call, name, kinds)
    learned = {"weight": table.reshape(1, 1, kinds, columns), "bias": np.zeros(columns)}
    output = network.fresh(f"{call.outputs[0]} rows")
    op = Convolution(Window((1, 1)))
    made = network.emit(network.label(call), op, (name,), output, learned)
    wanted = (places[..., None] * columns + np.arange(columns)).reshape(
        *places.shape, *table.shape[1:]
    )
    place(network, call, made, wanted, call.outputs[0])


def _one_hot_of(network: Network, call: Call) -> None:
    """ONNX's OneHot with 0 and 1 along the last axis."""
    depth = network.raw(call.inputs[1], call.where, "depth")
    values = network.raw(call.inputs[2], call.where, "values")
    name, places = network.numbers[call.inputs[0]]
    last = call.integer("axis", -1) in (-1, places.ndim + 1)
    if depth.size != 1 or values.tolist() != [0, 1] or not last:
        raise InputError(f"{call.where}: OneHot must have values 0 and 1 along a last axis")
    kinds = int(depth.item())
    _one_hot(network, call, name, kinds)
    wanted = places[..., None] * kinds + np.arange(kinds)
    place(network, call, Tensor(name, wanted.shape), wanted, call.outputs[0])


_READERS: Mapping[str, tuple[int, Callable[[Network, Call], None]]] = {
    "Gather": (1, _rows),
    "OneHot": (0, _one_hot_of),
}
"""Operators that read numbers, the place of these among their inputs, and what they become."""
