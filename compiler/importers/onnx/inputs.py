"""Inputs of ONNX files: shapes of samples, and the batch that all of them hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from pulsarray.compiler.arguments import integers
from pulsarray.errors import InputError, did_you_mean

__all__ = ["GivenInput", "GivenShapes", "batch_of", "given_input", "sample_shapes"]

GivenShapes = Sequence[int] | Mapping[str, Sequence[int]] | None
"""Shape of a sample of the only input, or of inputs by name."""


@dataclass(frozen=True)
class GivenInput:
    """An input of a file.

    Parameters
    ----------
    name, dims, element
        Its name, shape (None where it is dynamic) and element type.
    """

    name: str
    dims: tuple[int | None, ...]
    element: int

    def sample_shape(self, shape: Sequence[int] | None = None) -> tuple[int, ...]:
        """Shape of one sample; ``shape`` gives the sizes that the file leaves open.

        Raises
        ------
        InputError
            If a size is missing, or not that of the file.
        """
        known = self.dims[1:]
        if shape is not None:
            shape = integers(shape, "shape")
            fits = len(shape) == len(known) and all(
                b in (None, a) for a, b in zip(shape, known, strict=True)
            )
            if not fits or min(shape, default=0) < 1:
                given = ", ".join("?" if size is None else str(size) for size in known)
                raise InputError(
                    f"input {self.name}: shape {tuple(shape)} does not fit ({given}) of the file"
                )
            return shape
        if not known or any(size is None or size < 1 for size in known):
            given = ", ".join("?" if size is None else str(size) for size in self.dims)
            raise InputError(
                f"input {self.name} needs a batch dimension (which may be dynamic) and then "
                f"fixed sizes, not ({given})"
            )
        return tuple(size for size in known if size is not None)


def given_input(value: onnx.ValueInfoProto) -> GivenInput:
    """An input as its file declares it."""
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    known = tuple(None if size is None or size < 1 else size for size in dims)
    return GivenInput(value.name, known, tensor.elem_type)


def batch_of(inputs: Sequence[GivenInput]) -> int | None:
    """Samples that inputs hold; None where the file leaves that open.

    Raises
    ------
    InputError
        If one holds as many as another does not.
    """
    sizes = {given.name: given.dims[0] for given in inputs if given.dims[:1] != (None,)}
    if len({*sizes.values()}) > 1:
        told = ", ".join(f"{size} of {name!r}" for name, size in sizes.items())
        raise InputError(f"inputs need one batch as their first size, not {told}")
    return next(iter(sizes.values()), None)


def sample_shapes(
    inputs: Sequence[GivenInput], shape: GivenShapes = None
) -> dict[str, tuple[int, ...]]:
    """Shape of one sample of each input; ``shape`` gives the sizes that the file leaves open.

    Raises
    ------
    InputError
        If a size is missing, or not that of the file, a name is that of no input, or inputs hold
        different batches.
    """
    names = [given.name for given in inputs]
    if shape is None or isinstance(shape, Mapping):
        shapes = shape or {}
    elif len(names) == 1:
        shapes = {names[0]: shape}
    else:
        raise InputError(f"shape: must say of which input it is: {', '.join(names)}")
    for name in shapes:
        if name not in names:
            close = did_you_mean(name, names)
            raise InputError(f"shape: {name!r} is no input; inputs: {', '.join(names)}{close}")
    samples = {given.name: given.sample_shape(shapes.get(given.name)) for given in inputs}
    _ = batch_of(inputs)
    return samples
