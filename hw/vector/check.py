"""What instructions of the vector unit may not say (BAD_FIELD of docs/machine.md)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping

from amaranth.hdl import Const, Mux, Value

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import (
    FORMATS,
    Activation,
    Alu,
    Bank,
    Opcode,
    Reduce,
    ScaleAction,
    VectorFlag,
)
from pulsarray.parts import vector_flags

__all__ = ["wrong_exponent", "wrong_scale", "wrong_vector"]

_LEVELS = FORMATS[Opcode.VECTOR].levels
_PRODUCTS = (Alu.MUL, Alu.DSIGMOID, Alu.DTANH)
_AFTER = (VectorFlag.ADD_AFTER, VectorFlag.SUB_AFTER)


def wrong_vector(want: Mapping[str, Value], config: Config) -> Value:
    """Whether some field of a VECTOR is one that this machine cannot execute."""
    return functools.reduce(
        operator.or_, [*_wrong_banks(want, config), *_wrong_operation(want, config)]
    )


def wrong_exponent(want: Mapping[str, Value]) -> Value:
    """Whether some field of an EXPONENT is wrong."""
    registers = [want[name] >= EXPONENTS for name in ("register", "a", "b")]
    wrong = [*registers, want["register"] == 0, want["maximum"] > 1]
    return functools.reduce(operator.or_, wrong)


def wrong_scale(want: Mapping[str, Value], config: Config) -> Value:
    """Whether some field of a SCALE is wrong, or SCALE is absent."""
    if not config.training:
        return Const(1)
    return (
        (want["action"] > max(ScaleAction))
        | (want["register"] >= EXPONENTS)
        | ~_in_accumulator(want["bank"], config)
    )


def _in_scratchpad(bank: Value, config: Config) -> Value:
    return bank < config.scratchpad_banks


def _in_accumulator(bank: Value, config: Config) -> Value:
    last = Bank.ACCUMULATOR + config.accumulator_banks
    return (bank >= Bank.ACCUMULATOR) & (bank < last)


def _wrong_banks(want: Mapping[str, Value], config: Config) -> list[Value]:
    a, b, target, acc = (want[f"{name}_bank"] for name in ("a", "b", "target", "acc"))
    no_b, no_target, no_acc = (bank == Bank.NONE for bank in (b, target, acc))
    constant = _flag(want, VectorFlag.B_SCALAR) | _flag(want, VectorFlag.B_LANE)
    wrong_b = constant & ~no_b
    if config.training:
        after = _flag(want, _AFTER[0]) | _flag(want, _AFTER[1])
        wrong_b = Mux(after, no_b, wrong_b)
    return [
        ~(_in_scratchpad(a, config) | _in_accumulator(a, config)),
        ~(_in_scratchpad(b, config) | _in_accumulator(b, config) | no_b),
        ~(_in_scratchpad(target, config) | no_target),
        ~(_in_accumulator(acc, config) | no_acc),
        no_target & no_acc,
        a == b,
        wrong_b,
    ]


def _wrong_operation(want: Mapping[str, Value], config: Config) -> list[Value]:
    alu, activation = want["alu"], want["activation"]
    residual, leaky = _flag(want, VectorFlag.RESIDUAL), _flag(want, VectorFlag.LEAKY)
    is_table = activation == Activation.TABLE
    last_alu, last_activation = Alu.SCALED, Activation.RECIPROCAL
    if config.training:
        is_table = is_table | (activation == Activation.EXP) | (activation == Activation.RECIPROCAL)
    else:
        last_alu, last_activation = Alu.GREATER, Activation.TABLE
    last_register = EXPONENTS - 1 if config.training else 0
    registers = [want[f"x_{name}"] > last_register for name in ("target", "a", "b")]
    wrong = [
        *(want[f"count{level}"] == 0 for level in range(_LEVELS)),
        *registers,
        alu > last_alu,
        activation > last_activation,
        want["reduce"] > max(Reduce),
        (want["flags"] & (0xFFFF ^ int(vector_flags(config)))).any(),
        _flag(want, VectorFlag.B_SCALAR) & _flag(want, VectorFlag.B_LANE),
        residual & ((alu != Alu.PASS) | leaky),
        is_table & (want["table"] >= config.tables if config.tables else 1),
    ]
    if not config.vector_multiply:
        wrong += [alu == product for product in _PRODUCTS]
    if config.training:
        wrong += [
            _flag(want, _AFTER[0]) & _flag(want, _AFTER[1]),
            (alu == Alu.SCALED) & (leaky | _flag(want, VectorFlag.LANE_SCALE)),
        ]
    if config.operand_bits == 16:
        wrong.append(is_table & (leaky | want["shift2"][6:].any()))
    return wrong


def _flag(want: Mapping[str, Value], flag: VectorFlag) -> Value:
    return want["flags"][int(flag).bit_length() - 1]
