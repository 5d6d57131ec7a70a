"""The steps that a training network is made of: products, and what combines feature maps.

Every step has a name, which is also that of the value that it gives; ``input`` is the network's
input. A value is a feature map (H, W, C); a vector of C numbers is the map (1, 1, C).
"""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.activations import DERIVATIVES, SLOPE, Derivative

__all__ = [
    "ActivateStep",
    "AddStep",
    "AverageStep",
    "DropStep",
    "MapLayer",
    "MapShape",
    "NormLayer",
    "PoolStep",
    "Step",
    "TrainingLayer",
    "is_vector",
]

MapShape = tuple[int, int, int]
"""Rows, columns and channels."""


def is_vector(shape: MapShape) -> bool:
    """Whether a map has one pixel."""
    return shape[:2] == (1, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """Any step.

    Parameters
    ----------
    name
        Its name.
    sources
        The values that it reads.
    given, result
        Shape of the sources, and of the result.
    activation
        A name of ``DERIVATIVES``; that of what is added up, or of the source of a pooling.
    """

    name: str
    sources: tuple[str, ...]
    given: MapShape
    result: MapShape
    activation: str = "identity"

    @property
    def source(self) -> str:
        """The first value that it reads."""
        return self.sources[0]

    @property
    def derivative(self) -> Derivative:
        """The rule of its activation."""
        return DERIVATIVES[self.activation]

    @property
    def tables(self) -> tuple[str, ...]:
        """The function tables that it needs."""
        if self.derivative.gated:
            return self.activation, f"{self.activation}{SLOPE}"
        return () if self.derivative.argument is None else (self.activation,)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingLayer(Step):
    """A step with parameters.

    Parameters
    ----------
    weight, bias
        Values before the first step, (K, N) and (N,), float64.
    """

    weight: Floats
    bias: Floats

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the parameters that learn."""
        return f"{self.name}.weight", f"{self.name}.bias"

    @property
    def scales(self) -> dict[str, str]:
        """By parameter that learns, the name of its gradient's exponent."""
        return {name: f"{name}.gradient" for name in self.learned}


@dataclass(frozen=True, eq=False, kw_only=True)
class MapLayer(TrainingLayer):
    """A convolution; a dense product is one whose kernel is its whole source.

    ``weight`` has shape (kh kw C / groups, N): kernel row, kernel column, channel.

    Parameters
    ----------
    window
        What the kernel sees.
    groups
        Groups of channels.
    normalized
        Whether a batch normalization reads the result, which undoes a bias: it does not learn.
    """

    window: Window
    groups: int = 1
    normalized: bool = False

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the parameters that learn."""
        names = super().learned
        return names[:1] if self.normalized else names


@dataclass(frozen=True, eq=False, kw_only=True)
class NormLayer(TrainingLayer):
    """Batch normalization of a layer's sums, weight (1, C) and bias (C,).

    Its source is a layer without activation whose result nothing else reads.

    Parameters
    ----------
    epsilon
        Added to the variance.
    """

    epsilon: float

    @property
    def scales(self) -> dict[str, str]:
        """By parameter, the name of its gradient's exponent: both have one."""
        return dict.fromkeys(self.learned, f"{self.name}.gradient")


@dataclass(frozen=True, eq=False, kw_only=True)
class PoolStep(Step):
    """Maximum pooling; nothing else reads its source, whose derivative is applied here.

    Parameters
    ----------
    window
        What an output sees.
    chained
        Whether the source needs its values: it is a maximum pooling, or has a gate.
    """

    window: Window
    chained: bool = False

    @property
    def in_place(self) -> bool:
        """Whether its error becomes that of its source as it is, in the place of its values."""
        return self.apart and not self.chained

    @property
    def apart(self) -> bool:
        """Whether no value is in two windows, and there is no padding."""
        window = self.window
        whole = window.kernel == self.given[:2]
        plain = not any(window.padding) and window.dilation == (1, 1)
        return plain and (whole or window.stride == window.kernel)


@dataclass(frozen=True, eq=False, kw_only=True)
class AverageStep(Step):
    """Average pooling; windows do not overlap and there is no padding.

    Parameters
    ----------
    window
        What an output sees.
    """

    window: Window

    @property
    def share(self) -> float:
        """What a value counts."""
        return 1.0 / (self.window.kernel[0] * self.window.kernel[1])


@dataclass(frozen=True, eq=False, kw_only=True)
class DropStep(Step):
    """Dropout: in training some values become 0, the others grow; else nothing changes.

    Parameters
    ----------
    rate
        Probability of becoming 0.
    """

    rate: float

    @property
    def share(self) -> float:
        """What a value that is left is multiplied by."""
        return 1.0 / (1.0 - self.rate)


@dataclass(frozen=True, eq=False, kw_only=True)
class AddStep(Step):
    """The sum of two values, and its activation (identity or ReLU)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivateStep(Step):
    """An activation by itself, of any value."""
