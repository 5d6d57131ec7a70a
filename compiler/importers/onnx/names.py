"""Names of what an ONNX file has, as messages and tables print them."""

from __future__ import annotations

import onnx

__all__ = ["DOMAINS", "kind_of", "name_of", "printable", "where"]

DOMAINS = ("", "ai.onnx")
"""The domain of ONNX's own operators."""


def printable(text: str | bytes) -> str:
    """A name of a file without what a terminal would obey."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def kind_of(node: onnx.NodeProto) -> str:
    """An operator, behind its domain unless that is ONNX's own."""
    kind = node.op_type if node.domain in DOMAINS else f"{node.domain}.{node.op_type}"
    return printable(kind)


def name_of(node: onnx.NodeProto, number: int) -> str:
    """A node's name, or its first result's, or its number."""
    return printable(node.name or (node.output[0] if node.output else f"#{number}"))


def where(node: onnx.NodeProto, number: int) -> str:
    """A node's place in messages, with the operator if its name does not tell it."""
    name, kind = name_of(node, number), printable(node.op_type)
    return f"node {name}" if kind.lower() in name.lower() else f"node {name} ({kind})"
