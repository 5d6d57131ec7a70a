"""From steps to integer operators, once every value has its quantization."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import singledispatchmethod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import REAL, Affine8, Format
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Floats, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.ops import integer
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.integer.parts import Parts
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.resize import Lines, Resize
from pulsarray.compiler.ops.shuffle import Shuffle
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.compiler.passes.quantize.integer_weights import (
    Columns,
    multipliers,
    shared_multipliers,
)
from pulsarray.compiler.passes.quantize.ranges import (
    HIGH,
    LOW,
    Range,
    arguments,
    around_zero,
    constant_maps,
    covering,
    sums_of,
)
from pulsarray.compiler.passes.quantize.scales import scale_of
from pulsarray.compiler.passes.quantize.steps import Step
from pulsarray.errors import InputError

__all__ = ["IntegerNodes"]

Ints = npt.NDArray[np.int64]

Product = Callable[[str, Floats, Floats, Affine8], Columns]
"""Integers of a product: from its name, weights (K, N), biases (N,) and its input's codes."""

_CODES = np.arange(LOW, HIGH + 1)
_PARTS = 36
"""Convolutions that a resize may be; one that would be more takes rows and columns apart."""


class IntegerNodes:
    """The operators of an integer network while it grows, step by step.

    Parameters
    ----------
    network
        The network whose steps these are.
    bits
        Bits of multipliers.
    targets
        Quantization of each input, constant map and step's result.
    product
        What makes integers of weights.
    ranges
        Ranges of values, as :func:`pulsarray.compiler.passes.quantize.ranges.observe` finds them;
        only curves after products and normalizations need them.
    exact
        Whether scales come from a file, whose roundings define the result.

    Members
    -------
    parts
        Operators and values.
    """

    def __init__(
        self,
        network: Graph,
        bits: int,
        targets: Mapping[str, Affine8],
        product: Product,
        ranges: Mapping[str, Range],
        *,
        exact: bool = False,
    ) -> None:
        self.network = network
        self.bits = bits
        self.exact = exact
        self.ranges = ranges
        self.targets = targets
        self.product = product
        self.parts = Parts()
        for value in network.entries:
            codes = targets[value.name]
            first = None if value.data is None else codes.encode(value.data)
            self.parts.put(replace(value, format=codes, data=first))
        for value in constant_maps(network):
            codes = targets[value.name]
            self.parts.constant(value.name, codes.encode(value.array).astype(np.int8), codes)

    def finish(
        self,
        answers: Mapping[str, Affine8] | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Graph:
        """The network in integers, with what a host makes of its results.

        Parameters
        ----------
        answers
            Codes to which it rounds that, by name.
        notes
            What is known of how the network came about.
        """
        names: dict[str, str] = {}
        for node in self.network.nodes:
            if node.op.kind is Kind.HOST:
                names[node.output] = self._hosted(node, (answers or {}).get(node.output, REAL))
        outputs = [names.get(name, name) for name in self.network.outputs]
        views = {names.get(name, name): view for name, view in self.network.views.items()}
        return self.parts.graph(
            self.network.name, outputs, views=views, notes=notes, states=self.network.states
        )

    def _hosted(self, node: Node, form: Format) -> str:
        """Put an operator of the host at the end; its result's name."""
        shape = self.parts.values[node.inputs[0]].shape
        made = self.parts.map(self.parts.free(node.output), node.op.shape(shape), form)
        self.parts.add(node.op.title, node.op, node.inputs, made.name)
        return made.name

    def _map(self, name: str) -> Value:
        """A map so far."""
        return self.parts.values[name]

    def add(self, step: Step) -> None:
        """Put a step's operators at the end."""
        shapes = [self._map(name).shape for name in step.sources]
        shape = step.op.shape(*shapes, *(array.shape for array in step.constants))
        self.parts.map(step.output, shape, self.targets[step.output])
        self._emit(step.op, step)

    @singledispatchmethod
    def _emit(self, op: Operator, step: Step) -> None:
        """Put an operator at the end: one function a class."""
        raise NotImplementedError(f"{step.name}: {op.title}")

    def _limits(self, step: Step) -> tuple[int, int]:
        """Codes of the interval that activations cut to."""
        assert step.limits is not None
        low, high = self.targets[step.output].encode(step.limits)
        return int(low), int(high)

    def _scaled(self, step: Step) -> tuple[Affine8, int, int, Ints | None]:
        """What sums are scaled to, its limits, and the table after that."""
        target = self.targets[step.output]
        if step.limits is not None:
            return target, *self._limits(step), None
        if step.raw not in self.ranges:
            raise InputError(
                f"{step.name}: its result before {step.functions[0].name} is not quantized"
            )
        scaled = arguments(step, self.ranges)
        return scaled, LOW, HIGH, target.encode(step.activate(scaled.decode(_CODES)))

    @_emit.register
    def _convolution(self, op: Convolution, step: Step) -> None:
        source, (weight, bias) = self._map(step.source), step.constants
        matrix = weight.reshape(-1, weight.shape[3])
        columns = self.product(step.name, matrix, bias, source.codes)
        scaled, low, high, table = self._scaled(step)
        other = None if step.residual is None else self._map(step.residual).codes
        scale, residual = scale_of(columns, scaled, other, self.bits, exact=self.exact)
        whole = op.window.kernel == source.shape[:2] and not any(op.window.padding)
        scale = replace(scale, low=low, high=high, table=table)
        self.parts.product(
            step.name,
            integer.Convolution(op.window, op.groups, scale, residual),
            step.source,
            columns.weight.reshape(weight.shape),
            columns.bias,
            step.output,
            _kind(step, "dense" if whole else "conv"),
            step.residual,
        )

    @_emit.register
    def _transposed(self, op: TransposedConvolution, step: Step) -> None:
        weight, bias = step.constants
        matrix = _by_result(weight, op.groups)
        columns = self.product(step.name, matrix, bias, self._map(step.source).codes)
        scaled, low, high, table = self._scaled(step)
        scale, _ = scale_of(columns, scaled, None, self.bits, exact=self.exact)
        top, left, bottom, right = op.window.padding
        extra = op.output_padding
        padding = (top, left, bottom - extra[0], right - extra[1])
        window = replace(op.window, padding=padding)
        scale = replace(scale, low=low, high=high, table=table)
        self.parts.product(
            step.name,
            integer.TransposedConvolution(window, op.groups, scale),
            step.source,
            _by_input(columns.weight, weight.shape, op.groups),
            columns.bias,
            step.output,
            _kind(step, "transposed"),
        )

    @_emit.register
    def _max_pool(self, op: MaxPool, step: Step) -> None:
        low, high = self._limits(step)
        source, target = self._map(step.source), self._map(step.output)
        window, kind = op.window, _kind(step, "maxpool")
        if source.codes == target.codes:
            pool = integer.MaxPool(window, low, high)
            self.parts.add(step.name, pool, (step.source,), step.output, kind)
            return
        pooled = f"{step.output} pooled"
        self.parts.map(pooled, target.shape, source.codes)
        self.parts.add(step.name, integer.MaxPool(window), (step.source,), pooled, "maxpool")
        self._rescale(f"{step.name} rescale", pooled, step.output, low, high)

    def _rescale(
        self, name: str, source: str, output: str, low: int = LOW, high: int = HIGH
    ) -> None:
        """Codes of another quantization."""
        source_codes, made = self._map(source).codes, self._map(output).codes
        scale = replace(self._ratio(source_codes.scale / made.scale, made.zero), low=low, high=high)
        self.parts.add(name, integer.Elementwise(scale), (source,), output, "rescale")

    @_emit.register
    def _average(self, op: AveragePool, step: Step) -> None:
        source, made = self._map(step.source), self._map(step.output).codes
        low, high = self._limits(step)
        ratio, window = source.codes.scale / made.scale, op.window
        counts = _counts(window, source.shape, include_padding=op.include_padding)
        scales = {n: fixed_point(ratio / n, self.bits) for n in counts}
        pool = integer.AveragePool(window, op.include_padding, scales, made.zero, low, high)
        self.parts.add(step.name, pool, (step.source,), step.output, _kind(step, "avgpool"))

    @_emit.register
    def _add(self, _op: Add, step: Step) -> None:
        first, second = (self._map(name).codes for name in step.sources)
        made, (low, high) = self._map(step.output).codes, self._limits(step)
        ratios = [first.scale / made.scale, second.scale / made.scale]
        factors, shift = shared_multipliers(ratios, self.bits)
        add = integer.Add((int(factors[0]), int(factors[1])), shift, made.zero, low, high)
        self.parts.add(step.name, add, step.sources, step.output, _kind(step, "add"))

    @_emit.register
    def _concat(self, op: Concat, step: Step) -> None:
        target = self._map(step.output).codes
        names = []
        for place, name in enumerate(step.sources):
            source = self._map(name)
            if source.codes != target:
                name = f"{step.output} part {place}"
                self.parts.map(name, source.shape, target)
                self._rescale(f"{step.name} part {place}", source.name, name)
            names.append(name)
        self.parts.add(step.name, integer.Concat(op.axis), names, step.output, "concat")

    def _ratio(self, ratio: float, zero: int, table: Ints | None = None) -> Scale:
        multiplier, shift = multipliers(np.array([ratio]), self.bits)
        return Scale(multiplier, shift, zero, table=table)

    @_emit.register
    def _shuffle(self, op: Shuffle, step: Step) -> None:
        source, made = self._map(step.source), self._map(step.output).codes
        channels = source.shape[2]
        weight = np.zeros((1, 1, channels, channels), np.int64)
        weight[0, 0, list(op.order), np.arange(channels)] = 1
        scale = self._ratio(source.codes.scale / made.scale, made.zero)
        self._whole_numbers(step.name, "shuffle", source.name, step.output, weight, scale)

    @_emit.register
    def _reshape(self, op: Reshape, step: Step) -> None:
        """The same pixels; where a file says so, in other codes."""
        entry, made = self._map(step.source), self._map(step.output)
        source = entry.name
        if entry.codes != made.codes:
            source = f"{step.output} rescaled"
            self.parts.map(source, entry.shape, made.codes)
            self._rescale(f"{step.name} rescale", entry.name, source)
        sizes = made.shape[0], made.shape[1]
        self.parts.add(step.name, integer.Reshape(sizes), (source,), step.output, "reshape")

    @_emit.register
    def _resize(self, op: Resize, step: Step) -> None:
        """Rows and columns at once where products of their weights are int8 and kernels few."""
        source, rows, columns = (
            self._map(step.source),
            whole_lines(op.rows),
            whole_lines(op.columns),
        )
        if self._map(step.output).codes != source.codes:
            raise InputError(f"{step.name}: {op.title} must keep the quantization of its input")
        made = integer.Resize.rounded(rows, columns, self.bits)
        if made.largest <= HIGH and made.parts <= _PARTS:
            self.parts.add(step.name, made, (source.name,), step.output, "resize")
            return
        tall, (_, width, channels) = f"{step.output} rows", source.shape
        self.parts.map(tall, (len(rows), width, channels), source.codes)
        first = integer.Resize.rounded(rows, Lines.same(width), self.bits)
        self.parts.add(f"{step.name} rows", first, (source.name,), tall, "resize")
        second = integer.Resize.rounded(Lines.same(len(rows)), columns, self.bits)
        self.parts.add(step.name, second, (tall,), step.output, "resize")

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

    @_emit.register
    def _normalize(self, op: LocalResponseNorm, step: Step) -> None:
        """Each element times a factor, a table of the sum of neighbours' squares, also a table."""
        source, made = self._map(step.source), self._map(step.output).codes
        if step.source not in self.ranges:
            raise InputError(f"{step.name}: LRN is not possible in a quantized network")
        extreme = max(map(abs, self.ranges[step.source]))
        square, table = covering(0.0, extreme**2), source.codes.decode(_CODES) ** 2
        squares, factors = f"{step.output} squares", f"{step.output} factors"
        self.parts.map(squares, source.shape, square)
        self._table(f"{step.name} squares", "square", source.name, squares, square.encode(table))
        sums = covering(*self.ranges[sums_of(step.node)])
        values = 1.0 / op.denominator(np.maximum(sums.decode(_CODES), 0.0))
        factor = Affine8(float(values.max()) / HIGH)
        self.parts.map(factors, source.shape, factor)
        scale = self._ratio(square.scale / sums.scale, sums.zero, factor.encode(values))
        weight = op.neighbours(source.shape[2])[None, None].astype(np.int64)
        self._whole_numbers(f"{step.name} factors", "conv+power", squares, factors, weight, scale)
        ratio = source.codes.scale * factor.scale / made.scale
        product = integer.Multiply(*fixed_point(ratio, self.bits), made.zero)
        self.parts.add(step.name, product, (source.name, factors), step.output, "multiply")

    @_emit.register
    def _multiply(self, _op: Multiply, step: Step) -> None:
        """The machine multiplies by codes as they are, so one of the maps needs zero point 0."""
        first, second = sorted(map(self._map, step.sources), key=lambda m: m.codes.zero == 0)
        second = self._around_zero(step, second)
        made, (low, high) = self._map(step.output).codes, self._limits(step)
        ratio = first.codes.scale * second.codes.scale / made.scale
        product = integer.Multiply(*fixed_point(ratio, self.bits), made.zero, low, high)
        inputs = first.name, second.name
        self.parts.add(step.name, product, inputs, step.output, _kind(step, "multiply"))

    @_emit.register
    def _matrices(self, op: MatMul, step: Step) -> None:
        """The array takes codes of the second map as weights, so that needs zero point 0."""
        first, second = map(self._map, step.sources)
        second = self._around_zero(step, second)
        scaled, low, high, table = self._scaled(step)
        ratio = first.codes.scale * second.codes.scale / scaled.scale
        scale = replace(self._ratio(ratio, scaled.zero, table), low=low, high=high)
        product = integer.MatMul(scale, op.transpose_b)
        inputs = first.name, second.name
        self.parts.add(step.name, product, inputs, step.output, _kind(step, "matmul"))

    def _around_zero(self, step: Step, source: Value) -> Value:
        """A map in codes of which 0 is zero."""
        if not source.codes.zero:
            return source
        if self.exact:
            raise InputError(
                f"{step.name}: its input {source.name!r} must have zero point 0, "
                f"not {source.codes.zero}"
            )
        low, high = source.codes.decode([LOW, HIGH])
        codes = around_zero(float(low), float(high))
        name = self.parts.free(f"{source.name} around 0")
        scale = self._ratio(source.codes.scale / codes.scale, 0)
        self.parts.add(name, integer.Elementwise(scale), (source.name,), name, "rescale")
        return self.parts.map(name, source.shape, codes)

    @_emit.register
    def _elementwise(self, _op: Function, step: Step) -> None:
        source_codes, target = self._map(step.source).codes, self.targets[step.output]
        kind = "+".join(_names(step.functions)) or "rescale"
        if step.limits is None:
            table = target.encode(step.activate(source_codes.decode(_CODES)))
            self._table(step.name, kind, step.source, step.output, table)
            return
        low, high = self._limits(step)
        scale = self._ratio(source_codes.scale / target.scale, target.zero)
        rescale = integer.Elementwise(replace(scale, low=low, high=high))
        self.parts.add(step.name, rescale, (step.source,), step.output, kind)


def _kind(step: Step, operator: str) -> str:
    """Operator and functions, as the layer table names them."""
    added = ["add"] if step.residual else []
    return "+".join([operator, *added, *_names(step.applied)])


def _names(functions: Sequence[Node]) -> list[str]:
    """Functions as the layer table names them: rounding alone is none."""
    return [node.op.title for node in functions if not node.op.is_identity]


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
