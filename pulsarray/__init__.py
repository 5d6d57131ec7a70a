"""Pulsarray: a systolic-array accelerator in RTL with a golden model exact to bit and cycle.

For example::

    import pulsarray as pa

    network = pa.load("net.onnx").quantize(samples)
    program = network.compile("base", batch=4, dim=32)
    print(program.estimate())
    answers = program.run(images, on="verilator").output

What is named here is imported when it is first used, so that the import itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulsarray.api import (
        Catalogue,
        Compiled,
        Inspected,
        Network,
        Report,
        Run,
        Sweep,
        Trained,
        catalogue,
        estimate_training,
        inspect,
        load,
        sweep,
        train,
    )
    from pulsarray.config import PRESETS, Config, load_config
    from pulsarray.errors import PulsarrayError

__all__ = [
    "PRESETS",
    "Catalogue",
    "Compiled",
    "Config",
    "Inspected",
    "Network",
    "PulsarrayError",
    "Report",
    "Run",
    "Sweep",
    "Trained",
    "__version__",
    "catalogue",
    "estimate_training",
    "inspect",
    "load",
    "load_config",
    "sweep",
    "train",
]

__version__ = "0.1.0"
"""Version of the package; the programming interface has its own in :mod:`pulsarray.registers`."""

_CORE = {
    "PRESETS": "config",
    "Config": "config",
    "PulsarrayError": "errors",
    "load_config": "config",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_CORE.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
