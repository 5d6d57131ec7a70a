"""What can be synthesized for: scripts, cells and devices of each target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pulsarray.errors import CheckFailed, InputError

__all__ = ["TARGETS", "Device", "Target", "find_device", "find_target"]


@dataclass(frozen=True)
class Device:
    """What a device has, by the names of :data:`pulsarray.report.synthesis.RESOURCES`.

    Parameters
    ----------
    capacity
        How much there is of what is counted; ``lut`` limits ``lut_equivalents``.
    place
        Arguments that tell nextpnr of it; empty where nextpnr does not know it.
    """

    capacity: Mapping[str, int]
    place: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A family of devices, or gates.

    Parameters
    ----------
    synthesis
        Yosys command that maps to it; modules stay apart.
    flat
        The same for one module of everything.
    cells
        Patterns of cells' names, each with what it is and how much of it one is.
    free
        Pattern of cells that cost nothing: wide multiplexers of a slice, constants, buffers.
    equivalents
        Look-up tables that one of each takes.
    devices
        Devices by name; the first is taken where none is named.
    placer
        nextpnr's name for the family; empty where it has none.
    """

    synthesis: str
    flat: str
    cells: tuple[tuple[str, str, float], ...]
    free: str
    equivalents: Mapping[str, int]
    devices: Mapping[str, Device] = field(default_factory=dict)
    placer: str = ""

    def cell(self, kind: str) -> tuple[str, float] | None:
        """What a cell is and how much of it; None if it costs nothing.

        Raises
        ------
        CheckFailed
            If the table of cells does not have it.
        """
        for pattern, resource, amount in self.cells:
            if re.fullmatch(pattern, kind):
                return resource, amount
        if re.fullmatch(self.free, kind):
            return None
        raise CheckFailed(f"synth: Yosys made a cell {kind!r}, of which no cost is known")


def _ecp5(lut: int, dsp: int, ram: int, *place: str) -> Device:
    capacity = {"lut": lut, "ff": lut, "dsp": dsp, "block_ram": ram}
    return Device(capacity, (*place, "--speed", "6"))


def _xilinx(lut: int, dsp: int, ram: int) -> Device:
    return Device({"lut": lut, "ff": 2 * lut, "dsp": dsp, "block_ram": ram})


_ECP5 = Target(
    synthesis="synth_ecp5 -noflatten",
    flat="synth_ecp5",
    cells=(
        ("LUT4", "lut", 1),
        ("CCU2C", "carry", 1),
        ("TRELLIS_FF", "ff", 1),
        ("MULT18X18D", "dsp", 1),
        ("DP16KD|PDPW16KD", "block_ram", 1),
        ("TRELLIS_DPR16X4", "distributed_ram", 1),
    ),
    free="PFUMX|L6MUX21|TRELLIS_IO|VLO|VHI",
    # A carry cell takes a slice's two tables; a 16 x 4 RAM takes four and two for writing.
    equivalents={"lut": 1, "carry": 2, "distributed_ram": 6},
    devices={
        "ecp5-85k": _ecp5(83640, 156, 208, "--85k", "--package", "CABGA756"),
        "ecp5-45k": _ecp5(43848, 72, 108, "--45k", "--package", "CABGA554"),
        "ecp5-25k": _ecp5(24288, 28, 56, "--25k", "--package", "CABGA381"),
    },
    placer="ecp5",
)

_XILINX7 = Target(
    synthesis="synth_xilinx -family xc7 -noiopad -noclkbuf",
    flat="synth_xilinx -family xc7 -noiopad -noclkbuf -flatten",
    cells=(
        ("LUT[1-6]|INV", "lut", 1),
        ("CARRY4", "carry", 1),
        ("FD[RSCP]E(_1)?", "ff", 1),
        ("DSP48E1", "dsp", 1),
        ("RAMB36E1", "block_ram", 1),
        ("RAMB18E1", "block_ram", 0.5),
        ("RAM32M|RAM64M|RAM128X1D", "distributed_ram", 4),
        ("RAM(32|64)X1D", "distributed_ram", 2),
        ("RAM256X1D", "distributed_ram", 8),
        ("RAM(32|64)X1S|SRL16E|SRLC32E", "distributed_ram", 1),
    ),
    free="MUXF[78]|BUFG|IBUF|OBUF|GND|VCC",
    equivalents={"lut": 1, "distributed_ram": 1},  # carry cells stand beside the tables
    devices={
        "artix7-100": _xilinx(63400, 240, 135),
        "artix7-35": _xilinx(20800, 90, 50),
        "zynq-7020": _xilinx(53200, 220, 140),
    },
)

