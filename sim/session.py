"""A simulator process that stays alive between the runs of one machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.sim.jobs import Job, Outcome, describe, outcome
from pulsarray.sim.pages import PAGE_BYTES, all_pages, changed_pages, pack_pages
from pulsarray.sim.served import Served

__all__ = ["Session"]

_BENCH = "pulsarray.sim.session_tests"


class Session:
    """One machine in one simulator process, run after run.

    The simulated memory keeps what it holds: before a run only the pages that differ from it go
    to the simulator, after a run those that the machine wrote come back. The machine is not reset
    between runs, so its banks keep what they hold, too.

    The process ends with :meth:`close`, when the session is garbage, at the end of this process
    however that comes about, and when a run fails in any way but by an error of the program.

    Parameters
    ----------
    config, simulator
        The machine, ``"icarus"`` or ``"verilator"``.
    memory_bytes
        Size of the memory of every run.

    Raises
    ------
    ToolMissing
        If the simulator is not installed.
    CheckFailed
        If it does not build.
    """

    def __init__(self, config: Config, simulator: str, memory_bytes: int) -> None:
        self._config, self._simulator, self._bytes = config, simulator, memory_bytes
        self._known: npt.NDArray[np.uint8] | None = None
        self._served = Served(config, simulator, memory_bytes, _BENCH)
        self.close = self._served.close
        """End the process; harmless if that has happened."""

    def serves(self, config: Config, memory_bytes: int) -> bool:
        """Whether the process lives and is for such a machine and memory."""
        return self._served.lives() and (self._config, self._bytes) == (config, memory_bytes)

    @property
    def process_id(self) -> int:
        """The number of the simulator's process."""
        return self._served.process_id

    def run(self, job: Job) -> Outcome:
        """Run a job.

        Raises
        ------
        CheckFailed
            If the machine does not come to an end, or the bench fails; the session is closed then.
        """
        try:
            finished = self._run(job)
        except BaseException:
            self.close()
            raise
        if finished.violation:
            self.close()
        return finished

    def _run(self, job: Job) -> Outcome:
        image = job.image
        pages = all_pages(image) if self._known is None else changed_pages(self._known, image)
        first = job.base_address // PAGE_BYTES
        data = pack_pages(image, pages, self._config.bus_bytes, first)
        (self._served.folder / "0.in").write_bytes(data)
        state = self._served.ask(describe(job))
        finished = outcome(state, self._served.folder, 0, job, self._simulator)
        assert finished.result.memory is not None
        self._known = finished.result.memory.copy()
        return finished
