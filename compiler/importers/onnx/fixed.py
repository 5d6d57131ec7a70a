"""Inputs of ONNX files that are set to constants, and the branches that this decides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from pulsarray.errors import InputError, did_you_mean

__all__ = ["SetInputs", "set_inputs"]

SetInputs = Mapping[str, npt.ArrayLike]
"""Values by the names of inputs; a number is the same for all elements."""


def set_inputs(graph: onnx.GraphProto, values: SetInputs) -> None:
    """Make initializers of inputs.

    Raises
    ------
    InputError
        If there is no such input, or a value does not fit its type or shape.
    """
    known = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in known}
    for name, value in values.items():
        if name not in inputs:
            told = ", ".join(inputs)
            raise InputError(
                f"--set-input: {name!r} is no input; inputs: {told}{did_you_mean(name, inputs)}"
            )
        made = _constant(inputs[name], value)
        graph.initializer.append(numpy_helper.from_array(made, name))
        graph.input.remove(inputs[name])


def _constant(constant: onnx.ValueInfoProto, value: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """The constant that an input becomes; sizes that the file leaves open are the value's, or 1."""
    tensor, array = constant.type.tensor_type, np.asarray(value)
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    rank = len(tensor.shape.dim)
    sizes = ((1,) * (rank - array.ndim) + array.shape)[-rank:] if rank else ()
    dims = [dim.dim_value or size for dim, size in zip(tensor.shape.dim, sizes, strict=True)]
    try:
        made = np.array(np.broadcast_to(array, dims).astype(kind, casting="unsafe"))
    except (ValueError, TypeError):
        raise InputError(
            f"--set-input: {constant.name} needs {kind} of shape {tuple(dims)}, not {array.shape}"
        ) from None
    if not np.array_equal(made, np.broadcast_to(array, dims)):
        raise InputError(f"--set-input: {constant.name} needs {kind}, which {value!r} is not")
    return made
