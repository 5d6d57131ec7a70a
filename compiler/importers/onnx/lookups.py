"""Tables of codes whose rows are looked up and then dequantized, read as tables of real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pulsarray.compiler.importers.onnx.file import Call, Constant, OnnxFile
from pulsarray.compiler.importers.onnx.partly import dequantized

__all__ = ["with_real_tables"]

_LOOKUPS = ("Gather", "GatherElements", "GatherND")
"""Operators that take elements of their first input at places that the second says."""
_MOVES = ("Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that mean the same on codes as on what they stand for."""


class _Reader:
    """A file while it is read: its constants, and the operators that move constant codes."""

    def __init__(self, file: OnnxFile) -> None:
        self.constants: dict[str, Constant] = dict(file.constants)
        self.moves: dict[str, Call] = {}
        self.calls: list[Call] = []
        self._real: dict[tuple[str, ...], str] = {}

    def read(self, call: Call) -> None:
        """Put an operator at the end; for one that dequantizes moved codes what moves them."""
        if self._moves_codes(call):
            self.moves[call.outputs[0]] = call
        if not self._dequantizes(call):
            self.calls.append(call)
            return
        made = self._in_real_numbers(call, call.inputs[0])
        self.calls.append(replace(call, kind="Identity", inputs=(made,), attributes={}))

    def _moves_codes(self, call: Call) -> bool:
        source = call.given(0)
        if call.kind in _MOVES:
            return source in self.moves
        table, places = self.constants.get(source), call.given(1)
        codes = table is not None and table.dtype.kind in "iu" and table.dtype.itemsize == 1
        return call.kind in _LOOKUPS and codes and places not in self.constants

    def _dequantizes(self, call: Call) -> bool:
        """Whether it dequantizes moved codes, with one scale for all."""
        numbers = [self.constants.get(name) for name in call.inputs[1:] if name]
        known = all(number is not None and number.size == 1 for number in numbers)
        return call.kind == "DequantizeLinear" and call.inputs[0] in self.moves and known

    def _in_real_numbers(self, call: Call, name: str) -> str:
        """The moved value that codes of a name stand for, or the table that constant ones do."""
        key = (name, *call.inputs[1:])
        if key not in self._real:
            made = self._real[key] = f"{name} of {call.outputs[0]}"
            if name in self.moves:
                move = self.moves[name]
                inputs = (self._in_real_numbers(call, move.inputs[0]), *move.inputs[1:])
                self.calls.append(replace(move, inputs=inputs, outputs=(made,), name=made))
            else:
                self.constants[made] = dequantized(replace(call, inputs=key), self.constants)
        return self._real[key]


def with_real_tables(file: OnnxFile) -> OnnxFile:
    """The file with DequantizeLinear before what looks up and moves constant codes, not behind it.

    Raises
    ------
    InputError
        If scales and codes do not fit.
    """
    reader = _Reader(file)
    for call in file.calls:
        reader.read(call)
    calls = _read_calls(reader.calls, file.outputs, reader.moves)
    return replace(file, calls=calls, constants=reader.constants)


def _read_calls(
    calls: Sequence[Call], outputs: Sequence[str], moves: dict[str, Call]
) -> list[Call]:
    """The operators but those that move codes which nothing reads any more."""
    read, kept = {*outputs}, []
    for call in reversed(calls):
        if moves.get(call.outputs[0]) is not call or call.outputs[0] in read:
            read.update(call.reads)
            kept.append(call)
    return kept[::-1]
