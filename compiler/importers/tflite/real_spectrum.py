"""Spectra in TensorFlow Lite files: products with cosines and sines; a complex value is two."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.importers.tflite.real_products import rows_times
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.power import Root
from pulsarray.compiler.ops.square import Square
from pulsarray.errors import InputError

__all__ = ["cast", "imaginary", "magnitude", "real_part", "spectrum"]


def spectrum(network: RealNetwork, operator: Operator) -> tuple[Value, Value]:
    """RFFT2D of single rows: real part and imaginary part."""
    value, lengths = network.value(operator), network.integers(operator, 1, "lengths")
    width = value.shape[-1]
    if len(lengths) != 2 or lengths[0] != 1 or (len(value.shape) > 1 and value.shape[-2] != 1):
        raise InputError(f"must be of one row each, not of {value.shape} with lengths {lengths}")
    if not 1 <= lengths[1] <= 1 << 14:
        raise InputError(f"a length of {lengths[1]} is not possible")
    network.spend(width * (lengths[1] // 2 + 1) * 2)
    places, numbers = np.arange(width), np.arange(lengths[1] // 2 + 1)
    angles = 2.0 * np.pi * (np.outer(places, numbers) % lengths[1]) / lengths[1]
    inside = (places < lengths[1])[:, None]  # A longer row is cut, a shorter one has zeros behind.
    parts = [rows_times(network, operator, value, part * inside, None)
             for part in (np.cos(angles), -np.sin(angles))]  # fmt: skip
    return parts[0], parts[1]


def cast(network: RealNetwork, operator: Operator) -> Value:
    """CAST among real numbers and truth values, and of the real part of complex ones."""
    return network.value(operator)


real_part = cast
"""REAL."""


def imaginary(network: RealNetwork, operator: Operator) -> Value:
    """IMAG."""
    index = network.tensor(operator, 0).index
    if index not in network.imaginary:
        raise InputError("needs complex numbers")
    return network.draft.values[network.imaginary[index]]


def magnitude(network: RealNetwork, operator: Operator) -> Value:
    """COMPLEX_ABS: the root of the sum of both squares."""
    parts = [network.step(operator, Square(), part)
             for part in (network.value(operator), imaginary(network, operator))]  # fmt: skip
    return network.step(operator, Root(), network.step(operator, Add(), *parts))
