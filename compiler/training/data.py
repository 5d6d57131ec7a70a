"""Samples to train and to test with: checked, from arrays or from an ``.npz`` file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pulsarray.arrays import load_arrays
from pulsarray.compiler.interpreter import host_shape
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.errors import InputError

__all__ = ["TrainingData", "batches", "load_npz", "prepared"]

_ARRAYS = ("x", "t", "labels", "test_x", "test_t", "test_labels")
"""What NumPy's reader raises for a file whose bytes are wrong."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What is learned from, and what the result is tested with.

    Parameters
    ----------
    inputs, targets
        Real values, (samples, K) and (samples, N).
    test_inputs, test_targets
        None without a test.
    """

    inputs: Floats
    targets: Floats
    test_inputs: Floats | None = None
    test_targets: Floats | None = None

    @property
    def arrays(self) -> dict[str, Floats]:
        """The arrays by the names that :func:`prepared` takes."""
        by_name = {"x": self.inputs, "t": self.targets}
        if self.test_inputs is not None and self.test_targets is not None:
            by_name |= {"test_x": self.test_inputs, "test_t": self.test_targets}
        return by_name


def batches(
    random: np.random.Generator, samples: int, batch: int
) -> Iterator[npt.NDArray[np.int64]]:
    """One epoch: the samples in random order, cut into whole batches; what is left is dropped."""
    order = random.permutation(samples)
    for start in range(0, samples - batch + 1, batch):
        yield order[start : start + batch]


def prepared(
    arrays: Mapping[str, npt.NDArray[np.generic]], network: TrainingNetwork, where: str = "data"
) -> TrainingData:
    """Arrays as samples of a network.

    Parameters
    ----------
    arrays
        ``x`` with ``t`` or ``labels``; ``test_x`` with ``test_t`` or ``test_labels``, or neither.
        Labels are integers from 0 to below the number of outputs.
    network
        The network.
    where
        Where they come from, for errors.

    Raises
    ------
    InputError
        If an array is missing, has a wrong shape, or holds a value that is not finite or not
        allowed.
    """
    unknown = sorted(set(arrays) - set(_ARRAYS))
    if unknown:
        raise InputError(f"{where}: unknown array {unknown[0]!r}; known: {', '.join(_ARRAYS)}")
    if "x" not in arrays:
        raise InputError(f"{where}: no array x; there is {', '.join(arrays) or 'nothing'}")
    x, t = _pair(arrays, "", network, where)
    if not any(name.startswith("test_") for name in arrays):
        return TrainingData(x, t)
    return TrainingData(x, t, *_pair(arrays, "test_", network, where))


def _pair(
    arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str, network: TrainingNetwork, where: str
) -> tuple[Floats, Floats]:
    names = [f"{prefix}{name}" for name in ("x", "t", "labels")]
    if names[0] not in arrays or (names[1] in arrays) == (names[2] in arrays):
        raise InputError(f"{where}: needs {names[0]}, and one of {names[1]} and {names[2]}")
    outputs = network.graph.output.size
    x = _inputs(arrays[names[0]], network, f"{where}: {names[0]}")
    t: Floats
    if names[1] in arrays:
        t = _floats(arrays[names[1]], (outputs,), f"{where}: {names[1]}")
        _check_targets(t, network, f"{where}: {names[1]}")
    else:
        t = _from_labels(arrays[names[2]], network, f"{where}: {names[2]}")
    if len(x) != len(t):
        raise InputError(f"{where}: {names[0]} has {len(x)} samples, its targets have {len(t)}")
    return x, t


def _inputs(array: npt.NDArray[np.generic], network: TrainingNetwork, what: str) -> Floats:
    """Samples as (samples, K), in the order of the network's input."""
    graph = network.graph
    if len(graph.inputs) > 1:
        return _floats(array, network.input_shape, what)
    x = _floats(array, host_shape(graph), what)
    return graph.input_view.from_host(x) if graph.input_view else x


def _floats(array: npt.NDArray[np.generic], shape: tuple[int, ...], what: str) -> Floats:
    size = int(np.prod(shape))
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what}: must hold real numbers, not {array.dtype}")
    if array.ndim == 1 and size == 1:
        array = array.reshape(-1, 1)
    if array.shape[1:] not in (shape, (size,)) or not len(array):
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{what}: shape must be (samples, {wanted}), not {array.shape}")
    values = array.reshape(len(array), size).astype(np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        row, column = bad[0]
        raise InputError(
            f"{what}: sample {row}, element {column} is {values[row, column]}; "
            "numbers must be finite"
        )
    return values


def _check_targets(t: Floats, network: TrainingNetwork, what: str) -> None:
    allowed = network.loss.rule.targets
    if allowed is not None and (bad := np.argwhere(~np.isin(t, allowed))).size:
        row, column = bad[0]
        known = " or ".join(f"{value:g}" for value in allowed)
        raise InputError(
            f"{what}: sample {row} must be {known} with {network.loss.name}, not {t[row, column]:g}"
        )
    several = np.flatnonzero(t.reshape(len(t) * network.judged, -1).sum(axis=1) != 1)
    if network.loss.name == "cross-entropy" and several.size:
        sample = several[0] // network.judged
        raise InputError(f"{what}: sample {sample} must have one class, a single 1")


def _from_labels(labels: npt.NDArray[np.generic], network: TrainingNetwork, what: str) -> Floats:
    """One-hot targets, or one column of classes 0 and 1; 1 and -1 for the hinge loss."""
    pixels = network.judged
    outputs = network.graph.output.size // pixels
    wanted = "(samples,)" if pixels == 1 else f"(samples, {pixels})"
    if (
        labels.dtype.kind not in "biu"
        or not len(labels)
        or labels.size != len(labels) * pixels
        or (labels.ndim > 1 + (pixels > 1))
    ):
        raise InputError(
            f"{what}: must be integers of shape {wanted}, not {labels.dtype} of {labels.shape}"
        )
    classes = max(2, outputs)
    numbers = labels.astype(np.int64).reshape(-1)
    bad = np.flatnonzero((numbers < 0) | (numbers >= classes))
    if bad.size:
        raise InputError(
            f"{what}: sample {bad[0] // pixels} must be 0 to {classes - 1} for {outputs} outputs, "
            f"not {numbers[bad[0]]}"
        )
    one_hot = np.eye(classes)[numbers]
    targets = (one_hot if outputs > 1 else one_hot[:, 1:]).reshape(len(labels), -1)
    return np.asarray(2 * targets - 1 if network.loss.name == "hinge" else targets)


def load_npz(path: Path, network: TrainingNetwork) -> TrainingData:
    """Samples from an ``.npz`` file, as :func:`prepared` wants them.

    Raises
    ------
    InputError
        If it is unreadable, no ``.npz``, or its arrays do not fit.
    """
    return prepared(load_arrays(path), network, str(path))
