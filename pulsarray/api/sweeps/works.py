"""What a sweep runs on each design: a whole network, or products by their shapes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pulsarray.api.network import Network, Product, load
from pulsarray.config import Config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from pulsarray.program import Program
    from pulsarray.zoo.layers import LayerShape

__all__ = ["Work", "programs_of", "work_of"]

_PROGRAMS, _NETWORKS = 64, 4
"""Programs of layers and networks that a worker keeps."""


@dataclass(frozen=True)
class Work:
    """What is run.

    Parameters
    ----------
    name
        As it was asked for.
    calibrate
        File of samples, for a network of real numbers from a file.
    digest
        Of the file that it comes from; empty for what is built in.
    layers
        Products by shape, each with how often it occurs; None for a whole network.
    """

    name: str
    calibrate: str | None = None
    digest: str = ""
    layers: Mapping[LayerShape, int] | None = field(default=None, compare=False)


def work_of(text: str, by_layer: bool, calibrate: str | Path | None = None) -> Work:
    """A network, a product, or a CSV of layers (:func:`pulsarray.zoo.layers.read_layers`).

    Parameters
    ----------
    text
        Its name.
    by_layer
        Whether a network is taken as its products, each compiled alone.
    calibrate
        File of samples, for a network of real numbers from a file.

    Raises
    ------
    InputError
        If there is none, or it cannot be taken so.
    """
    from pulsarray.zoo.layers import layers_of, read_layers

    path = Path(text)
    digest = _digest(path) if path.suffix in (".onnx", ".tflite", ".csv") else ""
    if path.suffix == ".csv":
        return Work(text, None, digest, Counter(shape for _, shape in read_layers(path)))
    network = load(text)
    if isinstance(network, Product):
        return Work(text)
    if by_layer:
        return Work(text, None, digest, layers_of(network.graph))
    if calibrate is not None and not network.graph.is_quantized:
        network.quantize(calibrate)
        return Work(text, str(calibrate), f"{digest}{_digest(Path(calibrate))}")
    if not network.graph.is_quantized:
        assert network.samples is not None
    return Work(text, None, digest)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None


def programs_of(work: Work, config: Config, batch: int, effort: int) -> list[tuple[Program, int]]:
    """Programs of a work, each with how often it runs.

    Raises
    ------
    InputError
        If one does not fit the machine.
    """
    if work.layers is not None:
        return [
            (_layer_program(shape, config, batch, effort), count)
            for shape, count in work.layers.items()
        ]
    rows = None if batch == 1 else batch
    return [(_network(work).compile(config, batch=rows, effort=effort).program, 1)]


@lru_cache(_PROGRAMS)
def _layer_program(shape: LayerShape, config: Config, batch: int, effort: int) -> Program:
    from pulsarray.zoo.layers import compile_layer

    return compile_layer(shape, config, batch=batch, effort=effort)


@lru_cache(_NETWORKS)
def _network(work: Work) -> Network:
    """A network, which keeps what it is in int8."""
    network = load(work.name)
    return network if work.calibrate is None else network.quantize(work.calibrate)
