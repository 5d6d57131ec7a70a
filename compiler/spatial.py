"""Operators on feature maps: a sample has shape (H, W, C), channels last, as the machine stores it.

Importers bring other orders to this one. Windows follow the ONNX operators of the same names:
output row ``y`` looks at input rows ``y * stride - top + k * dilation``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window
from pulsarray.errors import InputError

__all__ = [
    "Add",
    "AveragePool",
    "BatchNorm",
    "Concat",
    "Convolution",
    "Dropout",
    "LocalResponseNorm",
    "MaxPool",
    "OneInput",
    "Pad",
    "Shuffle",
    "TransposedConvolution",
]

Floats = npt.NDArray[np.float64]
Shape = tuple[int, ...]


class OneInput:
    """An operator that reads one value."""

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that it reads."""
        return (self.input,)


def _sizes(window: Window, height: int, width: int, where: str) -> tuple[int, int]:
    """Rows and columns of a window's result."""
    try:
        return window.output(height, width)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _image(shape: Shape, where: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise InputError(f"{where}: input must have shape (H, W, C), not {shape}")
    return shape[0], shape[1], shape[2]


def _finite(where: str, **arrays: Floats) -> None:
    for what, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"{where}: {what} must be finite numbers")


@dataclass(frozen=True, eq=False)
class Convolution(OneInput):
    """2-D convolution (cross-correlation): weight (kh, kw, C / groups, N), bias (N,)."""

    name: str
    input: str
    output: str
    weight: Floats
    bias: Floats
    window: Window
    groups: int = 1

    def shape(self, given: Shape) -> Shape:
        """Shape of the result, (H', W', N).

        Raises
        ------
        InputError
            If weight, bias, window and input do not fit.
        """
        height, width, channels = _image(given, self.name)
        if self.weight.ndim != 4 or 0 in self.weight.shape:
            raise InputError(
                f"{self.name}: weight must have shape (kh, kw, C / groups, N), "
                f"not {self.weight.shape}"
            )
        *kernel, depth, count = self.weight.shape
        if tuple(kernel) != self.window.kernel:
            raise InputError(
                f"{self.name}: weight must have a kernel of {self.window.kernel}, not {kernel}"
            )
        if self.groups < 1 or depth * self.groups != channels or count % self.groups:
            raise InputError(
                f"{self.name}: {self.groups} groups of {depth} channels and {count} results do "
                f"not fit an input of {channels} channels"
            )
        if self.bias.shape != (count,):
            raise InputError(f"{self.name}: bias must have shape ({count},), not {self.bias.shape}")
        _finite(self.name, weight=self.weight, bias=self.bias)
        return (*_sizes(self.window, height, width, self.name), count)


@dataclass(frozen=True, eq=False)
class TransposedConvolution(OneInput):
    """The gradient of a convolution by its input: weight (kh, kw, C, N / groups), bias (N,).

    Input pixel ``y`` adds to output rows ``y * stride - top + k * dilation``; the result has
    ``(H - 1) * stride - top - bottom + (kh - 1) * dilation + 1 + output_padding`` rows.
    """

    name: str
    input: str
    output: str
    weight: Floats
    bias: Floats
    window: Window
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1

    def shape(self, given: Shape) -> Shape:
        """Shape of the result, (H', W', N).

        Raises
        ------
        InputError
            If weight, bias, window and input do not fit.
        """
        height, width, channels = _image(given, self.name)
        if self.weight.ndim != 4 or 0 in self.weight.shape:
            raise InputError(
                f"{self.name}: weight must have shape (kh, kw, C, N / groups), "
                f"not {self.weight.shape}"
            )
        *kernel, depth, count = self.weight.shape
        if tuple(kernel) != self.window.kernel or depth != channels:
            raise InputError(
                f"{self.name}: weight must have shape {(*self.window.kernel, channels)} and "
                f"results, not {self.weight.shape}"
            )
        if self.groups < 1 or channels % self.groups:
            raise InputError(f"{self.name}: {channels} channels are not {self.groups} groups")
        count *= self.groups
        if self.bias.shape != (count,):
            raise InputError(f"{self.name}: bias must have shape ({count},), not {self.bias.shape}")
        _finite(self.name, weight=self.weight, bias=self.bias)
        w, sizes = self.window, []
        for axis, size in enumerate((height, width)):
            extent = (w.kernel[axis] - 1) * w.dilation[axis] + 1
            cut = w.padding[axis] + w.padding[axis + 2]
            total = (size - 1) * w.stride[axis] + extent - cut + self.output_padding[axis]
            if total < 1 or min(w.stride) < 1 or min(w.dilation) < 1 or min(w.padding) < 0:
                raise InputError(f"{self.name}: window {w} leaves no output of {given}")
            sizes.append(total)
        return (*sizes, count)


