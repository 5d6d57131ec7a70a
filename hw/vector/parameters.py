"""The parameter bank: each lane of the vector unit holds its own constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Value, signed, unsigned

from pulsarray.config import Config
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.stages import vector_stages

__all__ = ["COLUMNS", "add_columns", "column_cycles", "column_rows"]

COLUMNS = ("bias", "multiplier", "shift", "constant")
"""Constants of a row, in the order of their words (docs/machine.md, section 1)."""


def column_cycles(config: Config) -> dict[str, int]:
    """Cycle after the issue of a word in which its row of a column is read: that before its use."""
    at = vector_stages(config)
    used = {"bias": at.operands, "constant": at.select, "shift": at.operate}
    if config.scale_bits:
        used["multiplier"] = at.choose
    return {name: cycle - 1 for name, cycle in used.items()}


def column_rows(config: Config) -> int:
    """Constants of one column that a lane holds: of each row those of all lanes it stands for.

    The number of such a constant is its row's times ``word_cycles`` plus that of the cycle.
    """
    return max(2, config.parameter_depth * config.word_cycles)


def add_columns(m: Module, config: Config, control: Any, slot: Value) -> Mapping[str, Value]:
    """A lane's memories; a constant is there in the cycle after its row was read.

    Parameters
    ----------
    m
        The lane's module.
    config
        The machine.
    control
        The record of :func:`pulsarray.hw.lane_control.control_layout`.
    slot
        What memory holds for this lane and one constant; the bits above the constant are ignored.
    """
    shapes = {
        "bias": signed(config.acc_bits),
        "multiplier": unsigned(config.scale_bits),
        "shift": signed(8),
        "constant": signed(config.acc_bits),
    }
    constants: dict[str, Value] = {}
    cycles = column_cycles(config)
    for number, name in enumerate(COLUMNS):
        shape = shapes[name]
        if name not in cycles:
            continue
        rows = Memory1R1W(shape.width, column_rows(config))
        m.submodules[f"{name}_column"] = rows
        m.d.comb += [
            rows.write_enable.eq(control.parameter_write[number]),
            rows.write_address.eq(control.parameter_row),
            rows.write_data.eq(slot),
            rows.read_enable.eq(control.valid[cycles[name]]),
            rows.read_address.eq(control[f"{name}_row"]),
        ]
        constants[name] = rows.read_data.as_signed() if shape.signed else rows.read_data
    return constants
