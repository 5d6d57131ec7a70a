"""What TensorFlow Lite's functions of two values become: VECTORs, or a table with one constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Network, copying
from pulsarray.compiler.importers.tflite.operands import is_number, number_of, pair_of
from pulsarray.compiler.importers.tflite.scales import activation_limits, ratio_pair
from pulsarray.compiler.importers.tflite.windows import same_quantization
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.needs import Pair
from pulsarray.compiler.ir.operator import Operator as Kernel
from pulsarray.compiler.ops.integer import Chain, Elementwise, TfliteAdd
from pulsarray.compiler.ops.integer.chain import VectorStep
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.errors import InputError

__all__ = ["add", "larger", "multiply", "prelu", "smaller", "squared_difference", "subtract"]

_ADD_SHIFT, _SQUARE_SHIFT = 20, 7
_HALF = (1 << 30, 31)
_A, _B = 0, 1
Form = tuple[Affine8, Affine8, Affine8]
"""Quantization of both inputs and of the result."""


def add(network: Network, operator: Operator) -> None:
    """ADD."""

    def kernel(form: Form) -> Kernel:
        pairs, total = _summed(form)
        return TfliteAdd(pairs, total, form[2].zero, *activation_limits(operator, form[2]))

    _pair(network, operator, kernel)


def subtract(network: Network, operator: Operator) -> None:
    """SUB: as ADD, with the second multiplier's sign changed."""

    def kernel(form: Form) -> Kernel:
        pairs, total = _summed(form)
        steps = _Steps()
        first = steps.widened(_A, form[0].zero, pairs[0], _ADD_SHIFT)
        second = steps.widened(_B, form[1].zero, pairs[1], _ADD_SHIFT, alu="rsub")
        low, high = activation_limits(operator, form[2])
        steps.codes("add", first, second, total, form[2].zero, low, high)
        return steps.chain()

    _pair(network, operator, kernel)


def multiply(network: Network, operator: Operator) -> None:
    """MUL: the machine multiplies by codes, so what their zero point adds is taken away again."""

    def kernel(form: Form) -> Kernel:
        with np.errstate(all="ignore"):
            scales = [np.float32(part.scale) for part in form]
            ratio = float(scales[0] * scales[1] / scales[2])
        limits = activation_limits(operator, form[2])
        a, b = (_A, _B) if form[0].zero else (_B, _A)
        steps = _multiplied(form, a, b, ratio_pair(ratio), limits)
        return steps.chain(_multiplied(form, b, a, ratio_pair(ratio), limits))

    _pair(network, operator, kernel)


def _multiplied(form: Form, a: int, b: int, pair: Pair, limits: tuple[int, int]) -> _Steps:
    """Products of one input and the other's codes; what is taken away is made of the first."""
    zeros, steps = (form[a].zero, form[b].zero), _Steps()
    if not zeros[1]:
        steps.codes("mul", a, b, pair, form[2].zero, *limits, zero_a=zeros[0])
        return steps
    whole = steps.add(VectorStep("mul", a, b, zero_a=zeros[0]))
    part = steps.add(VectorStep("mul", a, zero_a=zeros[0], scalar=zeros[1]))
    steps.codes("sub", whole, part, pair, form[2].zero, *limits)
    return steps


def squared_difference(network: Network, operator: Operator) -> None:
    """SQUARED_DIFFERENCE: the difference has 17 bits, and is multiplied by its two halves.

    Where one of both repeats, its own square is made once.
    """

    def kernel(form: Form) -> Kernel:
        largest = 2.0 * max(form[0].scale, form[1].scale)
        pairs, total = _scales(form, largest * largest / 2.0 ** (2 * _SQUARE_SHIFT))
        steps = _Steps()
        products = _squared(steps, _twice_difference(steps, form, pairs))
        steps.codes("sub", *products, total, form[2].zero)
        return steps.chain(_expanded(form, pairs, total))

    _pair(network, operator, kernel)


