"""Inputs of network files: shapes of samples, and the batch that all of them hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pulsarray.compiler.arguments import integers
from pulsarray.errors import InputError, did_you_mean

__all__ = ["NO_AXIS", "GivenInput", "GivenShapes", "batch_of", "readings", "sample_shapes", "sized"]

GivenShapes = Sequence[int] | Mapping[str, Sequence[int]] | None
"""Shape of a sample of the only input, or of inputs by name; or open sizes by theirs."""
NO_AXIS = -1
"""In place of the axis of a batch of one sample, where the file has none of one element."""


@dataclass(frozen=True)
class GivenInput:
    """An input of a file.

    Parameters
    ----------
    name, dims, element
        Its name, shape (None where it is dynamic) and element type.
    names
        Names of its sizes that are dynamic; empty where there is none.
    batch_axis
        The axis of samples; :data:`NO_AXIS` where all axes are of one sample.
    """

    name: str
    dims: tuple[int | None, ...]
    element: int
    names: tuple[str, ...] = ()
    batch_axis: int = 0

    @property
    def batch(self) -> int | None:
        """Samples that it holds; None where the file leaves that open."""
        whole = self.batch_axis == NO_AXIS or not self.dims
        return 1 if whole else self.dims[self.batch_axis]

    @property
    def sample_dims(self) -> tuple[int | None, ...]:
        """Its shape without the samples."""
        axis = self.batch_axis
        return self.dims if axis == NO_AXIS else (*self.dims[:axis], *self.dims[axis + 1 :])

    def sample_shape(self, shape: Sequence[int] | None = None) -> tuple[int, ...]:
        """Shape of one sample; ``shape`` gives the sizes that the file leaves open.

        Raises
        ------
        InputError
            If a size is missing, or not that of the file.
        """
        known = self.sample_dims
        if shape is not None:
            shape = integers(shape, "shape")
            fits = len(shape) == len(known) and all(
                b in (None, a) for a, b in zip(shape, known, strict=True)
            )
            if not fits or min(shape, default=0) < 1:
                text = ", ".join("?" if size is None else str(size) for size in known)
                raise InputError(
                    f"input {self.name}: shape {tuple(shape)} does not fit ({text}) of the file"
                )
            return shape
        if not known:
            raise InputError(
                f"input {self.name} needs a batch dimension and then the sizes of a sample, not "
                f"{self._text}; --set-input {self.name}=VALUE makes it a constant"
            )
        if None in known:
            wanted = "x".join("?" if size is None else str(size) for size in known)
            raise InputError(
                f"input {self.name} needs a batch dimension (which may be dynamic) and then "
                f"fixed sizes, not {self._text}; --shape {self.name}={wanted} with a number for "
                "each ? gives them"
            )
        return tuple(size for size in known if size is not None)

    @property
    def _text(self) -> str:
        """Its sizes as the file has them."""
        sizes = zip(self.dims, self.names or ("",) * len(self.dims), strict=True)
        return f"({', '.join(name or '?' if size is None else str(size) for size, name in sizes)})"


def sized(inputs: Sequence[GivenInput], shape: GivenShapes) -> tuple[list[GivenInput], GivenShapes]:
    """Inputs with the sizes that are given by their names, and with the axis of their samples.

    Raises
    ------
    InputError
        If a name is both of a size and given several sizes, or inputs hold different batches.
    """
    named = {name for model_input in inputs for name in model_input.names if name}
    input_names = {model_input.name for model_input in inputs}
    rest, sizes = shape, dict[str, int]()
    if isinstance(shape, Mapping):
        rest = {
            name: wanted
            for name, wanted in shape.items()
            if name in input_names or name not in named
        }
        for name in shape.keys() - rest.keys():
            wanted = integers(shape[name], "shape")
            if len(wanted) != 1 or wanted[0] < 1:
                raise InputError(f"shape: {name} is one size, not {tuple(wanted)}")
            sizes[name] = wanted[0]
    filled = [_filled(model_input, sizes) for model_input in inputs]
    return _with_batch(filled, rest), rest or None


def _filled(model_input: GivenInput, sizes: Mapping[str, int]) -> GivenInput:
    """An input with known sizes in place of named ones."""
    dims = zip(model_input.dims, model_input.names, strict=True)
    return replace(
        model_input, dims=tuple(sizes.get(n) if size is None else size for size, n in dims)
    )


def _with_batch(inputs: Sequence[GivenInput], shapes: GivenShapes) -> list[GivenInput]:
    """Inputs with the axis of their samples: the first, unless another is as the others' first."""
    firsts = [model_input.names[0] for model_input in inputs if model_input.dims[:1] == (None,)]
    sizes = [
        model_input.dims[0]
        for model_input in inputs
        if model_input.dims and model_input.dims[0] is not None
    ]
    made = []
    for model_input in inputs:
        wanted = shapes.get(model_input.name) if isinstance(shapes, Mapping) else None
        axis = 0
        if firsts and model_input.dims[:1] != (None,):
            axis = _open_axis(model_input, firsts, wanted)
        elif (
            model_input.dims and model_input.dims[0] is not None and model_input.dims[0] != sizes[0]
        ):
            axes = [k for k, size in enumerate(model_input.dims) if size == sizes[0]]
            axis = axes[0] if len(axes) == 1 else 0
        made.append(replace(model_input, batch_axis=axis))
    return made


