"""From steps to integer operators, once every value has its quantization."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Activate
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.maps import integer
from pulsarray.compiler.maps.integer import FeatureMap, Scale, fixed_point
from pulsarray.compiler.quantization.fuse import Step
from pulsarray.compiler.quantization.integer_weights import Columns, multipliers, shared_multipliers
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.quantization.ranges import HIGH, LOW, Range, arguments, covering, sums_of
from pulsarray.compiler.quantization.scales import scale_of
from pulsarray.compiler.spatial import (
    Add,
    AveragePool,
    Concat,
    Convolution,
    LocalResponseNorm,
    MaxPool,
    Shuffle,
    TransposedConvolution,
)
from pulsarray.errors import InputError

__all__ = ["IntegerNodes"]

Ints = npt.NDArray[np.int64]

Product = Callable[[str, Floats, Floats, FeatureMap], Columns]
"""Integers of a product: from its name, weights (K, N), biases (N,) and its input."""

_CODES = np.arange(LOW, HIGH + 1)


class IntegerNodes:
    """The operators of an integer network while it grows, step by step.

    Parameters
    ----------
    bits
        Bits of multipliers.
    targets
        Quantization of the input and of each step's result.
    product
        What makes integers of weights.
    ranges
        Ranges of values, as :func:`pulsarray.compiler.quantization.ranges.observe` finds them;
        only curves after products and normalizations need them.
    given
        Whether scales come from a file, whose roundings define the result.

    Members
    -------
    nodes, maps
        The operators; all maps by name.
    """

    def __init__(
        self,
        bits: int,
        targets: Mapping[str, Quantization],
        product: Product,
        ranges: Mapping[str, Range],
        *,
        given: bool = False,
    ) -> None:
        self.bits = bits
        self.given = given
        self.ranges = ranges
        self.targets = targets
        self.product = product
        self.maps: dict[str, FeatureMap] = {}
        self.nodes: list[integer.Node] = []

    def add_map(self, name: str, shape: tuple[int, ...], codes: Quantization) -> None:
        """Add a map without an operator that writes it."""
        height, width, channels = shape
        self.maps[name] = FeatureMap(name, height, width, channels, codes.scale, codes.zero_point)

    def add(self, step: Step) -> None:
        """Put a step's operators at the end."""
        node = step.node
        shape = node.shape(*(self.maps[name].shape for name in node.inputs))
        self.add_map(step.output, shape, self.targets[step.output])
        if isinstance(node, Convolution):
            self._convolution(step, node)
        elif isinstance(node, TransposedConvolution):
            self._transposed(step, node)
        elif isinstance(node, MaxPool):
            self._max_pool(step, node)
        elif isinstance(node, AveragePool):
            self._average(step, node)
        elif isinstance(node, Add):
            self._add(step, node)
        elif isinstance(node, Concat):
            self._concat(step, node)
        elif isinstance(node, Shuffle):
            self._shuffle(step, node)
        elif isinstance(node, LocalResponseNorm):
            self._normalize(step, node)
        else:
            assert isinstance(node, Activate)
            self._elementwise(step, node)

    def _limits(self, step: Step) -> tuple[int, int]:
        """Codes of the interval that activations cut to."""
        assert step.limits is not None
        low, high = self.targets[step.output].encode(step.limits)
        return int(low), int(high)

    def _scaled(self, step: Step) -> tuple[Quantization, int, int, Ints | None]:
        """What sums are scaled to, its limits, and the table after that."""
        target = self.targets[step.output]
        if step.limits is not None:
            return target, *self._limits(step), None
        if step.raw not in self.ranges:
            raise InputError(
                f"{step.node.name}: its result before {step.functions[0].name} is not quantized"
            )
        scaled = arguments(step, self.ranges)
        return scaled, LOW, HIGH, target.encode(step.activate(scaled.decode(_CODES)))

    def _convolution(self, step: Step, node: Convolution) -> None:
        given = self.maps[node.input]
        matrix = node.weight.reshape(-1, node.weight.shape[3])
        columns = self.product(node.name, matrix, node.bias, given)
        scaled, low, high, table = self._scaled(step)
        other = self.maps[step.residual] if step.residual is not None else None
        scale, residual = scale_of(columns, scaled, other, self.bits, exact=self.given)
        whole = node.window.kernel == given.shape[:2] and not any(node.window.padding)
        made = integer.Convolution(
            name=node.name,
            kind=_kind(step, "dense" if whole else "conv"),
            input=node.input,
            output=step.output,
            weight=columns.weight.reshape(node.weight.shape),
            bias=columns.bias,
            window=node.window,
            groups=node.groups,
            zero_in=given.zero_point,
            scale=replace(scale, low=low, high=high, table=table),
            residual=residual,
        )
        self.nodes.append(made)

    def _transposed(self, step: Step, node: TransposedConvolution) -> None:
        given = self.maps[node.input]
        matrix = _by_result(node.weight, node.groups)
        columns = self.product(node.name, matrix, node.bias, given)
        scaled, low, high, table = self._scaled(step)
        scale, _ = scale_of(columns, scaled, None, self.bits, exact=self.given)
        top, left, bottom, right = node.window.padding
        extra = node.output_padding
        window = replace(node.window, padding=(top, left, bottom - extra[0], right - extra[1]))
        made = integer.TransposedConvolution(
            name=node.name,
            kind=_kind(step, "transposed"),
            input=node.input,
            output=step.output,
            weight=_by_input(columns.weight, node.weight.shape, node.groups),
            bias=columns.bias,
            window=window,
            groups=node.groups,
            zero_in=given.zero_point,
            scale=replace(scale, low=low, high=high, table=table),
        )
        self.nodes.append(made)

    def _max_pool(self, step: Step, node: MaxPool) -> None:
        low, high = self._limits(step)
        kind, given, target = _kind(step, "maxpool"), self.maps[node.input], self.maps[step.output]
        alike = (given.scale, given.zero_point) == (target.scale, target.zero_point)
        if alike:
            self.nodes.append(
                integer.MaxPool(node.name, kind, node.input, step.output, node.window, low, high)
            )
            return
        pooled = f"{step.output} pooled"
        self.add_map(pooled, target.shape, Quantization(given.scale, given.zero_point))
        pool = integer.MaxPool(node.name, "maxpool", node.input, pooled, node.window)
        self.nodes.append(pool)
        scale = replace(
            self._ratio(given.scale / target.scale, target.zero_point), low=low, high=high
        )
        name = f"{node.name} rescale"
        self.nodes.append(
            integer.Elementwise(name, "rescale", pooled, step.output, given.zero_point, scale)
        )

    def _average(self, step: Step, node: AveragePool) -> None:
        given, made = self.maps[node.input], self.maps[step.output]
        low, high = self._limits(step)
        ratio = given.scale / made.scale
        bits = self.bits
        pool = integer.AveragePool(
            name=node.name,
            kind=_kind(step, "avgpool"),
            input=node.input,
            output=step.output,
            window=node.window,
            include_padding=node.include_padding,
            zero_in=given.zero_point,
            scales={n: fixed_point(ratio / n, bits) for n in _counts(node, given)},
            zero=made.zero_point,
            low=low,
            high=high,
        )
        self.nodes.append(pool)

    def _add(self, step: Step, node: Add) -> None:
        (first, second), made = (self.maps[n] for n in node.inputs), self.maps[step.output]
        low, high = self._limits(step)
        ratios = [first.scale / made.scale, second.scale / made.scale]
        factors, shift = shared_multipliers(ratios, self.bits)
        add = integer.Add(
            name=node.name,
            kind=_kind(step, "add"),
            inputs=(first.name, second.name),
            output=step.output,
            zeros=(first.zero_point, second.zero_point),
            factors=(int(factors[0]), int(factors[1])),
            shift=shift,
            zero=made.zero_point,
            low=low,
            high=high,
        )
        self.nodes.append(add)

    def _concat(self, step: Step, node: Concat) -> None:
        target = self.targets[step.output]
        names = []
        for place, name in enumerate(node.inputs):
            given = self.maps[name]
            if (given.scale, given.zero_point) != (target.scale, target.zero_point):
                name = f"{step.output} part {place}"
                self.add_map(name, given.shape, target)
                scale = self._ratio(given.scale / target.scale, target.zero_point)
                self.nodes.append(
                    integer.Elementwise(
                        f"{node.name} part {place}", "rescale", given.name, name,
                        given.zero_point, scale,
                    )
                )  # fmt: skip
            names.append(name)
        self.nodes.append(integer.Concat(node.name, "concat", tuple(names), step.output))

    def _ratio(self, ratio: float, zero: int, table: Ints | None = None) -> Scale:
        multiplier, shift = multipliers(np.array([ratio]), self.bits)
        return Scale(multiplier, shift, zero, table=table)

    def _shuffle(self, step: Step, node: Shuffle) -> None:
        given, made = self.maps[node.input], self.maps[step.output]
        channels = given.channels
        weight = np.zeros((1, 1, channels, channels), np.int64)
        weight[0, 0, list(node.order), np.arange(channels)] = 1
        scale = self._ratio(given.scale / made.scale, made.zero_point)
        self._whole_numbers(node.name, "shuffle", given, step.output, weight, scale)

    def _whole_numbers(
        self, name: str, kind: str, given: FeatureMap, output: str, weight: Ints, scale: Scale
    ) -> None:
        """A 1 x 1 convolution whose weights are integers as they are."""
        window, bias = Window((1, 1)), np.zeros(weight.shape[3], np.int64)
        self.nodes.append(
            integer.Convolution(
                name, kind, given.name, output, weight, bias, window, 1, given.zero_point, scale
            )
        )

    def _table(self, name: str, kind: str, given: FeatureMap, output: str, table: Ints) -> None:
        """Codes of a map replaced by others."""
        scale = self._ratio(1.0, given.zero_point, table)
        self.nodes.append(
            integer.Elementwise(name, kind, given.name, output, given.zero_point, scale)
        )

    def _normalize(self, step: Step, node: LocalResponseNorm) -> None:
        """Each element times a factor, a table of the sum of neighbours' squares, also a table."""
        given, made = self.maps[node.input], self.maps[step.output]
        if node.input not in self.ranges:
            raise InputError(f"{node.name}: LRN is not possible in a quantized network")
        extreme = max(map(abs, self.ranges[node.input]))
        square = covering(0.0, extreme**2)
        squares, factors = f"{step.output} squares", f"{step.output} factors"
        self.add_map(squares, given.shape, square)
        self._table(
            f"{node.name} squares",
            "square",
            given,
            squares,
            square.encode(given.decode(_CODES) ** 2),
        )
        sums = covering(*self.ranges[sums_of(node)])
        values = 1.0 / node.denominator(np.maximum(sums.decode(_CODES), 0.0))
        factor = Quantization(float(values.max()) / HIGH, 0)
        self.add_map(factors, given.shape, factor)
        scale = self._ratio(square.scale / sums.scale, sums.zero_point, factor.encode(values))
        weight = node.neighbours(given.channels)[None, None].astype(np.int64)
        name = f"{node.name} factors"
        self._whole_numbers(name, "conv+power", self.maps[squares], factors, weight, scale)
        ratio = given.scale * factor.scale / made.scale
        multiplier, shift = fixed_point(ratio, self.bits)
        self.nodes.append(
            integer.Multiply(
                node.name, "multiply", (given.name, factors), step.output,
                (given.zero_point, 0), multiplier, shift, made.zero_point,
            )
        )  # fmt: skip

    def _elementwise(self, step: Step, node: Activate) -> None:
        given, made = self.maps[node.input], self.maps[step.output]
        kind = "+".join(_names(step.functions)) or "rescale"
        target = self.targets[step.output]
        if step.limits is None:
            table = target.encode(step.activate(given.decode(_CODES)))
            self._table(node.name, kind, given, step.output, table)
            return
        low, high = self._limits(step)
        multiplier, shift = multipliers(np.array([given.scale / made.scale]), self.bits)
        scale = Scale(multiplier, shift, made.zero_point, low, high)
        self.nodes.append(
            integer.Elementwise(node.name, kind, node.input, step.output, given.zero_point, scale)
        )


