"""What all lanes of the vector unit are told, and when."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import signed
from amaranth.lib import data, enum

from pulsarray.config import Config
from pulsarray.hw.vector.exponents import EXPONENT_SUM_BITS, SHIFT_BITS
from pulsarray.hw.vector.function_table import write_members
from pulsarray.hw.vector.parameters import COLUMN_CYCLES, COLUMNS
from pulsarray.isa import Alu

__all__ = ["RESULT_CYCLE", "Source", "control_layout", "lane_controls", "round_cycle"]

RESULT_CYCLE = 7
"""Cycles from the issue of a word to its result, which is written in the next one."""


class Source(enum.Enum, shape=3):
    """Where operand B comes from."""

    NONE = 0
    WORD = 1
    SUM = 2
    SCALAR = 3
    CONSTANT = 4


def round_cycle(config: Config) -> int:
    """Cycle of the rounding: the multiply by a scale takes one of its own before it."""
    return 5 if config.scale_bits else 4


def lane_controls(config: Config) -> dict[int, dict[str, Any]]:
    """Names and shapes by the cycle after the issue of a word in which the lanes need them."""
    finish = round_cycle(config) + 1
    controls: dict[int, dict[str, Any]] = {cycle: {} for cycle in range(RESULT_CYCLE + 1)}
    for name, cycle in COLUMN_CYCLES.items():
        controls[cycle][f"{name}_row"] = range(max(2, config.parameter_depth))
    controls[1] |= {"a_is_sum": 1, "zero_a": signed(16), "use_bias": 1}
    controls[1] |= {"b_source": Source, "zero_b": signed(16), "scalar": signed(32)}
    if config.vector_multiply:
        controls[2] |= {"factor_alu": Alu}
    controls[3] |= {"alu": Alu, "use_lane_shift": 1, "shift": signed(SHIFT_BITS)}
    controls[4] |= {"shift2": signed(SHIFT_BITS), "leaky": 1}
    if config.scale_bits:
        controls[4] |= {"residual": 1, "use_lane_multiplier": 1}
        controls[4] |= dict.fromkeys(("multiplier", "multiplier2"), config.scale_bits)
    else:
        controls[3] |= {"residual": 1}
    if config.scale_bits == 31:
        controls[5] |= {"tflite": 1}
    operand = signed(config.operand_bits)
    controls[finish] |= {"activation": 3 if config.training else 2, "zero_target": signed(16)}
    controls[finish] |= {"low": operand, "high": operand}
    if config.tables:
        controls[finish] |= {"table": 3}
    if config.tables and config.operand_bits == 16:
        controls[finish + 1] |= {"table_shift": 6}
    if config.training:
        controls[1] |= {"c_source": Source}
        controls[3] |= {"exponent": signed(EXPONENT_SUM_BITS)}
        controls[finish] |= {"add_after": 1, "sub_after": 1}
    controls[RESULT_CYCLE] |= {"is_max": 1, "is_sum": 1}
    return controls


def control_layout(config: Config) -> data.StructLayout:
    """All of them in one record.

    ``valid`` has a bit for each cycle: the word that was issued so many cycles before is one, else
    registers keep their values. ``parameter_write`` (a bit a column), ``parameter_row`` and
    ``table_write`` (a bit a plane), ``table_address`` (of the word within its plane of all tables),
    ``table_data`` fill the lanes' memories.
    """
    members: dict[str, Any] = {"valid": RESULT_CYCLE}
    for controls in lane_controls(config).values():
        members |= controls
    members |= {
        "parameter_write": len(COLUMNS),
        "parameter_row": range(max(2, config.parameter_depth)),
    }
    if config.tables:
        members |= {f"table_{name}": shape for name, shape in write_members(config).items()}
    return data.StructLayout(members)
