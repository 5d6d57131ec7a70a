"""A simulator process with a bench that answers lines of JSON."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from pulsarray.config import Config
from pulsarray.sim import builds, toolchain

__all__ = ["Served"]


class Served:
    """The machine with its memory in a process that serves until it is closed.

    It ends with :meth:`close`, when this object is garbage, and at the end of this process however
    that comes about.

    Parameters
    ----------
    config, simulator, memory_bytes
        The machine, ``"icarus"`` or ``"verilator"``, and the size of its memory.
    bench
        Module of the bench, which gets ``+folder=`` and, as ``+session=``, the file descriptor of
        the socket that the lines go through.

    Members
    -------
    folder
        Where files are exchanged.
    process_id
        The number of the process.

    Raises
    ------
    ToolMissing
        If the simulator is not installed.
    CheckFailed
        If it does not build.
    """

    def __init__(self, config: Config, simulator: str, memory_bytes: int, bench: str) -> None:
        build = builds.machine(config, simulator, memory_bytes)
        self._what = f"{simulator}: {bench}"
        self.folder = Path(tempfile.mkdtemp(prefix="pulsarray-session-"))
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = toolchain.start(
                simulator,
                builds.MACHINE_TOP,
                build,
                bench,
                self.folder,
                plusargs=[f"+folder={self.folder}", f"+session={theirs.fileno()}"],
                handles=[theirs.fileno()],
            )
        self.process_id = self._process.pid
        self._answers = self._channel.makefile("r", encoding="ascii")
        self.close = weakref.finalize(
            self, _end, self._process, self._answers, self._channel, self.folder
        )
        """End the process; harmless if that has happened."""

    def lives(self) -> bool:
        """Whether the process is there."""
        return self.close.alive and self._process.poll() is None

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer to a line.

        Raises
        ------
        CheckFailed
            If the bench fails.
        """
        answer = ""
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(json.dumps(request).encode("ascii") + b"\n")
            answer = self._answers.readline()
        if not answer:
            self._process.wait()
            raise toolchain.failed(f"{self._what} ended early", self.folder / "log")
        return json.loads(answer)


def _end(
    process: subprocess.Popen[bytes], answers: TextIO, channel: socket.socket, folder: Path
) -> None:
    process.kill()
    process.wait()
    answers.close()
    channel.close()
    shutil.rmtree(folder, ignore_errors=True)
