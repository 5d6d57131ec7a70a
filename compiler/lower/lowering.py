"""A network in integers as operations: every constant, map and operator in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np

from pulsarray.compiler.ir.formats import Affine8, Integers
from pulsarray.compiler.ir.host import HostOutput
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Role, Value
from pulsarray.compiler.lower.chip import BankShares, MapChip
from pulsarray.compiler.lower.products.product import Product
from pulsarray.compiler.lower.products.tile import Cut
from pulsarray.compiler.lower.residency import Network, Work
from pulsarray.compiler.machine.emitter import Operation
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.views import Stored
from pulsarray.compiler.ops.integer.codes import zero_of
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Layer, Tensor

__all__ = ["Emission", "Lowering", "lower"]

Emission = Callable[[MapChip, Sequence[Cut]], None]
"""Emits an operator, or part of one, on a chip; with the cuts of all products."""
Sizes = tuple[int, int, int]
"""M, K and N of a product; 0 without one."""


class Lowering:
    """A whole network with every constant and map in its place, ready to be emitted.

    Parameters
    ----------
    network
        The network, without concatenations that cost nothing.
    outputs
        What a host makes of its results.
    works
        Its operators in order.
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
        The matrix products among them, whose cuts are chosen when they are emitted.
    """

    def __init__(
        self,
        network: Network,
        outputs: Sequence[HostOutput],
        works: Sequence[Work],
        resident: Mapping[str, tuple[int, int]],
        shares: BankShares,
        config: Config,
        batch: int,
        layout: Layout,
    ) -> None:
        self.network, self.outputs, self.works, self.resident = network, outputs, works, resident
        self.config, self.batch, self.layout = config, batch, layout
        self.shares = shares
        self.layers: list[Layer] = []
        self.products: list[Product] = []
        self._roots: dict[str, Stored] = {}
        self._emissions: list[list[Emission]] = []
        for work in works:
            self._emissions.append([])
            self.layers.append(self._layer(work))
        placed = {tensor.name for tensor in layout.tensors}
        for name in network.entries:
            if name not in placed:  # Nothing reads it.
                self.stored(name)

    def operations(self, cuts: Sequence[Cut]) -> list[Operation]:
        """The whole network, with a cut for each product."""
        chip = MapChip(self.config, self.shares)
        for emissions in self._emissions:
            for emit in emissions:
                emit(chip, cuts)
        return chip.emitter.operations

    def parts(self, cuts: Sequence[Cut]) -> Iterator[list[Operation]]:
        """Each operator by itself: programs that share only memory."""
        for emissions in self._emissions:
            chip = MapChip(self.config, self.shares)
            for emit in emissions:
                emit(chip, cuts)
            yield chip.emitter.operations

    @property
    def products_share(self) -> float:
        """Share of the network's multiply-accumulates that are in its matrix products."""
        counts = [self.network.macs_of(work.node) for work in self.works]
        in_products = sum(counts[product.layer] for product in self.products)
        return in_products / max(1, sum(counts))

    @property
    def number(self) -> int:
        """Place of the operator that is being lowered."""
        return len(self._emissions) - 1

    def later(self, emit: Emission) -> None:
        """Something to emit for the operator that is being lowered."""
        self._emissions[-1].append(emit)

    def value(self, name: str) -> Value:
        """A map or constant."""
        return self.network.values[name]

    def _layer(self, work: Work) -> Layer:
        """Lower an operator; its row in the table of layers."""
        before = len(self.layout.tensors)
        m, k, n = lower(work.node.op, self, work)
        read = sum(
            tensor.bytes(self.config)
            for tensor in self.layout.tensors[before:]
            if tensor.role in ("weight", "constant", "input", "state")
        )
        maps = [name for name in work.inputs if name not in self.network.entries]
        read += sum(self._bytes(name) for name in maps if self.stored(name).tensor is not None)
        written = self.stored(work.output).tensor is not None
        return Layer(
            name=work.node.name,
            kind=work.node.kind + (f"+{work.after.kind}" if work.after else ""),
            first=0,
            last=0,
            m=m,
            k=k,
            n=n,
            read_bytes=read,
            write_bytes=self._bytes(work.output) if written else 0,
        )

    def _bytes(self, name: str) -> int:
        """Bytes of a map in memory."""
        value, config = self.value(name), self.config
        *size, channels = value.shape
        sums = isinstance(value.format, Integers)
        word = config.acc_word_bytes if sums else config.word_bytes
        return self.batch * prod(size) * -(-channels // config.dim) * word

    def stored(self, name: str) -> Stored:
        """Where a map lies; its root is placed when it is first asked for."""
        value = self.value(name)
        height, width, channels = value.shape
        alias = self.network.aliases.get(name)
        if alias is None:
            if name not in self._roots:
                self._roots[name] = self._place(name)
            within = self._roots[name]
        else:
            within = alias.within(self.stored(alias.parent))
        return replace(
            within,
            height=height,
            width=width,
            blocks=-(-channels // self.config.dim),
            channels=channels,
            zero_point=zero_of(value.format),
        )

    def _place(self, name: str) -> Stored:
        height, width, channels = self.value(name).shape
        blocks = -(-channels // self.config.dim)
        stored = Stored(self.batch, height, width, blocks, channels)
        if name in self.resident:
            bank, base = self.resident[name]
            return replace(stored, bank=bank, base=base)
        return replace(stored, tensor=self._map_tensor(self.value(name)))

    def _map_tensor(self, value: Value) -> Tensor:
        height, width, channels = value.shape
        image = () if height == width == 1 else value.shape
        if value.name in self.network.inputs:
            return self.input_tensor(value, self.batch * height * width, channels, image)
        codes = value.format if isinstance(value.format, Affine8) else Affine8(1.0)
        if value.role.is_constant:
            rows = np.tile(value.array.reshape(-1, channels), (self.batch, 1))
            return self.layout.add(value.name, "constant", *rows.shape, values=rows)
        if value.role is Role.STATE:
            return self._state_tensor(value)
        ends = [end for end in self.outputs if end.source == value.name]
        if value.name in self.network.kept:
            held = self.stored(self.network.kept[value.name]).tensor
            assert held is not None
            for end in ends:
                shared = replace(held, name=end.name, role="output", view=None)
                self.layout.share(replace(shared, **_ending(end)))
            return held
        final = self.network.is_final(value.name)
        made = self.layout.add(
            ends[0].name if final else f"{value.name} (read again)" if ends else value.name,
            "output" if final else "intermediate",
            self.batch * height * width,
            channels,
            element="sum" if isinstance(value.format, Integers) else "code",
            scale=codes.scale,
            zero_point=codes.zero,
            image=image,
            **{"half_away": codes.half_away, **(_ending(ends[0]) if final else {})},
        )
        for end in ends[final:]:
            self.layout.share(replace(made, name=end.name, role="output", **_ending(end)))
        return made

    def _state_tensor(self, value: Value) -> Tensor:
        """A tensor for state, which holds the same of each sample before the first run."""
        height, width, channels = value.shape
        rows = np.tile(np.asarray(value.data).reshape(-1, channels), (self.batch, 1))
        return self.layout.add(
            value.name,
            "state",
            *rows.shape,
            values=rows,
            scale=value.codes.scale,
            zero_point=value.codes.zero,
            image=() if height == width == 1 else value.shape,
            view=self.network.graph.views.get(value.name),
            half_away=value.codes.half_away,
        )

    def input_tensor(
        self,
        source: Value,
        rows: int,
        columns: int,
        image: Sequence[int],
        window: Sequence[int] = (),
    ) -> Tensor:
        """A tensor for one of the network's inputs, whose words may be what windows see."""
        return self.layout.add(
            source.name,
            "input",
            rows,
            columns,
            scale=source.codes.scale,
            zero_point=source.codes.zero,
            image=image,
            window=window,
            view=self.network.graph.views.get(source.name),
            half_away=source.codes.half_away,
        )

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor, inputs and outputs in the order of the network's."""
        orders = {
            "input": [value.name for value in self.network.graph.inputs],
            "output": [end.name for end in self.outputs],
        }
        known = {tensor.name: tensor for tensor in self.layout.tensors}
        sorted_ = {role: iter([known[name] for name in names]) for role, names in orders.items()}
        return [next(sorted_[t.role]) if t.role in orders else t for t in self.layout.tensors]


def _ending(end: HostOutput) -> dict[str, Any]:
    """Fields of a tensor that say what a host makes of it."""
    fields: dict[str, Any] = {"after": end.after, "view": end.view}
    if end.answer is not None:
        fields |= {"answer_scale": end.answer.scale, "answer_zero": end.answer.zero}
        fields |= {"half_away": end.answer.half_away}
    return fields


@singledispatch
def lower(op: Operator, lowering: Lowering, work: Work) -> Sizes:  # noqa: ARG001
    """Lower one operator; each family registers its own. M, K and N of its product, 0 without.

    Raises
    ------
    InputError
        If it does not fit the machine.
    """
    raise InputError(f"{work.node.name}: {op.title} is no operator of the machine")
