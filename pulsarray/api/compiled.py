"""A compiled program as an object: estimate it, run it, save it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pulsarray.api.progress import Working, quiet
from pulsarray.api.report import Report
from pulsarray.api.running import MODEL, Run, run_program
from pulsarray.api.shown import Shown, Table, table
from pulsarray.config import Config
from pulsarray.errors import CheckFailed, InputError
from pulsarray.program import Program

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.console import RenderableType

    from pulsarray.api.energy import Energy
    from pulsarray.api.replaying import Replay

__all__ = ["Compiled", "Inputs", "estimate_program"]

Inputs: TypeAlias = "npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | str | Path | None"
"""The only input, or each by its name, or an ``.npz`` file of them; None for what the program's
image holds. Floating point is real values, integers are codes."""


class Compiled(Shown):
    """A program for one machine.

    Parameters
    ----------
    program
        The program.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    @classmethod
    def load(cls, path: str | Path, config: Config | None = None) -> Compiled:
        """Read a ``.pulse`` file, for a configuration if one is given.

        Raises
        ------
        InputError
            If it is unreadable, altered, or for another configuration.
        """
        return cls(Program.load(Path(path), config))

    def save(self, path: str | Path) -> None:
        """Write a ``.pulse`` file; it appears whole or not at all.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        self.program.save(Path(path))

    def __repr__(self) -> str:
        program = self.program
        return (
            f"<Compiled {program.network}, batch {program.batch}, for {program.config.label}: "
            f"{len(program.instructions):,} instructions>"
        )

    @property
    def config(self) -> Config:
        """The machine that it is for."""
        return self.program.config

    @property
    def layers(self) -> Table:
        """One row a layer: name, operator, shape of its product."""
        return table([
            {"name": x.name, "kind": x.kind, "m": x.m, "k": x.k, "n": x.n, "macs": x.macs}
            for x in self.program.layers
        ])  # fmt: skip

    def disassemble(self) -> Iterator[str]:
        """One line of text an instruction."""
        from pulsarray.compiler.api import disassemble

        return disassemble(self.program)

    def estimate(
        self,
        *,
        memory_latency: int = 64,
        memory_interval: int = 1,
        energy_table: str | Path | None = None,
        working: Working = quiet,
    ) -> Report:
        """Exact cycles and where they go, without computing any value.

        Parameters
        ----------
        memory_latency, memory_interval
            Cycles from an address to its first beat, and cycles a beat.
        energy_table
            Of the estimate of energy: a name or a file, as :meth:`energy` takes it.
        working
            Is told what goes on.

        Raises
        ------
        InputError
            If the machine has no counters, or the table is none.
        ProgramError
            If the machine would stop with an error.
        """
        times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
        return estimate_program(self.program, times, working, energy_table=energy_table)

    def energy(self, energy_table: str | Path | None = None) -> Energy:
        """An estimate of the energy of a run, by part and by layer.

        Parameters
        ----------
        energy_table
            A table that comes along (``"horowitz45"``, the default, ``"stillmaker22"``,
            ``"jouppi7"``), or a TOML file of energies per event.

        Raises
        ------
        InputError
            If it is no such table.
        """
        from pulsarray.api.energy import estimate_energy

        return estimate_energy(self.program, energy_table)

    def replay(
        self,
        memory: str | Path = "ddr3-1600",
        *,
        clock_mhz: float = 100.0,
        memory_latency: int = 64,
        memory_interval: int = 1,
    ) -> Replay:
        """What a DRAM makes of the bursts of a run, and the fixed times that it keeps.

        Parameters
        ----------
        memory
            ``"ddr3-1600"``, ``"ddr4-2400"``, or a TOML file of a DRAM's times.
        clock_mhz
            Clock of the machine.
        memory_latency, memory_interval
            Fixed times of the memory that the machine is run with, in cycles.

        Raises
        ------
        InputError
            If there is no such memory or clock.
        ProgramError
            If the machine would stop with an error.
        """
        from pulsarray.api.replaying import replay_program

        times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
        return replay_program(self.program, memory, clock_mhz, times)

    def run(
        self,
        inputs: Inputs = None,
        on: str = MODEL,
        *,
        after: Run | None = None,
        waves: str | Path | None = None,
        memory_latency: int = 64,
        memory_interval: int = 1,
        working: Working = quiet,
    ) -> Run:
        """Run the program; on a simulator it must be identical to the model's run.

        Parameters
        ----------
        inputs
            See :data:`Inputs`; a batch is the first axis.
        on
            ``"model"``, ``"verilator"`` or ``"icarus"``.
        after
            A run of this program whose state this one goes on from; without, state holds what it
            does before the first run.
        waves
            File for a simulator's waves, ``.fst`` or ``.vcd``; beside it ``.gtkw`` and ``.sucl``,
            with which GTKWave and Surfer show them by unit.
        memory_latency, memory_interval
            Cycles from an address to its first beat, and cycles a beat.
        working
            Is told what goes on.

        Raises
        ------
        InputError
            If inputs do not fit, there is no such place, or waves cannot be had.
        CheckFailed
            If a value, a cycle, a counter or an event differs from the model's.
        ProgramError
            If the machine stops with an error.
        ToolMissing
            If the simulator is not installed.
        """
        done = run_program(
            self.program,
            self._memory(inputs, after),
            on,
            waves=None if waves is None else Path(waves),
            memory_latency=memory_latency,
            memory_interval=memory_interval,
            working=working,
        )
        if done.complaint:
            raise CheckFailed(f"run: {done.complaint}")
        return done

    def _memory(self, inputs: Inputs, after: Run | None) -> npt.NDArray[np.uint8]:
        """The image, or what a run has left of it, with inputs in it."""
        from pulsarray.arrays import load_arrays
        from pulsarray.tensors import with_arrays

        if after is not None and after.program is not self.program:
            raise InputError("after: must be a run of this program")
        memory = self.program.memory if after is None else after.result.memory
        assert memory is not None
        if inputs is None:
            return memory.copy()
        if isinstance(inputs, str | Path):
            return with_arrays(self.program, load_arrays(Path(inputs)), str(inputs), memory)
        if isinstance(inputs, Mapping):
            return with_arrays(self.program, inputs, memory=memory)
        names = [tensor.name for tensor in self.program.with_role("input")]
        if len(names) != 1:
            raise InputError(f"inputs: needs a mapping with {', '.join(names) or 'no array'}")
        return with_arrays(self.program, {names[0]: inputs}, memory=memory)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.programs import program_view

        return program_view(self.program)


def estimate_program(
    program: Program,
    times: Mapping[str, int],
    working: Working = quiet,
    timeline: Path | None = None,
    energy_table: str | Path | None = None,
) -> Report:
    """The report of a program from the timing model alone, and its timeline if one is asked for.

    Raises
    ------
    InputError
        If the machine has no counters, or the table of energies is none.
    """
    from pulsarray.model.timing import simulate_timing
    from pulsarray.report import build_report
    from pulsarray.report.energy_table import load_table

    energies = load_table(energy_table)

    with working("timing"):
        result = simulate_timing(program, **times)
    if timeline is not None:
        from pulsarray.display.timeline import write_timeline

        write_timeline(timeline, program, result)
    return Report(build_report(program, result, energies))
