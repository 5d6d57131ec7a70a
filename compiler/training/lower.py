"""A training step as instructions: forward, loss, backward, update, scales (docs/training.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.training.chip import TrainChip
from pulsarray.compiler.training.differentiate import TrainingLayer
from pulsarray.compiler.training.loss import LossGradient
from pulsarray.compiler.training.memory import Cache, Matrix, Pool, Words, rows_of
from pulsarray.compiler.training.products import Pieces, Products, cut
from pulsarray.compiler.training.tensors import PARAMETER_ROW, TrainTensors
from pulsarray.compiler.training.update import Update
from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import Activation, Alu, Bank, ScaleAction, VectorFlag
from pulsarray.program import Tensor

__all__ = ["DERIVED", "Phase", "TrainLowering", "weight_banks"]

_STATISTIC = int(VectorFlag.STATISTIC)
_BIAS_SHIFT = 24
_ONE = 1 << 14
_WEIGHT_BANKS = 4
"""One bank in so many is for weights."""
_LARGEST_PIECE = 4
"""So many pieces of weights, at least, fit one bank."""


def weight_banks(config: Config) -> int:
    """Scratchpad banks that hold weights; the others hold rows."""
    return max(1, config.scratchpad_banks // _WEIGHT_BANKS)


@dataclass(frozen=True)
class Phase:
    """A layer's products in one direction, with what follows them: a row of the report.

    Parameters
    ----------
    name, kind
        Layer, and which products.
    m, k, n
        Its shape.
    products
        Products of that shape.
    """

    name: str
    kind: str
    m: int
    k: int
    n: int
    products: int


class TrainLowering:
    """Emits one program.

    Parameters
    ----------
    tensors, layout
        What lies in memory, and what takes tensors that have to give way.
    training
        Whether it trains; without, statistics are not taken.
    share
        Segments of rows take at most one part in so many of a bank.

    Members
    -------
    chip
        Holds the instructions.
    phases
        What they are for.
    """

    def __init__(
        self, tensors: TrainTensors, layout: Layout, *, training: bool, share: int
    ) -> None:
        self.tensors, self.network, self.config = tensors, tensors.network, tensors.config
        self.training = training
        functions = enumerate(tensors.functions.items())
        tables = {name: (number, found.shift) for number, (name, found) in functions}
        self.chip = TrainChip(self.config, tensors.registers, tables)
        banks, depth = self.config.scratchpad_banks, self.config.scratchpad_depth
        first = weight_banks(self.config)
        self.rows = Cache(self.chip, layout, Pool(range(first, banks), depth), share)
        self.weights = Cache(self.chip, layout, Pool(range(first), depth))
        self.products = Products(self.chip, self.rows, self.weights)
        self.phases: list[Phase] = []
        self.ready = False
        self.input = self._input()
        self.outputs: list[Matrix] = []
        self.pieces: list[Pieces] = []

    def _input(self) -> Matrix:
        columns, tensor = self.network.graph.input.size, self.tensors.input
        return self.rows.matrix("input", tensor.rows, columns, tensor, self._largest_part())

    def _matrix(self, name: str, rows: int, columns: int, home: Tensor | None = None) -> Matrix:
        """Rows of the last layer."""
        return self.rows.matrix(name, rows, columns, home)

    # What every program begins and ends with

    def begin(self, name: str, kind: str, m: int, k: int, n: int, products: int = 1) -> None:
        """A new phase."""
        self.rows.phase = self.weights.phase = len(self.phases)
        self.phases.append(Phase(name, kind, m, k, n, products))

    @property
    def phase(self) -> int:
        """Its number."""
        return self.rows.phase

    def prepare(self) -> None:
        """Exponents, rates, constants and tables, before the vector unit first needs them.

        They come after the first operands, which the array waits for.
        """
        if self.ready:
            return
        self.ready = True
        tensors, bank = self.tensors, self.chip.aux[0]
        words = tensors.exponents.rows
        self.whole(tensors.exponents, bank, 0)
        for word in range(words):
            first = word * self.config.dim
            self.chip.scale(self.phase, ScaleAction.READ, bank, word, first)
        self.whole(tensors.rates, Bank.PARAMETER, 0)
        self.whole(tensors.constants, Bank.PARAMETER, 3 * PARAMETER_ROW)
        if tensors.tables is not None:
            self.whole(tensors.tables, Bank.TABLE, 0)

    def whole(self, tensor: Tensor, bank: int, local: int) -> None:
        """LOAD all of a tensor of one column block."""
        self.chip.load(
            self.phase, tensor, 0, bank, local,
            rows=tensor.rows, blocks=1, local_stride=0, memory_stride=0,
        )  # fmt: skip

    def finish(self, *, adapt: bool) -> None:
        """Exponents to memory; with ``adapt`` after the controller."""
        bank, tensor = self.chip.aux[0], self.tensors.exponents
        if adapt:
            self.chip.scale(self.phase, ScaleAction.ADAPT, bank, 0, 0)
        for word in range(-(-EXPONENTS // self.config.dim)):
            first = word * self.config.dim
            self.chip.scale(self.phase, ScaleAction.WRITE, bank, word, first)
        self.chip.store(
            self.phase, tensor, 0, bank, 0,
            rows=tensor.rows, blocks=1, local_stride=0, memory_stride=0,
        )  # fmt: skip

    # Forward

    def forward(self) -> None:
        """All layers, and the output to memory."""
        x = self.input
        for number, layer in enumerate(self.network.layers):
            k, n = layer.weight.shape
            self.begin(layer.name, "forward", x.rows, k, n)
            self.pieces.append(self._pieces(layer, x))
            z = self.rows.matrix(f"{layer.name}.output", x.rows, n)
            self._layer(layer, self._input_name(number), x, z, self.pieces[-1])
            self.outputs.append(z)
            if not self.training and number:
                self.rows.drop(x.segments)
            x = z
        self._store_output(x)

    def _pieces(self, layer: TrainingLayer, x: Matrix | None) -> Pieces:
        """Pieces of weights: their gradients fit half a bank, and what they give of dX one."""
        dim = self.config.dim
        total = -(-layer.weight.shape[0] // dim)
        cuts = x.cuts() if x is not None else []
        ranges = list(cut(total, self._largest_part(), cuts))
        return Pieces(self.tensors.weights[layer.name], ranges, dim)

    def _largest_part(self) -> int:
        """Most column blocks of an operand that are worked on at a time."""
        config = self.config
        dim, most = config.dim, config.accumulator_depth
        return min(
            max(1, most // self.tensors.rows),
            max(1, most // 2 // dim),
            max(1, config.scratchpad_depth // _LARGEST_PIECE // dim),
        )

    def _input_name(self, number: int) -> str:
        return f"{self.network.layers[number - 1].name}.output" if number else "input"

    def _layer(
        self, layer: TrainingLayer, source: str, x: Matrix, z: Matrix, pieces: Pieces
    ) -> None:
        most = max(1, self.config.accumulator_depth // x.rows)
        blocks = z.cuts()[-1]

        def drain(group: tuple[int, int], bank: int) -> None:
            self.prepare()
            aligned = self._bias(layer, source, group)
            segment = self.rows.new(z.segment(group[0]), group[1] - group[0])
            last = z.columns % self.config.dim if group[1] == blocks else 0
            self.chip.vector(
                self.phase,
                group[1] - group[0],
                x.rows,
                Words(bank, 0, x.rows),
                aligned,
                target=Words(segment.bank, segment.base(group[0]), x.rows),
                alu=Alu.ADD,
                last_lanes=last,
                **self._activation(layer, source),
            )

        self.products.forward(x, pieces, cut(blocks, most, z.cuts()), drain)

    def _bias(self, layer: TrainingLayer, source: str, group: tuple[int, int]) -> Words:
        """The biases of a group of column blocks at the exponent of the sums."""
        here, there = self.chip.aux
        blocks = group[1] - group[0]
        self.chip.load(
            self.phase, self.tensors.masters[f"{layer.name}.bias"], group[0], here, 0,
            rows=blocks, blocks=1, local_stride=0, memory_stride=0,
        )  # fmt: skip
        names = (source, f"{layer.name}.weight")
        self.chip.exponent(self.phase, "temporary", _BIAS_SHIFT, *names)
        self.chip.vector(
            self.phase, 1, blocks, Words(here, 0, 0), acc=Words(there, 0, 0), x=("temporary",)
        )
        return Words(there, 0, 1, 0)

    def _activation(self, layer: TrainingLayer, source: str) -> dict[str, Any]:
        """Fields for the activation of sums."""
        weight, output = f"{layer.name}.weight", f"{layer.name}.output"
        argument = layer.derivative.argument
        if argument is not None:
            return {
                "activation": Activation.TABLE,
                "table": layer.activation,
                "shift": argument,
                "x": ("", source, weight),
            }
        if layer.activation == "step":
            return {"activation": Activation.STEP, "high": _ONE, "low": 0}
        fields: dict[str, Any] = {"x": (output, source, weight)}
        if layer.activation == "relu":
            fields["low"] = 0
        return fields | ({"flags": _STATISTIC} if self.training else {})

    def _store_output(self, z: Matrix) -> None:
        for segment in z.segments:
            self.rows.get(segment)
            self.chip.store(
                self.phase, self.tensors.output, segment.word, segment.bank,
                segment.base(segment.first), rows=z.rows, blocks=segment.blocks,
                local_stride=z.rows, memory_stride=z.rows,
            )  # fmt: skip

    # Loss and backward

    def backward(self, update: Update) -> None:
        """From the loss to the first layer; ``update`` takes the gradients."""
        delta = self._loss()
        ones = self.rows.matrix("ones", self.input.rows, 1, self.tensors.ones)
        for number in reversed(range(self.network.first, len(self.network.layers))):
            layer = self.network.layers[number]
            x = self.outputs[number - 1] if number else self.input
            following = delta
            goes_on, learns = number > self.network.first, layer.name not in self.network.frozen
            k, n = layer.weight.shape
            self.begin(layer.name, "backward", k, x.rows, n, goes_on + learns)
            names = self._input_name(number), self._error_name(number)
            if goes_on:
                following = self._through(number, delta, update if learns else None, names)
            elif learns:
                self._weights(number, update, names, x, delta)
            if learns:
                self._biases(layer, update, names[1], ones, delta)
            self.rows.drop(delta.segments)
            if number:
                self.rows.drop(x.segments)
            delta = following

    def apply(self, update: Update) -> None:
        """The update with sums of gradients in memory."""
        self.prepare()
        for layer in self.network.learning:
            number = self.network.layers.index(layer)
            self.begin(layer.name, "update", 0, 0, 0)
            names = self._input_name(number), self._error_name(number)
            update.grow(f"{layer.name}.weight")
            pieces = self._pieces(layer, None)
            for column in range(-(-layer.weight.shape[1] // self.config.dim)):
                for part in pieces.ranges:
                    update.piece(layer, names, pieces, column, part, None)
            blocks = -(-layer.weight.shape[1] // self.config.dim)
            update.bias(layer, names[1], [blocks], None)

    def _weights(
        self, number: int, update: Update, names: tuple[str, str], x: Matrix, delta: Matrix
    ) -> None:
        """A layer's weights, where nothing else is to be done with its error."""
        layer = self.network.layers[number]
        update.grow(f"{layer.name}.weight")
        for column in range(-(-layer.weight.shape[1] // self.config.dim)):
            for part in self.pieces[number].ranges:
                self._piece(number, update, names, x, delta, column, part)

    def _piece(
        self,
        number: int,
        update: Update,
        names: tuple[str, str],
        x: Matrix,
        delta: Matrix,
        column: int,
        part: tuple[int, int],
        avoid: int = -1,
    ) -> None:
        def product(bank: int, add: bool) -> None:
            self.products.gradient(x, part, delta, (column, column + 1), bank, add=add)

        layer, pieces = self.network.layers[number], self.pieces[number]
        update.piece(layer, names, pieces, column, part, product, avoid=avoid)

    def _biases(
        self, layer: TrainingLayer, update: Update, name: str, ones: Matrix, delta: Matrix
    ) -> None:
        def product(columns: tuple[int, int], bank: int, add: bool) -> None:
            self.products.gradient(ones, (0, 1), delta, columns, bank, add=add)

        update.bias(layer, name, delta.cuts(), product)

    def _error_name(self, number: int) -> str:
        """Name of the exponent of a layer's error."""
        name = f"{self.network.layers[number].name}.error"
        return name if name in self.tensors.registers else "target"

    def _loss(self) -> Matrix:
        """The error of the last layer."""
        last, z = self.network.layers[-1], self.outputs[-1]
        target = self._matrix("target", z.rows, z.columns, self.tensors.target)
        error = self._matrix(self.network.loss_error, z.rows, z.columns)
        avoid = self._streamed(-1)
        LossGradient(self.network, self.chip, self.rows, z, target, error, avoid).run()
        self.rows.drop(target.segments)
        if self.network.loss_error != "loss.error":
            self.rows.drop(z.segments)
            return error
        delta = self._matrix(f"{last.name}.error", z.rows, z.columns)
        name = "loss.error" if "loss.error" in self.tensors.registers else "target"
        blocks = z.cuts()[-1]
        for block in range(blocks):
            output = self.rows.get(z.segment(block))
            source = self.rows.get(error.segment(block), avoid=[output.bank], pinned=[output])
            pinned = [output, source]
            self.rows.new(delta.segment(block), avoid=self._streamed(-1), pinned=pinned)
            self._derive(len(self.outputs) - 1, rows_of(error, block), block, 1, delta, (name, ""))
        self.rows.drop(error.segments)
        self.rows.drop(z.segments)
        return delta

    def _streamed(self, number: int) -> list[int]:
        """Banks of a layer's input, which its weight gradient reads beside its error."""
        inputs = [self.input, *self.outputs]
        source = inputs[number] if number >= 0 else inputs[-2]
        return [segment.bank for segment in source.segments if segment.place is not None]

    def _derive(
        self, number: int, a: Words, block: int, blocks: int, delta: Matrix, names: tuple[str, str]
    ) -> None:
        """The incoming error times the derivative of a layer's activation."""
        layer, z = self.network.layers[number], self.outputs[number]
        alu, shift = DERIVED[layer.activation]
        total = z.cuts()[-1]
        self.chip.vector(
            self.phase,
            blocks,
            z.rows,
            a,
            rows_of(z, block) if alu is not Alu.PASS else None,
            target=rows_of(delta, block),
            alu=alu,
            shift=shift,
            x=(f"{layer.name}.error", *names),
            flags=_STATISTIC,
            last_lanes=z.columns % self.config.dim if block + blocks == total else 0,
        )

    def _through(
        self, number: int, delta: Matrix, update: Update | None, parameters: tuple[str, str]
    ) -> Matrix:
        """The error of the layer before, and this layer's weight gradient between its steps.

        The update of a piece of weights takes longer than its gradient, but not longer than the
        two products together. It may come as soon as the array has used the piece.
        """
        layer, z = self.network.layers[number], self.outputs[number - 1]
        result = self.rows.matrix(
            f"{self.network.layers[number - 1].name}.error", z.rows, z.columns
        )
        names = (self._error_name(number), f"{layer.name}.weight")

        def drain(part: tuple[int, int], bank: int) -> None:
            for low, high in _within(part, z.cuts()):
                output = self.rows.get(z.segment(low))
                avoid = [output.bank, *self._streamed(number - 1)]
                self.rows.new(result.segment(low), high - low, avoid=avoid, pinned=[output])
                a = Words(bank, (low - part[0]) * z.rows, z.rows)
                self._derive(number - 1, a, low, high - low, result, names)

        def between(column: int, part: tuple[int, int], bank: int) -> None:
            if update is not None:
                x = self.outputs[number - 1]
                self._piece(number, update, parameters, x, delta, column, part, avoid=bank)

        if update is not None:
            update.grow(f"{layer.name}.weight")
        self.products.backward(delta, self.pieces[number], drain, between)
        return result


DERIVED = {
    "identity": (Alu.PASS, 0),
    "step": (Alu.PASS, 0),
    "relu": (Alu.GATE, 0),
    "sigmoid": (Alu.DSIGMOID, 17),
    "tanh": (Alu.DTANH, 15),
}


def _within(part: tuple[int, int], cuts: list[int]) -> Iterator[tuple[int, int]]:
    for low, high in cut(part[1] - part[0], part[1], [c - part[0] for c in cuts]):
        yield part[0] + low, part[0] + high
