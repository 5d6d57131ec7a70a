"""Every operator on int8 codes says what it is, is defined in integers, and reaches the machine."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from pulsarray.compiler.importers.inspection import inspect_integer
from pulsarray.compiler.ir.operator import Operator, registered
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.lower.families import __all__ as families
from pulsarray.compiler.lower.lowering import lower
from pulsarray.compiler.ops import integer
from pulsarray.config import PRESETS
from pulsarray.sim.random.maps import draw_network

OPERATORS = [op for op in registered().values() if op.__module__.startswith(integer.__name__)]


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_it_says_what_it_is_and_can_be_lowered(kind: type[Operator]) -> None:
    assert kind.title.startswith("int8_")
    assert kind.summary
    assert kind.reads
    assert kind.has_integers()
    assert all(field.name.islower() for field in fields(kind))  # type: ignore[arg-type]
    assert lower.dispatch(kind) is not lower.dispatch(object)
    assert kind.__module__.rpartition(".")[2] in families


def test_all_of_them_are_exported() -> None:
    assert {op.__name__ for op in OPERATORS} == set(integer.__all__)


@pytest.mark.parametrize("seed", range(20))
def test_networks_of_them_are_text_and_a_table(seed: int) -> None:
    graph = draw_network(np.random.default_rng(seed), PRESETS["tiny"])
    lines = show(graph).splitlines()
    for node in graph.nodes:
        (line,) = (x for x in lines if x.startswith(f"  %{node.output}: "))
        assert f" = {node.op.title}(%{node.inputs[0]}" in line
        assert " int8(" in line
    rows = inspect_integer(graph).rows
    assert [row.name for row in rows] == [node.name for node in graph.nodes]
    assert sum(row.macs or 0 for row in rows) == graph.macs
