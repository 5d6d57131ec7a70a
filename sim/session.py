"""A simulator process that stays alive between the runs of one machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.sim import builds, toolchain
from pulsarray.sim.jobs import Job, Outcome, describe, outcome
from pulsarray.sim.pages import all_pages, changed_pages, pack_pages

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
        build = builds.machine(config, simulator, memory_bytes)
        self._config, self._simulator, self._bytes = config, simulator, memory_bytes
        self._known: npt.NDArray[np.uint8] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="pulsarray-session-"))
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = toolchain.start(
                simulator,
                builds.MACHINE_TOP,
                build,
                _BENCH,
                self._folder,
                plusargs=[f"+folder={self._folder}", f"+session={theirs.fileno()}"],
                handles=[theirs.fileno()],
            )
        self._answers = self._channel.makefile("r", encoding="ascii")
        self.close = weakref.finalize(self, _end, self._process, self._channel, self._folder)
        """End the process; harmless if that has happened."""

    def serves(self, config: Config, memory_bytes: int) -> bool:
        """Whether the process lives and is for such a machine and memory."""
        alive = self.close.alive and self._process.poll() is None
        return alive and (self._config, self._bytes) == (config, memory_bytes)

    @property
    def process_id(self) -> int:
        """The number of the simulator's process."""
        return self._process.pid

    def run(self, job: Job) -> Outcome:
        """Run a job.

        Raises
        ------
        CheckFailed
            If the machine does not come to an end, or the bench fails; the session is closed then.
        """
        try:
            found = self._run(job)
        except BaseException:
            self.close()
            raise
        if found.violation:
            self.close()
        return found

    def _run(self, job: Job) -> Outcome:
        image = job.image
        pages = all_pages(image) if self._known is None else changed_pages(self._known, image)
        (self._folder / "0.in").write_bytes(pack_pages(image, pages, self._config.bus_bytes))
        state = self._ask(describe(job))
        found = outcome(state, self._folder, 0, job, self._simulator)
        assert found.result.memory is not None
        self._known = found.result.memory.copy()
        return found

    def _ask(self, request: dict[str, int]) -> dict[str, Any]:
        answer = ""
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(json.dumps(request).encode("ascii") + b"\n")
            answer = self._answers.readline()
        if not answer:
            self._process.wait()
            raise toolchain.failed(f"{self._simulator}: {_BENCH} ended early", self._folder / "log")
        found: dict[str, Any] = json.loads(answer)
        return found


def _end(process: subprocess.Popen[bytes], channel: socket.socket, folder: Path) -> None:
    process.kill()
    process.wait()
    channel.close()
    shutil.rmtree(folder, ignore_errors=True)
