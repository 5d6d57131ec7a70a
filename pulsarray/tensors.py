"""Tensors of a program from and to ``.npz`` files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.affine import decode, encode
from pulsarray.arrays import load_arrays, save_arrays
from pulsarray.errors import InputError, did_you_mean
from pulsarray.images import from_matrix, to_matrix
from pulsarray.program import Program, Tensor, pack, unpack

Reals = npt.NDArray[np.float64]

__all__ = [
    "codes_of",
    "memory_with_inputs",
    "output_values",
    "real_values",
    "save_outputs",
    "split_runs",
    "state_values",
    "with_arrays",
]


def memory_with_inputs(program: Program, path: Path | None) -> npt.NDArray[np.uint8]:
    """The program's memory image with the inputs of an ``.npz`` file written into it.

    Raises
    ------
    InputError
        If the file does not hold exactly the program's inputs, in their shapes.
    """
    if path is None:
        return program.memory.copy()
    return with_arrays(program, load_arrays(path), str(path))


def with_arrays(
    program: Program,
    arrays: Mapping[str, npt.NDArray[Any]],
    where: str = "inputs",
    memory: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Memory with an array for each of the program's inputs written into it.

    Parameters
    ----------
    program
        The program.
    arrays
        An array for each input, and for state that is not to stay what it is.
    where
        What they are called.
    memory
        Memory to begin with, as a run has left it; the program's image if None.

    Raises
    ------
    InputError
        If one is missing or there is one too many, or it does not fit its input.
    """
    memory = (program.memory if memory is None else memory).copy()
    tensors = {tensor.name: tensor for tensor in program.with_role("input")}
    names = ", ".join(tensors) or "none"
    states = {t.name: t for t in program.with_role("state") if t.name in arrays}
    for name in arrays.keys() - tensors.keys() - states.keys():
        raise InputError(
            f"{where}: array {name!r} is no input of the program; inputs: {names}"
            f"{did_you_mean(name, tensors)}"
        )
    for name, tensor in {**tensors, **states}.items():
        if name not in arrays:
            raise InputError(f"{where}: input {name!r} is missing; inputs: {names}")
        codes = codes_of(arrays[name], tensor, program, where)
        data = pack(codes, tensor, program.config)
        memory[tensor.address : tensor.address + data.size] = data
    return memory


