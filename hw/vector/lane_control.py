"""What all lanes of the vector unit are told, and when."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import signed
from amaranth.lib import data

from pulsarray.config import Config
from pulsarray.hw.vector.exponents import EXPONENT_SUM_BITS, SHIFT_BITS
from pulsarray.hw.vector.function_table import write_members
from pulsarray.hw.vector.parameters import COLUMNS, column_cycles, column_rows
from pulsarray.isa import Alu, VectorFlag
from pulsarray.parts import vector_flags
from pulsarray.stages import vector_stages

__all__ = ["control_layout", "lane_controls"]


def lane_controls(config: Config) -> dict[int, dict[str, Any]]:
    """Names and shapes by the cycle after the issue of a word in which the lanes need them."""
    at = vector_stages(config)
    controls: dict[int, dict[str, Any]] = {cycle: {} for cycle in range(at.result + 1)}
    for name, cycle in column_cycles(config).items():
        controls[cycle][f"{name}_row"] = range(column_rows(config))
    controls[at.select] |= {"b_lane": 1}
    if config.training:
        controls[at.select] |= {"b_after": 1, "c_word": 1}
    controls[at.operands] |= {"zero_a": signed(17), "use_bias": 1, "b_addend": signed(32)}
    if config.vector_multiply:
        controls[at.factor] |= {"factor_alu": Alu}
        controls[at.slope] |= {"slope_alu": Alu}
    controls[at.operate] |= {"alu": Alu, "use_lane_shift": 1, "shift": signed(SHIFT_BITS)}
    if config.leaky:
        controls[at.choose] |= {"shift2": signed(SHIFT_BITS), "leaky": 1}
    if config.scale_bits:
        controls[at.choose] |= {"use_lane_multiplier": 1, "multiplier": config.scale_bits}
    if config.scale_bits and config.leaky:
        controls[at.choose] |= {"multiplier2": config.scale_bits}
    if config.scale_bits and config.residual:
        controls[at.multiply] |= {"residual": 1, "residual_multiplier": config.scale_bits}
    elif config.residual:
        controls[at.saturate] |= {"residual": 1}
    if VectorFlag.TFLITE in vector_flags(config):
        controls[at.total] |= {"tflite_early": 1}
        controls[at.round] |= {"tflite": 1}
    operand = signed(config.operand_bits)
    controls[at.finish] |= {"activation": 3 if config.training else 2}
    controls[at.finish] |= {"zero_target": signed(16), "low": operand, "high": operand}
    controls[at.finish] |= {"crossed": 1}
    if config.tables:
        controls[at.look_up] |= {"table": 3}
    if config.tables and config.operand_bits == 16:
        controls[at.found] |= {"table_shift": 6}
    if config.training:
        controls[at.operate] |= {"exponent": signed(EXPONENT_SUM_BITS)}
        controls[at.after] |= {"add_after": 1, "sub_after": 1}
    controls[at.reduce] |= {"is_max": 1, "is_sum": 1}
    return controls


def control_layout(config: Config) -> data.StructLayout:
    """All of them in one record.

    ``valid`` has a bit for each cycle: the word that was issued so many cycles before is one, else
    registers keep their values. ``parameter_write`` (a bit a column), ``parameter_row`` and
    ``table_write`` (a bit a plane), ``table_address`` (of the word within its plane of all tables),
    ``table_data`` fill the lanes' memories.
    """
    members: dict[str, Any] = {"valid": vector_stages(config).result}
    for controls in lane_controls(config).values():
        members |= controls
    members |= {
        "parameter_write": len(COLUMNS),
        "parameter_row": range(column_rows(config)),
    }
    if config.tables:
        members |= {f"table_{name}": shape for name, shape in write_members(config).items()}
    return data.StructLayout(members)
