"""A convolution is cut to what fits, and emitted tile after tile."""

from __future__ import annotations

from collections.abc import Sequence

from pulsarray.compiler.lower.chip import MapChip
from pulsarray.compiler.lower.convolve import Convolver, Term
from pulsarray.compiler.lower.cuts import ConvolutionShape, Room
from pulsarray.compiler.lower.cutting import choose
from pulsarray.compiler.lower.lowering import Lowering
from pulsarray.compiler.lower.products.tile import Cut
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import Finish, finish_of, sums_of
from pulsarray.compiler.lower.weights import place_weights, slices_of
from pulsarray.compiler.machine.views import Stored
from pulsarray.compiler.ops.integer.codes import Ints
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.program import Tensor

__all__ = ["emit_convolution", "emit_scaled"]


def emit_convolution(
    lowering: Lowering,
    work: Work,
    terms: Sequence[Term],
    result: Stored,
    second: Stored | None,
    vectors: int,
    finish: Finish,
) -> None:
    """Cut a convolution, to be emitted.

    Parameters
    ----------
    lowering, work
        Where to, and for which operator.
    terms
        Its inputs, whose sums are added.
    result, second
        Where the result goes; a second operand of the vector unit, None without.
    vectors
        VECTORs for each tile.
    finish
        What takes finished tiles to their place.
    """
    shape = _shape(work, terms, result, second, vectors)
    number, shares, name = lowering.number, lowering.shares, work.node.name
    room = Room(len(shares.source), len(shares.weight), len(shares.second), len(shares.result))
    cut = choose(shape, lowering.config, room, name)
    parts = [term.tiles for term in terms]
    slices = slices_of(parts, cut.depth, cut.taps)
    weights = place_weights(lowering.layout, name, parts, slices, result.channels)
    tiles = list(result.whole.cut(cut.blocks, cut.images, cut.rows, cut.columns))
    if not cut.pixels_outer:
        tiles.sort(key=lambda tile: tile.blocks)

    def emit(chip: MapChip, _: Sequence[Cut]) -> None:
        end = finish(chip, tiles).run
        Convolver(chip, number, terms, slices, weights, tiles, end).run()

    lowering.later(emit)


def emit_scaled(
    lowering: Lowering,
    work: Work,
    name: str,
    terms: Sequence[Term],
    result: Stored,
    scale: Scale,
    offsets: Ints,
    table: Tensor | None = None,
) -> None:
    """The same with offsets, then a scale, for constants of a name; all or part of a result."""
    finish = finish_of(lowering, work, result, None, sums_of(lowering, name, scale, offsets), table)
    emit_convolution(lowering, work, terms, result, None, 1 + bool(scale.fine), finish)


def _shape(
    work: Work, terms: Sequence[Term], result: Stored, second: Stored | None, vectors: int
) -> ConvolutionShape:
    """What the choice of a cut depends on."""
    first = terms[0]
    return ConvolutionShape(
        images=first.stored.images,
        height=first.stored.height,
        width=first.stored.width,
        out_height=result.height,
        out_width=result.width,
        out_blocks=result.blocks,
        depth=max(term.tiles.depth for term in terms),
        window=first.window,
        shares_depth=len(set(first.tiles.starts)) == 1,
        loads_source=any(term.stored.tensor is not None for term in terms),
        stores_result=result.tensor is not None or work.after is not None,
        loads_second=second is not None and second.tensor is not None,
        vector_words=vectors,
    )