def split_runs(
    program: Program, arrays: Mapping[str, npt.NDArray[Any]], runs: int, where: str = "inputs"
) -> list[dict[str, npt.NDArray[Any]]]:
    """What each of so many runs reads: as many samples of each array, one run after the other.

    Arrays of state are what the first one reads.

    Raises
    ------
    InputError
        If an array cannot be split so.
    """
    if runs == 1:
        return [dict(arrays)]
    states = {tensor.name for tensor in program.with_role("state")}
    first = {name: array for name, array in arrays.items() if name in states}
    arrays = {name: array for name, array in arrays.items() if name not in states}
    for name, array in arrays.items():
        if not array.ndim or len(array) % runs or not len(array):
            count = len(array) if array.ndim else 0
            raise InputError(f"{where}: {name}: {count} samples cannot be split into {runs} runs")
    sizes = {name: len(array) // runs for name, array in arrays.items()}
    parts = [
        {name: arrays[name][n * size : (n + 1) * size] for name, size in sizes.items()}
        for n in range(runs)
    ]
    return [{**parts[0], **first}, *parts[1:]]


def codes_of(
    values: npt.NDArray[Any], tensor: Tensor, program: Program, where: str = "inputs"
) -> npt.NDArray[np.int64]:
    """Codes of a tensor, as its matrix, from codes (integers) or real values (floating point).

    Feature maps have the shape that the network gives them, or are (samples, elements). Real values
    are rounded and saturated as :func:`pulsarray.affine.encode` says.

    Raises
    ------
    InputError
        If the shape is another one, or a value is no number or no code.
    """
    where = f"{where}: {tensor.name}"
    if values.dtype.kind not in "iuf":
        raise InputError(f"{where}: dtype must be integer or floating point, not {values.dtype}")
    if tensor.view and tensor.view.kinds:
        return _of_kinds(values, tensor, where)
    high = (1 << (program.config.operand_bits - 1)) - 1
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise InputError(f"{where}: values must be finite numbers")
        codes = encode(
            values,
            tensor.scale,
            tensor.zero_point,
            bits=program.config.operand_bits,
            half_away=tensor.half_away,
        )
        return to_matrix(codes, tensor, where)
    if values.size and not -high - 1 <= int(values.min()) <= int(values.max()) <= high:
        seen = f"{values.min()} to {values.max()}"
        raise InputError(f"{where}: codes must be {-high - 1} to {high}, not {seen}")
    return to_matrix(values, tensor, where)


def _of_kinds(values: npt.NDArray[Any], tensor: Tensor, where: str) -> npt.NDArray[np.int64]:
    """Codes of one-hot rows of whole numbers."""
    if not (np.isfinite(values) & (values == np.floor(values))).all():
        raise InputError(f"{where}: values must be whole numbers")
    try:
        return to_matrix(values, tensor, where)
    except InputError as error:
        raise InputError(str(error) if where in str(error) else f"{where}: {error}") from None


def real_values(matrix: npt.NDArray[np.int64], tensor: Tensor) -> npt.NDArray[np.float64]:
    """Real values of a tensor's matrix, with what a host applies to them, in the host's shape."""
    values = decode(matrix, tensor.scale, tensor.zero_point)
    if tensor.after:
        values = _AFTER[tensor.after](values)
        tensor = replace(tensor, columns=values.shape[1], image=_image(tensor, values.shape[1]))
    if tensor.answer_scale:
        scale, zero = tensor.answer_scale, tensor.answer_zero
        codes = encode(values, scale, zero, half_away=tensor.half_away)
        values = decode(codes, tensor.answer_scale, tensor.answer_zero)
    return from_matrix(values, tensor)


def _image(tensor: Tensor, channels: int) -> tuple[int, ...]:
    """Rows, columns and channels of a map, of which it may have fewer; empty for a matrix."""
    return (*tensor.image[:2], channels) if tensor.image else ()


def _softmax(values: Reals) -> Reals:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _first(values: Reals) -> Reals:
    """Places of the first of the largest."""
    return np.asarray(values.argmax(axis=-1, keepdims=True), np.float64)


def _last(values: Reals) -> Reals:
    """Places of the last of the largest."""
    return np.asarray(values.shape[-1] - 1 - _first(values[:, ::-1]))


_AFTER: Mapping[str, Callable[[Reals], Reals]] = {
    "argmax": _first,
    "argmin": lambda values: _first(-values),
    "last_argmax": _last,
    "last_argmin": lambda values: _last(-values),
    "softmax": _softmax,
}
"""What a host applies to the real values of rows, by name."""


def output_values(
    program: Program, memory: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float64]]:
    """Real values of every output by name, from memory after a run."""
    return {
        tensor.name: real_values(unpack(memory, tensor, program.config), tensor)
        for tensor in program.with_role("output")
    }


def state_values(
    program: Program, memory: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float64]]:
    """Real values of a network's state by name, as the next run will read them."""
    return {
        tensor.name: real_values(unpack(memory, tensor, program.config), tensor)
        for tensor in program.with_role("state")
        if tensor.element == "code"
    }


def _codes(tensor: Tensor) -> str:
    """Name of a tensor's integers in a file."""
    return f"{tensor.name}.codes"


def check_output_names(path: Path, program: Program) -> None:
    """Check before any work that :func:`save_outputs` can name every array.

    Raises
    ------
    InputError
        If two would have one name.
    """
    outputs = program.with_role("output")
    names = Counter(name for tensor in outputs for name in (tensor.name, _codes(tensor)))
    for name, count in names.items():
        if count > 1:
            raise InputError(
                f"{path}: two outputs would be called {name!r}; give the program's outputs other "
                "names"
            )


def save_outputs(path: Path, program: Program, memories: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Write every output twice: real values under its name, integers under ``NAME.codes``.

    Those of several runs follow each other along the first axis.
    """
    check_output_names(path, program)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for tensor in program.with_role("output"):
        matrices = [unpack(memory, tensor, program.config) for memory in memories]
        arrays[tensor.name] = np.concatenate([real_values(m, tensor) for m in matrices])
        arrays[_codes(tensor)] = np.concatenate([from_matrix(m, tensor) for m in matrices])
    save_arrays(path, arrays)