def readings(inputs: Sequence[GivenInput]) -> Iterator[list[GivenInput]]:
    """Other ways to read inputs of whose samples an operator along the first axis makes one.

    One sample along another axis; one sample of all axes, unless the file leaves the first open.
    """
    if all(_one_axis(model_input) for model_input in inputs):
        yield [replace(entry, batch_axis=_one_axis(entry)) for entry in inputs]
    if all(model_input.dims and model_input.dims[0] for model_input in inputs):
        yield [replace(model_input, batch_axis=NO_AXIS) for model_input in inputs]


def _one_axis(model_input: GivenInput) -> int:
    """The first axis of one element behind the first, where that has more; 0 without one."""
    if model_input.batch_axis or model_input.dims[:1] in ((), (1,), (None,)):
        return 0
    return next((axis for axis, size in enumerate(model_input.dims) if axis and size == 1), 0)


def _open_axis(model_input: GivenInput, names: Sequence[str], shape: Sequence[int] | None) -> int:
    """The only open axis with one of some names, or else 0; a known shape says if it is a size."""
    named = zip(model_input.dims, model_input.names, strict=True)
    axes = [k for k, (size, name) in enumerate(named) if size is None and name in names]
    if len(axes) != 1:
        return 0
    whole = shape is not None and len(shape) == len(model_input.dims) - 1
    sizes = model_input.dims[1:] if whole else ()
    is_size = whole and all(b in (None, a) for a, b in zip(shape or (), sizes, strict=True))
    return 0 if is_size else axes[0]


def batch_of(inputs: Sequence[GivenInput]) -> int | None:
    """Samples that inputs hold; None where the file leaves that open.

    Raises
    ------
    InputError
        If one holds as many as another does not.
    """
    sizes = {
        model_input.name: model_input.batch
        for model_input in inputs
        if model_input.dims and model_input.batch is not None
    }
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
    names = [model_input.name for model_input in inputs]
    if shape is None or isinstance(shape, Mapping):
        shapes = shape or {}
    elif len(names) == 1:
        shapes = {names[0]: shape}
    else:
        raise InputError(f"shape: must say of which input it is: {', '.join(names)}")
    for name in shapes:
        if name not in names:
            sizes = {size for model_input in inputs for size in model_input.names if size}
            close = did_you_mean(name, [*names, *sizes])
            others = f", open sizes: {', '.join(sorted(sizes))}" if sizes else ""
            raise InputError(
                f"shape: {name!r} is no input; inputs: {', '.join(names)}{others}{close}"
            )
    samples = {
        model_input.name: model_input.sample_shape(shapes.get(model_input.name))
        for model_input in inputs
    }
    _ = batch_of(inputs)
    return samples
