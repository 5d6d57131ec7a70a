"""From the NETWORK argument to a compiled program."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Program

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["compile_source", "load_arrays"]

_GEMM = re.compile(r"gemm:(\d+)x(\d+)x(\d+)", re.ASCII)
LARGEST = 1 << 20
"""Largest dimension of a product; memory bounds it long before."""


def compile_source(
    source: str,
    config: Config,
    *,
    batch: int | None,
    calibrate: Path | None,
    sums: bool,
    seed: int | None,
) -> Program:
    """Compile what NETWORK names: ``gemm:MxKxN``, an ONNX file, or a built-in network.

    Raises
    ------
    InputError
        If there is no such network, it cannot be compiled, or an option does not apply to it.
    """
    if source.startswith("gemm:"):
        if batch is not None or calibrate is not None:
            raise InputError("--batch, --calibrate: not for gemm, whose rows are M")
        return _compile_gemm(source, config, sums=sums, seed=seed or 0)
    if sums or seed is not None:
        raise InputError(f"--sums, --seed: only for gemm:MxKxN, not for {source}")
    data = None if calibrate is None else _only_array(calibrate)
    return _compile_network(source, config, batch or 1, data)


def _compile_gemm(source: str, config: Config, *, sums: bool, seed: int) -> Program:
    from pulsarray.compiler import compile_gemm

    match = _GEMM.fullmatch(source)
    if match is None:
        raise InputError(f"NETWORK: expected gemm:MxKxN like gemm:64x64x64, not {source!r}")
    m, k, n = (int(text) for text in match.groups())
    for name, value in zip("MKN", (m, k, n), strict=True):
        if not 1 <= value <= LARGEST:
            raise InputError(f"{source}: {name} must be 1 to {LARGEST}, not {value}")
    return compile_gemm(m, k, n, config, sums=sums, seed=seed)


def _compile_network(
    source: str, config: Config, batch: int, data: npt.NDArray[np.generic] | None
) -> Program:
    from pulsarray.compiler import compile_network
    from pulsarray.compiler.networks import NETWORKS, build_network

    if source in NETWORKS:
        graph, samples = build_network(source)
        chosen = samples if data is None else data
        return compile_network(graph, config, batch=batch, calibration=chosen, name=source)
    path = Path(source)
    if path.suffix != ".onnx":
        known = ", ".join(NETWORKS)
        raise InputError(f"NETWORK: must be an .onnx file, gemm:MxKxN or {known}, not {source!r}")
    from pulsarray.compiler.onnx_import import import_onnx

    graph = import_onnx(path)
    return compile_network(graph, config, batch=batch, calibration=data, name=path.stem)


def _only_array(path: Path) -> npt.NDArray[np.generic]:
    arrays = load_arrays(path)
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise InputError(f"{path}: must hold one array of samples, not {len(arrays)} ({names})")
    return next(iter(arrays.values()))


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; numbers only.

    Raises
    ------
    InputError
        If it is unreadable, not an ``.npz``, or holds something else than numbers.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path}: not an .npz file; write it with numpy.savez")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{path}: damaged or not an .npz of numbers: {error}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = getattr(array, "dtype", "bytes")
            raise InputError(f"{path}: array {name!r} must hold numbers, not {kind}")
    return arrays
