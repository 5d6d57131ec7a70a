"""What ``import pulsarray`` gives: from a network or a training to programs, runs and reports.

What is named here is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulsarray.api.compiled import Compiled
    from pulsarray.api.inspecting import Inspected, inspect
    from pulsarray.api.names import Catalogue, catalogue
    from pulsarray.api.network import Network, load
    from pulsarray.api.report import Report
    from pulsarray.api.running import Run
    from pulsarray.api.step import estimate_training
    from pulsarray.api.sweeps.designs import Sweep
    from pulsarray.api.sweeps.run import sweep
    from pulsarray.api.training import Trained, train

__all__ = [
    "Catalogue",
    "Compiled",
    "Inspected",
    "Network",
    "Report",
    "Run",
    "Sweep",
    "Trained",
    "catalogue",
    "estimate_training",
    "inspect",
    "load",
    "sweep",
    "train",
]

_HOMES = {
    "Sweep": "sweeps.designs",
    "sweep": "sweeps.run",
    "Catalogue": "names",
    "catalogue": "names",
    "estimate_training": "step",
    "Compiled": "compiled",
    "Inspected": "inspecting",
    "Network": "network",
    "Report": "report",
    "Run": "running",
    "Trained": "training",
    "inspect": "inspecting",
    "load": "network",
    "train": "training",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
