"""Convolutions, transposed ones too, and dense layers as products on the array."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.columns import as_column, kernel_as_column, seen_kernel
from pulsarray.compiler.lower.constants import Sums
from pulsarray.compiler.lower.convolution import emit_convolution, emit_scaled
from pulsarray.compiler.lower.convolve import Term
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.pool import WindowSums
from pulsarray.compiler.lower.products.product import Product
from pulsarray.compiler.lower.products.schedule import schedule_product
from pulsarray.compiler.lower.products.tile import Shape
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import Finish, finish_of, offsets_of, sums_of, table_of
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.lower.transposed import grouped, taps_of_phase
from pulsarray.compiler.lower.weights import tiles_of
from pulsarray.compiler.machine.views import Stored
from pulsarray.compiler.ops.integer.product import Convolution, TransposedConvolution
from pulsarray.config import Config
from pulsarray.program import Tensor

__all__: list[str] = []


@traits_of.register
def _(op: Convolution) -> Traits:
    return Traits(second=None if op.residual is None else 3, takes=op.residual is None)


@lower.register
def _(op: Convolution, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    name, config, result = work.node.name, lowering.config, lowering.stored(work.output)
    weight, bias = (lowering.value(n).array for n in work.node.inputs[1:3])
    seen, weight = seen_kernel(op.window, weight, lowering.network.values[work.maps[0]].shape)
    op, (kh, kw, depth, count) = replace(op, window=seen), weight.shape
    source, window, laid = _operand(op, lowering, work, weight)
    packed = laid.shape != weight.shape
    second = lowering.stored(work.second) if work.second else None
    narrow = kernel_as_column(source, window, laid, config)
    if narrow:
        window, laid = narrow
        source, result, second = as_column(source), as_column(result), second and as_column(second)
    offsets = offsets_of(name, weight, bias, source.zero_point, config)
    point = window.kernel == (1, 1) and not any(window.padding) and op.groups == 1
    whole = point and source.height == source.width == 1
    sums = sums_of(lowering, name, op.scale, offsets, together=whole)
    table = table_of(lowering, name, op.scale)
    finish = finish_of(lowering, work, result, second, sums, table, op.residual)
    if whole:
        _matrix_product(lowering, work, source, laid, result, finish, sums)
    elif not packed and (tile := _diagonal(op, weight, config)) is not None:
        weights = lowering.layout.add(f"{name}.weight", "weight", *tile.shape, values=tile)
        rows = config.parameter_depth if sums.parameters else None
        made = WindowSums(lowering.number, name, window, source, result, weights, finish, rows)
        lowering.later(lambda chip, _: made.emit(chip))
    else:
        term = Term(source, window, tiles_of(laid, op.groups, config.dim))
        emit_convolution(lowering, work, [term], result, second, _vectors(op, work), finish)
    return result.images * result.height * result.width, kh * kw * depth, count


def _diagonal(op: Convolution, weight: Array, config: Config) -> Array | None:
    """The tile of a convolution that multiplies each channel by one number; None of others.

    A product has a tile for each tap and block of channels: for few pixels the array waits for
    them. All 128 positions of 768 channels, summed, take 7,300 cycles so instead of 102,854.
    """
    alone = op.groups == weight.shape[3] and weight.shape[2] == 1 and op.window.kernel != (1, 1)
    alike = alone and not (weight != weight.flat[0]).any() and op.residual is None
    if not alike or config.dim > config.scratchpad_depth:
        return None
    return np.eye(config.dim, dtype=np.int8) * np.int8(weight.flat[0])


def _vectors(op: Convolution, work: Work) -> int:
    """VECTORs of a tile."""
    fine = op.scale is not None and bool(op.scale.fine)
    vectors = 1 + fine + (fine and op.residual is not None)
    return vectors + (traits_of(work.after.op).vectors if work.after else 0)


def _operand(
    op: Convolution, lowering: Lowering, work: Work, weight: Array
) -> tuple[Stored, Window, Array]:
    """A convolution's input, window and weights; the network's own input may be packed."""
    name, dim, network = work.maps[0], lowering.config.dim, lowering.network
    kh, kw, depth, count = weight.shape
    few = -(-kh * kw * depth // dim) < kh * kw * -(-depth // dim)
    alone = name in network.inputs and network.readers[name] == 1
    if not (few and alone and op.groups == 1 and kh * kw > 1):
        return lowering.stored(name), op.window, weight
    value, window, batch = network.values[name], op.window, lowering.batch
    height, width = window.output(*value.shape[:2])
    packed = kh * kw * depth
    looks = (*window.kernel, *window.stride, *window.padding, *window.dilation)
    tensor = lowering.input_tensor(value, batch * height * width, packed, value.shape, looks)
    stored = Stored(
        batch, height, width, -(-packed // dim), packed, tensor, zero_point=value.codes.zero
    )
    return stored, Window((1, 1)), weight.reshape(1, 1, packed, count)


def _matrix_product(
    lowering: Lowering,
    work: Work,
    source: Stored,
    weight: Array,
    result: Stored,
    finish: Finish,
    sums: Sums,
) -> None:
    """A product of matrices, to be emitted with the cut that a search finds."""
    config, place = lowering.config, len(lowering.products)
    k, n = weight.shape[2:]
    bank, rows = config.scratchpad_depth, config.parameter_depth
    staged = result.tensor is not None or work.after is not None
    apart = sums.parameters is not None and not sums.together
    made = Product(
        layer=lowering.number,
        shape=Shape.of(source.images, k, n, config),
        source=source,
        weights=lowering.layout.add(
            f"{work.node.name}.weight", "weight", k, n, values=weight.reshape(k, n)
        ),
        result=result,
        room=max(1, bank // 2) if staged else bank,
        blocks=max(1, rows // 2) if apart else result.blocks,
        finish=finish,
    )
    lowering.products.append(made)
    lowering.later(lambda chip, cuts: schedule_product(chip, made, cuts[place]))


@lower.register
def _(op: TransposedConvolution, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    """A convolution of stride 1 for each phase of the result's rows and columns.

    Of the kernel a phase sees every stride-th tap, in reverse order.
    """
    name, source = work.node.name, lowering.stored(work.maps[0])
    whole, table = lowering.stored(work.node.output), table_of(lowering, name, op.scale)
    weight = lowering.value(work.node.inputs[1]).array
    kernel = grouped(weight, op.groups)
    high, wide = op.window.stride
    for number, phase in enumerate(product(range(high), range(wide))):
        if phase[0] < whole.height and phase[1] < whole.width:
            _phase(op, lowering, work, f"{name}.{number}", phase, kernel, table)
    kh, kw, channels, count = weight.shape
    pixels = source.images * source.height * source.width
    return pixels, channels // op.groups, kh * kw * count * op.groups


def _phase(
    op: TransposedConvolution,
    lowering: Lowering,
    work: Work,
    name: str,
    phase: tuple[int, int],
    kernel: Array,
    table: Tensor | None,
) -> None:
    """The rows and columns of a result that have one phase."""
    source, whole = lowering.stored(work.maps[0]), lowering.stored(work.output)
    bias = lowering.value(work.node.inputs[2]).array
    rows, columns = (taps_of_phase(op.window, axis, phase[axis]) for axis in (0, 1))
    laid = kernel[rows.taps][:, columns.taps]
    offsets = offsets_of(work.node.name, laid, bias, source.zero_point, lowering.config)
    window = Window(
        (len(rows.taps), len(columns.taps)),
        (1, 1),
        (rows.padding, columns.padding, 1, 1),
        (rows.dilation, columns.dilation),
    )
    term = Term(source, window, tiles_of(laid, op.groups, lowering.config.dim))
    part = whole.part(op.window.stride, phase)
    emit_scaled(lowering, work, name, [term], part, op.scale, offsets, table)
