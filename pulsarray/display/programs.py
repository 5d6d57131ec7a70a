"""What a program holds as people read it, and as plain data."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from pulsarray.display.facts import facts
from pulsarray.images import host_shape
from pulsarray.program import Program, Tensor

__all__ = ["program_facts", "program_text", "program_view", "tensor_text"]


def program_view(program: Program) -> Table:
    """Its facts, one a row."""
    return facts(program_text(program))


def program_facts(program: Program) -> dict[str, Any]:
    """What a program file holds, as plain data."""
    return {
        "network": program.network,
        "batch": program.batch,
        "fingerprint": program.config.fingerprint,
        "instructions": len(program.instructions),
        "code_bytes": len(program.code),
        "memory_bytes": int(program.memory.size),
        "macs": sum(layer.macs for layer in program.layers),
        "layers": [
            {"name": x.name, "kind": x.kind, "m": x.m, "k": x.k, "n": x.n} for x in program.layers
        ],
        "inputs": [_tensor_facts(tensor) for tensor in program.with_role("input")],
        "outputs": [_tensor_facts(tensor) for tensor in program.with_role("output")],
    }


def _tensor_facts(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(host_shape(tensor)),
        "element": tensor.element,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def program_text(program: Program) -> dict[str, Any]:
    """What a program file holds, as rows of a table."""
    rows = program_facts(program)
    rows["layers"] = "; ".join(
        f"{layer.name} {layer.m}x{layer.k}x{layer.n}" if layer.m else layer.name
        for layer in program.layers
    )
    for role in ("input", "output"):
        del rows[f"{role}s"]
        rows[role] = "; ".join(tensor_text(tensor) for tensor in program.with_role(role))
    return rows


def tensor_text(tensor: Tensor) -> str:
    """A tensor in a few words."""
    text = f"{tensor.name} {host_shape(tensor)} {tensor.element}s"
    return f"{text}, scale {tensor.scale:.6g}, zero point {tensor.zero_point}"
