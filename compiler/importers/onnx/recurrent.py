"""LSTM, GRU and RNN as the standard defines them, a step for each place of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pulsarray.compiler.importers.onnx.composed import Make
from pulsarray.compiler.importers.onnx.file import Constant
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError

__all__ = ["RECURRENT", "recurrent"]

_MOST_STEPS = 1 << 10
_FUNCTIONS = ("Sigmoid", "Tanh", "Relu")
_LENGTHS, _HIDDEN, _CELL, _PEEPHOLES = 4, 5, 6, 7


@dataclass(frozen=True, eq=False)
class _Cell:
    """One direction.

    Parameters
    ----------
    make
        Puts operators at the end.
    functions
        Names of its activations.
    inputs, hidden
        Weights of each gate, (I, H) and (H, H).
    biases
        Of each gate, beside the inputs and beside the state, (H,).
    resets_after
        Of a GRU, whether the state is reset behind its product (``linear_before_reset``).
    peepholes
        Factors of the cell's state in input, output and forget gates, (3, H).
    held
        Names of weight and bias of gates, of x alone or not, that steps have made.
    """

    make: Make
    functions: Sequence[str]
    inputs: Floats
    hidden: Floats
    biases: Floats
    resets_after: bool
    peepholes: Floats
    held: dict[tuple[int, bool], tuple[str, str]] = field(default_factory=dict)

    def gate(self, number: int, function: str, x: str, h: str | None, c: str | None = None) -> str:
        """``f(x W + h R + P * c + b)`` of a gate: one product of x and h side by side."""
        known = None if h is None else self.make.known(h)
        both = x if h is None or known is not None else self.make("Concat", x, h, axis=1)
        made = self.make("Gemm", both, *self._operands(number, known, alone=both == x))
        if c is not None and self.peepholes.any():
            factor = self.make.constant(self.peepholes[number].astype(np.float32))
            made = self.make("Add", made, self.make("Mul", c, factor))
        return self.make(function, made)

    def _operands(self, number: int, known: Constant | None, *, alone: bool) -> tuple[str, str]:
        """Weight and bias of a gate, of x alone or with the state, held once for all steps."""
        if known is None and (number, alone) in self.held:
            return self.held[number, alone]
        weight, bias = self.inputs[number], self.biases[:, number].sum(axis=0)
        if known is not None:
            bias = bias + known[0] @ self.hidden[number]
        elif not alone:
            weight = np.concatenate([weight, self.hidden[number]])
        names = self._constant(weight), self._constant(bias)
        if known is None:
            self.held[number, alone] = names
        return names

    def _constant(self, values: Floats) -> str:
        return self.make.constant(values.astype(np.float32))

    def beside(self, number: int, h: str | None) -> str:
        """``h R + b`` of a gate by itself."""
        weight, bias = self.hidden[number], self.biases[1, number]
        known = None if h is None else self.make.known(h)
        if h is not None and known is None:
            return self.product(h, weight, bias)
        row = bias if known is None else bias + known @ weight
        return self.make.constant(row.astype(np.float32))

    def product(self, x: str, weight: Floats, bias: Floats) -> str:
        """``x weight + bias``."""
        return self.make("Gemm", x, self._constant(weight), self._constant(bias))

    def times(self, a: str, b: str | None) -> str | None:
        """A product with a state; None for one of zeros."""
        return None if b is None else self.make("Mul", a, b)

    def plus(self, a: str | None, b: str) -> str:
        """A sum with what may be zeros."""
        return b if a is None else self.make("Add", a, b)


State = tuple[str | None, str | None]
"""Hidden state, and that of the cell; None for zeros."""


def _lstm(cell: _Cell, x: str, state: State) -> State:
    gate, cells, output = cell.functions
    h, c = state
    let_in, let_out, keep = (cell.gate(n, gate, x, h, None if n == 1 else c) for n in range(3))
    new = cell.make("Mul", let_in, cell.gate(3, cells, x, h))
    c = cell.plus(cell.times(keep, c), new)
    if cell.peepholes[1].any():
        let_out = cell.gate(1, gate, x, h, c)
    return cell.make("Mul", let_out, cell.make(output, c)), c


def _gru(cell: _Cell, x: str, state: State) -> State:
    gate, candidate = cell.functions
    h, make = state[0], cell.make
    update, reset = (cell.gate(n, gate, x, h) for n in range(2))
    if cell.resets_after:
        beside = cell.beside(2, h)
        products = cell.product(x, cell.inputs[2], cell.biases[0, 2])
        new = make(candidate, make("Add", products, make("Mul", reset, beside)))
    else:
        new = cell.gate(2, candidate, x, cell.times(reset, h))
    if h is None:
        return make("Sub", new, make("Mul", update, new)), None
    return make("Add", new, make("Mul", update, make("Sub", h, new))), None


def _rnn(cell: _Cell, x: str, state: State) -> State:
    return cell.gate(0, cell.functions[0], x, state[0]), None


@dataclass(frozen=True)
class _Kind:
    """A kind of cell: a step, its gates, and its activations unless others are given."""

    step: Callable[[_Cell, str, State], State]
    gates: int
    functions: tuple[str, ...]


RECURRENT: Mapping[str, _Kind] = {
    "LSTM": _Kind(_lstm, 4, ("Sigmoid", "Tanh", "Tanh")),
    "GRU": _Kind(_gru, 3, ("Sigmoid", "Tanh")),
    "RNN": _Kind(_rnn, 1, ("Tanh",)),
}
"""Every kind by its operator."""


def recurrent(make: Make, x: str, w: str, r: str, *more: str) -> tuple[str, ...]:
    """All results: hidden states of all steps, the last ones, and the last ones of cells."""
    operands = dict(enumerate((x, w, r, *more)))
    _check(make, operands)
    kind, layout = RECURRENT[make.call.kind], make.call.integer("layout", 0)
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    name = make.call.text("direction", "forward")
    if name not in directions:
        raise InputError(f"{make.call.where}: direction must be one of {', '.join(directions)}")
    cells = _cells(make, kind, operands, len(directions[name]))
    if layout in (0, 1) and make.known(x) is None:
        x = make.with_batch(x, 1 - layout)
        make.ask_for_channels(x)
    count = _steps(make, x, layout)
    rows, last = [], []
    for number, (cell, backward) in enumerate(zip(cells, directions[name], strict=True)):
        place = number, len(cells), cell.hidden.shape[-1]
        state: State = (
            _first(make, operands.get(_HIDDEN, ""), place, layout),
            _first(make, operands.get(_CELL, ""), place, layout),
        )
        row = {}
        for step in reversed(range(count)) if backward else range(count):
            make.part = f"{'back' if backward else 'step'}{step}"
            at = make("Gather", x, make.constant(np.array(step)), axis=layout)
            state = kind.step(cell, at, state)
            row[step] = str(state[0])
        rows.append(row)
        last.append(state)
    make.part = "all"
    return _results(make, rows, last, layout)


def _check(make: Make, operands: Mapping[int, str]) -> None:
    """Refuse what steps do not do."""
    call = make.call
    if operands.get(_LENGTHS):
        raise InputError(f"{call.where}: {call.kind} with sequence_lens is not supported")
    for name in ("clip", "activation_alpha", "activation_beta", "input_forget"):
        if call.attributes.get(name):
            raise InputError(f"{call.where}: {call.kind} with {name} is not supported")


def _steps(make: Make, x: str, layout: int) -> int:
    """Length of the sequence."""
    call = make.call
    if layout not in (0, 1):
        raise InputError(f"{call.where}: layout must be 0 or 1, not {layout}")
    if make.known(x) is not None or len(make.shape(x)) != 2:
        raise InputError(f"{call.where}: {call.kind} needs sequences, (steps, elements) a sample")
    if (axis := make.batch_axis(x)) != 1 - layout:
        raise InputError(
            f"{call.where}: {call.kind} with layout {layout} needs the batch as axis {1 - layout} "
            f"of {x!r}, not as axis {axis}; transpose before it"
        )
    count = make.shape(x)[0]
    if count > _MOST_STEPS:
        raise InputError(f"{call.where}: {count} steps are more than {_MOST_STEPS}")
    return count


def _cells(make: Make, kind: _Kind, operands: Mapping[int, str], directions: int) -> list[_Cell]:
    """Weights of each direction, gate by gate."""
    call, count = make.call, directions * len(kind.functions)
    functions = call.attributes.get("activations") or kind.functions * directions
    names = [f.decode() if isinstance(f, bytes) else str(f) for f in functions]
    if len(names) != count or {*names} - {*_FUNCTIONS}:
        raise InputError(
            f"{call.where}: activations must be {count} of {', '.join(_FUNCTIONS)}, "
            f"not {', '.join(names)}"
        )
    inputs, hidden = (_weights(make, operands[place], kind.gates, directions) for place in (1, 2))
    size = hidden.shape[-1]
    if not size or hidden.shape[-2:] != (size, size) or inputs.shape[-1] != size:
        raise InputError(f"{call.where}: recurrence weights must have {size} rows for each gate")
    if call.integer("hidden_size", size) != size:
        raise InputError(f"{call.where}: hidden_size must be {size}, as weights have")
    biases = np.zeros((directions, 2, kind.gates, size))
    if operands.get(3):
        known = _known(make, operands[3], "bias")
        if known.size != biases.size:
            raise InputError(f"{call.where}: bias must have {biases.size} elements")
        biases = known.reshape(biases.shape)
    peepholes = np.zeros((directions, 3, size))
    if operands.get(_PEEPHOLES):
        known = _known(make, operands[_PEEPHOLES], "peepholes")
        if known.shape != (directions, 3 * size):
            raise InputError(
                f"{call.where}: peepholes must have {directions} x {3 * size} elements"
            )
        peepholes = known.reshape(peepholes.shape)
    after, each = bool(call.integer("linear_before_reset", 0)), len(kind.functions)
    return [
        _Cell(
            make, names[n * each : (n + 1) * each], inputs[n], hidden[n], biases[n], after,
            peepholes[n],
        )
        for n in range(directions)
    ]  # fmt: skip


def _known(make: Make, name: str, what: str) -> Floats:
    known = make.known(name)
    if known is None:
        raise InputError(f"{make.call.where}: {what} {name!r} must be a constant")
    return np.asarray(known, np.float64)


def _weights(make: Make, name: str, gates: int, directions: int) -> Floats:
    """Weights (directions, gates, columns, H) of (directions, gates x H, columns)."""
    known = _known(make, name, "weight")
    if known.ndim != 3 or known.shape[0] != directions or known.shape[1] % gates:
        raise InputError(
            f"{make.call.where}: weight {name!r} must be of {directions} directions and "
            f"{gates} gates, not {known.shape}"
        )
    return known.reshape(directions, gates, -1, known.shape[2]).swapaxes(2, 3)


def _first(make: Make, name: str, place: tuple[int, int, int], layout: int) -> str | None:
    """The first state of a direction; None for zeros. A constant is the same for all samples.

    ``place`` has the direction, how many there are, and the size of a state.
    """
    if not name:
        return None
    (direction, count, size), known = place, make.known(name)
    if known is None:
        return _given(make, name, place, layout)
    rows = np.moveaxis(known, layout, 0) if known.ndim == 3 else known[None]
    if known.ndim != 3 or (len(rows), rows.shape[2]) != (count, size) or not rows.size:
        raise InputError(
            f"{make.call.where}: initial state {name!r} must have {count} directions of {size} "
            f"elements, not {known.shape}"
        )
    if (rows != rows[:, :1]).any():
        raise InputError(
            f"{make.call.where}: initial state {name!r} must be one for all samples of a batch"
        )
    first = rows[direction, :1]
    return make.constant(first.astype(np.float32)) if first.any() else None


def _given(make: Make, name: str, place: tuple[int, int, int], layout: int) -> str:
    """The first state of a direction where it depends on the input."""
    turned, (direction, *sizes) = make.with_batch(name, 1 - layout), place
    if make.batch_axis(turned) != 1 - layout or make.shape(turned) != tuple(sizes):
        raise InputError(
            f"{make.call.where}: initial state {name!r} must have {sizes[0]} directions of "
            f"{sizes[1]} elements, and the batch as axis {1 - layout}"
        )
    return make("Gather", turned, make.constant(np.array(direction)), axis=layout)


def _results(
    make: Make, rows: Sequence[Mapping[int, str]], last: Sequence[State], layout: int
) -> tuple[str, ...]:
    """The results that are read, in the order of axes that the layout has."""
    count, call = len(rows[0]), make.call
    results = []
    for place, name in enumerate(call.outputs):
        if not name or not make.is_read(name):
            results.append("")
            continue
        if place == 0:
            parts = [row[step] for step in range(count) for row in rows]
            sizes, order = [0, count, len(rows), -1], [1, 2, 0, 3]
        else:
            parts = [str(state[place - 1]) for state in last]
            sizes, order = [0, len(rows), -1], [1, 0, 2]
        whole = make("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        shaped = make("Reshape", whole, make.constant(np.array(sizes)))
        results.append(shaped if layout else make("Transpose", shaped, perm=order))
    return tuple(results)