@dataclass(frozen=True)
class MaxPool(OneInput):
    """The largest value that a window sees of each channel; padding never counts."""

    name: str
    input: str
    output: str
    window: Window

    def shape(self, given: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If window and input do not fit, or an output sees padding alone.
        """
        height, width, channels = _image(given, self.name)
        _no_empty_window(self.window, self.name)
        return (*_sizes(self.window, height, width, self.name), channels)


@dataclass(frozen=True)
class AveragePool(OneInput):
    """The mean of what a window sees of each channel.

    With ``include_padding`` padding counts as zeros, else it does not count.
    """

    name: str
    input: str
    output: str
    window: Window
    include_padding: bool = False

    def shape(self, given: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If window and input do not fit, or an output sees padding alone.
        """
        height, width, channels = _image(given, self.name)
        _no_empty_window(self.window, self.name)
        return (*_sizes(self.window, height, width, self.name), channels)


def _no_empty_window(window: Window, where: str) -> None:
    top, left, bottom, right = window.padding
    if max(top, bottom) >= _extent(window, 0) or max(left, right) >= _extent(window, 1):
        raise InputError(
            f"{where}: padding {window.padding} must be less than the window {window.kernel}"
        )


def _extent(window: Window, axis: int) -> int:
    return (window.kernel[axis] - 1) * window.dilation[axis] + 1


@dataclass(frozen=True, eq=False)
class BatchNorm(OneInput):
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift``, arrays of shape (C,).

    Inference uses the given statistics; training those of the batch (Ioffe and Szegedy 2015).
    """

    name: str
    input: str
    output: str
    scale: Floats
    shift: Floats
    mean: Floats
    variance: Floats
    epsilon: float = 1e-5

    def shape(self, given: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If an array does not have one finite number a channel, or a variance is negative.
        """
        arrays = {"scale": self.scale, "shift": self.shift, "mean": self.mean}
        for what, array in (arrays | {"variance": self.variance}).items():
            if array.shape != given[-1:]:
                raise InputError(
                    f"{self.name}: {what} must have shape {given[-1:]}, not {array.shape}"
                )
        _finite(self.name, **arrays, variance=self.variance)
        if not float(self.variance.min()) + self.epsilon > 0.0:
            raise InputError(f"{self.name}: variance + epsilon must be positive")
        return given

    def affine(self) -> tuple[Floats, Floats]:
        """Factor and offset a channel that do the same in inference."""
        factor = self.scale / np.sqrt(self.variance + self.epsilon)
        return factor, self.shift - self.mean * factor


@dataclass(frozen=True)
class Add:
    """The sum of two values of one shape."""

    name: str
    inputs: tuple[str, ...]
    output: str

    def shape(self, *given: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If there are not two inputs of one shape.
        """
        if len(given) != 2 or given[0] != given[1]:
            shapes = " and ".join(map(str, given))
            raise InputError(f"{self.name}: needs two inputs of one shape, not {shapes}")
        return given[0]


@dataclass(frozen=True)
class Concat:
    """Values side by side along the channels."""

    name: str
    inputs: tuple[str, ...]
    output: str

    def shape(self, *given: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If there is no input, or rows and columns differ.
        """
        if not given or any(shape[:-1] != given[0][:-1] for shape in given):
            shapes = ", ".join(map(str, given)) or "none"
            raise InputError(f"{self.name}: inputs must differ in channels only, not {shapes}")
        return (*given[0][:-1], sum(shape[-1] for shape in given))


@dataclass(frozen=True)
class Pad(OneInput):
    """Zeros around rows and columns: at top, left, bottom, right."""

    name: str
    input: str
    output: str
    padding: tuple[int, int, int, int]

    def shape(self, given: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If a padding is negative.
        """
        height, width, channels = _image(given, self.name)
        top, left, bottom, right = self.padding
        if min(self.padding) < 0:
            raise InputError(f"{self.name}: padding must be at least 0, not {self.padding}")
        return (height + top + bottom, width + left + right, channels)


@dataclass(frozen=True)
class Dropout(OneInput):
    """In training, elements become 0 with probability ``rate``, the others grow by 1/(1-rate).

    In inference the identity (Srivastava et al. 2014, in its inverted form).
    """

    name: str
    input: str
    output: str
    rate: float

    def shape(self, given: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If the rate is not a probability below 1.
        """
        if not 0.0 <= self.rate < 1.0:
            raise InputError(f"{self.name}: rate must be 0 to below 1, not {self.rate}")
        return given


@dataclass(frozen=True)
class Shuffle(OneInput):
    """Channels in another order: channel ``i`` of the result is channel ``order[i]``."""

    name: str
    input: str
    output: str
    order: tuple[int, ...]

    def shape(self, given: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If the order is not one of all channels.
        """
        if sorted(self.order) != list(range(given[-1])):
            raise InputError(f"{self.name}: order must be a permutation of {given[-1]} channels")
        return given


@dataclass(frozen=True)
class LocalResponseNorm(OneInput):
    """``x / (bias + alpha / size * (sum of x^2 over size channels around it)) ^ beta``.

    Krizhevsky et al. 2012, as the ONNX operator LRN.
    """

    name: str
    input: str
    output: str
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def shape(self, given: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If a parameter is out of its range.
        """
        if self.size < 1 or self.bias <= 0.0 or self.alpha < 0.0:
            raise InputError(
                f"{self.name}: needs size >= 1, bias > 0 and alpha >= 0, "
                f"not {self.size}, {self.bias} and {self.alpha}"
            )
        return given

    def neighbours(self, channels: int) -> Floats:
        """Which channels count for which, (C, C) of 0 and 1."""
        place = np.arange(channels)
        distance = place[:, None] - place[None, :]
        before, after = (self.size - 1) // 2, -(-(self.size - 1) // 2)
        inside = (distance >= -before) & (distance <= after)
        return np.asarray(inside, np.float64)

    def denominator(self, squares: Floats) -> Floats:
        """What x is divided by, from the sums of squares."""
        return np.asarray((self.bias + self.alpha / self.size * squares) ** self.beta)
