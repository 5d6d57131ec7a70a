"""When the outputs and registers of the mutated blocks are looked at: one place for all of it."""

from __future__ import annotations

from benchmarks.mutation.equivalence import Views
from pulsarray.registers import COUNTER_BASE, COUNTERS

__all__ = ["ADDRESSES", "FETCH", "LOAD", "REGISTERS", "STORE", "TRANSPOSER", "WEIGHT"]

_UNIT = {"complete_*": "complete", "error_index": "error"}
"""Of every unit (:func:`pulsarray.hw.control.sequencer.unit_members`)."""
_PORT = {"port__bank": "port__hold", "port__address": "port__enable"}
"""Of a read port: who holds it names its bank."""

ADDRESSES = Views(outputs={"*": "active"}, registers={"only0": "0", "*": "active"})

FETCH = Views(
    outputs={
        "address": "want",
        "opcode": "shown",
        "index": "shown",
        "unit": "shown",
        "error_index": "error",
    },
    registers={"kept_header": "have > 1", "ended_2": "0"},
    always=(
        # Only an instruction of several units is gathered behind its first one.
        "have < 2 | kept_header == 16'h212 | kept_header == 16'h313",
        # END stays where it is: nothing is popped behind it.
        "~ended_2 | (have == 1 & column0.read_data[15:0] == 16'h101)",
    ),
)

_WORDS = "words.last0 & words.last1 & words.last2"
LOAD = Views(
    outputs={
        **_UNIT,
        "address": "want",
        "beats": "want",
        "out_bank": "out_hold",
        "out_address": "out_enable",
        "out_raw": "out_enable",
    },
    registers={
        "complete_*": "complete",
        "out_bank": "out_enable | between",
        "out_address": "out_enable",
        "bursts.*": "active",
        "words.*": "words.active",
        "head": "words.active",
    },
    # A beat is of a burst that was asked for.
    given=("~beat_valid | words.active",),
    always=(
        "transfers.place < 5 & transfers.place_2 < 5",
        "~words.active | words.stream0.latched[47:32] == 1",
    ),
)

REGISTERS = Views(
    # A number that is no counter's is not looked at, as its value is not.
    outputs={
        "counter_number": f"s_axil_araddr >= {COUNTER_BASE}"
        f" & s_axil_araddr < {COUNTER_BASE + 4 * len(COUNTERS)}"
    }
)

STORE = Views(
    outputs={
        **_UNIT,
        **_PORT,
        "axi__aw*": "axi__awvalid",
        "axi__w*": "axi__wvalid",
    },
    registers={
        "words.only0": "0",
        "words.*": "bursts.active | left != 0",
        "bursts.*": "bursts.active",
        "port__*": "bursts.active | left != 0",
        "_tag": "bursts.active",
        "end": "cut",
        "wide": "fresh",
        "axi__wlast": "axi__wvalid",
    },
    given=(
        "~start | ready",
        # Its bursts and its loops have as many words: the last slot is of the last word.
        f"~({_WORDS} & active & ~stall & place == ((port__bank >= 64) ? 15 : 3)) | ready",
    ),
    always=(
        "owners.enter__addr != 3 & owners.leave__addr != 3",
        "left == 0 | ~final | ~bursts.active",
    ),
)

TRANSPOSER = Views(always=("entered != 3",))

WEIGHT = Views(
    outputs={**_UNIT, **_PORT, "w": "w_valid", "w_row": "w_valid"},
    registers={
        "rows.*.inside": "1",
        "rows.*": "active",
        "port__address": "active",
        "port__bank": "active",
        "_owner": "active",
        "_signal": "active",
        "held*": "waiting",
        "sent*": "emitting",
        "complete_*": "complete",
        "ended": "complete",
        "inside_2": "was_read | out_enable",
        "was_transposed": "was_read",
        "w_row": "was_read | out_enable",
    },
    always=(
        # The last row of four is the one with the index 3.
        "~active | (rows.size2 == 4 & rows.second2 >= 2 & rows.second2 <= 5 & ~rows.only2"
        " & rows.last2 == (rows.second2 == 5))",
        # There are no columns.
        "~active | (rows.column.latched == 0 & rows.column.position == 0"
        " & rows.column.pointer0 == 0 & rows.column.pointer1 == 0)",
        "emitting == (emit_row != 0)",
    ),
)
