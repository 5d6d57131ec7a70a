"""What a network in integers needs of a machine."""

from __future__ import annotations

from collections.abc import Iterator

from pulsarray.compiler.ir.formats import Affine8, Integers
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.value import Value
from pulsarray.config import Config
from pulsarray.errors import InputError

__all__ = ["require_machine"]

_ADDITION_BITS = 29
_FINE_BITS = 32
_WIDE_BITS = 32
_TFLITE_BITS = 31
_HALF = (1 << 30, 31)


def require_machine(graph: Graph, config: Config) -> None:
    """Refuse a network that a machine cannot compute as it is defined.

    Raises
    ------
    InputError
        For the first operator that needs another configuration; the text names the field.
    """
    if config.operand_bits != 8:
        raise InputError(f"compiler: needs operand_bits = 8, not {config.operand_bits}")
    if not graph.nodes:
        raise InputError(f"{graph.name}: a network needs at least one operator")
    if missing := {*graph.outputs} - {node.output for node in graph.nodes}:
        raise InputError(f"{graph.name}: output {min(missing)!r} must be an operator's")
    for node in graph.nodes:
        _require_values(graph, node)
        if not node.op.has_integers():
            raise InputError(f"{node.name}: {node.op.title} is no operator of the machine")
        for problem in _missing(node.op.needs, config):
            raise InputError(f"{node.name}: {problem}")


def _require_values(graph: Graph, node: Node) -> None:
    """Refuse results that have no place in memory or on the chip."""
    result = graph.values[node.output]
    if isinstance(result.format, Integers):
        inputs = [value for value in graph.inputs_of(node) if not value.role.is_constant]
        if result.name not in graph.outputs or graph.readers[result.name] or len(inputs) > 1:
            raise InputError(f"{node.name}: only a network's result can be sums, of one input")
    elif not isinstance(result.format, Affine8):
        raise InputError(f"{node.name}: its result must be int8 codes, not {result.format}")
    for value in (result, *_maps(graph, node)):
        if len(value.shape) != 3:
            raise InputError(f"{node.name}: {value.name!r} must be a map (H, W, C)")


def _maps(graph: Graph, node: Node) -> Iterator[Value]:
    return (value for value in graph.inputs_of(node) if not value.role.is_constant)


def _missing(needs: Needs, config: Config) -> Iterator[str]:
    """What an operator lacks on a machine."""
    bits = needs.multiplier.bit_length()
    if bits > config.scale_bits:
        yield f"multipliers have {bits} bits, config has scale_bits = {config.scale_bits}"
    if needs.tflite and config.scale_bits != _TFLITE_BITS:
        yield f"TensorFlow Lite's rounding needs scale_bits = 31, not {config.scale_bits}"
    if needs.tflite and not config.tflite:
        yield "TensorFlow Lite's rounding needs tflite = true"
    if needs.residual and not config.residual:
        yield "a sum of maps needs residual = true"
    # Codes times 2^20 must fit a sum; one input counts one half, so that it needs no rounding.
    if needs.addition and config.acc_bits < _ADDITION_BITS:
        bits = _ADDITION_BITS
        yield f"TensorFlow Lite's addition needs acc_bits >= {bits}, not {config.acc_bits}"
    if needs.addition and _HALF not in needs.addition:
        yield f"one scale must be one half, not {needs.addition}"
    if needs.identity and config.dim > config.scratchpad_depth:
        yield f"needs scratchpad_depth >= dim = {config.dim}, not {config.scratchpad_depth}"
    if needs.product and not config.vector_multiply:
        yield "a product of maps needs vector_multiply = true"
    if needs.transposer and not config.transposer:
        yield "a product with a transposed map needs transposer = true"
    if needs.fine and config.acc_bits < _FINE_BITS:
        bits = _FINE_BITS
        yield f"sums with bits below a code need acc_bits = {bits}, not {config.acc_bits}"
    if needs.wide and (config.acc_bits < _WIDE_BITS or config.accumulator_banks < 2):
        banks = config.accumulator_banks
        yield f"needs two accumulator banks of {_WIDE_BITS} bits, not {banks} of {config.acc_bits}"
    if needs.table and not config.tables:
        yield "its function needs a table, config has tables = 0"