def _kind(step: Step, operator: str) -> str:
    """Operator and functions, as the layer table names them."""
    added = ["add"] if step.residual else []
    return "+".join([operator, *added, *_names(step.activations)])


def _names(functions: Sequence[Activate]) -> list[str]:
    """Functions as the layer table names them: rounding alone is none."""
    return [activation.function for activation in functions if not activation.is_identity]


def _by_result(weight: Floats, groups: int) -> Floats:
    """Weights (kh, kw, C, N / groups) as a matrix with a column a result."""
    height, width, channels, count = weight.shape
    split = weight.reshape(height, width, groups, channels // groups, count)
    return split.transpose(0, 1, 3, 2, 4).reshape(-1, groups * count)


def _by_input(matrix: Ints, shape: tuple[int, ...], groups: int) -> Ints:
    """What :func:`_by_result` was made from."""
    height, width, channels, count = shape
    split = matrix.reshape(height, width, channels // groups, groups, count)
    return split.transpose(0, 1, 3, 2, 4).reshape(shape)


def _counts(node: AveragePool, given: FeatureMap) -> set[int]:
    """Numbers of elements that windows see."""
    window = node.window
    if node.include_padding:
        return {window.kernel[0] * window.kernel[1]}
    seen: list[set[int]] = []
    outputs = window.output(given.height, given.width)
    for axis, (size, count) in enumerate(zip((given.height, given.width), outputs, strict=True)):
        taps = np.arange(window.kernel[axis]) * window.dilation[axis]
        starts = np.arange(count) * window.stride[axis] - window.padding[axis]
        places = starts[:, None] + taps[None, :]
        seen.append(set(((places >= 0) & (places < size)).sum(axis=1).tolist()))
    return {rows * columns for rows in seen[0] for columns in seen[1] if rows * columns}
