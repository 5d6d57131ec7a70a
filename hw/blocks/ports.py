"""Ports between the units and the banks, and what travels with a word."""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES

__all__ = [
    "ADDRESS_BITS",
    "BANK_BITS",
    "INDEX_BITS",
    "OperandPort",
    "ReadPort",
    "WritePort",
    "target_layout",
]

BANK_BITS = 8
ADDRESS_BITS = 16
INDEX_BITS = 24
"""Width of an instruction's number in the program, which wraps; all ones is none's."""


def target_layout() -> data.StructLayout:
    """Where the sums of a word go, and whose word it is; it travels beside the array."""
    return data.StructLayout(
        {
            "bank": BANK_BITS,
            "address": ADDRESS_BITS,
            "write": 1,
            "fresh": 1,
            "last": 1,
            "signal": SEMAPHORES,
            "index": INDEX_BITS,
        }
    )


class ReadPort(wiring.Signature):
    """A unit reads a word of a bank; directions as the unit sees them.

    Parameters
    ----------
    dim, operand_bits, acc_bits
        Lanes of a word and widths of both kinds of lanes.

    Members
    -------
    enable, bank, address
        Asks for a word; bank numbers are those of :class:`pulsarray.isa.Bank`.
    hold
        The unit holds the bank's read port in this cycle.
    word, sums
        The word in the cycle after ``enable``, from a scratchpad or an accumulator bank; it stays
        while the unit holds the port.
    """

    def __init__(self, *, dim: int, operand_bits: int, acc_bits: int) -> None:
        super().__init__(
            {
                "enable": Out(1),
                "bank": Out(BANK_BITS),
                "address": Out(ADDRESS_BITS),
                "hold": Out(1),
                "word": In(data.ArrayLayout(signed(operand_bits), dim)),
                "sums": In(data.ArrayLayout(signed(acc_bits), dim)),
            }
        )


class OperandPort(wiring.Signature):
    """A unit reads a word of a bank of either kind, as operands; directions as the unit sees them.

    Parameters
    ----------
    dim, acc_bits
        Lanes of a word and width of a sum.

    Members
    -------
    enable, bank, address, hold
        As of a :class:`ReadPort`.
    operand
        The word in the cycle after ``enable``; it stays while ``bank`` and the hold do. Lanes of a
        scratchpad bank have half their range added, so that none is negative; 0 of no bank.
    """

    def __init__(self, *, dim: int, acc_bits: int) -> None:
        super().__init__(
            {
                "enable": Out(1),
                "bank": Out(BANK_BITS),
                "address": Out(ADDRESS_BITS),
                "hold": Out(1),
                "operand": In(data.ArrayLayout(signed(acc_bits), dim)),
            }
        )


class WritePort(wiring.Signature):
    """A unit writes a word of a bank; directions as the unit sees them.

    Parameters
    ----------
    dim, lane_bits
        Lanes of a word and their width.

    Members
    -------
    enable, bank, address, data
        Stores a word at the end of the cycle.
    hold
        The unit holds the bank's write port in this cycle.
    """

    def __init__(self, *, dim: int, lane_bits: int) -> None:
        super().__init__(
            {
                "enable": Out(1),
                "bank": Out(BANK_BITS),
                "address": Out(ADDRESS_BITS),
                "hold": Out(1),
                "data": Out(data.ArrayLayout(signed(lane_bits), dim)),
            }
        )
