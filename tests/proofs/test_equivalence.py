"""Yosys proves the rewritten Verilog equal to its own, and finds faults of a rewriter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from proofs.equivalence import compare, prove
from pulsarray.config import load_config
from pulsarray.hw.emit import YosysText, machine_text
from pulsarray.hw.verilog.expression import Expression, constant
from pulsarray.hw.verilog.netlist import Netlist
from pulsarray.hw.verilog.tidy import rewritten

QUICK = ("banks", "bursts", "fifo_24", "pulsarray", "read_arbiter", "store_unit", "stream_unit")
BROKEN = "read_arbiter"


@pytest.fixture(scope="module")
def tiny() -> YosysText:
    return machine_text(load_config("tiny"))


def test_equal(tiny: YosysText) -> None:
    verdicts = prove(tiny, QUICK)
    assert [v.module for v in verdicts if v.fault] == []
    assert {name for v in verdicts for name in QUICK if v.module.startswith(name)} == set(QUICK)
    assert all(v.compared > 0 for v in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "small"])
def test_whole_machine(config: str) -> None:
    design = machine_text(load_config(config))
    verdicts = prove(design, jobs=2)
    assert [(v.module, v.fault) for v in verdicts if v.fault] == []
    names = {module.name for module in rewritten(design.modules, design.top, design.inputs)}
    assert {v.module for v in verdicts} == names


def swap_choices(module: Netlist) -> None:
    """A mistaken simplification: the first choice takes its values the other way round."""
    done = []

    def change(node: Expression, _: int = 0) -> Expression:
        if node.kind == "?" and not done:
            done.append(node)
            condition, yes, no = node.parts
            return replace(node, parts=(condition, no, yes))
        return replace(node, parts=tuple(map(change, node.parts)))

    module.rewrite(change)
    assert done


def start_otherwise(module: Netlist) -> None:
    net = next(net for net in module.nets.values() if net.variable and net.initial)
    net.initial = constant(f"{net.width}'h1").text


def forget_operand(module: Netlist) -> None:
    """A conjunction loses its last operand."""
    done = []

    def change(node: Expression, _: int = 0) -> Expression:
        if node.kind == "&" and len(node.parts) == 2 and not done:
            done.append(node)
            return node.parts[0]
        return replace(node, parts=tuple(map(change, node.parts)))

    module.rewrite(change)
    assert done


def lose_register(module: Netlist) -> None:
    """What drops dead logic drops a register that is alive."""
    module.registers.pop()


def exchange_cells(module: Netlist) -> None:
    """A port of a cell is given what another of equal width is."""
    cell = module.cells[0]
    first, second = [i for i, (_, v) in enumerate(cell.ports) if v.width == 1][-2:]
    names, values = zip(*cell.ports, strict=True)
    exchanged = list(values)
    exchanged[first], exchanged[second] = values[second], values[first]
    cell.ports = list(zip(names, exchanged, strict=True))


def forget_port(module: Netlist) -> None:
    module.cells[0].ports.pop()


FAULTS = [
    (swap_choices, "differs in "),
    (start_otherwise, "starts otherwise"),
    (forget_operand, "differs in "),
    (lose_register, "differs in "),
    (exchange_cells, "differs in "),
    (forget_port, "connects other ports"),
]


@pytest.mark.parametrize(("plant", "fault"), FAULTS)
def test_planted_fault(tiny: YosysText, plant: Callable[[Netlist], None], fault: str) -> None:
    modules = rewritten(tiny.modules, tiny.top, tiny.inputs)
    plant(next(module for module in modules if module.name.startswith(BROKEN)))
    (verdict,) = compare(tiny, modules, [BROKEN])
    assert fault in verdict.fault
