"""The register map for programmers and tools: JSON, SystemRDL, a C header, HTML and IP-XACT."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from pulsarray.config import Config
from pulsarray.handoff.text import rendered
from pulsarray.registers import (
    COUNTERS,
    IDENTITY,
    INTERFACE_VERSION,
    REGISTERS,
    Control,
    ErrorCode,
    Status,
    counter_address,
    counters_of,
    parameter_values,
)

__all__ = ["c_header", "peakrdl_files", "register_map", "system_rdl"]


def register_map() -> dict[str, Any]:
    """Every register and counter with its byte address, and the error codes."""
    return {
        "interface_version": INTERFACE_VERSION,
        "registers": [
            {
                "name": register.name,
                "address": register.address,
                "writable": register.writable,
                "description": register.doc,
            }
            for register in REGISTERS
        ],
        "counters": {name: counter_address(name) for name in COUNTERS},
        "errors": {code.name: int(code) for code in ErrorCode},
    }


def system_rdl(config: Config) -> str:
    """The registers in SystemRDL 2.0; counters only where the machine has them."""
    return rendered(
        "pulsarray.rdl",
        registers=[{"register": r, "value": _fixed(config).get(r.name)} for r in REGISTERS],
        counters=[(name, counter_address(name)) for name in counters_of(config)],
    )


def c_header(config: Config) -> str:
    """Addresses, bits, error codes, and the parameters of one machine as C macros."""
    return rendered(
        "pulsarray_registers.h",
        config=config,
        identity=IDENTITY,
        version=INTERFACE_VERSION,
        registers=REGISTERS,
        bits={"CONTROL": Control, "STATUS": Status},
        errors=ErrorCode,
        counters=[(name, counter_address(name)) for name in counters_of(config)],
        parameters=parameter_values(config),
    )


def peakrdl_files(rdl: str) -> dict[str, bytes]:
    """What PeakRDL makes of the registers, by name; nothing where it is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("peakrdl_html", "peakrdl_ipxact")):
        return {}
    from peakrdl_html import HTMLExporter
    from peakrdl_ipxact import IPXACTExporter
    from systemrdl.compiler import RDLCompiler

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pulsarray.rdl").write_text(rdl, encoding="ascii")
        compiler = RDLCompiler()
        compiler.compile_file(str(folder / "pulsarray.rdl"))
        root = compiler.elaborate()
        IPXACTExporter(vendor="pulsarray", library="ip").export(root, str(folder / "ip.xml"))
        HTMLExporter().export(root, str(folder / "html"))
        pages = {
            f"html/{path.relative_to(folder / 'html')}": path.read_bytes()
            for path in sorted((folder / "html").rglob("*"))
            if path.is_file()
        }
        return {"pulsarray.ipxact.xml": (folder / "ip.xml").read_bytes(), **pages}


def _fixed(config: Config) -> dict[str, int]:
    """Values of the registers that never change."""
    fingerprint = int(config.fingerprint, 16)
    return {
        "ID": IDENTITY,
        "VERSION": INTERFACE_VERSION,
        "FINGERPRINT_LOW": fingerprint & 0xFFFF_FFFF,
        "FINGERPRINT_HIGH": fingerprint >> 32,
        "PARAMETERS": len(parameter_values(config)),
    }
