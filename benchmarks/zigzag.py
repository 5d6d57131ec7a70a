"""ZigZag on a matrix product, in a virtual environment of its own: 16 x 16, weights stationary."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.environment import environment

__all__ = ["VERSION", "cycles"]

VERSION = "3.9.1"
PACKAGES = (f"zigzag-dse=={VERSION}", "six")

_DIM = 16
_WORD = 8 * _DIM
_BOTH = ("fh", "tl", "fl", "th")
_LEVELS: dict[str, tuple[int, int, dict[str, tuple[str, ...]]]] = {
    "weights": (8, 8, {"I2": ("fh", "tl")}),
    "sums": (32, 32, {"O": _BOTH}),
    "banks": (1 << 21, _WORD, {"I1": ("fh", "tl")}),
    "accumulators": (1 << 20, 4 * _WORD, {"O": _BOTH}),
    "dram": (10**10, _WORD, {"I1": ("fh", "tl"), "I2": ("fh", "tl"), "O": _BOTH}),
}
"""Memories from the inside: bits, bits a cycle of a port, directions of each operand."""
_INSIDE = ("weights", "sums")
"""Memories that every multiplier has, with a port for each direction."""

_RUN = """\
from zigzag import api
energy, latency, _ = api.get_hardware_performance_zigzag(
    "workload.yaml", "accelerator.yaml", "mapping.yaml", opt="latency")
print("cycles", latency)
"""


def cycles(m: int, k: int, n: int) -> int:
    """Its analytical latency for a product, memory as wide as a word.

    Raises
    ------
    subprocess.CalledProcessError
        If ZigZag cannot be had, or fails.
    """
    python = environment(f"zigzag-{VERSION}", PACKAGES) / "python"
    with tempfile.TemporaryDirectory(prefix="pulsarray-zigzag-") as name:
        folder = Path(name)
        (folder / "workload.yaml").write_text(_workload(m, k, n), encoding="utf-8")
        (folder / "accelerator.yaml").write_text(_accelerator(), encoding="utf-8")
        (folder / "mapping.yaml").write_text(_mapping(), encoding="utf-8")
        done = subprocess.run(
            [python, "-c", _RUN], cwd=folder, check=True, capture_output=True, text=True
        )
    (line,) = (x for x in done.stdout.splitlines() if x.startswith("cycles "))
    return round(float(line.split()[1]))


def _workload(m: int, k: int, n: int) -> str:
    return f"""\
- id: 0
  operator_type: Gemm
  equation: O[b][k]+=I[b][c]*W[c][k]
  dimension_relations: []
  loop_dims: [B, C, K]
  loop_sizes: [{m}, {k}, {n}]
  operand_precision: {{W: 8, I: 8, O: 32, O_final: 8}}
  operand_source: {{I: 0, W: 0}}
"""


def _mapping() -> str:
    return f"""\
- name: default
  spatial_mapping:
    D1: ["K, {_DIM}"]
    D2: ["C, {_DIM}"]
  memory_operand_links: {{O: O, W: I2, I: I1}}
"""


def _accelerator() -> str:
    memories = "".join(_memory(name, *level) for name, level in _LEVELS.items())
    return f"""\
name: array
memories:
{memories}operational_array:
  unit_energy: 0.1
  unit_area: 1
  dimensions: [D1, D2]
  sizes: [{_DIM}, {_DIM}]
"""


def _memory(name: str, bits: int, width: int, operands: dict[str, tuple[str, ...]]) -> str:
    uses = [(operand, way) for operand, ways in operands.items() for way in ways]
    ports = {
        "read": [use for use in uses if use[1][0] == "t"],
        "write": [use for use in uses if use[1][0] == "f"],
    }
    split = [(kind, [use]) for kind, several in ports.items() for use in several]
    lines = "".join(
        _port(f"{kind[0]}_port_{number}", kind, width, several)
        for number, (kind, several) in enumerate(split if name in _INSIDE else ports.items(), 1)
    )
    return f"""\
  {name}:
    size: {bits}
    r_cost: 1
    w_cost: 1
    area: 0
    latency: 1
    operands: [{", ".join(operands)}]
    ports:
{lines}    served_dimensions: [{"" if name in _INSIDE else "D1, D2"}]
"""


def _port(name: str, kind: str, width: int, uses: list[tuple[str, str]]) -> str:
    allocation = ", ".join(f'"{operand}, {way}"' for operand, way in uses)
    return f"""\
      - name: {name}
        type: {kind}
        bandwidth_min: {width}
        bandwidth_max: {width}
        allocation: [{allocation}]
"""
