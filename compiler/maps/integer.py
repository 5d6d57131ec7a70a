"""Networks in int8: what importers and quantization produce, and what the compiler lowers.

Every operator here is defined by integers alone; :mod:`pulsarray.compiler.maps.integer_interpreter`
computes the definitions with NumPy, and a program's tensors must equal its results bit for bit.
A feature map is (H, W, C) int8 codes; a vector of C numbers is the map (1, 1, C).

Notation: ``rne(v, s)`` is v / 2^s rounded half to even; ``clip`` to ``low .. high``. Rounding
``tflite`` is that of TensorFlow Lite's reference kernels: a saturating rounding doubling high
multiply, then a rounding right shift, both as in gemmlowp (Jacob et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import frexp

import numpy as np
import numpy.typing as npt

from pulsarray.affine import decode, encode
from pulsarray.compiler.ir.window import Window
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = [
    "Add",
    "AveragePool",
    "Concat",
    "Convolution",
    "Elementwise",
    "FeatureMap",
    "IntegerGraph",
    "MaxPool",
    "Multiply",
    "Node",
    "Residual",
    "Scale",
    "TfliteAdd",
    "TransposedConvolution",
    "count_scale",
    "fixed_point",
    "gives_sums",
    "needed",
]

Ints = npt.NDArray[np.int64]
LOW, HIGH = -128, 127
_SHIFTS = 63


def fixed_point(ratio: float, bits: int) -> tuple[int, int]:
    """Integers with ``multiplier / 2^shift`` nearest to a positive ratio.

    The multiplier has ``bits`` bits with the highest one set, unless the ratio is too small for
    the largest shift.
    """
    fraction, exponent = frexp(ratio)
    multiplier, shift = round(fraction * (1 << bits)), bits - exponent
    if multiplier == 1 << bits:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift > _SHIFTS:
        multiplier, shift = multiplier >> min(bits, shift - _SHIFTS), _SHIFTS
    return multiplier, max(shift, -_SHIFTS)


class OneInput:
    """An operator that reads one value."""

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that it reads."""
        return (self.input,)