_GOWIN = Target(
    synthesis="synth_gowin -noflatten -noiopads",
    flat="synth_gowin -noiopads",
    cells=(
        ("LUT[1-4]", "lut", 1),
        ("ALU", "carry", 1),
        ("DFF[A-Z]*", "ff", 1),
        ("MULT(9X9|18X18)|MULTALU.*|MULTADDALU.*", "dsp", 1),
        ("S?DP(X9)?B|SP(X9)?|pROM(X9)?", "block_ram", 1),
        ("RAM16SDP4|RAM16SP4", "distributed_ram", 1),
    ),
    free="MUX2_LUT[5-8]|GND|VCC|[IO]BUF",
    equivalents={"lut": 1, "carry": 1, "distributed_ram": 4},
    devices={
        "gw2a-18": Device({"lut": 20736, "ff": 15552, "dsp": 48, "block_ram": 46}),
        "gw1n-9": Device({"lut": 8640, "ff": 6480, "dsp": 20, "block_ram": 26}),
    },
)

_ICE40 = Target(
    synthesis="synth_ice40 -noflatten -dsp",
    flat="synth_ice40 -dsp",
    cells=(
        ("SB_LUT4", "lut", 1),
        ("SB_CARRY", "carry", 1),
        ("SB_DFF[A-Z]*", "ff", 1),
        ("SB_MAC16", "dsp", 1),
        ("SB_RAM40_4K.*", "block_ram", 1),
    ),
    free="SB_GB|SB_IO",
    equivalents={"lut": 1},  # a carry stands beside its table
    devices={
        "ice40-up5k": Device(
            {"lut": 5280, "ff": 5280, "dsp": 8, "block_ram": 30},
            ("--up5k", "--package", "sg48"),
        ),
        "ice40-hx8k": Device(
            {"lut": 7680, "ff": 7680, "dsp": 0, "block_ram": 32},
            ("--hx8k", "--package", "ct256"),
        ),
    },
    placer="ice40",
)

# Static CMOS: a NAND2 has four transistors; a flip-flop of a usual library takes about the area
# of 5.5 NAND2, with enable or reset half a multiplexer or a gate more.
_GATES = Target(
    synthesis="synth",
    flat="synth -flatten",
    cells=(
        (r"\$_NOT_", "gates", 0.5),
        (r"\$_(NAND|NOR)_", "gates", 1),
        (r"\$_(AND|OR|ANDNOT|ORNOT)_", "gates", 1.5),
        (r"\$_(AOI3|OAI3)_", "gates", 1.5),
        (r"\$_(AOI4|OAI4)_", "gates", 2),
        (r"\$_(XOR|XNOR|MUX|NMUX)_", "gates", 2.5),
        (r"\$_DFF_[PN]_", "gates", 5.5),
        (r"\$_S?DFF_[PN]+[01]_", "gates", 6.5),
        (r"\$_DFFE_[PN]+_", "gates", 8),
        (r"\$_S?DFFC?E_[PN]+[01][PN]_", "gates", 9),
    ),
    free="",
    equivalents={},
)

TARGETS: dict[str, Target] = {
    "ecp5": _ECP5,
    "xilinx7": _XILINX7,
    "gowin": _GOWIN,
    "ice40": _ICE40,
    "gates": _GATES,
}
"""Every target by name."""


def find_target(name: str) -> Target:
    """The target of a name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in TARGETS:
        raise InputError(f"--target: must be one of {', '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]


def find_device(target: str, name: str) -> Device:
    """A device of a target by name.

    Raises
    ------
    InputError
        If the target has no such device.
    """
    devices = find_target(target).devices
    if name not in devices:
        known = ", ".join(devices) or "none"
        raise InputError(f"--device: {target} has no {name!r}; it has: {known}")
    return devices[name]
