"""A short way to write a network in Python.

>>> graph = Builder("xor", 2).dense(weight1, bias1).tanh().dense(weight2, bias2).sigmoid().build()

Every operator reads the one before it, unless ``source`` names another; a residual block is

>>> builder.convolution(first, padding=1).relu(name="block")
>>> builder.convolution(second, padding=1).relu().convolution(third, padding=1).add("block").relu()

and one with two inputs and two outputs

>>> builder = Builder("heads", {"image": (8, 8, 3), "flags": 4})
>>> builder.convolution(filters).relu(name="body").convolution(boxes).output("boxes")
>>> builder.global_average_pool(source="body").flatten().concat("flags").dense(weight)
>>> graph = builder.output("kinds").build()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.arguments import array, integer, integers, number
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Floats, Role, network_input, network_state
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.causal_softmax import CausalSoftmax
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.flatten import Flatten
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.ops.shuffle import Shuffle
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.spiking import Membrane, Spike
from pulsarray.compiler.ops.step import Step
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.ops.tanh import Tanh
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.compiler.passes.ends import ending_in
from pulsarray.errors import InputError

__all__ = ["Builder"]

Pair = int | tuple[int, int]
"""One number for rows and columns, or both."""
Padding = int | tuple[int, int] | tuple[int, int, int, int]
"""One number for all sides; rows and columns; or top, left, bottom, right."""


@dataclass(frozen=True, eq=False)
class _Planned:
    """An operator to be made: what it reads by the names of operators.

    ``op`` is None for the mean of a whole map, whose sizes are not known yet.
    """

    op: Operator | None
    name: str
    sources: tuple[str, ...]
    parameters: Mapping[str, Array]
    constants: Mapping[str, Array]


class Builder:
    """Collects operators one after the other; every method returns the builder.

    Operators may be named with ``name``; ``source`` is the name of the operator to read, or of an
    input of the network, if it is not the operator before. Feature maps are (H, W, C).

    Parameters
    ----------
    name
        Name of the network.
    shape
        Shape of one input sample, or its number of elements; by name where there are several
        inputs, of which the first operator reads the first.
    input_name, output_name
        Names of the only input, and of the last operator's result where :meth:`output` says of none
        that it is one.
    """

    def __init__(
        self,
        name: str,
        shape: int | tuple[int, ...] | Mapping[str, int | tuple[int, ...]],
        input_name: str = "input",
        output_name: str = "output",
    ) -> None:
        self.name = name
        shapes = shape if isinstance(shape, Mapping) else {input_name: shape}
        if not shapes:
            raise InputError(f"{name}: a network needs at least one input")
        self._inputs = [
            network_input(entry, integers(sizes, f"{name}: shape"))
            for entry, sizes in shapes.items()
        ]
        self._outputs: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._output_name = output_name
        self._steps: list[_Planned] = []

    @property
    def last(self) -> str:
        """Name of the last operator; of the first input if there is none."""
        return self._steps[-1].name if self._steps else self._inputs[0].name

    def dense(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """``x @ weight + bias``: weight of shape (K, N), bias (N,) or none."""
        matrix = array(weight, "weight")
        if matrix.ndim != 2:
            raise InputError(f"{self.name}: weight must have shape (K, N), not {matrix.shape}")
        vector = np.zeros(matrix.shape[1]) if bias is None else array(bias, "bias")
        learned = {"weight": matrix, "bias": vector}
        return self._add(Dense(), name or "dense", source, parameters=learned)

    def convolution(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """2-D convolution: weight of shape (kh, kw, C / groups, N), bias (N,) or none."""
        filters = self._filters(weight, "(kh, kw, C / groups, N)")
        vector = np.zeros(filters.shape[3]) if bias is None else array(bias, "bias")
        window = _window(filters.shape[:2], stride, padding, dilation)
        op = Convolution(window, integer(groups, "groups"))
        learned = {"weight": filters, "bias": vector}
        return self._add(op, name or "conv", source, parameters=learned)

    def transposed_convolution(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        output_padding: Pair = 0,
        groups: int = 1,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """Transposed convolution: weight of shape (kh, kw, C, N / groups), bias (N,) or none."""
        filters = self._filters(weight, "(kh, kw, C, N / groups)")
        groups = integer(groups, "groups", least=1)
        vector = np.zeros(filters.shape[3] * groups) if bias is None else array(bias, "bias")
        window = _window(filters.shape[:2], stride, padding, dilation)
        extra = _pair(output_padding, "output_padding", least=0)
        op = TransposedConvolution(window, extra, groups)
        learned = {"weight": filters, "bias": vector}
        return self._add(op, name or "deconv", source, parameters=learned)

    def max_pool(
        self,
        kernel: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        dilation: Pair = 1,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """Largest value of each window; the windows lie side by side if no stride is given."""
        window = _window(
            _pair(kernel, "kernel"), kernel if stride is None else stride, padding, dilation
        )
        return self._add(MaxPool(window), name or "max_pool", source)

    def average_pool(
        self,
        kernel: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        include_padding: bool = False,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """Mean of each window; the windows lie side by side if no stride is given."""
        window = _window(_pair(kernel, "kernel"), kernel if stride is None else stride, padding, 1)
        return self._add(AveragePool(window, include_padding), name or "average_pool", source)

    def global_average_pool(self, name: str = "", *, source: str = "") -> Builder:
        """Mean of each channel: (H, W, C) becomes (1, 1, C)."""
        return self._add(None, name or "global_pool", source)

    def layer_norm(
        self,
        scale: npt.ArrayLike,
        shift: npt.ArrayLike,
        epsilon: float = 1e-5,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """Mean 0 and variance 1 along the last axis, then ``* scale + shift``, arrays (C,)."""
        learned = {"scale": array(scale, "scale"), "shift": array(shift, "shift")}
        op = LayerNorm(number(epsilon, "epsilon"))
        return self._add(op, name or "layer_norm", source, parameters=learned)

    def batch_norm(
        self,
        scale: npt.ArrayLike,
        shift: npt.ArrayLike,
        mean: npt.ArrayLike,
        variance: npt.ArrayLike,
        epsilon: float = 1e-5,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """``(x - mean) / sqrt(variance + epsilon) * scale + shift``, arrays of shape (C,)."""
        learned = {"scale": array(scale, "scale"), "shift": array(shift, "shift")}
        known = {"mean": array(mean, "mean"), "variance": array(variance, "variance")}
        op = BatchNorm(number(epsilon, "epsilon"))
        return self._add(op, name or "norm", source, parameters=learned, constants=known)

    def local_response_norm(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        name: str = "",
        *,
        source: str = "",
    ) -> Builder:
        """Normalization across ``size`` neighbouring channels."""
        op = LocalResponseNorm(
            integer(size, "size"),
            number(alpha, "alpha"),
            number(beta, "beta"),
            number(bias, "bias"),
        )
        return self._add(op, name or "lrn", source)

    def matmul(
        self,
        other: str,
        name: str = "",
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        source: str = "",
    ) -> Builder:
        """Products of matrices with those of another operator; either may be transposed."""
        op = MatMul(transpose_a, transpose_b)
        return self._add(op, name or "matmul", source, other)

    def add(self, other: str, name: str = "", *, source: str = "") -> Builder:
        """Sum with the result of another operator, which has the same shape."""
        return self._add(Add(), name or "add", source, other)

    def subtract(self, other: str, name: str = "", *, source: str = "") -> Builder:
        """The result less that of another operator, element by element."""
        return self._add(Subtract(), name or "subtract", source, other)

    def multiply(self, other: str, name: str = "", *, source: str = "") -> Builder:
        """Product with the result of another operator, element by element."""
        return self._add(Multiply(), name or "multiply", source, other)

    def concat(self, *others: str, name: str = "", source: str = "") -> Builder:
        """The result, then those of other operators, side by side along the channels."""
        return self._add(Concat(), name or "concat", source, *others)

    def pad(self, padding: Padding, name: str = "", *, source: str = "") -> Builder:
        """Zeros around rows and columns."""
        return self._add(Pad(_sides(padding)), name or "pad", source)

    def dropout(self, rate: float = 0.5, name: str = "", *, source: str = "") -> Builder:
        """In training, elements become 0 with this probability."""
        return self._add(Dropout(number(rate, "rate")), name or "dropout", source)

    def shuffle(self, order: Sequence[int], name: str = "", *, source: str = "") -> Builder:
        """Channels in another order."""
        return self._add(Shuffle(integers(order, "order")), name or "shuffle", source)

    def relu(self, name: str = "", *, source: str = "") -> Builder:
        """Negative values become 0."""
        return self._add(Relu(), name or "relu", source)

    def clip(self, low: float, high: float, name: str = "", *, source: str = "") -> Builder:
        """Values limited to low..high."""
        low, high = number(low, "low"), number(high, "high")
        return self._add(Clip(low, high), name or "clip", source)

    def gelu(self, name: str = "", *, tanh: bool = False, source: str = "") -> Builder:
        """X times the normal distribution at x; ``tanh`` for the form made from it."""
        return self._add(Gelu(tanh), name or "gelu", source)

    def silu(self, name: str = "", *, source: str = "") -> Builder:
        """X / (1 + exp(-x))."""
        return self._add(Silu(), name or "silu", source)

    def sigmoid(self, name: str = "", *, source: str = "") -> Builder:
        """Logistic function, 1 / (1 + exp(-x))."""
        return self._add(Sigmoid(), name or "sigmoid", source)

    def tanh(self, name: str = "", *, source: str = "") -> Builder:
        """Hyperbolic tangent."""
        return self._add(Tanh(), name or "tanh", source)

    def step(self, name: str = "", *, source: str = "") -> Builder:
        """1 for positive values, else 0 (Heaviside)."""
        return self._add(Step(), name or "step", source)

    def flatten(self, name: str = "", *, source: str = "") -> Builder:
        """One dimension."""
        return self._add(Flatten(), name or "flatten", source)

    def softmax(self, name: str = "", *, causal: bool = False, source: str = "") -> Builder:
        """Softmax along the last axis; of rows that see no later columns if it is causal."""
        return self._add(CausalSoftmax() if causal else Softmax(), name or "softmax", source)

    def state(self, name: str, first: npt.ArrayLike) -> Builder:
        """What a run leaves for the next one, to be read as an input is; :meth:`keep` sets it.

        Parameters
        ----------
        name
            Its name.
        first
            What it holds of each sample before the first run, in its shape.
        """
        values = array(first, f"{name}: first contents")
        if name in {*self._names()}:
            raise InputError(f"{self.name}: {name!r} is taken; name the state otherwise")
        self._inputs.append(network_state(name, values))
        return self

    def keep(self, state: str, *, source: str = "") -> Builder:
        """Keep the last operator's result, or another one's, in a state for the next run.

        It is an output of the network, too: ``next STATE`` if it has no other name.
        """
        source = source or self.last
        if source not in {step.name for step in self._steps}:
            raise InputError(f"{self.name}: state {state!r}: {source!r} is no operator")
        if state not in {value.name for value in self._inputs if value.role is Role.STATE}:
            raise InputError(f"{self.name}: {state!r} is no state")
        if state in self._states:
            raise InputError(f"{self.name}: state {state!r} is set twice")
        self._states[state] = source
        return self

    def lif(
        self,
        shape: int | tuple[int, ...],
        decay: float,
        threshold: float = 1.0,
        reset: float | None = None,
        name: str = "lif",
        *,
        drift: float = 0.0,
        source: str = "",
    ) -> Builder:
        """Leaky integrate-and-fire neurons: 1 where a potential spikes in this run, else 0.

        Parameters
        ----------
        shape
            Of what they read, which is added to their potentials.
        decay
            What a run leaves of a potential, above 0 and at most 1.
        threshold
            Potential above which they spike, more than 0.
        reset
            Potential after a spike; None to take the threshold off.
        name
            Of the neurons; ``NAME.membrane`` is the state.
        drift
            Added to every potential in each run.
        source
            Another operator to read.
        """
        decay, threshold = number(decay, "decay"), number(threshold, "threshold")
        reset = None if reset is None else number(reset, "reset")
        if not 0.0 < decay <= 1.0 or threshold <= 0.0 or (reset or 0.0) > threshold:
            raise InputError(
                f"{name}: needs 0 < decay <= 1, threshold > 0 and reset <= threshold, "
                f"not {decay}, {threshold} and {reset}"
            )
        source, potential = source or self.last, f"{name}.membrane"
        self.state(potential, np.full(integers(shape, f"{name}: shape"), float(drift)))
        self._add(Add(), f"{name}.sum", source, potential)
        membrane = Membrane(decay, threshold, reset, number(drift, "drift"))
        self._add(membrane, f"{name}.reset", f"{name}.sum").keep(potential)
        return self._add(Spike(threshold), name, f"{name}.sum")

    def apply(self, op: Operator, *others: str, name: str = "", source: str = "") -> Builder:
        """Any operator without constants, of the last result or another, and of further ones."""
        return self._add(op, name or op.title, source, *others)

    def leaky(
        self, shape: int | tuple[int, ...], decay: float, name: str = "leaky", *, source: str = ""
    ) -> Builder:
        """What is read, of a shape, plus ``decay`` times the sum before, state ``NAME.state``."""
        source, state = source or self.last, f"{name}.state"
        self.state(state, np.zeros(integers(shape, f"{name}: shape")))
        self._add(Membrane(number(decay, "decay"), inf), f"{name}.left", state)
        return self._add(Add(), name, source, f"{name}.left").keep(state)

    def output(self, name: str, *, source: str = "") -> Builder:
        """Make the last operator's result an output; other operators may read it, too."""
        source = source or self.last
        if source not in {step.name for step in self._steps}:
            raise InputError(f"{self.name}: output {name!r}: {source!r} is no operator")
        if name in self._outputs:
            raise InputError(f"{self.name}: two outputs are named {name!r}")
        self._outputs[name] = source
        return self

    def build(self) -> Graph:
        """The checked network.

        Raises
        ------
        InputError
            If shapes do not fit.
        """
        written = {step.name: f"{step.name}_out" for step in self._steps}
        outputs = dict(self._outputs or {self._output_name: self.last})
        states: dict[str, str] = {}
        for state, source in self._states.items():
            known = (name for name, maker in outputs.items() if maker == source)
            states[state] = next(known, f"next {state}")
            outputs[states[state]] = source
        written |= {source: name for name, source in reversed(outputs.items())}
        written |= {value.name: value.name for value in self._inputs}
        draft = Draft(self.name, self._inputs, written.values())
        draft.states = states
        for step in self._steps:
            sources = [written[source] for source in step.sources]
            op = step.op or AveragePool(_whole(draft.shape(sources[0])))
            output = written[step.name]
            draft.add(step.name, op, sources, output, step.parameters, step.constants)
        ends = {name: written[source] for name, source in outputs.items()}
        self._check_read(draft.nodes, ends.values())
        return draft.graph(tuple(ends), nodes=ending_in(draft.nodes, ends, tuple(ends)))

    def _check_read(self, nodes: Sequence[Node], outputs: Iterable[str]) -> None:
        """Refuse operators that make no difference."""
        if not nodes:
            raise InputError(f"{self.name}: a network needs at least one operator")
        read = {name for node in nodes for name in node.inputs} | {*outputs}
        for node in nodes:
            if node.output not in read:
                raise InputError(f"{node.name}: nothing reads its result {node.output!r}")

    def _add(
        self,
        op: Operator | None,
        name: str,
        source: str,
        *others: str,
        parameters: Mapping[str, Array] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> Builder:
        taken = {*self._names()}
        numbered = (f"{name}{number}" for number in range(1, len(taken) + 2))
        unique = name if name not in taken else next(n for n in numbered if n not in taken)
        for read in (*filter(None, [source]), *others):
            if not isinstance(read, str) or read not in taken:
                raise InputError(f"{self.name}: {unique} reads {read!r}, no operator before it")
        sources = (source or self.last, *others)
        self._steps.append(_Planned(op, unique, sources, parameters or {}, constants or {}))
        return self

    def _names(self) -> Iterator[str]:
        """Names of operators, inputs and state."""
        yield from (step.name for step in self._steps)
        yield from (value.name for value in self._inputs)

    def _filters(self, weight: npt.ArrayLike, wanted: str) -> Floats:
        filters = array(weight, "weight")
        if filters.ndim != 4:
            raise InputError(f"{self.name}: weight must have shape {wanted}, not {filters.shape}")
        return filters


def _whole(shape: tuple[int, ...]) -> Window:
    """The window that is a whole map; for what is none, any."""
    return Window((shape[0], shape[1]) if len(shape) == 3 else (1, 1))


def _window(kernel: Sequence[int], stride: Pair, padding: Padding, dilation: Pair) -> Window:
    rows, columns = kernel
    return Window(
        (rows, columns), _pair(stride, "stride"), _sides(padding), _pair(dilation, "dilation")
    )


def _pair(value: Pair, what: str, least: int | None = None) -> tuple[int, int]:
    """Rows and columns."""
    numbers = tuple(integer(size, what, least=least) for size in integers(value, what))
    if len(numbers) not in (1, 2):
        raise InputError(f"{what}: must be one number or two, not {value}")
    return numbers[0], numbers[-1]


def _sides(value: Padding) -> tuple[int, int, int, int]:
    """Top, left, bottom, right."""
    numbers = integers(value, "padding")
    if len(numbers) in (1, 2):
        numbers *= 4 // len(numbers)
    if len(numbers) != 4:
        raise InputError(f"padding: must be one number, two or four, not {value}")
    top, left, bottom, right = numbers
    return top, left, bottom, right
