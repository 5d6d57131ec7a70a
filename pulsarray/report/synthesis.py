"""The schema of what a synthesis reports, as data like that of :mod:`pulsarray.report.schema`."""

from __future__ import annotations

from pulsarray.report.schema import SCHEMA_VERSION, Entry

__all__ = ["KIND", "RESOURCES", "SYNTHESIS", "SYNTHESIS_VERSION"]

SYNTHESIS_VERSION = SCHEMA_VERSION
"""Version of the report; it changes when a field changes its meaning or goes."""

KIND = "synthesis"
"""What tells such a report from one of a run."""

RESOURCES = (
    Entry("lut", "integer", "look-up tables of logic"),
    Entry("carry", "integer", "carry cells (CCU2C of two bits, CARRY4, ALU, SB_CARRY)"),
    Entry("ff", "integer", "flip-flops"),
    Entry("dsp", "integer", "multiplier blocks"),
    Entry("block_ram", "number", "block RAMs; half a one counts as 0.5"),
    Entry("distributed_ram", "integer", "cells of distributed RAM (Xilinx: look-up tables)"),
    Entry("lut_equivalents", "integer", "the above logic in look-up tables, by the target's rule"),
    Entry("gates", "integer", "NAND2 equivalents without memories; 0 on an FPGA"),
    Entry("memory_bits", "integer", "bits of the memories that `gates` leaves apart; else 0"),
)
"""What a part takes; cells that the target does not have count 0."""

_STEP = (
    Entry("where", "string", "instance, from the top down; empty is the top itself"),
    Entry("signal", "string", "what the signal is called there"),
    Entry("arrival_ns", "number", "time since the clock edge"),
    Entry("levels", "integer", "cells passed since the step before"),
)

SYNTHESIS = Entry(
    KIND,
    "object",
    "What a machine, or a part of it, takes on a target",
    (
        Entry("schema_version", "integer", "version of this schema"),
        Entry("kind", "string", f"`{KIND}`"),
        Entry("config", "map", "every parameter of the configuration"),
        Entry("fingerprint", "string", "of the configuration, 16 hexadecimal digits"),
        Entry("part", "string", "what was synthesized: a part's path; `pulsarray` is the machine"),
        Entry("target", "string", "`ecp5`, `xilinx7`, `gowin`, `ice40` or `gates`"),
        Entry("device", "string", "the device named; empty if none was"),
        Entry("tools", "strings", "programs with their versions"),
        Entry("total", "object", "the whole, its hierarchy kept", RESOURCES),
        Entry(
            "flat",
            "object",
            "the whole as one module, as it is placed; null if that was not asked for",
            RESOURCES,
            nullable=True,
        ),
        Entry(
            "units",
            "list",
            "what is directly below the top, and what belongs to the top itself (`(top)`); "
            "they sum to `total`",
            (
                Entry("name", "string", "instance"),
                Entry("module", "string", "its module"),
                *RESOURCES,
            ),
        ),
        Entry(
            "modules",
            "list",
            "every module with what one instance takes, the instances within it left out",
            (
                Entry("module", "string", "its name"),
                Entry("instances", "integer", "how many of it there are"),
                *RESOURCES,
            ),
        ),
        Entry(
            "timing",
            "object",
            "place and route; null if that was not asked for",
            (
                Entry("fmax_mhz", "number", "highest clock frequency"),
                Entry("stage", "string", "`routed`, or `placed`: estimated after placement"),
                Entry("seed", "integer", "of the placement"),
                Entry("path", "list", "the longest path by named signals", _STEP),
            ),
            nullable=True,
        ),
    ),
)
"""The report of a synthesis."""
