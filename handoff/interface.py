"""How the machine meets its surroundings: reset, identifiers, addresses, side signals of AXI."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from pulsarray.errors import InputError, did_you_mean

__all__ = ["Interface", "parse_interface"]

_CHOICES = {
    "reset": ("active-low", "active-high"),
    "reset_style": ("synchronous", "asynchronous"),
    "address_bits": (32, 64),
}
_RANGES = {"id_bits": (1, 16), "cache": (0, 15), "prot": (0, 7), "qos": (0, 15), "region": (0, 15)}


@dataclass(frozen=True, kw_only=True)
class Interface:
    """Options of the module ``pulsarray_axi``; no program depends on them.

    Parameters
    ----------
    reset
        ``active-low`` (``aresetn``) or ``active-high`` (``areset``).
    reset_style
        ``synchronous``, or ``asynchronous``: taken at once, left in step with the clock.
    address_bits
        Of memory's addresses, 32 or 64: BASE_ADDRESS_HIGH gives the upper half.
    id_bits
        Of identifiers, 1 to 16; all are 0.
    cache, prot, qos, region
        What those signals say of every burst.

    Raises
    ------
    InputError
        If a value breaks its rule.
    """

    reset: str = "active-low"
    reset_style: str = "synchronous"
    address_bits: int = 32
    id_bits: int = 1
    cache: int = 3
    prot: int = 0
    qos: int = 0
    region: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                rule = " or ".join(map(str, choices))
                raise InputError(f"--interface: {name} must be {rule}, not {getattr(self, name)!r}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"--interface: {name} must be {low} to {high}, not {value!r}")

    @property
    def reset_port(self) -> str:
        """Name of the reset."""
        return "aresetn" if self.reset == "active-low" else "areset"


def parse_interface(items: Sequence[str]) -> Interface:
    """The options that ``key=value`` items give.

    Raises
    ------
    InputError
        If an item is none, its name is unknown, or its value breaks its rule.
    """
    known = [field.name for field in dataclasses.fields(Interface)]
    values: dict[str, str | int] = {}
    for item in items:
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals:
            raise InputError(f"--interface: expected key=value, not {item!r}")
        if name not in known:
            raise InputError(
                f"--interface: unknown option {name!r}; known: {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
        values[name] = int(text) if text.isdecimal() else text
    return Interface(**values)  # type: ignore[arg-type]  # checked where they enter
