"""What a VECTOR instruction may not say (BAD_FIELD of docs/machine.md)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping

from amaranth.hdl import Value

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import FORMATS, Activation, Alu, Bank, Opcode, Reduce, VectorFlag

__all__ = ["wrong_vector"]

_LEVELS = FORMATS[Opcode.VECTOR].levels
_PRODUCTS = (Alu.MUL, Alu.DSIGMOID, Alu.DTANH)


def wrong_vector(want: Mapping[str, Value], config: Config) -> Value:
    """Whether some field of a VECTOR is one that this machine cannot execute."""
    return functools.reduce(
        operator.or_, [*_wrong_banks(want, config), *_wrong_operation(want, config)]
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
    return [
        ~(_in_scratchpad(a, config) | _in_accumulator(a, config)),
        ~(_in_scratchpad(b, config) | _in_accumulator(b, config) | no_b),
        ~(_in_scratchpad(target, config) | no_target),
        ~(_in_accumulator(acc, config) | no_acc),
        no_target & no_acc,
        a == b,
        constant & ~no_b,
    ]


def _wrong_operation(want: Mapping[str, Value], config: Config) -> list[Value]:
    alu, activation = want["alu"], want["activation"]
    residual, leaky = _flag(want, VectorFlag.RESIDUAL), _flag(want, VectorFlag.LEAKY)
    is_table = activation == Activation.TABLE
    known = functools.reduce(operator.or_, VectorFlag)
    registers = [want[f"x_{name}"] >= EXPONENTS for name in ("target", "a", "b")]
    wrong = [
        *(want[f"count{level}"] == 0 for level in range(_LEVELS)),
        *registers,
        alu > max(Alu),
        activation > max(Activation),
        want["reduce"] > max(Reduce),
        (want["flags"] & (0xFFFF ^ int(known))).any(),
        _flag(want, VectorFlag.B_SCALAR) & _flag(want, VectorFlag.B_LANE),
        residual & ((alu != Alu.PASS) | leaky),
        is_table & (want["table"] >= config.tables if config.tables else 1),
    ]
    if config.scale_bits != 31:
        wrong.append(_flag(want, VectorFlag.TFLITE))
    if not config.vector_multiply:
        wrong += [alu == product for product in _PRODUCTS]
    if config.operand_bits == 16:
        wrong.append(is_table & (leaky | want["shift2"][6:].any()))
    return wrong


def _flag(want: Mapping[str, Value], flag: VectorFlag) -> Value:
    return want["flags"][int(flag).bit_length() - 1]
