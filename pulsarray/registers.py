"""The register map, the error codes and the performance counters, as data.

The RTL's AXI4-Lite slave, the simulation driver, the model's counters and the reference in
``docs/registers.md`` all read these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from pulsarray.config import SEMAPHORES, Config
from pulsarray.isa import Unit

__all__ = [
    "COUNTERS",
    "COUNTER_BASE",
    "IDENTITY",
    "PARAMETER_BASE",
    "REGISTERS",
    "UNIT_STATES",
    "Control",
    "ErrorCode",
    "Register",
    "Status",
    "counter_address",
    "counters_of",
    "parameter_values",
]

IDENTITY = 0x534C5550
"""Value of the ID register: "PULS" in ASCII, least significant byte first."""
INTERFACE_VERSION = 2
"""Value of the VERSION register: it changes when a program or a driver must."""


class Control(IntFlag):
    """Bits of the CONTROL register; writing a one acts, reading gives zero."""

    START = 1
    CLEAR = 2
    STOP = 4


class Status(IntFlag):
    """Bits of the STATUS register."""

    RUNNING = 1
    DONE = 2
    ERROR = 4


class ErrorCode(IntEnum):
    """Why the machine stopped before its END."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    BAD_FIELD = 2
    ADDRESS = 3
    PORT_CONFLICT = 4
    SEMAPHORE = 5
    AXI_READ = 6
    AXI_WRITE = 7
    PROGRAM_END = 8
    CYCLE_LIMIT = 9
    STOPPED = 10


@dataclass(frozen=True)
class Register:
    """One 32-bit register.

    Parameters
    ----------
    address, name, writable, doc
        Byte address, name, whether it can be written, and its meaning.
    bits
        Names of its bits, where it has some.
    initial
        Its value after reset, where it can be written.
    """

    address: int
    name: str
    writable: bool
    doc: str
    bits: type[IntFlag] | None = None
    initial: int = 0


REGISTERS = (
    Register(0x00, "ID", False, "identity, ASCII PULS"),
    Register(0x04, "VERSION", False, "version of the programming interface"),
    Register(0x08, "FINGERPRINT_LOW", False, "configuration fingerprint, low half"),
    Register(0x0C, "FINGERPRINT_HIGH", False, "configuration fingerprint, high half"),
    Register(
        0x10,
        "CONTROL",
        True,
        "1: start (when not running); 2: clear done, error, interrupt; 4: stop (when running)",
        Control,
    ),
    Register(0x14, "STATUS", False, "1: running; 2: done; 4: stopped by an error", Status),
    Register(0x18, "ERROR_CODE", False, "why the machine stopped"),
    Register(0x1C, "ERROR_INDEX", False, "instruction that was stopped on; all ones for none"),
    Register(0x20, "PROGRAM_ADDRESS", True, "byte address of the program, a multiple of 4096"),
    Register(0x24, "PROGRAM_UNITS", True, "length of the program in multiples of 32 bytes"),
    Register(0x28, "CYCLE_LIMIT", True, "stop with an error after so many cycles; 0 for never"),
    Register(0x2C, "BASE_ADDRESS", True, "added to every address; bits below 12 count as zero"),
    Register(0x30, "BASE_ADDRESS_HIGH", True, "bits 32 and up; only with 64-bit addresses"),
    Register(0x34, "INTERRUPT_ENABLE", True, "1: done or an error raises the interrupt", initial=1),
    Register(0x38, "PARAMETERS", False, "how many parameters the configuration has, at 0x800"),
)
"""Every register but the counters, which follow at :data:`COUNTER_BASE`."""

COUNTER_BASE = 0x100
"""Byte address of the first counter."""

PARAMETER_BASE = 0x800
"""Byte address of the first parameter of the configuration; they follow in its order."""

UNIT_STATES = ("busy", "stall", "wait", "start", "drain", "idle")
"""What a unit does in a cycle, exactly one of these; see docs/machine.md, section Counters."""

FETCH_STATES = ("busy", "queue", "memory", "idle")
"""What FETCH does in a cycle, exactly one of these."""

COUNTERS = (
    "cycles",
    *(f"{unit.name.lower()}_{state}" for unit in Unit for state in UNIT_STATES),
    *(f"fetch_{state}" for state in FETCH_STATES),
    *(f"semaphore_{index}_wait" for index in range(SEMAPHORES)),
    "read_beats",
    "write_beats",
)
"""Every performance counter, in the order of its registers (32 bits each)."""


def counter_address(name: str) -> int:
    """Byte address of a counter's register.

    Raises
    ------
    ValueError
        If there is no such counter.
    """
    return COUNTER_BASE + 4 * COUNTERS.index(name)


def counters_of(config: Config) -> tuple[str, ...]:
    """Counters that a machine has: without ``counters`` the first alone, the cycles."""
    return COUNTERS if config.counters else COUNTERS[:1]


def parameter_values(config: Config) -> dict[str, int]:
    """Parameters by name as their registers give them, from :data:`PARAMETER_BASE` on."""
    return {name: int(value) for name, value in config.to_dict().items()}
