"""The steps that a training network is made of: products, and what combines feature maps.

Every step has a name, which is also that of the value that it gives; ``input`` is the network's
input. A value is a feature map (H, W, C); a vector of C numbers is the map (1, 1, C).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window

__all__ = [
    "CODE_ONE",
    "DERIVATIVES",
    "FRACTION",
    "AddStep",
    "AverageStep",
    "Derivative",
    "DropStep",
    "MapLayer",
    "MapShape",
    "NormLayer",
    "PoolStep",
    "Step",
    "TrainingLayer",
]

MapShape = tuple[int, int, int]
"""Rows, columns and channels."""

CODE_ONE = -14
"""Exponent of mantissas that are multiples of one half, of one and of minus one."""
FRACTION = -15
"""Exponent of mantissas below one."""


@dataclass(frozen=True)
class Derivative:
    """How an activation treats its sums forward, and the gradient backward.

    Parameters
    ----------
    argument
        Exponent of the table's argument; None without a table.
    output
        Exponent of the output; None if it adapts.
    slope
        Exponent of the derivative as a factor; None if the gradient passes or is blocked.
    own_error
        Whether the last layer needs an error of its own beside the loss's.
    """

    argument: int | None
    output: int | None
    slope: int | None
    own_error: bool


DERIVATIVES: Mapping[str, Derivative] = {
    "identity": Derivative(argument=None, output=None, slope=None, own_error=False),
    "relu": Derivative(argument=None, output=None, slope=None, own_error=True),
    "sigmoid": Derivative(argument=-12, output=FRACTION, slope=-17, own_error=True),
    "tanh": Derivative(argument=-13, output=FRACTION, slope=-15, own_error=True),
    # The perceptron rule: the error passes the step as it is.
    "step": Derivative(argument=None, output=CODE_ONE, slope=None, own_error=False),
}
"""Every activation that can be trained: z (1 - z), 1 - z^2, [z > 0], or 1."""


@dataclass(frozen=True, eq=False)
class TrainingLayer:
    """A dense product and its activation.

    Parameters
    ----------
    name
        Name of the dense operator.
    weight, bias
        Values before the first step, (K, N) and (N,), float64.
    activation
        A name of :data:`DERIVATIVES`.
    """

    name: str
    weight: Floats
    bias: Floats
    activation: str

    @property
    def derivative(self) -> Derivative:
        """Its rule."""
        return DERIVATIVES[self.activation]

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
    """A convolution and its activation; a dense product is one whose kernel is its whole input.

    ``weight`` has shape (kh kw C / groups, N): kernel row, kernel column, channel.

    Parameters
    ----------
    source
        The value that it reads.
    window
        What the kernel sees.
    given, result
        Shapes of source and result.
    groups
        Groups of channels.
    normalized
        Whether a batch normalization reads the result, which undoes a bias: it does not learn.
    """

    source: str
    window: Window
    given: MapShape
    result: MapShape
    groups: int = 1
    normalized: bool = False

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the parameters that learn."""
        names = super().learned
        return names[:1] if self.normalized else names

    @property
    def sources(self) -> tuple[str, ...]:
        """The values that it reads."""
        return (self.source,)


@dataclass(frozen=True)
class PoolStep:
    """Maximum pooling.

    Parameters
    ----------
    name
        Its name.
    source
        The value that it reads; nothing else reads it.
    window
        What an output sees.
    given, result
        Shapes of source and result.
    activation
        That of the source: its derivative is applied here, on fewer elements.
    chained
        Whether the source is a maximum pooling, which needs its values for its own source.
    """

    name: str
    source: str
    window: Window
    given: MapShape
    result: MapShape
    activation: str
    chained: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The values that it reads."""
        return (self.source,)

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


@dataclass(frozen=True)
class AverageStep:
    """Average pooling; windows do not overlap and there is no padding.

    Parameters
    ----------
    name
        Its name.
    source
        The value that it reads.
    window
        What an output sees.
    given, result
        Shapes of source and result.
    """

    name: str
    source: str
    window: Window
    given: MapShape
    result: MapShape
    activation: str = "identity"

    @property
    def sources(self) -> tuple[str, ...]:
        """The values that it reads."""
        return (self.source,)

    @property
    def share(self) -> float:
        """What a value counts."""
        return 1.0 / (self.window.kernel[0] * self.window.kernel[1])


@dataclass(frozen=True)
class DropStep:
    """Dropout: in training some values become 0, the others grow; else nothing changes.

    Parameters
    ----------
    name
        Its name.
    source
        The value that it reads.
    rate
        Probability of becoming 0.
    result
        Shape of source and result.
    """

    name: str
    source: str
    rate: float
    result: MapShape
    activation: str = "identity"

    @property
    def sources(self) -> tuple[str, ...]:
        """The values that it reads."""
        return (self.source,)

    @property
    def share(self) -> float:
        """What a value that is left is multiplied by."""
        return 1.0 / (1.0 - self.rate)


@dataclass(frozen=True)
class AddStep:
    """The sum of two values, and its activation (identity or ReLU).

    Parameters
    ----------
    name
        Its name.
    sources
        The values that it reads.
    result
        Shape of all of them.
    activation
        A name of :data:`DERIVATIVES`.
    """

    name: str
    sources: tuple[str, ...]
    result: MapShape
    activation: str = "identity"


@dataclass(frozen=True, eq=False, kw_only=True)
class NormLayer(TrainingLayer):
    """Batch normalization of a layer's sums, and its activation: weight (1, C), bias (C,).

    Parameters
    ----------
    source
        The layer whose result it reads; nothing else reads it, and it has no activation.
    given
        Shape of source and result.
    epsilon
        Added to the variance.
    """

    source: str
    given: MapShape
    epsilon: float

    @property
    def result(self) -> MapShape:
        """Shape of the result."""
        return self.given

    @property
    def scales(self) -> dict[str, str]:
        """By parameter, the name of its gradient's exponent: both have one."""
        return dict.fromkeys(self.learned, f"{self.name}.gradient")

    @property
    def sources(self) -> tuple[str, ...]:
        """The values that it reads."""
        return (self.source,)


Step = MapLayer | PoolStep | AverageStep | DropStep | AddStep | NormLayer
"""Any step."""
