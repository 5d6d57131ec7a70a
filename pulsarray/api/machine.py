"""Which machine is meant: a preset, a file or a configuration, with single settings changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pulsarray.config import Config, load_config

__all__ = ["Machine", "machine_of"]

Machine: TypeAlias = Config | str | Path
"""A configuration, the name of a preset, or a TOML file."""


def machine_of(config: Machine, settings: Mapping[str, int | bool]) -> Config:
    """A machine with some of its parameters changed.

    Parameters
    ----------
    config
        Where to start from.
    settings
        Parameters by name (docs/configuration.md).

    Raises
    ------
    InputError
        If there is no such machine, or a value breaks its rule.
    """
    base = config if isinstance(config, Config) else load_config(str(config))
    return Config.from_dict({**base.to_dict(), **settings}, "settings") if settings else base
