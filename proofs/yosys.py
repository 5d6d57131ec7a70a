"""What Yosys does for a comparison: it reads both texts, and proves pairs of modules equal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pulsarray.synth.tools import find_yosys, run_tool

__all__ = ["SIDES", "read", "solve"]

SIDES = ("plain", "rewritten")
_READ = """\
read_verilog -lib ready.v
read_verilog {side}.v
proc -norom
memory_collect
opt_clean
write_json {side}.json
design -reset
"""
_PROVE = """\
log PAIR {name}
miter -equiv -make_outcmp -flatten plain.{name} rewritten.{name} miter.{name}
cd miter.{name}
opt_merge
opt_expr
opt_clean
opt_merge
opt_clean
sat -timeout {timeout} -prove trigger 0 -show-outputs
cd ..
"""
_TIMEOUT = 600
_PROVEN = "SAT proof finished - no model found: SUCCESS!"
_DIFFERS = "SAT proof finished - model found: FAIL!"
_DIFFERENT = re.compile(r"^\s+\\cmp_(\S+)\s+0\s", re.MULTILINE)


def read(folder: Path, ready: str, plain: Iterable[str], rewritten: Iterable[str]) -> list[Any]:
    """Modules by name, of both texts.

    Parameters
    ----------
    folder
        Where Yosys works.
    ready
        Modules that both texts use.

    Raises
    ------
    CheckFailed
        If Yosys cannot read one of them.
    """
    (folder / "ready.v").write_text(ready, encoding="utf-8")
    for side, text in zip(SIDES, (plain, rewritten), strict=True):
        (folder / f"{side}.v").write_text("\n".join(text), encoding="utf-8")
    _run(folder, "read", "".join(_READ.format(side=side) for side in SIDES))
    files = [(folder / f"{side}.json").read_text(encoding="utf-8") for side in SIDES]
    return [json.loads(text)["modules"] for text in files]


def solve(folder: Path, pairs: Mapping[str, Sequence[Any]], jobs: int) -> dict[str, str]:
    """Why pairs of modules are not equal, by name; the others are.

    Parameters
    ----------
    pairs
        Modules of Yosys' JSON.
    jobs
        Processes.
    """
    modules = {f"{s}.{n}": m for n, both in pairs.items() for s, m in zip(SIDES, both, strict=True)}
    text = json.dumps({"creator": "", "modules": modules})
    (folder / "pairs.json").write_text(text, encoding="utf-8")
    shares = [share for start in range(jobs) if (share := list(pairs)[start::jobs])]

    def prove(number: int) -> str:
        proofs = [_PROVE.format(name=name, timeout=_TIMEOUT) for name in shares[number]]
        return _run(folder, f"prove{number}", "".join(["read_json pairs.json\n", *proofs]))

    with ThreadPoolExecutor(jobs) as pool:
        logs = list(pool.map(prove, range(len(shares))))
    parts = [part for log in logs for part in log.split("\nPAIR ")[1:]]
    said = {part.split(maxsplit=1)[0]: part for part in parts}
    return {name: fault for name in pairs if (fault := _fault(said[name]))}


def _run(folder: Path, name: str, script: str) -> str:
    (folder / f"{name}.ys").write_text(script, encoding="utf-8")
    arguments = ["-Q", "-T", f"{name}.ys"]
    return run_tool(find_yosys(), arguments, folder, f"{name}.log", lambda _: None)


def _fault(log: str) -> str:
    if _PROVEN in log:
        return ""
    if _DIFFERS in log:
        return "differs in " + ", ".join(_DIFFERENT.findall(log))
    return f"not decided within {_TIMEOUT} s"
