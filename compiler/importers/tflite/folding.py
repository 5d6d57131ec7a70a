"""What a TensorFlow Lite file leaves to be worked out: constants of constants, and open sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.evaluate import ELEMENTWISE, MOVING, OTHERS
from pulsarray.compiler.importers.tflite.file import ELEMENTS_OF, Operator, Tensor, TfliteFile
from pulsarray.compiler.importers.tflite.open_sizes import SIZES
from pulsarray.errors import InputError

__all__ = ["folded"]

Array = npt.NDArray[Any]
_LARGEST = 1 << 24
"""Elements of a constant that is worked out."""
_BUDGET = 1 << 26
"""Elements of all that is worked out."""
_REALS = ("DEQUANTIZE", "DENSIFY")


def folded(file: TfliteFile) -> TfliteFile:
    """The file without operators whose results are known, and with sizes that follow from others.

    SHAPE of a tensor of fixed sizes is known; the first size of one with an open batch counts as
    the file has it, which is 1.

    Raises
    ------
    InputError
        If operands of such an operator do not fit; the text names it.
    """
    walk = _Walk(file)
    kept = []
    for operator in file.operators:
        try:
            if not walk.is_known(operator):
                kept.append(operator)
        except InputError as error:
            raise InputError(f"{file.where(operator)}: {error}") from None
    return replace(file, tensors=tuple(walk.tensors), operators=tuple(kept))


class _Walk:
    """Tensors as far as they are known."""

    def __init__(self, file: TfliteFile) -> None:
        self.tensors = [*file.tensors]
        self._left = _BUDGET
        self._arrays: dict[int, Array] = {}
        self._reals: dict[int, Tensor] = {}
        self._written = {index for operator in file.operators for index in operator.outputs}
        self._written.update(file.inputs)

    def is_known(self, operator: Operator) -> bool:
        """Whether the results of an operator are constants, and have become such."""
        results = [self.tensors[index] for index in operator.outputs]
        if any(t.data is not None for t in results):
            return False  # It writes what it may not.
        arrays = self._results(operator)
        if arrays is not None and len(arrays) == len(results):
            for tensor, array in zip(results, arrays, strict=True):
                self._hold(tensor, array)
            return True
        if any(tensor.is_open for tensor in results):
            self._size(operator, results)
        return False

    def _hold(self, tensor: Tensor, array: Array) -> None:
        self._left -= array.size
        if array.size > _LARGEST or self._left < 0:
            raise InputError(f"a constant of {array.shape} is too large to be worked out")
        data = np.ascontiguousarray(array.astype(ELEMENTS_OF[tensor.kind]))
        written = data.tobytes()
        self.tensors[tensor.index] = replace(
            tensor, data=written, shape=array.shape, sparsity=None, is_open=False
        )

    def _results(self, operator: Operator) -> list[Array] | None:
        """Results in numpy; None where they are not known."""
        results = [self.tensors[index] for index in operator.outputs]
        if not results or any(t.kind not in ELEMENTS_OF or t.state for t in results):
            return None
        kind, operands = operator.kind, self._operands(operator)
        if kind in ("SHAPE", "RANK", "ZEROS_LIKE") and len(operands) == 1:
            return self._of_shape(kind, operands[0])
        if not operands or not all(t is None or self._constant(t) for t in operands):
            return None
        if kind in _REALS:  # Who reads it does the same, and may want more digits.
            if operands[0] is not None:
                self._reals[results[0].index] = operands[0]
            return None
        table = next((t for t in (ELEMENTWISE, MOVING, OTHERS) if kind in t), None)
        codes = any(len(t.scales) for t in (*operands, *results) if t is not None)
        if table is None or operator.option("FusedActivationFunction"):
            return None
        if codes and (table is not MOVING or not _alike(operands, results)):
            return None
        arrays = [None if tensor is None else self._array(tensor) for tensor in operands]
        return _evaluated(operator, arrays)

    def _operands(self, operator: Operator) -> list[Tensor | None]:
        return [None if index is None else self.tensors[index] for index in operator.inputs]

    def _constant(self, tensor: Tensor) -> bool:
        """Whether a tensor's elements are there and may be folded; one of no elements has none."""
        empty = not tensor.size and tensor.index not in self._written and not tensor.is_open
        fits = tensor.size <= _LARGEST and tensor.kind in (*ELEMENTS_OF, "int4")
        known = tensor.data is not None or empty or tensor.index in self._reals
        return known and not tensor.state and fits

    def _array(self, tensor: Tensor) -> Array:
        if tensor.index not in self._arrays:
            real = self._reals.get(tensor.index)
            known = tensor if tensor.data is not None else replace(tensor, data=b"")
            self._arrays[tensor.index] = (
                known.elements() if real is None else real.reals().astype(np.float32)
            )
        return self._arrays[tensor.index]

    def _of_shape(self, kind: str, tensor: Tensor | None) -> list[Array] | None:
        if tensor is None or min(tensor.shape, default=0) < 0:
            return None
        if kind == "RANK":
            return [np.array(len(tensor.shape))]
        if kind == "SHAPE":
            return [np.array(tensor.shape)]
        return [np.zeros(tensor.shape)] if tensor.size <= _LARGEST else None

    def _size(self, operator: Operator, results: Sequence[Tensor]) -> None:
        """Give results the sizes that follow from those of operands, where these are known."""
        operands = self._operands(operator)
        if any(t is not None and min(t.shape, default=0) < 0 for t in operands):
            return
        shapes = self._shapes(operator, operands)
        if shapes is None or len(shapes) != len(results):
            return
        for tensor, shape in zip(results, shapes, strict=True):
            self.tensors[tensor.index] = replace(tensor, shape=shape)

    def _shapes(
        self, operator: Operator, operands: Sequence[Tensor | None]
    ) -> list[tuple[int, ...]] | None:
        kind, sources = operator.kind, [t for t in operands if t is not None]
        if kind in SIZES:
            known = [t and (t.shape, self._array(t) if self._constant(t) else None)
                     for t in operands]  # fmt: skip
            return [_checked(SIZES[kind], operator, known)]
        if kind in ELEMENTWISE:
            return [_checked(np.broadcast_shapes, *(t.shape for t in sources))]
        if kind not in MOVING and kind not in OTHERS:
            return [sources[0].shape] if sources and len(operator.outputs) == 1 else None
        arrays = [None if t is None else self._stand_in(t) for t in operands]
        return [array.shape for array in _evaluated(operator, arrays)]

    def _stand_in(self, tensor: Tensor) -> Array:
        """A constant, or an array of a value's sizes that takes no memory."""
        if self._constant(tensor) and tensor.kind in ELEMENTS_OF:
            return self._array(tensor)
        if prod(tensor.shape) > 1 << 27:
            raise InputError(f"{tensor.short!r} of shape {tensor.shape} is too large")
        return np.broadcast_to(np.int8(0), tensor.shape)


def _alike(operands: Sequence[Tensor | None], results: Sequence[Tensor]) -> bool:
    """Whether codes mean the same before and behind an operator that moves them."""
    forms = {
        (t.kind, tuple(t.scales.tolist()), tuple(t.zeros.tolist()))
        for t in (*operands, *results)
        if t is not None and len(t.scales)
    }
    return len(forms) == 1 and all(len(scales) == 1 for _, scales, _ in forms)


def _evaluated(operator: Operator, operands: Sequence[Array | None]) -> list[Array]:
    """Results of an operator in numpy.

    Raises
    ------
    InputError
        If operands do not fit it.
    """
    kind = operator.kind
    with np.errstate(all="ignore"):
        if kind in ELEMENTWISE:
            made = _checked(ELEMENTWISE[kind], *operands)
        else:
            made = _checked((MOVING.get(kind) or OTHERS[kind]), operator, *operands)
    return made if isinstance(made, list) else [np.asarray(made)]


def _checked(function: Any, *operands: Any) -> Any:
    """What a function makes of operands.

    Raises
    ------
    InputError
        If they do not fit it.
    """
    try:
        return function(*operands)
    except (ValueError, IndexError, TypeError, OverflowError, AttributeError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"operands do not fit it: {text}") from None
