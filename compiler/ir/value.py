"""Everything that flows in a network: inputs, constants, parameters, state, results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import REAL, Affine8, Format, Shared16, Wide
from pulsarray.errors import InputError

__all__ = [
    "Array",
    "Floats",
    "Role",
    "Shape",
    "Value",
    "activation",
    "constant",
    "network_input",
    "network_state",
    "parameter",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Shape = tuple[int, ...]


class Role(Enum):
    """What a value is in its network."""

    INPUT = "input"
    CONSTANT = "constant"
    PARAMETER = "parameter"
    """A constant that training changes."""
    STATE = "state"
    """Kept from one run to the next."""
    ACTIVATION = "activation"

    @property
    def is_constant(self) -> bool:
        """Whether it has data of its own, the same for each sample."""
        return self in (Role.CONSTANT, Role.PARAMETER)

    @property
    def is_entry(self) -> bool:
        """Whether operators get samples of it that none of them makes."""
        return self in (Role.INPUT, Role.STATE)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor.

    Parameters
    ----------
    name
        Its name, unique in its graph.
    shape
        Its shape: of one sample, without the batch; of constants and parameters the whole.
    format
        How its numbers are kept.
    role
        What it is in the network.
    data
        Elements of constants and parameters, and what state holds before the first run, the same
        for each sample; None for all others.

    Raises
    ------
    InputError
        If a size is below 1, or there is data where there must be none, or the reverse, or it has
        another shape or is not finite.
    """

    name: str
    shape: Shape
    format: Format = REAL
    role: Role = Role.ACTIVATION
    data: Array | None = None

    def __post_init__(self) -> None:
        if min(self.shape, default=1) < 1:
            raise InputError(f"{self.name}: shape must be positive, not {self.shape}")
        if (self.data is not None) != (self.role.is_constant or self.role is Role.STATE):
            raise InputError(
                f"{self.name}: constants, parameters and state have data, others have none"
            )
        if self.data is not None:
            if self.data.shape != self.shape:
                raise InputError(f"{self.name}: data of shape {self.data.shape}, not {self.shape}")
            if self.data.dtype.kind == "f" and not np.isfinite(self.data).all():
                raise InputError(f"{self.name}: must be finite numbers")

    @property
    def size(self) -> int:
        """Elements of one sample; of constants all."""
        return prod(self.shape)

    @property
    def array(self) -> Array:
        """Data of a constant or parameter.

        Raises
        ------
        InputError
            If it has none.
        """
        if self.data is None or not self.role.is_constant:
            raise InputError(f"{self.name}: must be a constant, not one of kind {self.role.value}")
        return self.data

    @property
    def codes(self) -> Affine8:
        """Its format where that is int8 codes.

        Raises
        ------
        InputError
            If it has another format.
        """
        if not isinstance(self.format, Affine8):
            raise InputError(f"{self.name}: must be int8 codes, not {self.format}")
        return self.format

    @property
    def scale(self) -> str:
        """Name of its shared exponent, or of that which its guard bits are below; empty if none."""
        if isinstance(self.format, Wide):
            return self.format.guards
        return self.format.name if isinstance(self.format, Shared16) else ""

    @property
    def has_mantissas(self) -> bool:
        """Whether it is kept in 16 bits with a shared exponent."""
        return isinstance(self.format, Shared16)


def network_input(name: str, shape: Shape, form: Format = REAL) -> Value:
    """An input."""
    return Value(name, shape, form, Role.INPUT)


def network_state(name: str, first: Array, form: Format = REAL) -> Value:
    """State, with what it holds of each sample before the first run."""
    return Value(name, first.shape, form, Role.STATE, first)


def constant(name: str, data: Array, form: Format = REAL) -> Value:
    """A constant."""
    return Value(name, data.shape, form, Role.CONSTANT, data)


def parameter(name: str, data: Array, form: Format = REAL) -> Value:
    """What training changes."""
    return Value(name, data.shape, form, Role.PARAMETER, data)


def activation(name: str, shape: Shape, form: Format = REAL) -> Value:
    """The result of an operator."""
    return Value(name, shape, form)
