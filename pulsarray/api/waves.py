"""Waves of runs: files that are whole or not there, and those of one step of a training."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pulsarray.api.progress import Working
from pulsarray.config import Config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from pulsarray.run import RunResult
    from pulsarray.sim.jobs import Job

__all__ = ["MODEL", "kept_whole", "require_waves", "step_waves"]

MODEL = "model"
"""The place that is no simulator."""
ROOM_BYTES = 16 << 20
"""Least free space after waves were written."""


def require_waves(waves: Path | None, on: str) -> None:
    """Check that a place has waves of the form that a file's name asks for.

    Raises
    ------
    InputError
        If not.
    """
    if waves is None:
        return
    if on == MODEL:
        raise InputError("--waves: the model has none; run --on icarus or --on verilator")
    from pulsarray.sim.toolchain import wave_format

    wave_format(waves)


def step_waves(
    waves: Path, runs: Sequence[tuple[Job, RunResult]], on: str, step: int, working: Working
) -> None:
    """Repeat the runs of a step on a simulator that writes waves, and compare.

    Raises
    ------
    InputError
        If training ended before that step.
    CheckFailed
        If a run differs from what it was.
    """
    if not runs:
        raise InputError(f"--step: training ended before step {step:,}, so there are no waves")
    from pulsarray.sim.compare import require_identical
    from pulsarray.sim.device import run_jobs

    jobs, config = [job for job, _ in runs], runs[0][0].program.config
    with working(f"waves of step {step:,} on {on}"), kept_whole(waves, config) as part:
        outcomes = run_jobs(jobs, config, on, waves=part)
    for (job, expected), outcome in zip(runs, outcomes, strict=True):
        require_identical(expected, outcome.checked(), job.program)


@contextlib.contextmanager
def kept_whole(waves: Path | None, config: Config) -> Iterator[Path | None]:
    """A file in a folder beside ``waves`` to write to; it takes its place when the block ends.

    Beside it are then the save files of :mod:`pulsarray.sim.saves`.

    An interrupted run leaves none; one that fails leaves its waves, to look at.

    Raises
    ------
    InputError
        If the device became full.
    """
    if waves is None:
        yield None
        return
    from pulsarray.sim.saves import write_saves

    with tempfile.TemporaryDirectory(prefix=".waves-", dir=waves.parent) as name:
        part = Path(name) / waves.name
        try:
            yield part
        except KeyboardInterrupt:
            part.unlink(missing_ok=True)
            raise
        finally:
            if part.exists():
                _check_room(waves)
                part.replace(waves)
                write_saves(waves, config)


def _check_room(waves: Path) -> None:
    """Simulators do not say that a device was too full for their waves."""
    if shutil.disk_usage(waves.parent).free < ROOM_BYTES:
        raise InputError(
            f"{waves}: less than {ROOM_BYTES >> 20} MiB are left on the device, so the waves may "
            "be cut short; make room"
        )
