"""Feature maps as a host has them, and as matrices that tensors in memory hold."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.affine import encode
from pulsarray.errors import InputError
from pulsarray.program import Tensor

__all__ = ["from_matrix", "host_shape", "to_matrix"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def host_shape(tensor: Tensor) -> tuple[int, ...]:
    """Shape of the whole tensor as a host gives or takes it, samples first."""
    samples = tensor.rows // _pixels(tensor) if tensor.image else tensor.rows
    sample = tensor.view.shape if tensor.view else tensor.image or (tensor.columns,)
    return samples, *sample


def to_matrix(values: npt.NDArray[Any], tensor: Tensor, where: str) -> Ints:
    """Codes of images, in the host's shape or (samples, elements), as the tensor's matrix.

    Raises
    ------
    InputError
        If the shape is another one.
    """
    shape = host_shape(tensor)
    if values.shape not in (shape, (shape[0], prod(shape[1:]))):
        raise InputError(f"{where}: shape must be {shape}, not {values.shape}")
    stored = values.astype(np.int64)
    if tensor.view:
        stored = tensor.view.from_host(stored)
        if tensor.view.kinds:
            stored = encode(np.array([0.0, 1.0]), tensor.scale, tensor.zero_point)[stored]
    if tensor.window:
        stored = _windows(stored.reshape(len(stored), *tensor.image), tensor)
    return stored.reshape(tensor.rows, tensor.columns)


def from_matrix(matrix: Array, tensor: Tensor) -> Array:
    """Samples, in the host's shape, from the tensor's matrix (which is not packed)."""
    shape = host_shape(tensor)
    if tensor.view:
        return tensor.view.to_host(matrix.reshape(shape[0], -1))
    return matrix.reshape(shape)


def _pixels(tensor: Tensor) -> int:
    """Rows of the matrix that belong to one image."""
    height, width, _ = tensor.image
    if not tensor.window:
        return height * width
    kh, kw, sy, sx, top, left, bottom, right, dy, dx = tensor.window
    rows = (height + top + bottom - (kh - 1) * dy - 1) // sy + 1
    return rows * ((width + left + right - (kw - 1) * dx - 1) // sx + 1)


def _windows(images: Ints, tensor: Tensor) -> Ints:
    """Every window of the packed convolution, zero points around: (samples, H', W', kh, kw, C)."""
    kh, kw, sy, sx, top, left, bottom, right, dy, dx = tensor.window
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = np.pad(images, border, constant_values=tensor.zero_point)
    extent = ((kh - 1) * dy + 1, (kw - 1) * dx + 1)
    seen = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    return np.asarray(seen[:, ::sy, ::sx, :, ::dy, ::dx].transpose(0, 1, 2, 4, 5, 3))
