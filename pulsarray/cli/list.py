"""``pulsarray list``: what has a name."""

from __future__ import annotations

from pulsarray.api.names import catalogue
from pulsarray.cli.options import JsonOption
from pulsarray.cli.output import print_json, show

__all__ = ["list_"]


def list_(as_json: JsonOption = False) -> None:
    """Print built-in networks, workloads to train, and presets of machines.

    For example:

      pulsarray list

      pulsarray list --json
    """
    everything = catalogue()
    if as_json:
        print_json(everything.to_dict())
    else:
        show(everything)
