"""Variables of TensorFlow Lite files, which outlive a run, as state: read first, written last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pulsarray.compiler.importers.tflite.file import Operator, State, Tensor, TfliteFile
from pulsarray.compiler.importers.tflite.folding import folded
from pulsarray.errors import InputError

__all__ = ["with_states"]

_HANDLE, _READ, _ASSIGN, _ONCE = "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"


def with_states(file: TfliteFile) -> TfliteFile:
    """The file without operators on variables: these are further inputs, and what they become.

    A variable that no operator writes is a constant. What one holds when the first run begins is
    what the subgraphs that are called once put in it.

    Raises
    ------
    InputError
        If a variable is read that nothing put anything in, or one is written that is none.
    """
    if not any(operator.kind in (_HANDLE, _ONCE) for operator in file.operators):
        return file
    walk = _Walk(file)
    for operator in file.operators:
        try:
            walk.step(operator)
        except InputError as error:
            raise InputError(f"{file.where(operator)}: {error}") from None
    return walk.file()


class _Walk:
    """What a subgraph's operators on variables have said so far."""

    def __init__(self, file: TfliteFile) -> None:
        self._file = file
        self._tensors = [*file.tensors]
        self._kept: list[Operator] = []
        self._handles: dict[int, str] = {}
        self._first: dict[str, Tensor] = {}
        self._before: dict[str, int] = {}
        self.holds: dict[str, int] = {}
        self._same: dict[int, int] = {}

    def step(self, operator: Operator) -> None:
        """Take in the next operator."""
        if operator.kind == _HANDLE:
            name = "/".join(filter(None, operator.names.values())) or "variable"
            self._handles[operator.outputs[0]] = name
        elif operator.kind == _ONCE:
            self._first |= _first_contents(self._file.called[operator.option("InitSubgraphIndex")])
        elif operator.kind == _READ:
            self._read(self._variable(operator), operator.outputs[0])
        elif operator.kind == _ASSIGN:
            value = self._index(operator.inputs[1] if len(operator.inputs) > 1 else None)
            if value is None:
                raise InputError("has nothing to assign")
            self.holds[self._variable(operator)] = value
        else:
            inputs = tuple(map(self._index, operator.inputs))
            self._kept.append(replace(operator, inputs=inputs))

    def _index(self, index: int | None) -> int | None:
        return None if index is None else self._same.get(index, index)

    def _variable(self, operator: Operator) -> str:
        handle = operator.inputs[0] if operator.inputs else None
        if handle is None or handle not in self._handles:
            raise InputError("reads or writes what is no variable")
        if operator.kind == _READ and len(operator.outputs) != 1:
            raise InputError(f"needs one result, not {operator.outputs}")
        return self._handles[handle]

    def _read(self, name: str, result: int) -> None:
        if name in self.holds:
            self._same[result] = self.holds[name]
            return
        if name not in self._first:
            raise InputError(f"nothing puts anything in the variable {name!r} before it is read")
        self._check(name, self._tensors[result])
        self._tensors[result] = replace(self._tensors[result], name=name)
        self._before[name] = self.holds[name] = result

    def _check(self, name: str, tensor: Tensor) -> None:
        """Refuse first contents of another shape, type or quantization."""
        first = self._first[name]
        for what in ("shape", "kind"):
            one, other = getattr(first, what), getattr(tensor, what)
            if one != other:
                raise InputError(
                    f"the variable {name!r} has {what} {other}, its first contents {one}"
                )

    def file(self) -> TfliteFile:
        """The file at the end."""
        states, inputs = [], [*self._file.inputs]
        for name, before in self._before.items():
            after, first = self.holds[name], self._first[name]
            if after == before:
                self._tensors[before] = replace(self._tensors[before], data=first.data)
            else:
                states.append(State(name, before, after, first))
                inputs.append(before)
        outputs = tuple(self._same.get(index, index) for index in self._file.outputs)
        return replace(
            self._file,
            tensors=tuple(self._tensors),
            operators=tuple(self._kept),
            inputs=tuple(inputs),
            outputs=outputs,
            states=tuple(states),
        )


def _first_contents(file: TfliteFile) -> Mapping[str, Tensor]:
    """What a subgraph puts in variables.

    Raises
    ------
    InputError
        If that is no constant.
    """
    file = folded(file)
    walk = _Walk(file)
    for operator in file.operators:
        walk.step(operator)
    tensors = {name: file.tensors[index] for name, index in walk.holds.items()}
    for name, tensor in tensors.items():
        if tensor.data is None:
            raise InputError(f"the first contents of the variable {name!r} must be a constant")
    return tensors
