"""Weights that layers share: each layer would train a copy of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from pulsarray.compiler.importers.onnx.constants import FOLDED
from pulsarray.compiler.importers.onnx.file import Call, OnnxFile
from pulsarray.errors import InputError

__all__ = ["require_own_weights"]

_LEARNING = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "Add": (0, 1),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
}
"""Operators with parameters, and which inputs these are."""


def require_own_weights(file: OnnxFile) -> None:
    """Refuse a network to be trained in which two layers read one constant of the file.

    Raises
    ------
    InputError
        If there are such layers; the text names them and the constant.
    """
    sources = {name: frozenset([name]) for name in file.constants}
    readers: dict[str, str] = {}
    for call in file.calls:
        if call.kind in FOLDED and all(name in sources for name in call.inputs if name):
            read = frozenset(chain.from_iterable(_read(call.inputs, sources)))
            sources.update(dict.fromkeys(call.outputs, read))
            continue
        places = [k for k in _LEARNING.get(call.kind, ()) if k < len(call.inputs)]
        read = frozenset(chain.from_iterable(_read((call.inputs[k] for k in places), sources)))
        for name in sorted(read):
            _note(readers, name, call)


def _read(names: Iterable[str], sources: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
    """The file's constants behind values."""
    return [sources[name] for name in names if name in sources]


def _note(readers: dict[str, str], name: str, call: Call) -> None:
    first = readers.setdefault(name, call.where)
    if first != call.where:
        raise InputError(
            f"{call.where}: {name} belongs to {first}, too; layers that share weights cannot be "
            "trained, give each a constant of its own in the file"
        )
