"""The driver in Python: programs and tensors on a machine behind a :class:`Bus`."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from pulsarray.config import PRESETS, Config
from pulsarray.driver.bus import Bus
from pulsarray.errors import CheckFailed, InputError, ProgramError
from pulsarray.isa import UNIT_BYTES
from pulsarray.program import Program, pack, unpack
from pulsarray.registers import (
    IDENTITY,
    INTERFACE_VERSION,
    PARAMETER_BASE,
    REGISTERS,
    Control,
    ErrorCode,
    Status,
    counter_address,
    counters_of,
)

__all__ = ["Accelerator"]

_ADDRESSES = {register.name: register.address for register in REGISTERS}
_PAGE = 4096
_WAIT_SECONDS = 0.1


class Accelerator:
    """One machine, program after program.

    Parameters
    ----------
    bus
        Where it is.

    Raises
    ------
    InputError
        If there is no machine, or one with another programming interface.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._program: Program | None = None
        identity, version = self._read("ID"), self._read("VERSION")
        if identity != IDENTITY:
            raise InputError(
                f"driver: ID reads {identity:#010x}, not {IDENTITY:#010x}: no Pulsarray"
            )
        if version != INTERFACE_VERSION:
            raise InputError(
                f"driver: the hardware's interface is version {version}, "
                f"the driver's {INTERFACE_VERSION}: use the release that the hardware comes from"
            )

    @property
    def fingerprint(self) -> str:
        """The configuration's, as 16 hexadecimal digits."""
        return f"{self._read('FINGERPRINT_HIGH'):08x}{self._read('FINGERPRINT_LOW'):08x}"

    def config(self) -> Config:
        """The configuration, as the machine's registers give it.

        Raises
        ------
        InputError
            If it is none that this release knows.
        """
        values, count = PRESETS["small"].to_dict(), self._read("PARAMETERS")
        if count != len(values):
            raise InputError(
                f"driver: the hardware has {count} parameters, this release {len(values)}"
            )
        for number, (name, value) in enumerate(values.items()):
            values[name] = type(value)(self._bus.read(PARAMETER_BASE + 4 * number))
        config = Config.from_dict(values, "driver: the hardware's parameters")
        if config.fingerprint != self.fingerprint:
            raise InputError(
                f"driver: the hardware is configuration {self.fingerprint}, "
                f"its parameters are those of {config.fingerprint}"
            )
        return config

    def load(self, program: Program) -> None:
        """Write a program and its memory image into the buffer, and tell the machine where it is.

        Raises
        ------
        InputError
            If it is for another configuration, or the buffer cannot hold it or be reached.
        """
        if program.config.fingerprint != self.fingerprint:
            raise InputError(
                f"driver: the program is for configuration {program.config.fingerprint}, "
                f"the hardware is {self.fingerprint}; compile it with the hardware's pulsarray.toml"
            )
        size, base = program.memory.size, self._bus.base_address
        if size > self._bus.memory.size:
            raise InputError(
                f"driver: the program needs {size:,} bytes, the buffer has "
                f"{self._bus.memory.size:,}"
            )
        if base % _PAGE:
            raise InputError(f"driver: the buffer begins at {base:#x}, no multiple of {_PAGE}")
        self._bind(base, size)
        self._bus.memory[:size] = program.memory
        self._program = program

    def _bind(self, base: int, size: int) -> None:
        self._write("BASE_ADDRESS", base & 0xFFFF_FFFF)
        self._write("BASE_ADDRESS_HIGH", base >> 32)
        bits = 64 if base >> 32 and self._read("BASE_ADDRESS_HIGH") == base >> 32 else 32
        if base + size > 1 << bits:
            raise InputError(
                f"driver: the buffer ends at {base + size:#x}, beyond the {bits} bits of the "
                "hardware's addresses"
            )

    def write(self, name: str, values: npt.ArrayLike) -> None:
        """Write a tensor's codes or sums: integers, shape (rows, columns)."""
        program = self._loaded()
        tensor = program.tensor(name)
        data = pack(values, tensor, program.config)
        self._bus.memory[tensor.address : tensor.address + data.size] = data

    def read(self, name: str) -> npt.NDArray[np.int64]:
        """The codes or sums of a tensor, shape (rows, columns)."""
        program = self._loaded()
        return unpack(self._bus.memory, program.tensor(name), program.config)

    def run(self, *, seconds: float = 60.0, cycle_limit: int = 0) -> dict[str, int]:
        """Run the program once; the counters by name.

        Parameters
        ----------
        seconds
            After so long the machine is stopped.
        cycle_limit
            After so many cycles it stops itself; 0 for never.

        Raises
        ------
        ProgramError
            If the machine stops with an error.
        CheckFailed
            If it takes too long.
        """
        self.start(cycle_limit)
        deadline = time.monotonic() + seconds
        while not self._bus.wait(_WAIT_SECONDS):
            if time.monotonic() > deadline:
                self.stop()
                raise CheckFailed(f"driver: no end after {seconds:g} seconds; stopped")
        return self.finish()

    def start(self, cycle_limit: int = 0) -> None:
        """Start the program."""
        program = self._loaded()
        self._bus.to_device()
        self._write("PROGRAM_ADDRESS", program.code_address)
        self._write("PROGRAM_UNITS", len(program.code) // UNIT_BYTES)
        self._write("CYCLE_LIMIT", cycle_limit)
        self._write("CONTROL", Control.START)

    def stop(self) -> None:
        """Stop a program in mid-run; bursts on the bus end first.

        Raises
        ------
        CheckFailed
            If they do not.
        """
        self._write("CONTROL", Control.STOP)
        if not self._bus.wait(_WAIT_SECONDS) and self._read("STATUS") & Status.RUNNING:
            raise CheckFailed("driver: the machine does not stop: memory leaves a burst unanswered")
        self._write("CONTROL", Control.CLEAR)

    def finish(self) -> dict[str, int]:
        """Take the results of a run that has ended; the counters by name.

        Raises
        ------
        ProgramError
            If the machine stopped with an error.
        """
        status = Status(self._read("STATUS"))
        code, index = ErrorCode(self._read("ERROR_CODE")), self._read("ERROR_INDEX")
        names = counters_of(self._loaded().config)
        counters = {name: self._bus.read(counter_address(name)) for name in names}
        self._write("CONTROL", Control.CLEAR)
        self._bus.from_device()
        if status & Status.ERROR:
            index = -1 if index == 0xFFFF_FFFF else index
            where = f"instruction {index}" if index >= 0 else "no instruction"
            raise ProgramError(code, index, f"hardware: stopped by {code.name} at {where}")
        return counters

    def _loaded(self) -> Program:
        if self._program is None:
            raise InputError("driver: no program loaded")
        return self._program

    def _read(self, name: str) -> int:
        return self._bus.read(_ADDRESSES[name])

    def _write(self, name: str, value: int) -> None:
        self._bus.write(_ADDRESSES[name], value)
