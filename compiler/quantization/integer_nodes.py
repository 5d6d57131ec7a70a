"""From steps to integer operators, once every value has its quantization."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Activate
from pulsarray.compiler.ir.formats import REAL, Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.compiler.ops.softmax import Softmax
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
from pulsarray.views import HostView

__all__ = ["IntegerNodes"]

Ints = npt.NDArray[np.int64]

Product = Callable[[str, Floats, Floats, Affine8], Columns]
"""Integers of a product: from its name, weights (K, N), biases (N,) and its input's codes."""

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
    parts
        Operators and values.
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
        self.parts = Parts()

    def begin(self, name: str, shape: tuple[int, ...]) -> None:
        """Declare the input."""
        self.parts.input(name, shape, _codes(self.targets[name]))

    def graph(
        self,
        name: str,
        output: str,
        after: str,
        views: tuple[HostView | None, HostView | None],
        *,
        answer: Quantization | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Graph:
        """The network, whose result is a map, or what a host makes of it.

        Parameters
        ----------
        name, output
            Its name, and that of the map.
        after, answer
            What the host applies: ``softmax``, or nothing if empty; codes to which it rounds that.
        views
            Shape and order in which it gives a sample and takes the result.
        notes
            What is known of how the network came about.
        """
        result, source = self.parts.values[output], next(iter(self.parts.values))
        if after:
            form = REAL if answer is None else _codes(answer)
            result = self.parts.map(self.parts.free(f"{output}.{after}"), result.shape, form)
            self.parts.add(after, Softmax(), (output,), result.name)
        pairs = zip((source, result.name), views, strict=True)
        seen = {name: view for name, view in pairs if view is not None}
        return self.parts.graph(name, (result.name,), views=seen, notes=notes)

    def _map(self, name: str) -> Value:
        """A map so far."""
        return self.parts.values[name]

    def add(self, step: Step) -> None:
        """Put a step's operators at the end."""
        node = step.node
        shape = node.shape(*(self._map(name).shape for name in node.inputs))
        self.parts.map(step.output, shape, _codes(self.targets[step.output]))
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
        given = self._map(node.input)
        matrix = node.weight.reshape(-1, node.weight.shape[3])
        columns = self.product(node.name, matrix, node.bias, given.codes)
        scaled, low, high, table = self._scaled(step)
        other = None if step.residual is None else self._map(step.residual).codes
        scale, residual = scale_of(columns, _codes(scaled), other, self.bits, exact=self.given)
        whole = node.window.kernel == given.shape[:2] and not any(node.window.padding)
        scale = replace(scale, low=low, high=high, table=table)
        self.parts.product(
            node.name,
            integer.Convolution(node.window, node.groups, scale, residual),
            node.input,
            columns.weight.reshape(node.weight.shape),
            columns.bias,
            step.output,
            _kind(step, "dense" if whole else "conv"),
            step.residual,
        )

    def _transposed(self, step: Step, node: TransposedConvolution) -> None:
        matrix = _by_result(node.weight, node.groups)
        columns = self.product(node.name, matrix, node.bias, self._map(node.input).codes)
        scaled, low, high, table = self._scaled(step)
        scale, _ = scale_of(columns, _codes(scaled), None, self.bits, exact=self.given)
        top, left, bottom, right = node.window.padding
        extra = node.output_padding
        padding = (top, left, bottom - extra[0], right - extra[1])
        window = replace(node.window, padding=padding)
        scale = replace(scale, low=low, high=high, table=table)
        self.parts.product(
            node.name,
            integer.TransposedConvolution(window, node.groups, scale),
            node.input,
            _by_input(columns.weight, node.weight.shape, node.groups),
            columns.bias,
            step.output,
            _kind(step, "transposed"),
        )

    def _max_pool(self, step: Step, node: MaxPool) -> None:
        low, high = self._limits(step)
        given, target = self._map(node.input), self._map(step.output)
        window, kind = node.window, _kind(step, "maxpool")
        if given.codes == target.codes:
            pool = integer.MaxPool(window, low, high)
            self.parts.add(node.name, pool, (node.input,), step.output, kind)
            return
        pooled = f"{step.output} pooled"
        self.parts.map(pooled, target.shape, given.codes)
        self.parts.add(node.name, integer.MaxPool(window), (node.input,), pooled, "maxpool")
        self._rescale(f"{node.name} rescale", pooled, step.output, low, high)

    def _rescale(
        self, name: str, source: str, output: str, low: int = LOW, high: int = HIGH
    ) -> None:
        """Codes of another quantization."""
        given, made = self._map(source).codes, self._map(output).codes
        scale = replace(self._ratio(given.scale / made.scale, made.zero), low=low, high=high)
        self.parts.add(name, integer.Elementwise(scale), (source,), output, "rescale")

    def _average(self, step: Step, node: AveragePool) -> None:
        given, made = self._map(node.input), self._map(step.output).codes
        low, high = self._limits(step)
        ratio, window = given.codes.scale / made.scale, node.window
        counts = _counts(window, given.shape, include_padding=node.include_padding)
        scales = {n: fixed_point(ratio / n, self.bits) for n in counts}
        pool = integer.AveragePool(window, node.include_padding, scales, made.zero, low, high)
        self.parts.add(node.name, pool, (node.input,), step.output, _kind(step, "avgpool"))

    def _add(self, step: Step, node: Add) -> None:
        first, second = (self._map(name).codes for name in node.inputs)
        made, (low, high) = self._map(step.output).codes, self._limits(step)
        ratios = [first.scale / made.scale, second.scale / made.scale]
        factors, shift = shared_multipliers(ratios, self.bits)
        add = integer.Add((int(factors[0]), int(factors[1])), shift, made.zero, low, high)
        self.parts.add(node.name, add, node.inputs, step.output, _kind(step, "add"))

    def _concat(self, step: Step, node: Concat) -> None:
        target = self._map(step.output).codes
        names = []
        for place, name in enumerate(node.inputs):
            given = self._map(name)
            if given.codes != target:
                name = f"{step.output} part {place}"
                self.parts.map(name, given.shape, target)
                self._rescale(f"{node.name} part {place}", given.name, name)
            names.append(name)
        self.parts.add(node.name, integer.Concat(), names, step.output, "concat")

    def _ratio(self, ratio: float, zero: int, table: Ints | None = None) -> Scale:
        multiplier, shift = multipliers(np.array([ratio]), self.bits)
        return Scale(multiplier, shift, zero, table=table)

    def _shuffle(self, step: Step, node: Shuffle) -> None:
        given, made = self._map(node.input), self._map(step.output).codes
        channels = given.shape[2]
        weight = np.zeros((1, 1, channels, channels), np.int64)
        weight[0, 0, list(node.order), np.arange(channels)] = 1
        scale = self._ratio(given.codes.scale / made.scale, made.zero)
        self._whole_numbers(node.name, "shuffle", given.name, step.output, weight, scale)

    def _whole_numbers(
        self, name: str, kind: str, source: str, output: str, weight: Ints, scale: Scale
    ) -> None:
        """A 1 x 1 convolution whose weights are integers as they are."""
        op = integer.Convolution(Window((1, 1)), 1, scale)
        bias = np.zeros(weight.shape[3], np.int64)
        self.parts.product(name, op, source, weight, bias, output, kind)

    def _table(self, name: str, kind: str, source: str, output: str, table: Ints) -> None:
        """Codes of a map replaced by others."""
        op = integer.Elementwise(self._ratio(1.0, self._map(source).codes.zero, table))
        self.parts.add(name, op, (source,), output, kind)

    def _normalize(self, step: Step, node: LocalResponseNorm) -> None:
        """Each element times a factor, a table of the sum of neighbours' squares, also a table."""
        given, made = self._map(node.input), self._map(step.output).codes
        if node.input not in self.ranges:
            raise InputError(f"{node.name}: LRN is not possible in a quantized network")
        extreme = max(map(abs, self.ranges[node.input]))
        square, table = covering(0.0, extreme**2), given.codes.decode(_CODES) ** 2
        squares, factors = f"{step.output} squares", f"{step.output} factors"
        self.parts.map(squares, given.shape, _codes(square))
        self._table(f"{node.name} squares", "square", given.name, squares, square.encode(table))
        sums = covering(*self.ranges[sums_of(node)])
        values = 1.0 / node.denominator(np.maximum(sums.decode(_CODES), 0.0))
        factor = Affine8(float(values.max()) / HIGH)
        self.parts.map(factors, given.shape, factor)
        scale = self._ratio(square.scale / sums.scale, sums.zero_point, factor.encode(values))
        weight = node.neighbours(given.shape[2])[None, None].astype(np.int64)
        self._whole_numbers(f"{node.name} factors", "conv+power", squares, factors, weight, scale)
        ratio = given.codes.scale * factor.scale / made.scale
        product = integer.Multiply(*fixed_point(ratio, self.bits), made.zero)
        self.parts.add(node.name, product, (given.name, factors), step.output, "multiply")

    def _elementwise(self, step: Step, node: Activate) -> None:
        given, target = self._map(node.input).codes, self.targets[step.output]
        kind = "+".join(_names(step.functions)) or "rescale"
        if step.limits is None:
            table = target.encode(step.activate(given.decode(_CODES)))
            self._table(node.name, kind, node.input, step.output, table)
            return
        low, high = self._limits(step)
        scale = self._ratio(given.scale / target.scale, target.zero_point)
        op = integer.Elementwise(replace(scale, low=low, high=high))
        self.parts.add(node.name, op, (node.input,), step.output, kind)


def _codes(quantization: Quantization) -> Affine8:
    return Affine8(quantization.scale, quantization.zero_point)


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


def _counts(window: Window, shape: tuple[int, ...], *, include_padding: bool) -> set[int]:
    """Numbers of elements that windows see."""
    if include_padding:
        return {window.kernel[0] * window.kernel[1]}
    seen: list[set[int]] = []
    outputs = window.output(*shape[:2])
    for axis, (size, count) in enumerate(zip(shape[:2], outputs, strict=True)):
        taps = np.arange(window.kernel[axis]) * window.dilation[axis]
        starts = np.arange(count) * window.stride[axis] - window.padding[axis]
        places = starts[:, None] + taps[None, :]
        seen.append(set(((places >= 0) & (places < size)).sum(axis=1).tolist()))
    return {rows * columns for rows in seen[0] for columns in seen[1] if rows * columns}
