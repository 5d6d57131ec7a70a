"""What a network in integers needs of a machine."""

from __future__ import annotations

from collections.abc import Iterator

from pulsarray.compiler.maps import integer
from pulsarray.compiler.maps.integer import IntegerGraph
from pulsarray.config import Config
from pulsarray.errors import InputError

__all__ = ["require_machine"]

_ADDITION_BITS = 29
_FINE_BITS = 32


def require_machine(graph: IntegerGraph, config: Config) -> None:
    """Refuse a network that a machine cannot compute as it is defined.

    Raises
    ------
    InputError
        For the first operator that needs another configuration; the text names the field.
    """
    if config.operand_bits != 8:
        raise InputError(f"compiler: needs operand_bits = 8, not {config.operand_bits}")
    if not graph.nodes or graph.output == graph.input.name:
        raise InputError(f"{graph.name}: a network needs at least one operator")
    for node in graph.nodes:
        widest = max(_multipliers(node), default=1).bit_length()
        if widest > config.scale_bits:
            raise InputError(
                f"{node.name}: multipliers have {widest} bits, config has scale_bits = "
                f"{config.scale_bits}"
            )
        if _is_tflite(node) and config.scale_bits != 31:
            raise InputError(
                f"{node.name}: TensorFlow Lite's rounding needs scale_bits = 31, not "
                f"{config.scale_bits}"
            )
        if isinstance(node, integer.TfliteAdd):
            _require_addition(node, config)
        if isinstance(node, integer.AveragePool) and config.dim > config.scratchpad_depth:
            raise InputError(
                f"{node.name}: needs scratchpad_depth >= dim = {config.dim}, not "
                f"{config.scratchpad_depth}"
            )
        if isinstance(node, integer.Multiply) and not config.vector_multiply:
            raise InputError(f"{node.name}: a product of maps needs vector_multiply = true")
        scale = getattr(node, "scale", None)
        if isinstance(scale, integer.Scale) and scale.fine and config.acc_bits < _FINE_BITS:
            raise InputError(
                f"{node.name}: sums with bits below a code need acc_bits = {_FINE_BITS}, not "
                f"{config.acc_bits}"
            )
        if isinstance(scale, integer.Scale) and scale.table is not None and not config.tables:
            raise InputError(f"{node.name}: its function needs a table, config has tables = 0")


def _require_addition(node: integer.TfliteAdd, config: Config) -> None:
    """Codes times 2^20 must fit a sum; one input counts one half, so that it needs no rounding."""
    if config.acc_bits < _ADDITION_BITS:
        raise InputError(
            f"{node.name}: TensorFlow Lite's addition needs acc_bits >= {_ADDITION_BITS}, not "
            f"{config.acc_bits}"
        )
    if (1 << 30, 31) not in node.scales:
        raise InputError(f"{node.name}: one scale must be one half, not {node.scales}")


def _is_tflite(node: integer.Node) -> bool:
    if isinstance(node, integer.TfliteAdd):
        return True
    scale = getattr(node, "scale", None)
    return isinstance(scale, integer.Scale) and scale.tflite


def _multipliers(node: integer.Node) -> Iterator[int]:
    """Every multiplier of an operator."""
    scale = getattr(node, "scale", None)
    if isinstance(scale, integer.Scale):
        yield int(scale.multiplier.max())
    if isinstance(node, integer.Convolution) and node.residual:
        yield node.residual.factor
        yield 1 << max(0, node.residual.shift - node.scale.fine)
    elif isinstance(node, integer.AveragePool):
        yield from (multiplier for multiplier, _ in node.scales.values())
    elif isinstance(node, integer.Add):
        yield from node.factors
    elif isinstance(node, integer.TfliteAdd):
        yield from (multiplier for multiplier, _ in (*node.scales, node.result))
    elif isinstance(node, integer.Multiply):
        yield node.multiplier