@dataclass(frozen=True)
class FeatureMap:
    """A tensor of int8 codes: real value = (code - zero_point) * scale.

    Parameters
    ----------
    name
        Its name.
    height, width, channels
        Its shape, without the batch.
    scale, zero_point
        Its quantization.
    half_away
        Whether a host rounds halves away from zero when it makes codes, as LiteRT does.
    """

    name: str
    height: int
    width: int
    channels: int
    scale: float
    zero_point: int
    half_away: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels

    @property
    def pixels(self) -> int:
        """H times W."""
        return self.height * self.width

    def encode(self, values: npt.ArrayLike) -> Ints:
        """Codes of real values, rounded and saturated."""
        return encode(values, self.scale, self.zero_point, half_away=self.half_away)

    def decode(self, codes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Real values of codes."""
        return decode(codes, self.scale, self.zero_point)


@dataclass(frozen=True, eq=False)
class Scale:
    """From sums to codes: ``clip(zero + round(sum * multiplier / 2^shift))``, then a table.

    With ``fine`` sums are scaled to 2^-fine of a code first, to which an offset is added:
    ``clip(zero + round((sat32(round(sum * multiplier / 2^shift)) + offset) / 2^fine))``.

    Parameters
    ----------
    multiplier, shift
        Shape (N,) for one of each channel, or (1,) for all channels; multipliers are unsigned, of
        at most 31 bits.
    zero, low, high
        Zero point and limits of the scaled sum.
    tflite
        Rounding as TensorFlow Lite's, else once, half to even.
    table
        256 codes, by scaled sum + 128; None where the scaled sum is the result.
    fine, offset
        Bits below a code; (N,), of 32 bits. Only with products, and ``tflite`` off.
    sums
        Whether the sums themselves are the result, all else being ignored: only of a convolution
        that gives the network's result.
    """

    multiplier: Ints
    shift: Ints
    zero: int = 0
    low: int = LOW
    high: int = HIGH
    tflite: bool = False
    table: Ints | None = None
    fine: int = 0
    offset: Ints | None = None
    sums: bool = False


@dataclass(frozen=True)
class Residual:
    """A second term of a convolution's result, rounded together with the first.

    ``round((sum * multiplier[n] + (code - zero) * factor) / 2^shift)``, half to even; all channels
    then have one shift. With ``scale.fine`` and the sums so scaled (plus ``offset``) it is
    ``round((scaled * 2^(shift - fine) + (code - zero) * factor) / 2^shift)`` with the shift here.

    Parameters
    ----------
    input
        Name of a map of the result's shape.
    zero, factor
        Its zero point; its multiplier, unsigned, of at most 31 bits.
    shift
        Shift of both terms, ``fine`` to ``fine + 30``; 0 where it is the sum's.
    """

    input: str
    zero: int
    factor: int
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Convolution:
    """``sum[y, x, n] = bias[n] + sum of (input - zero_in) * weight`` over the window and channels.

    Padding counts as ``zero_in``, that is nothing. A dense layer is a convolution whose kernel is
    its whole input.

    Parameters
    ----------
    weight
        int8 codes (kh, kw, C / groups, N).
    bias
        (N,), in units of the sums.
    zero_in
        Zero point of the input.
    residual
        A map added before rounding; None without. Needs ``scale.tflite`` off.
    """

    name: str
    kind: str
    input: str
    output: str
    weight: Ints
    bias: Ints
    window: Window
    groups: int
    zero_in: int
    scale: Scale
    residual: Residual | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the maps that it reads."""
        return (self.input, self.residual.input) if self.residual else (self.input,)


@dataclass(frozen=True, eq=False)
class TransposedConvolution(OneInput):
    """Input pixel ``y`` adds ``(input - zero_in) * weight`` to rows ``y * stride - top + k * d``.

    Parameters
    ----------
    weight
        int8 codes (kh, kw, C, N / groups): group g of the channels makes group g of the results.
    bias
        (N,), in units of the sums.
    """

    name: str
    kind: str
    input: str
    output: str
    weight: Ints
    bias: Ints
    window: Window
    groups: int
    zero_in: int
    scale: Scale


@dataclass(frozen=True, eq=False)
class MaxPool(OneInput):
    """The largest code of each window and channel; input and result have one quantization."""

    name: str
    kind: str
    input: str
    output: str
    window: Window
    low: int = LOW
    high: int = HIGH


@dataclass(frozen=True, eq=False)
class AveragePool(OneInput):
    """``clip(zero + rne(sum of (code - zero_in) * multiplier, shift))`` of each window and channel.

    Parameters
    ----------
    scales
        Multiplier and shift for each number of elements that a window may see (with
        ``include_padding`` the kernel's only): see :func:`count_scale`.
    """

    name: str
    kind: str
    input: str
    output: str
    window: Window
    include_padding: bool
    zero_in: int
    scales: Mapping[int, tuple[int, int]]
    zero: int
    low: int = LOW
    high: int = HIGH


def count_scale(count: int, ratio: float = 1.0, *, away: bool = False) -> tuple[int, int]:
    """Multiplier and shift of a mean over ``count`` elements times ``ratio``.

    With ``away`` (and ratio 1) sums half way between two codes are rounded away from zero, as in
    TensorFlow Lite: the multiplier is a hair larger than 1 / count, so no sum is half way any
    more and every other rounds as it would (|sum| <= 128 * count, count below 2^15).
    """
    if not away:
        return fixed_point(ratio / count, 31)
    shift = 30 + (count - 1).bit_length()
    return (1 << shift) // count + 1, shift


@dataclass(frozen=True, eq=False)
class Elementwise(OneInput):
    """``scale(input - zero_in)``: another quantization, or a function by table."""

    name: str
    kind: str
    input: str
    output: str
    zero_in: int
    scale: Scale


@dataclass(frozen=True, eq=False)
class Add:
    """``clip(zero + rne((a - zeros[0]) * factors[0] + (b - zeros[1]) * factors[1], shift))``.

    Factors are unsigned, of at most 31 bits.
    """

    name: str
    kind: str
    inputs: tuple[str, str]
    output: str
    zeros: tuple[int, int]
    factors: tuple[int, int]
    shift: int
    zero: int
    low: int = LOW
    high: int = HIGH


@dataclass(frozen=True, eq=False)
class TfliteAdd:
    """TensorFlow Lite's int8 ADD, to the bit.

    Each input: ``t = (code - zero) * 2^20``, ``u = rounding shift(high multiply(t, m), s - 31)``;
    then the same of ``u_a + u_b`` with ``result``, plus ``zero``, clipped. (m, s) mean
    ``m / 2^s`` with m of 31 bits (the highest set) and s >= 31.
    """

    name: str
    kind: str
    inputs: tuple[str, str]
    output: str
    zeros: tuple[int, int]
    scales: tuple[tuple[int, int], tuple[int, int]]
    result: tuple[int, int]
    zero: int
    low: int = LOW
    high: int = HIGH


@dataclass(frozen=True, eq=False)
class Multiply:
    """``clip(zero + rne((a - zeros[0]) * (b - zeros[1]) * multiplier, shift))``.

    ``b - zeros[1]`` must stay within int8: ``zeros[1]`` is 0 for general b.
    """

    name: str
    kind: str
    inputs: tuple[str, str]
    output: str
    zeros: tuple[int, int]
    multiplier: int
    shift: int
    zero: int
    low: int = LOW
    high: int = HIGH


@dataclass(frozen=True, eq=False)
class Concat:
    """Maps side by side along the channels; each has the result's quantization already."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: str


Node = (
    Convolution
    | TransposedConvolution
    | MaxPool
    | AveragePool
    | Elementwise
    | Add
    | TfliteAdd
    | Multiply
    | Concat
)


@dataclass(frozen=True, eq=False)
class IntegerGraph:
    """A network in integers.

    Parameters
    ----------
    name
        Its name.
    input
        Its input.
    nodes
        The operators, each after those whose results it reads.
    maps
        The result of each operator by name, the input included.
    output
        Name of the result.
    after
        What a host applies to the real values of the result: ``""`` or ``"softmax"``.
    input_view, output_view
        Shape and order in which a host gives a sample and takes its result; None where they are
        those of the map.
    samples
        Calibration samples; 0 where the network came quantized.
    answer_scale, answer_zero
        Codes to which a host rounds what ``after`` makes; scale 0 where it does not round.

    Raises
    ------
    InputError
        If an operator reads what is not there, or its maps' shapes do not fit it.
    """

    name: str
    input: FeatureMap
    nodes: Sequence[Node]
    maps: Mapping[str, FeatureMap]
    output: str
    after: str = ""
    input_view: HostView | None = None
    output_view: HostView | None = None
    samples: int = 0
    answer_scale: float = 0.0
    answer_zero: int = 0
    uses: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        uses: dict[str, int] = {self.input.name: 0}
        for node in self.nodes:
            for name in node.inputs:
                if name not in uses:
                    raise InputError(f"{node.name}: reads {name!r}, which nothing before it writes")
                uses[name] += 1
            given = [self.maps[name].shape for name in node.inputs]
            if (wanted := _shape(node, given)) != self.maps[node.output].shape:
                shape = self.maps[node.output].shape
                raise InputError(f"{node.name}: result must have shape {wanted}, not {shape}")
            uses[node.output] = 0
            if gives_sums(node) and (node.output != self.output or len(node.inputs) > 1):
                raise InputError(f"{node.name}: only a network's result can be sums, of one input")
        if self.output not in uses:
            raise InputError(f"{self.name}: nothing writes the output {self.output!r}")
        object.__setattr__(self, "uses", uses)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample's convolutions."""
        return sum(self.macs_of(node) for node in self.nodes)

    def macs_of(self, node: Node) -> int:
        """Multiply-accumulates of one operator, for one sample."""
        if isinstance(node, Convolution):
            return self.maps[node.output].pixels * node.weight.size
        if isinstance(node, TransposedConvolution):
            return self.maps[node.input].pixels * node.weight.size
        return 0


def gives_sums(node: Node) -> bool:
    """Whether an operator's result are sums, not codes."""
    return isinstance(node, Convolution) and node.scale.sums


def needed(graph: IntegerGraph) -> IntegerGraph:
    """The network without operators that its result does not depend on."""
    names, kept = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in names:
            kept.append(node)
            names.update(node.inputs)
    return replace(graph, nodes=tuple(reversed(kept)))


def _sizes(node: Convolution | MaxPool | AveragePool, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a window's result."""
    try:
        return node.window.output(height, width)
    except InputError as error:
        raise InputError(f"{node.name}: {error}") from None


def _shape(node: Node, given: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Shape of an operator's result from those of its inputs."""
    height, width, channels = given[0]
    if isinstance(node, Convolution):
        *_, depth, count = node.weight.shape
        if depth * node.groups != channels or count % node.groups:
            raise InputError(f"{node.name}: weight {node.weight.shape} does not fit {given[0]}")
        return (*_sizes(node, height, width), count)
    if isinstance(node, MaxPool | AveragePool):
        return (*_sizes(node, height, width), channels)
    if isinstance(node, TransposedConvolution):
        window, sizes = node.window, []
        for axis, size in enumerate((height, width)):
            extent = (window.kernel[axis] - 1) * window.dilation[axis] + 1
            cut = window.padding[axis] + window.padding[axis + 2]
            sizes.append((size - 1) * window.stride[axis] + extent - cut)
        return sizes[0], sizes[1], node.weight.shape[3] * node.groups
    if isinstance(node, Concat):
        return height, width, sum(shape[2] for shape in given)
    if any(shape != given[0] for shape in given):
        raise InputError(f"{node.name}: inputs must have one shape, not {given}")
    return given[0]
