"""TensorFlow Lite files as plain tables of tensors and operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.sparse import Sparsity
from pulsarray.errors import InputError

__all__ = ["ELEMENTS_OF", "Operator", "State", "Tensor", "TfliteFile"]

_Kinds = Mapping[str, type[np.number[Any]]]
_CONSTANT_TYPES: _Kinds = {"int8": np.int8, "int32": np.int32, "int64": np.int64}
_REAL_TYPES: Mapping[str, type[np.generic]] = {
    "bool": np.bool_,
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
}
_CODE_TYPES: _Kinds = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "int4": np.int8}
ELEMENTS_OF: Mapping[str, type[np.generic]] = {
    kind: of
    for kind, of in {**_CONSTANT_TYPES, **_REAL_TYPES, **_CODE_TYPES}.items()
    if kind != "int4"
}
"""Types of tensors whose elements are written one by one, and what they are in numpy."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a file.

    Parameters
    ----------
    index, name
        Its place among the tensors; its name, printable.
    shape
        Its shape; -1 where it is dynamic.
    kind
        Its type, as ``int8``.
    scales, zeros, axis
        Its quantization, of each channel along an axis or of all.
    data
        The bytes of a constant; None for what operators compute.
    state
        Whether it is a variable or otherwise more than a tensor; then how.
    sparsity
        Where the elements of a sparse constant are; None where all are there.
    is_open
        Whether the file leaves one of its sizes open.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    kind: str
    scales: npt.NDArray[np.float32]
    zeros: npt.NDArray[np.int64]
    axis: int
    data: bytes | memoryview | None
    state: str
    sparsity: Sparsity | None = None
    is_open: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def short(self) -> str:
        """The name of the first operator among those that a converter fused into this one."""
        return self.name.partition(";")[0][:120]

    def constant(self) -> npt.NDArray[np.int64]:
        """The elements of a constant.

        Raises
        ------
        InputError
            If it is none, of another type, or its bytes do not fit its shape.
        """
        if self.data is None or self.kind not in _CONSTANT_TYPES:
            raise InputError(f"{self.short!r} must be an integer constant, not {self.kind}")
        return self._elements(_CONSTANT_TYPES[self.kind]).astype(np.int64)

    def reals(self) -> npt.NDArray[np.float64]:
        """The elements of a constant as real numbers, whether it has these or codes for them.

        Raises
        ------
        InputError
            If it is none, of another type, or its bytes do not fit its shape.
        """
        if self.data is None or self.state:
            raise InputError(f"{self.short!r} must be a constant, not {self.state or 'computed'}")
        if self.kind in _REAL_TYPES:
            values = self._elements(_REAL_TYPES[self.kind]).astype(np.float64)
            if not np.isfinite(values).all():
                raise InputError(f"constant {self.short!r} must have finite numbers")
            return values
        if self.kind not in _CODE_TYPES:
            kinds = ", ".join((*_REAL_TYPES, *_CODE_TYPES))
            raise InputError(f"constant {self.short!r} is {self.kind}; supported are {kinds}")
        scale, zero = self._quantization()
        codes = self._nibbles() if self.kind == "int4" else self._elements(_CODE_TYPES[self.kind])
        return (codes.astype(np.float64) - zero) * scale

    def elements(self) -> npt.NDArray[Any]:
        """The elements of a constant as they are written: numbers, codes or truth values.

        Raises
        ------
        InputError
            If it is none, of another type, or its bytes do not fit its shape.
        """
        if self.data is None or self.state or self.kind not in ELEMENTS_OF:
            raise InputError(f"{self.short!r} must be a constant of numbers, not {self.kind}")
        return self._elements(ELEMENTS_OF[self.kind])

    def _elements(self, kind: type[np.generic]) -> npt.NDArray[Any]:
        """The elements of a constant, as they are."""
        little = np.dtype(kind).newbyteorder("<")
        if self.sparsity is not None:
            return self.sparsity.dense(np.frombuffer(self.data or b"", little), self.shape)
        self._check_bytes(self.size * little.itemsize)
        return np.frombuffer(self.data or b"", little).reshape(self.shape)

    def _nibbles(self) -> npt.NDArray[np.int64]:
        """Elements of four bits, the first of a byte in its lower half."""
        self._check_bytes(-(-self.size // 2))
        pairs = np.frombuffer(self.data or b"", np.uint8).astype(np.int64)
        codes = np.stack([pairs & 15, pairs >> 4], axis=1).reshape(-1)[: self.size]
        return np.asarray(codes - 16 * (codes > 7), np.int64).reshape(self.shape)

    def _check_bytes(self, count: int) -> None:
        bytes_of_data = len(self.data or b"")
        if min(self.shape, default=1) < 0 or bytes_of_data != count:
            raise InputError(
                f"constant {self.short!r} of shape {self.shape} has {bytes_of_data} bytes"
            )

    def _quantization(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Scales and zero points as they meet the elements.

        Raises
        ------
        InputError
            If there are not one or as many as the axis has, or a scale is not positive.
        """
        count, fits = len(self.scales), -len(self.shape) <= self.axis < len(self.shape)
        if count != 1 and not (fits and count == self.shape[self.axis]):
            raise InputError(
                f"constant {self.short!r} of {self.kind} and shape {self.shape} needs one scale, "
                f"or one for each of axis {self.axis}, not {count}"
            )
        if len(self.zeros) not in (0, 1, count):
            raise InputError(f"constant {self.short!r} has {len(self.zeros)} zero points")
        if not np.isfinite(self.scales).all() or float(self.scales.min()) <= 0.0:
            raise InputError(f"constant {self.short!r} needs positive scales")
        scales = self.scales.astype(np.float64)
        zeros = self.zeros.astype(np.float64) if len(self.zeros) else np.zeros(1)
        if count == 1:
            return scales, zeros[:1]
        sizes = [1] * len(self.shape)
        sizes[self.axis] = count
        return scales.reshape(sizes), np.broadcast_to(zeros, count).reshape(sizes)


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of a file.

    Parameters
    ----------
    index, kind
        Its place among the operators; its name in TensorFlow Lite.
    inputs, outputs
        Indices of tensors; None for an input that is left out.
    options
        Its attributes, by their names in the schema's readers.
    lists, names
        Those of its attributes that are lists of integers, or names.
    """

    index: int
    kind: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]
    lists: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def option(self, name: str) -> int:
        """An integer attribute; 0 where it is not given."""
        return int(self.options.get(name, 0))


@dataclass(frozen=True, eq=False)
class State:
    """What a run leaves for the next one.

    Parameters
    ----------
    name
        Name of the variable.
    before, after
        Index of the tensor that holds it when a run begins, and of the one when it ends.
    first
        What it holds before the first run.
    """

    name: str
    before: int
    after: int
    first: Tensor


@dataclass(frozen=True, eq=False)
class TfliteFile:
    """What a subgraph of a file holds.

    Parameters
    ----------
    size
        Bytes of the whole file.
    tensors, operators
        All of them; operators are in the order in which they run.
    inputs, outputs
        Indices of tensors.
    called
        Further subgraphs by their numbers, those that operators call before the first run.
    states
        What outlives a run; each is an input, too.
    """

    size: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    called: Mapping[int, TfliteFile] = field(default_factory=dict)
    states: tuple[State, ...] = ()

    def end_name(self, index: int) -> str:
        """The name of an input or output; with its index where another has it before."""
        ends = (*self.inputs, *self.outputs)
        before = {self.tensors[other].name for other in ends[: ends.index(index)]}
        name = self.tensors[index].name
        return name if name not in before else f"{name}#{index}"

    def results(self) -> list[tuple[int, str]]:
        """Tensors that are outputs, and what state becomes, by their names."""
        outputs = [(index, self.end_name(index)) for index in self.outputs]
        return [*outputs, *((state.after, f"next {state.name}") for state in self.states)]

    def place(self, operator: Operator) -> str:
        """An operator without its kind."""
        names = [repr(self.tensors[index].short) for index in operator.outputs[:1]]
        return " ".join([f"operator {operator.index}", *names])

    def where(self, operator: Operator) -> str:
        """An operator in an error message."""
        names = [self.tensors[index].short for index in operator.outputs[:1]]
        return f"operator {operator.index} ({', '.join([operator.kind, *map(repr, names)])})"
