"""What every program of a training begins and ends with, and what its parts share."""

from __future__ import annotations

from math import prod
from typing import Any

from pulsarray.compiler.machine.banks import Space
from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.exponents import (
    BIAS,
)
from pulsarray.compiler.training.layers import MapShape, Step, is_vector
from pulsarray.compiler.training.lower.chip import TrainChip
from pulsarray.compiler.training.lower.geometry import Geometry
from pulsarray.compiler.training.lower.maps import FeatureMap
from pulsarray.compiler.training.lower.memory import Cache
from pulsarray.compiler.training.lower.paging import PagedChip
from pulsarray.compiler.training.lower.pieces import Pieces
from pulsarray.compiler.training.lower.tensors import TrainTensors
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Activation, Bank, Opcode, VectorFlag
from pulsarray.program import Layer, Tensor

__all__ = ["Lowering", "weight_banks"]

_STATISTIC = int(VectorFlag.STATISTIC)
_ONE = 1 << 14
_WEIGHT_BANKS = 4
"""One bank in so many is for weights."""
_LARGEST_PIECE = 4
"""So many pieces of weights, at least, fit one bank."""


def weight_banks(config: Config) -> int:
    """Scratchpad banks that hold weights; the others hold maps."""
    return max(1, config.scratchpad_banks // _WEIGHT_BANKS)


class Lowering:
    """One program on its way.

    Parameters
    ----------
    tensors, layout
        What lies in memory, and what takes tensors that have to give way.
    training
        Whether it trains; without, statistics are not taken.
    share
        Segments of maps take at most one part in so many of a bank.

    Members
    -------
    chip
        Holds the instructions.
    rows, weights
        Maps and pieces of weights on chip.
    layers
        Phases: the products of a layer in one direction, with what follows them.
    """

    def __init__(
        self, tensors: TrainTensors, layout: Layout, *, training: bool, share: int
    ) -> None:
        self.tensors, self.network, self.config = tensors, tensors.network, tensors.config
        self.training, self.flow = training, tensors.network.flow
        functions = enumerate(tensors.functions.items())
        tables = {name: (number, table.shift) for number, (name, table) in functions}
        kind = PagedChip if tensors.pages else TrainChip
        self.chip = kind(self.config, tensors.registers, tables, tensors.depth)
        banks, depth = self.config.scratchpad_banks, self.config.scratchpad_depth
        first = weight_banks(self.config)
        self.rows = Cache(self.chip, layout, Space(range(first, banks), depth), share)
        self.weights = Cache(self.chip, layout, Space(range(first), depth))
        self.layers: list[Layer] = []
        self._begun: set[str] = set()
        self._ready = False

    def begin(self, name: str, kind: str, m: int, k: int, n: int, products: int = 1) -> None:
        """A new phase."""
        self.chip.phase = len(self.layers)
        shape = {"m": m, "k": k, "n": n, "products": products}
        self.layers.append(Layer(name=f"{name} {kind}", kind=kind, first=0, last=0, **shape))

    def begin_layer(self, layer: Step, kind: str) -> None:
        """A layer's phase, once."""
        if (key := f"{layer.name} {kind}") in self._begun:
            return
        self._begun.add(key)
        *kernel, n = self.network.nodes.values[f"{layer.owner}.weight"].shape
        k = prod(kernel)
        pixels = self.tensors.rows * layer.result[0] * layer.result[1]
        if kind == "forward":
            self.begin(layer.name, kind, pixels, k, n)
        else:
            products = bool(layer.scales) + (layer.source in self.flow.errors)
            self.begin(layer.name, kind, k, pixels, n, products)

    def prepare(self) -> None:
        """Exponents, rates, constants and tables, before the vector unit first needs them.

        They come after the first operands, which the array waits for.
        """
        if self._ready:
            return
        self._ready = True
        tensors = self.tensors
        self.chip.read_exponents(tensors.exponents)
        self.whole(tensors.rates, Bank.PARAMETER, 0)
        self.whole(tensors.constants, Bank.PARAMETER, 3 * PARAMETER_COLUMNS)
        if tensors.tables is not None:
            self.whole(tensors.tables, Bank.TABLE, 0)

    def whole(self, tensor: Tensor, bank: int, local: int) -> None:
        """LOAD all of a tensor of one column block."""
        self.chip.move(Opcode.LOAD, tensor, 0, Words.at(bank, local), tensor.rows)

    def finish(self, *, adapt: bool) -> None:
        """Exponents to memory; with ``adapt`` after the controller."""
        self.chip.write_exponents(self.tensors.exponents, adapt=adapt)

    # Layers on the machine

    def geometry(self, layer: Step) -> Geometry:
        """How a layer lies on the machine."""
        return self.tensors.geometries[layer.owner]

    def inputs(self) -> dict[str, FeatureMap]:
        """The inputs by name."""
        shapes = self.flow.inputs
        if len(shapes) == 1:
            return {name: self._input(name, self.tensors.input_shape) for name in shapes}
        places = zip(shapes.items(), self.tensors.places, strict=False)
        return {name: self._input(name, shape, place) for (name, shape), place in places}

    def _input(self, name: str, shape: MapShape, block: int = 0) -> FeatureMap:
        """One, from a column block of the tensor on.

        A vector is in segments as large as what is worked on at a time.
        """
        tensor, rows = self.tensors.input, self.tensors.rows
        largest = self._largest_part(rows) if is_vector(shape) else 0
        placed = self.rows.place(name, rows, shape, tensor, largest)
        for segment in placed.segments:
            segment.word += block * rows
        return placed

    def pieces(self, layer: Step, x: FeatureMap | None = None) -> Pieces:
        """Pieces of weights; of vectors each works on some blocks of one segment of x alone."""
        cuts = [] if x is None else x.cuts()
        geometry = self.tensors.geometries.get(layer.owner)
        if geometry is None:
            ranges = [(0, 1)]
        elif geometry.dense:
            ranges = geometry.parts(self._largest_part(self.tensors.rows), cuts)
        else:
            ranges = geometry.parts(self._largest_part(1), [])
        return Pieces(self.tensors.kept[f"{layer.owner}.weight"], ranges, self.config.dim)

    def _largest_part(self, rows: int) -> int:
        """Most tiles of weights that are worked on at a time.

        What they give of the source's gradient, so many rows each, fits a bank of sums, and their
        own gradient half of one.
        """
        config = self.config
        dim, depth = config.dim, self.chip.depth
        piece = config.scratchpad_depth // _LARGEST_PIECE // dim
        return max(1, min(depth // rows, depth // 2 // dim, piece))

    def bias(self, layer: Step, source: str, blocks: int) -> Words:
        """The biases of a layer at the exponent of its sums; ``source`` names that of its input.

        Raises
        ------
        InputError
            If they are more than a bank of sums has words for.
        """
        if blocks > (depth := self.config.accumulator_depth):
            raise InputError(
                f"{layer.name}: biases of {blocks} blocks of {self.config.dim} channels do not fit "
                f"the {depth} words of an accumulator bank; use a larger accumulator_depth"
            )
        here, there = (Words.at(bank) for bank in self.chip.aux)
        self.chip.move(Opcode.LOAD, self.tensors.kept[f"{layer.owner}.bias"], 0, here, blocks)
        names = (source, f"{layer.owner}.weight")
        self.chip.exponent("temporary", -BIAS, *names)
        self.chip.compute(blocks, here, acc=there, x=("temporary",))
        return Words.at(there.bank, 0, 1, 0)

    def activation(self, step: Step, *names: str) -> dict[str, Any]:
        """Fields for the activation of sums, whose exponent is the sum of those of the names."""
        if step.derivative.argument is not None and not step.derivative.gated:
            return self.looked_up(step, *names)
        if step.derivative.steps:
            return {"activation": Activation.STEP, "high": _ONE, "low": 0}
        fields: dict[str, Any] = {"low": 0} if step.activation == "relu" else {}
        noted = {"flags": _STATISTIC} if self.training else {}
        return {"x": (f"{step.name}.output", *names), **fields, **noted}

    def looked_up(self, step: Step, *names: str, kind: str = "") -> dict[str, Any]:
        """Fields for a function table of a step's activation."""
        return {
            "activation": Activation.TABLE, "table": f"{step.activation}{kind}",
            "shift": step.derivative.argument, "x": ("", *names),
        }  # fmt: skip

    def store_output(self, z: FeatureMap) -> None:
        """The network's output to memory."""
        for segment in z.segments:
            self.rows.get(segment)
            here = Words.at(segment.bank, segment.base(segment.first))
            sizes = segment.rows, segment.blocks, segment.rows, z.rows
            self.chip.move(Opcode.STORE, self.tensors.output, segment.word, here, *sizes)
