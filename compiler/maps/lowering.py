"""From a network in integers to operations: every operator in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.emitter import Operation
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.maps import integer
from pulsarray.compiler.maps.chip import BankShares, MapChip
from pulsarray.compiler.maps.convolution_tiles import (
    ConvolutionShape,
    Room,
    choose,
    pixel_tiles,
)
from pulsarray.compiler.maps.convolution_weights import (
    Tiles,
    parameter_rows,
    place_weights,
    slices_of,
    tiles_of,
)
from pulsarray.compiler.maps.convolve import Convolver, Term
from pulsarray.compiler.maps.elementwise import combine, map_codes
from pulsarray.compiler.maps.epilogue import Epilogue, Places, Sums
from pulsarray.compiler.maps.integer import FeatureMap, IntegerGraph
from pulsarray.compiler.maps.pooling import average_constants, average_pool, max_pool
from pulsarray.compiler.maps.residency import Alias, Work
from pulsarray.compiler.maps.transposed import grouped, taps_of_phase
from pulsarray.compiler.maps.views import Area, Stored
from pulsarray.compiler.products.product import Product
from pulsarray.compiler.products.schedule import schedule_product
from pulsarray.compiler.products.tile import Shape, Tiling
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import VectorFlag
from pulsarray.program import Layer, Tensor

__all__ = ["Lowering"]

Ints = integer.Ints
Emission = Callable[[MapChip, Sequence[Tiling]], None]
"""Emits an operator, or part of one, on a chip; with the tilings of all products."""
Finish = Callable[[MapChip, Sequence[Area]], Epilogue]


class Lowering:
    """A whole network with every constant and map in its place, ready to be emitted.

    Parameters
    ----------
    graph
        The network, without concatenations that cost nothing.
    works
        Its operators in order.
    aliases
        Maps that lie inside others.
    resident
        Bank and first word of the maps that stay on chip.
    shares
        What each scratchpad bank is for.
    config, batch, layout
        The machine, samples of a run, and memory, to which tensors are added.

    Members
    -------
    layers
        One of each operator, without the range of its instructions.
    products
        The matrix products among them, whose tilings are chosen when they are emitted.
    """

    def __init__(
        self,
        graph: IntegerGraph,
        works: Sequence[Work],
        aliases: Mapping[str, Alias],
        resident: Mapping[str, tuple[int, int]],
        shares: BankShares,
        config: Config,
        batch: int,
        layout: Layout,
    ) -> None:
        self.graph, self.works, self.aliases, self.resident = graph, works, aliases, resident
        self.config, self.batch, self.layout = config, batch, layout
        self.shares = shares
        self.layers: list[Layer] = []
        self.products: list[Product] = []
        self._sums = {node.output for node in graph.nodes if integer.gives_sums(node)}
        self._roots: dict[str, Stored] = {}
        self._emissions: list[list[Emission]] = []
        self._place_all()

    def operations(self, tilings: Sequence[Tiling]) -> list[Operation]:
        """The whole network, with a tiling for each product."""
        chip = MapChip(self.config, self.shares)
        for emissions in self._emissions:
            for emit in emissions:
                emit(chip, tilings)
        return chip.emitter.operations

    def parts(self, tilings: Sequence[Tiling]) -> Iterator[list[Operation]]:
        """Each operator by itself: programs that share only memory."""
        for emissions in self._emissions:
            chip = MapChip(self.config, self.shares)
            for emit in emissions:
                emit(chip, tilings)
            yield chip.emitter.operations

    @property
    def products_share(self) -> float:
        """Share of the network's multiply-accumulates that are in its matrix products."""
        counts = [self.graph.macs_of(work.node) for work in self.works]
        own = sum(counts[product.layer] for product in self.products)
        return own / max(1, sum(counts))

    @property
    def _number(self) -> int:
        """Place of the operator that is being lowered."""
        return len(self._emissions) - 1

    def _later(self, emit: Emission) -> None:
        """Something to emit for the operator that is being lowered."""
        self._emissions[-1].append(emit)

    def _place_all(self) -> None:
        for work in self.works:
            self._emissions.append([])
            before = len(self.layout.tensors)
            m, k, n = self._lower(work)
            read = sum(
                tensor.bytes(self.config)
                for tensor in self.layout.tensors[before:]
                if tensor.role in ("weight", "constant", "input")
            )
            given = [name for name in work.inputs if name != self.graph.input.name]
            read += sum(
                self._bytes(name) for name in given if self._stored(name).tensor is not None
            )
            result = self._stored(work.output)
            kind = work.node.kind + (f"+{work.after.kind}" if work.after else "")
            self.layers.append(
                Layer(
                    name=work.node.name,
                    kind=kind,
                    first=0,
                    last=0,
                    m=m,
                    k=k,
                    n=n,
                    read_bytes=read,
                    write_bytes=self._bytes(work.output) if result.tensor is not None else 0,
                )
            )

    def _bytes(self, name: str) -> int:
        """Bytes of a map in memory."""
        given = self.graph.maps[name]
        blocks, config = -(-given.channels // self.config.dim), self.config
        word = config.acc_word_bytes if name in self._sums else config.word_bytes
        return self.batch * given.pixels * blocks * word

    def _lower(self, work: Work) -> tuple[int, int, int]:
        """Lower one operator; M, K and N of its product, 0 without one."""
        node = work.node
        if isinstance(node, integer.Convolution):
            return self._convolution(work, node)
        if isinstance(node, integer.TransposedConvolution):
            return self._transposed(work, node)
        if isinstance(node, integer.Concat):
            return self._gather(node)
        number, result = self._number, self._stored(work.output)
        sources = [self._stored(name) for name in node.inputs]
        if isinstance(node, integer.MaxPool):
            self._later(lambda chip, _: max_pool(chip, number, node, sources[0], result))
        elif isinstance(node, integer.AveragePool):
            source = replace(sources[0], zero_point=node.zero_in)
            constants = average_constants(self.layout, node)
            self._later(lambda chip, _: average_pool(chip, number, node, source, result, constants))
        elif isinstance(node, integer.Elementwise):
            table = self._table(node.name, node.scale)
            rows = self._code_rows(node, result.channels)
            self._later(
                lambda chip, _: map_codes(chip, number, node, sources[0], result, rows, table)
            )
        else:
            self._later(lambda chip, _: combine(chip, number, node, sources[0], sources[1], result))
        return 0, 0, 0

    def _code_rows(self, node: integer.Elementwise, channels: int) -> Tensor | None:
        """Parameters of an operator with a scale for each channel."""
        scale, nothing = node.scale, np.zeros(channels, np.int64)
        if len(scale.multiplier) == 1:
            return None
        return parameter_rows(
            self.layout, node.name, nothing, scale.multiplier, scale.shift, self.config.dim
        )

    def _stored(self, name: str) -> Stored:
        """Where a map lies; its root is placed when it is first asked for."""
        root, block = name, 0
        while root in self.aliases:
            alias = self.aliases[root]
            root, block = alias.parent, block + alias.block
        if root not in self._roots:
            self._roots[root] = self._place(root)
        given = self.graph.maps[name]
        blocks = -(-given.channels // self.config.dim)
        return replace(self._roots[root], block=block, blocks=blocks, channels=given.channels)

    def _place(self, name: str) -> Stored:
        given, blocks = self.graph.maps[name], -(-self.graph.maps[name].channels // self.config.dim)
        stored = Stored(self.batch, given.height, given.width, blocks, given.channels)
        if name in self.resident:
            bank, base = self.resident[name]
            return replace(stored, bank=bank, base=base)
        roles = {self.graph.input.name: "input", self.graph.output: "output"}
        tensor = self._map_tensor(given, roles.get(name, "intermediate"))
        return replace(stored, tensor=tensor)

    def _map_tensor(self, given: FeatureMap, role: str) -> Tensor:
        vector, last = given.pixels == 1, role == "output"
        views = {"input": self.graph.input_view, "output": self.graph.output_view}
        return self.layout.add(
            given.name,
            role,
            self.batch * given.pixels,
            given.channels,
            element="sum" if given.name in self._sums else "code",
            scale=given.scale,
            zero_point=given.zero_point,
            after=self.graph.after if last else "",
            answer_scale=self.graph.answer_scale if last else 0.0,
            answer_zero=self.graph.answer_zero if last else 0,
            image=() if vector else given.shape,
            view=views.get(role),
            half_away=given.half_away,
        )

    def _convolution(self, work: Work, node: integer.Convolution) -> tuple[int, int, int]:
        result = self._stored(work.output)
        kh, kw, depth, count = node.weight.shape
        source, window, weight = self._operand(node)
        second = self._stored(work.second) if work.second else None
        bias = self._offsets(node, node.weight)
        extra = isinstance(work.after, integer.TfliteAdd) * 3 + bool(work.after)
        extra += bool(node.scale.fine) + (bool(node.scale.fine) and node.residual is not None)
        point = window.kernel == (1, 1) and not any(window.padding) and node.groups == 1
        if point and source.height == source.width == 1:
            sums = self._scaled(node.name, node.scale, bias, together=True)
            finish = self._finish(work, result, second, sums, self._table(node.name, node.scale))
            self._product(node.name, source, weight, result, finish, sums, work)
        else:
            sums = self._scaled(node.name, node.scale, bias)
            finish = self._finish(work, result, second, sums, self._table(node.name, node.scale))
            term = Term(source, window, tiles_of(weight, node.groups, self.config.dim))
            self._emit(work, [term], result, second, 1 + extra, finish)
        return result.images * result.height * result.width, kh * kw * depth, count

    def _offsets(
        self, node: integer.Convolution | integer.TransposedConvolution, weights: Ints
    ) -> Ints:
        """What is added to each result's sums: its bias, less what the input's zero adds to them.

        Raises
        ------
        InputError
            If sums or bias may not fit an accumulator, or both together the vector unit.
        """
        weight = weights.astype(np.int64)
        bias = node.bias - node.zero_in * weight.sum(axis=(0, 1, 2))
        high = np.maximum(weight * integer.LOW, weight * integer.HIGH).sum(axis=(0, 1, 2))
        low = np.minimum(weight * integer.LOW, weight * integer.HIGH).sum(axis=(0, 1, 2))
        worst = max(int(np.abs(bias).max()), int(high.max()), -int(low.min()))
        together = max(int(np.abs(high + bias).max()), int(np.abs(low + bias).max()))
        for reach, field in ((worst, "acc_bits"), (together, "alu_bits")):
            if reach >= 1 << (getattr(self.config, field) - 1):
                raise InputError(
                    f"{node.name}: sums may reach {reach}, which {field} = "
                    f"{getattr(self.config, field)} does not hold"
                )
        return np.asarray(bias)

    def _operand(self, node: integer.Convolution) -> tuple[Stored, Window, Ints]:
        """A convolution's input, window and weights; the network's own input may be packed."""
        dim = self.config.dim
        kh, kw, depth, count = node.weight.shape
        given = self.graph.maps[node.input]
        few = -(-kh * kw * depth // dim) < kh * kw * -(-depth // dim)
        alone = node.input == self.graph.input.name and self.graph.uses[node.input] == 1
        if not (few and alone and node.groups == 1 and kh * kw > 1):
            stored = replace(self._stored(node.input), zero_point=node.zero_in)
            return stored, node.window, node.weight
        window = node.window
        height, width = window.output(given.height, given.width)
        packed = kh * kw * depth
        tensor = self.layout.add(
            given.name,
            "input",
            self.batch * height * width,
            packed,
            scale=given.scale,
            zero_point=given.zero_point,
            image=given.shape,
            window=(*window.kernel, *window.stride, *window.padding, *window.dilation),
            view=self.graph.input_view,
            half_away=given.half_away,
        )
        stored = Stored(self.batch, height, width, -(-packed // dim), packed, tensor)
        return stored, Window((1, 1)), node.weight.reshape(1, 1, packed, count)

    def _transposed(self, work: Work, node: integer.TransposedConvolution) -> tuple[int, int, int]:
        """A convolution of stride 1 for each phase of the result's rows and columns.

        Of the kernel a phase sees every stride-th tap, in reverse order.
        """
        source = replace(self._stored(node.input), zero_point=node.zero_in)
        whole, dim = self._stored(node.output), self.config.dim
        table = self._table(node.name, node.scale)
        high, wide = node.window.stride
        phases = product(range(high), range(wide))
        for number, phase in enumerate(phases):
            if phase[0] >= whole.height or phase[1] >= whole.width:
                continue
            rows, columns = (taps_of_phase(node.window, axis, phase[axis]) for axis in (0, 1))
            weight = grouped(node.weight, node.groups)[rows.taps][:, columns.taps]
            bias = self._offsets(node, weight)
            name = f"{node.name}.{number}"
            window = Window(
                (len(rows.taps), len(columns.taps)),
                (1, 1),
                (rows.padding, columns.padding, 1, 1),
                (rows.dilation, columns.dilation),
            )
            term = Term(source, window, tiles_of(weight, node.groups, dim))
            part, words = whole.part(node.window.stride, phase), 1 + bool(node.scale.fine)
            sums = self._scaled(name, node.scale, bias)
            self._emit(work, [term], part, None, words, self._finish(work, part, None, sums, table))
        kh, kw, channels, count = node.weight.shape
        pixels = source.images * source.height * source.width
        return pixels, channels // node.groups, kh * kw * count * node.groups

    def _gather(self, node: integer.Concat) -> tuple[int, int, int]:
        """Maps side by side whose channels move between lanes: products with 0 and 1."""
        result = self._stored(node.output)
        dim, first, terms = self.config.dim, 0, []
        for name in node.inputs:
            stored = self._stored(name)
            low, high = first // dim, -(-(first + stored.channels) // dim)
            values = np.zeros((result.blocks, 1, 1, stored.blocks, dim, dim), np.int8)
            for channel in range(stored.channels):
                to = first + channel
                values[to // dim, 0, 0, channel // dim, channel % dim, to % dim] = 1
            assert low < high
            terms.append(Term(stored, Window((1, 1)), Tiles(values, [0] * result.blocks)))
            first += stored.channels
        one, zero = np.ones(1, np.int64), np.zeros(first, np.int64)
        sums, work = self._scaled(node.name, integer.Scale(one, 0 * one), zero), Work(node)
        self._emit(work, terms, result, None, 1, self._finish(work, result, None, sums, None))
        return 0, 0, 0

    def _scaled(
        self, name: str, scale: integer.Scale, bias: Ints, *, together: bool = False
    ) -> Sums:
        """How sums become codes; rows of parameters are LOADed together where they fit the bank."""
        fields = {
            "zero_target": scale.zero,
            "low": scale.low,
            "high": scale.high,
            "flags": int(VectorFlag.TFLITE) if scale.tflite else 0,
        }
        if scale.sums and bias.any():
            raise InputError(f"{name}: sums are stored as they are, without bias and zero point")
        if len(scale.multiplier) == 1 and not bias.any() and not scale.fine:
            one = {"multiplier": int(scale.multiplier[0]), "shift": int(scale.shift[0])}
            return Sums(None, single=False, per_lane=False, fields=fields | one)
        dim, depth = self.config.dim, self.config.parameter_depth
        rows = parameter_rows(
            self.layout, name, bias, scale.multiplier, scale.shift, dim, scale.offset
        )
        together = together and -(-len(bias) // dim) <= depth
        return Sums(rows, False, per_lane=True, fields=fields, fine=scale.fine, together=together)

    def _table(self, name: str, scale: integer.Scale) -> Tensor | None:
        if scale.table is None:
            return None
        entries = np.zeros(self.config.table_words * self.config.word_bytes, np.int8)
        entries[: len(scale.table)] = scale.table
        return self.layout.add_raw(f"{name}.table", entries.view(np.uint8))

    def _finish(
        self,
        work: Work,
        result: Stored,
        second: Stored | None,
        sums: Sums,
        table: Tensor | None,
    ) -> Finish:
        """What takes finished parts of a result, in a given order, to their place."""
        number, node = self._number, work.node
        residual = node.residual if isinstance(node, integer.Convolution) else None

        def finish(chip: MapChip, tiles: Sequence[Area]) -> Epilogue:
            places = Places(chip, number, result, second, tiles, spare=work.after is not None)
            return Epilogue(
                chip,
                number,
                places,
                sums,
                tiles,
                table=table,
                residual=residual,
                after=work.after,
                second_first=work.second_first,
            )

        return finish

    def _product(
        self,
        name: str,
        source: Stored,
        weight: Ints,
        result: Stored,
        finish: Finish,
        sums: Sums,
        work: Work,
    ) -> None:
        """A product of matrices, to be emitted."""
        config, place = self.config, len(self.products)
        k, n = weight.shape[2:]
        bank, rows = config.scratchpad_depth, config.parameter_depth
        staged = result.tensor is not None or work.after is not None
        apart = sums.parameters is not None and not sums.together
        product = Product(
            layer=self._number,
            shape=Shape.of(source.images, k, n, config),
            source=source,
            weights=self.layout.add(f"{name}.weight", "weight", k, n, values=weight.reshape(k, n)),
            result=result,
            room=max(1, bank // 2) if staged else bank,
            blocks=max(1, rows // 2) if apart else result.blocks,
            finish=finish,
        )
        self.products.append(product)
        self._later(lambda chip, tilings: schedule_product(chip, product, tilings[place]))

    def _emit(
        self,
        work: Work,
        terms: Sequence[Term],
        result: Stored,
        second: Stored | None,
        vector_words: int,
        finish: Finish,
    ) -> None:
        """Cut a convolution, to be emitted."""
        number, shares = self._number, self.shares
        first = terms[0]
        deepest = max(terms, key=lambda term: term.tiles.depth)
        shape = ConvolutionShape(
            images=first.stored.images,
            height=first.stored.height,
            width=first.stored.width,
            out_height=result.height,
            out_width=result.width,
            out_blocks=result.blocks,
            depth=deepest.tiles.depth,
            window=first.window,
            shares_depth=len(set(first.tiles.starts)) == 1,
            loads_source=any(term.stored.tensor is not None for term in terms),
            stores_result=result.tensor is not None or work.after is not None,
            loads_second=second is not None and second.tensor is not None,
            vector_words=vector_words,
        )
        room = Room(len(shares.source), len(shares.weight), len(shares.second), len(shares.result))
        cut = choose(shape, self.config, room, work.node.name)
        slices = slices_of([term.tiles for term in terms], cut.depth, cut.taps)
        weights = place_weights(
            self.layout, work.node.name, [term.tiles for term in terms], slices, result.channels
        )
        tiles = pixel_tiles(shape, cut)
        finished = _finished(tiles, result.blocks, cut.blocks, pixels_outer=cut.pixels_outer)

        def emit(chip: MapChip, _: Sequence[Tiling]) -> None:
            epilogue = finish(chip, finished)
            Convolver(
                chip, number, terms, slices, weights, cut, tiles, result.blocks, epilogue.run
            ).run()

        self._later(emit)


def _finished(tiles: Sequence[Area], blocks: int, size: int, *, pixels_outer: bool) -> list[Area]:
    """Every output tile with its channel blocks, in the order in which they are finished."""
    groups = [(low, min(blocks, low + size)) for low in range(0, blocks, size)]
    if pixels_outer:
        return [replace(tile, blocks=group) for tile in tiles for group in groups]
    return [replace(tile, blocks=group) for group in groups for tile in tiles]
