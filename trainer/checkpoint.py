"""Training that was interrupted: everything needed to go on as if it had not been."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.arrays import save_arrays
from pulsarray.compiler.training.state import TrainState
from pulsarray.errors import InputError
from pulsarray.trainer.history import History, Progress

__all__ = ["Checkpoint", "digest"]

_VERSION = 4
_NUMBERS = ("exponents", "counts", "rates", "learning_rate", "seed", "steps")
_META = "meta"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A moment between two training steps.

    Parameters
    ----------
    identity
        What the training is of, by name (network, configuration, ...): one that differs in any
        of them cannot go on from here.
    state
        Weights, exponents and all else that steps change.
    generator
        State of the random numbers before the epoch's order was drawn from them.
    epoch, step
        Number of the epoch, and of the next step in it.
    progress, history, streaks
        What is known so far; ``streaks`` are overflows that may go on.
    """

    identity: Mapping[str, str]
    state: TrainState
    generator: Mapping[str, Any]
    epoch: int
    step: int
    progress: Progress
    history: History
    streaks: Mapping[str, int]

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        meta = {
            "version": _VERSION,
            "identity": dict(self.identity),
            "numbers": {name: getattr(self.state, name) for name in _NUMBERS},
            "generator": dict(self.generator),
            "epoch": self.epoch,
            "step": self.step,
            "progress": asdict(self.progress),
            "history": self.history.as_dict(),
            "streaks": dict(self.streaks),
        }
        arrays: dict[str, npt.NDArray[Any]] = dict(self.state.values)
        text = json.dumps(meta, default=int).encode()
        arrays[_META] = np.frombuffer(text, np.uint8)
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, identity: Mapping[str, str]) -> Checkpoint:
        """Read a file for the training of an identity.

        Raises
        ------
        InputError
            If it is unreadable, damaged, of another version, or of another training: the text
            names what differs.
        """
        arrays, meta = _read(path)
        try:
            if meta["version"] != _VERSION:
                version = meta["version"]
                raise InputError(f"{path}: checkpoint version {version}, not {_VERSION}")
            _require_same(path, meta["identity"], identity)
            return cls(
                identity=meta["identity"],
                state=_state(arrays, meta["numbers"]),
                generator=meta["generator"],
                epoch=meta["epoch"],
                step=meta["step"],
                progress=Progress(**meta["progress"]),
                history=History.from_dict(meta["history"]),
                streaks=meta["streaks"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: damaged checkpoint: {error!r}") from None


def digest(*parts: bytes) -> str:
    """64 bits of SHA-256, for an identity."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _read(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop(_META).tobytes())
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except (
        *(ValueError, EOFError, KeyError, TypeError, AttributeError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise InputError(f"{path}: damaged or no checkpoint: {error}") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: damaged or no checkpoint: its description is no table")
    return arrays, meta


def _require_same(path: Path, stored: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        if stored.get(name) != value:
            raise InputError(
                f"{path}: checkpoint of another {name}: {stored.get(name)}, "
                f"this training has {value}"
            )


def _state(arrays: Mapping[str, npt.NDArray[Any]], numbers: Mapping[str, Any]) -> TrainState:
    values = {name: array.astype(np.int64) for name, array in arrays.items()}
    return TrainState(values, **{name: numbers[name] for name in _NUMBERS})
