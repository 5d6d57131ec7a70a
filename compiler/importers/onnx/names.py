"""Names of what an ONNX file has, as messages and tables print them."""

from __future__ import annotations

import onnx

__all__ = ["DOMAINS", "QONNX", "kind_of", "name_of", "printable", "where"]

DOMAINS = ("", "ai.onnx")
"""The domain of ONNX's own operators."""
QONNX = "qonnx.custom_op.general"
"""The domain of QONNX, for quantized networks of FINN and hls4ml."""
_RENAMED = {"finn.custom_op.general": QONNX, "onnx.brevitas": QONNX}
"""Domains under their names of today: of operators that moved."""


def printable(text: str | bytes) -> str:
    """A name of a file without what a terminal would obey."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def kind_of(node: onnx.NodeProto) -> str:
    """An operator, behind its domain unless that is ONNX's own."""
    domain = _RENAMED.get(node.domain, node.domain)
    return printable(node.op_type if domain in DOMAINS else f"{domain}.{node.op_type}")


def name_of(node: onnx.NodeProto, number: int) -> str:
    """A node's name, or its first result's, or its number."""
    return printable(node.name or (node.output[0] if node.output else f"#{number}"))


def where(node: onnx.NodeProto, number: int) -> str:
    """A node's place in messages, with the operator if its name does not tell it."""
    name, kind = name_of(node, number), printable(node.op_type)
    return f"node {name}" if kind.lower() in name.lower() else f"node {name} ({kind})"