def _squared(steps: _Steps, twice: int) -> tuple[int, int]:
    """Two wide values whose difference is the square of half an even number of 18 bits.

    Half of it is ``below - 256 * above``, both of 8 bits: no tie, for twice it plus 1 is odd.
    """
    above = steps.add(VectorStep("rsub", twice, scalar=-1, shift=9, wide=False))
    below = steps.add(VectorStep("pass", twice, above, factor=512, shift=1, wide=False))
    product = steps.add(VectorStep("mul", twice, below, shift=1))
    return product, steps.add(VectorStep("mul", twice, above, shift=-7))


def _expanded(form: Form, pairs: tuple[Pair, Pair], total: Pair) -> _Steps:
    """``(a - e)^2`` as ``a * (a - 2 e) + e^2``: a are codes that count one half, e is the rest."""
    a, rest, steps = (_A, _B, _Steps()) if pairs[0] == _HALF else (_B, _A, _Steps())
    one = 1 << (_SQUARE_SHIFT - 1)
    scaled = steps.widened(rest, form[rest].zero, pairs[rest], _SQUARE_SHIFT)
    twice = steps.add(VectorStep("rsub", scaled, scalar=-one * form[a].zero, multiplier=2))
    square = steps.add(VectorStep("sub", *_squared(steps, twice)))
    factor = steps.add(VectorStep("pass", twice, a, multiplier=one, factor=one * one))
    steps.codes("add", steps.add(VectorStep("mul", factor, a)), square, total, form[2].zero)
    return steps


def _twice_difference(steps: _Steps, form: Form, pairs: tuple[Pair, Pair]) -> int:
    """Two times the scaled difference; codes that count one half need no VECTOR of their own."""
    second = steps.widened(_B, form[1].zero, pairs[1], _SQUARE_SHIFT)
    if pairs[0] != _HALF:
        first = steps.widened(_A, form[0].zero, pairs[0], _SQUARE_SHIFT)
        return steps.add(VectorStep("sub", first, second, multiplier=2))
    less = steps.add(VectorStep("rsub", second, multiplier=2))
    exact = VectorStep("pass", less, _A, zero_b=form[0].zero, factor=1 << _SQUARE_SHIFT)
    return steps.add(exact)


def prelu(network: Network, operator: Operator) -> None:
    """PRELU: what is below zero is multiplied by a constant; one part of each sum is 0."""

    def kernel(form: Form) -> Kernel:
        with np.errstate(all="ignore"):
            scales = [np.float32(part.scale) for part in form]
            same, slope = float(scales[0] / scales[2]), float(scales[0] * scales[1] / scales[2])
        above, below = ratio_pair(same), ratio_pair(slope)
        zeros, steps = (form[0].zero, form[1].zero), _Steps()
        upper = VectorStep("max", _A, zero_a=zeros[0], multiplier=above[0], shift=above[1])
        kept = steps.add(replace(upper, tflite=True))
        lower = steps.add(VectorStep("min", _A, zero_a=zeros[0]))
        whole = steps.add(VectorStep("mul", lower, _B))
        if zeros[1]:
            part = steps.add(VectorStep("mul", lower, scalar=zeros[1]))
            whole = steps.add(VectorStep("sub", whole, part))
        scaled = VectorStep("pass", whole, multiplier=below[0], shift=below[1], tflite=True)
        last = VectorStep("add", kept, steps.add(scaled), wide=False, zero=form[2].zero)
        steps.add(last)
        return steps.chain()

    _pair(network, operator, kernel)


def larger(network: Network, operator: Operator) -> None:
    """MAXIMUM."""
    _chosen(network, operator, "max")


def smaller(network: Network, operator: Operator) -> None:
    """MINIMUM."""
    _chosen(network, operator, "min")


