"""From the operators of an ONNX file to those of a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from inspect import signature
from typing import Any, TypeVar

import numpy as np
import onnx

from pulsarray.compiler.arguments import integer
from pulsarray.compiler.importers.inputs import (
    GivenShapes,
    readings,
    sample_shapes,
    sized,
)
from pulsarray.compiler.importers.onnx.constants import FOLDED, fold_constants
from pulsarray.compiler.importers.onnx.file import (
    NUMBERS,
    Call,
    Constant,
    OnnxFile,
    calls_of,
    constants_in,
    element_name,
)
from pulsarray.compiler.importers.onnx.indices import read_numbers
from pulsarray.compiler.importers.onnx.operators import IF, IMAGES, MADE_OF_OTHERS, OPERATORS
from pulsarray.compiler.importers.onnx.orders import Arrangement, Shape
from pulsarray.compiler.importers.onnx.random import random_weight, roles
from pulsarray.compiler.importers.onnx.shared import require_own_weights
from pulsarray.compiler.importers.onnx.support import refuse_unsupported
from pulsarray.compiler.importers.onnx.tensors import Network, Rearranged
from pulsarray.compiler.ir.graph import Graph, needed
from pulsarray.compiler.passes.ends import ending_in
from pulsarray.errors import InputError

__all__ = ["finish", "fold_call", "graph_of", "imported", "run_call"]

Kind = TypeVar("Kind", bound=Network)


class LearningNetwork(Network):
    """A network to be trained."""

    @property
    def learns(self) -> bool:
        """Always."""
        return True


def graph_of(
    file: OnnxFile, shape: GivenShapes, seed: int | None, *, learns: bool = False
) -> Graph:
    """The float network of a file, also one that learns; with a seed, with random weights."""
    if seed is not None:
        seed = integer(seed, "random_weights", least=0)
    random = roles(file.calls) if seed is not None else {}
    if learns:
        require_own_weights(file)

    def read(network: Network) -> None:
        rng = np.random.default_rng(seed)
        for call in file.calls:
            if fold_call(network, call):
                name = call.outputs[0]
                if role := random.get(name):
                    made = network.constants[name]
                    network.constants[name] = random_weight(role, made.shape, rng)
            else:
                run_call(network, call, OPERATORS)
        network.results()

    return finish(imported(file, shape, IMAGES, LearningNetwork if learns else Network, read))


def imported(
    file: OnnxFile,
    shape: GivenShapes,
    images: Collection[str],
    kind: Callable[[OnnxFile, Mapping[str, Shape], bool, Mapping[str, Arrangement]], Kind],
    read: Callable[[Kind], None],
) -> Kind:
    """A network that ``read`` has filled; ``images`` are the operators that need images.

    The host can give inputs in any order. So where the first operators want one in another, the
    import begins anew with that: as a vector, or as the map that an operator on images wants; and
    an input that holds what a run has left, as that. Where samples along the first axis are not
    kept apart, the file is read as one of a single sample: see :func:`.inputs.readings`.
    """
    for entry in file.inputs:
        if entry.element not in NUMBERS:
            element = element_name(entry.element)
            raise InputError(f"input {entry.name} must be of numbers, not {element}")
    inputs, shape = sized(file.inputs, shape)
    try:
        return _imported(replace(file, inputs=inputs), shape, images, kind, read)
    except InputError as error:
        for other in readings(inputs):
            with suppress(InputError):
                return _imported(replace(file, inputs=other), shape, images, kind, read)
        raise error from None


def _imported(
    file: OnnxFile,
    shape: GivenShapes,
    images: Collection[str],
    kind: Callable[[OnnxFile, Mapping[str, Shape], bool, Mapping[str, Arrangement]], Kind],
    read: Callable[[Kind], None],
) -> Kind:
    """A network of inputs whose batches are known."""
    samples = sample_shapes(file.inputs, shape)
    ranks = map(len, samples.values())
    spatial = max(ranks) > 1 and any(call.kind in images for call in file.calls)
    arrangements: dict[str, Arrangement] = {}
    states = dict(file.states)
    while True:
        network = kind(file, samples, spatial, arrangements)
        try:
            read(network)
            while states:
                network.arrange_alike(*states.popitem())
        except Rearranged as wanted:
            arrangements[wanted.name] = wanted.arrangement
        else:
            return network


def fold_call(network: Network, call: Call) -> bool:
    """Compute an operator if all that it reads is constant; whether it was."""
    constant = all(network.is_constant(name) for name in call.inputs if name)
    if not constant or call.kind not in FOLDED:
        return False
    names, results = [[n for n in ends if n] for ends in (call.inputs, call.outputs)]
    opset = network.file.opset
    inputs = [network.constants[name] for name in names]
    network.constants.update(zip(results, fold_constants(call, inputs, opset), strict=False))
    if any(name in network.others for name in names):
        others = [network.others.get(name, network.constants[name]) for name in names]
        for result, other in zip(results, fold_constants(call, others, opset), strict=False):
            network.note_other(result, other)
    return True


def run_call(
    network: Network, call: Call, operators: Mapping[str, Callable[[Network, Call], None]]
) -> None:
    """Put an operator at the end."""
    if any(name in network.numbers for name in call.inputs):
        read_numbers(network, call)
    elif call.kind in operators:
        operators[call.kind](network, call)
    elif call.kind in MADE_OF_OTHERS:
        made = _composed(network, call, operators)
        for output, name in zip(call.outputs, made, strict=False):
            if output and name:
                network.alias(output, name, call.where)
    elif call.kind == IF:
        _branch(network, call, operators)
    else:
        raise InputError(f"{call.where}: {call.kind} is only possible on constants")


def _composed(
    network: Network, call: Call, operators: Mapping[str, Callable[[Network, Call], None]]
) -> Sequence[str]:
    """Put the parts of an operator at the end; names of its results."""
    compose, parts = MADE_OF_OTHERS[call.kind], _Parts(network, call, operators)
    try:
        signature(compose).bind(parts, *call.inputs)
    except TypeError:  # The onnx package checks its own operators alone.
        raise InputError(
            f"{call.where}: {call.kind} cannot have {len(call.inputs)} inputs"
        ) from None
    made = compose(parts, *call.inputs)
    return (made,) if isinstance(made, str) else made


def _branch(
    network: Network, call: Call, operators: Mapping[str, Callable[[Network, Call], None]]
) -> None:
    """Put the operators of the branch at the end that a constant condition takes."""
    condition = network.raw(call.inputs[0], call.where, "condition")
    if condition.size != 1:
        raise InputError(f"{call.where}: condition must be one truth value, not {condition.shape}")
    name = "then_branch" if condition.item() else "else_branch"
    body = call.attributes[name]
    try:
        network.constants.update(constants_in(body))
    except Exception as error:  # of the onnx package, on whatever a file may have
        raise InputError(f"{call.where}, {name}: {' '.join(str(error).split())}") from None
    _check_branch(network, body, f"{call.where}, {name} ", operators)
    for part in calls_of(body, f"{call.where}, {name} "):
        if not fold_call(network, part):
            run_call(network, part, operators)
    for output, made in zip(call.outputs, body.output, strict=True):
        network.alias(output, made.name, call.where)


def _check_branch(
    network: Network,
    body: onnx.GraphProto,
    inside: str,
    operators: Mapping[str, Callable[[Network, Call], None]],
) -> None:
    """Refuse all operators of a branch that are not supported in one message."""
    taken = {*operators, *MADE_OF_OTHERS, IF}
    refuse_unsupported(body, taken, FOLDED, network.constants, inside)


class _Parts:
    """Puts operators in the place of one: see :class:`.composed.Make`."""

    def __init__(
        self, network: Network, call: Call, operators: Mapping[str, Callable[[Network, Call], None]]
    ) -> None:
        self.call, self.part = call, ""
        self._network, self._operators = network, operators
        network.uses.update(call.inputs)  # Each operand may be read by several parts.

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        what = f"{self.part}.{kind.lower()}" if self.part else kind.lower()
        output = self._network.fresh(f"{self._result}.{what}")
        name = f"{self.call.name}.{what}"
        part = Call(kind, self.call.where, name, inputs, (output,), attributes)
        if not fold_call(self._network, part):
            run_call(self._network, part, self._operators)
        return output

    def constant(self, values: Any) -> str:
        part = f"{self.part}." if self.part else ""
        name = self._network.fresh(f"{self._result}.{part}constant")
        array = values if isinstance(values, np.ndarray) else np.asarray(values, np.float32)
        self._network.constants[name] = array
        return name

    def known(self, name: str) -> Constant | None:
        if not self._network.is_constant(name):
            return None
        return self._network.raw(name, self.call.where, "operand")

    def shape(self, name: str) -> Shape:
        known = self.known(name)
        if known is not None:
            return known.shape
        return self._network.tensor_of_any_order(name, self.call.where).shape

    def batch_axis(self, name: str) -> int:
        return self._network.batch_axis(name)

    def with_batch(self, name: str, axis: int) -> str:
        return self._network.turned(name, axis, self.call.where)

    def ask_for_channels(self, name: str) -> None:
        self._network.ask_for_channels(name, self.call.where)

    def is_read(self, name: str) -> bool:
        return self._network.uses[name] > 0

    @property
    def _result(self) -> str:
        """The operator's first result that has a name."""
        return next((name for name in self.call.outputs if name), self.call.name)


def finish(network: Network) -> Graph:
    """The graph of what the results depend on."""
    if not network.nodes:
        raise InputError("no operator to compile")
    outputs, results = tuple(network.file.outputs), network.results()
    ends = {name: value for name, (value, _) in results.items()}
    nodes = needed(network.nodes, ends.values())
    if not nodes:
        raise InputError("no operator to compile")
    views = {**network.input_views(), **{name: view for name, (_, view) in results.items()}}
    known = {name: view for name, view in views.items() if view is not None}
    return network.draft.graph(outputs, known, ending_in(nodes, ends, outputs))
