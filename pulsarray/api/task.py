"""From the arguments of ``train``, ``gradcheck`` and ``compile --training`` to what is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pulsarray.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import numpy.typing as npt

    from pulsarray.compiler.training.data import TrainingData
    from pulsarray.compiler.training.differentiate import Loss, TrainingNetwork
    from pulsarray.config import Config
    from pulsarray.zoo.workloads import Workload

__all__ = ["Given", "Samples", "Task", "task_of"]

Samples: TypeAlias = "Mapping[str, npt.NDArray[Any]] | str | Path | None"
"""Arrays to train with by name, or an ``.npz`` file of them; None for a workload's own."""

_DEFAULT_BATCH, _DEFAULT_EPOCHS = 16, 10


@dataclass(frozen=True, kw_only=True)
class Given:
    """Arguments; None for those not given.

    Parameters
    ----------
    network
        A built-in workload, or an ONNX file.
    data
        Samples: arrays by name, or an ``.npz`` file of them.
    loss
        ``LOSS`` or ``LOSS:PARAMETER``.
    optimizer
        Settings of the optimizer
        (:class:`~pulsarray.compiler.ops.optimizer.Optimizer`) by name; others are the workload's.
    learning_rate, epochs
        Numbers.
    batch
        Samples of a step, or ``full``.
    seed
        Of the first weights of a workload, and of the order of samples.
    """

    network: str
    data: Samples = None
    loss: str | None = None
    optimizer: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float | None = None
    batch: str | None = None
    epochs: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, on what, and how.

    Parameters
    ----------
    name
        Its name.
    network, data
        The network with its loss and optimizer, and the samples.
    learning_rate, batch, epochs
        Settings.
    config
        Preset of the machine, or a machine, unless another is asked for.
    """

    name: str
    network: TrainingNetwork
    data: TrainingData
    learning_rate: float
    batch: int
    epochs: int
    config: str | Config


def task_of(request: Given) -> Task:
    """The task that arguments describe.

    Raises
    ------
    InputError
        If something is missing, unknown, or does not fit.
    """
    from pulsarray.zoo.workloads import WORKLOADS

    if request.learning_rate is not None and not 0 < request.learning_rate < float("inf"):
        raise InputError(
            f"--learning-rate: must be more than 0 and finite, not {request.learning_rate:g}"
        )
    known = WORKLOADS.get(request.network)
    return _own(request) if known is None else _built_in(request, known)


def _built_in(request: Given, known: Workload) -> Task:
    from pulsarray.compiler.training.differentiate import differentiate

    loss = known.loss if request.loss is None else _loss(request.loss)
    optimizer = replace(known.optimizer, **request.optimizer)
    network = differentiate(known.build(request.seed), loss, optimizer, known.frozen)
    data = _checked(known, network) if request.data is None else _samples(request.data, network)
    return Task(
        name=known.name,
        network=network,
        data=data,
        learning_rate=request.learning_rate or known.learning_rate,
        batch=_batch(request.batch, known.batch, data),
        epochs=request.epochs or known.epochs,
        config=known.machine if known.settings else known.config,
    )


def _own(request: Given) -> Task:
    from pulsarray.compiler.importers.onnx.importer import import_onnx
    from pulsarray.compiler.training.differentiate import Optimizer, differentiate
    from pulsarray.zoo.workloads import WORKLOADS

    path = Path(request.network)
    if path.suffix != ".onnx":
        known = ", ".join(WORKLOADS)
        if request.network == "adversarial":
            raise InputError(
                "NETWORK: adversarial training is gan-digits, or examples/adversarial.py"
            )
        raise InputError(
            f"NETWORK: must be an .onnx file or {known}, not {request.network!r}"
            f"{did_you_mean(request.network, WORKLOADS)}"
        )
    graph = import_onnx(path, learns=True)
    for name, value in (
        ("--data", request.data), ("--loss", request.loss),
        ("--learning-rate", request.learning_rate),
    ):  # fmt: skip
        if value is None:
            raise InputError(f"{path}: training a network of your own needs {name}")
    assert request.data is not None
    assert request.loss is not None
    assert request.learning_rate is not None
    network = differentiate(graph, _loss(request.loss), Optimizer(**request.optimizer))
    data = _samples(request.data, network)
    return Task(
        name=path.stem,
        network=network,
        data=data,
        learning_rate=request.learning_rate,
        batch=_batch(request.batch, min(_DEFAULT_BATCH, len(data.inputs)), data),
        epochs=request.epochs or _DEFAULT_EPOCHS,
        config="train-small",
    )


def _loss(text: str) -> Loss:
    """A loss from ``LOSS`` or ``LOSS:PARAMETER``."""
    from pulsarray.compiler.training.differentiate import Loss

    name, colon, parameter = text.partition(":")
    try:
        return Loss(name, float(parameter) if colon else None)
    except ValueError:
        raise InputError(f"--loss: the parameter must be a number, not {parameter!r}") from None


def _batch(text: str | None, default: int, data: TrainingData) -> int:
    samples = len(data.inputs)
    if text is None:
        return default
    if text == "full":
        return samples
    if not text.isdecimal() or not 1 <= int(text) <= samples:
        raise InputError(f"--batch: must be 1 to {samples}, the samples, or full, not {text!r}")
    return int(text)


def _samples(data: Samples, network: TrainingNetwork) -> TrainingData:
    from pulsarray.compiler.training.data import load_npz, prepared

    if isinstance(data, Mapping):
        return prepared(data, network)
    return load_npz(Path(str(data)), network)


def _checked(known: Workload, network: TrainingNetwork) -> TrainingData:
    """A workload's own samples, which another loss may not take."""
    from pulsarray.compiler.training.data import prepared

    return prepared(known.data().arrays, network, known.name)