def _chosen(network: Network, operator: Operator, alu: str) -> None:
    def kernel(form: Form) -> Kernel:
        same_quantization(form[0], form[2])
        same_quantization(form[1], form[2])
        return Chain((VectorStep(alu, _A, _B, wide=False),))

    _pair(network, operator, kernel)


class _Steps:
    """The steps of a chain so far."""

    def __init__(self, inputs: int = 2) -> None:
        self._inputs = inputs
        self._steps: list[VectorStep] = []

    def add(self, step: VectorStep) -> int:
        """Put a step at the end; the number of its result."""
        self._steps.append(step)
        return self._inputs + len(self._steps) - 1

    def widened(self, value: int, zero: int, pair: Pair, shift: int, *, alu: str = "pass") -> int:
        """Codes times 2^shift, then scaled as TensorFlow Lite does; one half needs no rounding."""
        if pair == _HALF:
            return self.add(VectorStep(alu, value, zero_a=zero, shift=1 - shift))
        wide = self.add(VectorStep(alu, value, zero_a=zero, shift=-shift))
        return self.add(VectorStep("pass", wide, multiplier=pair[0], shift=pair[1], tflite=True))

    def codes(
        self,
        alu: str,
        a: int,
        b: int,
        pair: Pair,
        zero: int,
        low: int = LOW,
        high: int = HIGH,
        zero_a: int = 0,
    ) -> None:
        """The last step: codes, scaled as TensorFlow Lite does."""
        step = VectorStep(alu, a, b, zero_a, multiplier=pair[0], shift=pair[1], tflite=True)
        self.add(replace(step, wide=False, zero=zero, low=low, high=high))

    def chain(self, repeating: _Steps | None = None) -> Chain:
        """All of them, and others with the same result for where an input repeats."""
        others = tuple(repeating._steps) if repeating else ()
        return Chain(tuple(self._steps), self._inputs, others)


def _scales(form: Form, total: float) -> tuple[tuple[Pair, Pair], Pair]:
    """Scales of both inputs, and the last one; kernels have none of 1 or more, nor 0."""
    largest = 2.0 * max(form[0].scale, form[1].scale)
    first, second = ratio_pair(form[0].scale / largest), ratio_pair(form[1].scale / largest)
    last = ratio_pair(total / form[2].scale)
    if min(last[0], first[0], second[0]) == 0 or last[1] < 31:
        scales = [part.scale for part in form]
        raise InputError(f"scales {scales[0]} and {scales[1]} to {scales[2]} are too far apart")
    return (first, second), last


def _summed(form: Form) -> tuple[tuple[Pair, Pair], Pair]:
    """Scales of ADD and SUB."""
    return _scales(form, 2.0 * max(form[0].scale, form[1].scale) / 2.0**_ADD_SHIFT)


def _pair(network: Network, operator: Operator, kernel: Callable[[Form], Kernel]) -> None:
    """Two maps, or one with a constant, element by element."""
    if is_number(network, operator, 0) or is_number(network, operator, 1):
        _by_table(network, operator, kernel)
        return
    first, second, shape = pair_of(network, operator)
    target = network.new_map(network.target(operator), first.shape)
    op = kernel((first.codes, second.codes, target.codes))
    network.add(operator, op, [first, second], target, shape)


def _by_table(network: Network, operator: Operator, kernel: Callable[[Form], Kernel]) -> None:
    """A map with one number: a function of each code."""
    place = int(is_number(network, operator, 0))
    value = network.plain(operator, place)
    number, form = number_of(network, operator, 1 - place)
    target = network.alike(operator, value)
    codes = np.arange(LOW, HIGH + 1)
    arrays, forms = [codes, np.full_like(codes, number)], [value.source.codes, form]
    if place:
        arrays, forms = arrays[::-1], forms[::-1]
    op = kernel((forms[0], forms[1], target.codes))
    table = op.integer(arrays, forms, target.codes)
    scale = replace(copying(value.source.codes.zero), table=table)
    network.add(operator, Elementwise(scale), [value.source], target, value.shape)
