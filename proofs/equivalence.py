"""The Verilog that an engineer reads means what Yosys wrote: proven module by module.

``python -m proofs.equivalence --config tiny`` proves it for every module of a machine by Yosys' own
solver; :mod:`proofs.pair` says what is proven. Exit code 1 for a difference.

--config   preset or file; may be repeated
--only     modules whose name starts so; may be repeated
--jobs     processes of Yosys
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.cut import cut
from proofs.pair import pair
from proofs.yosys import read, solve
from pulsarray.config import load_config
from pulsarray.errors import CheckFailed
from pulsarray.hw.emit import YosysText, machine_text
from pulsarray.hw.verilog.netlist import Netlist
from pulsarray.hw.verilog.tidy import rewritten
from pulsarray.hw.verilog.writer import write

__all__ = ["Verdict", "compare", "prove"]


@dataclass
class Verdict:
    """What is known of a module.

    Members
    -------
    module
        Its name.
    fault
        Why it is not proven; empty if it is.
    registers, compared
        Bits of registers, and bits that are to be equal.
    """

    module: str
    fault: str = ""
    registers: int = 0
    compared: int = 0


def prove(design: YosysText, only: Sequence[str] = (), jobs: int = 1) -> list[Verdict]:
    """Compare a design with what the rewriter makes of it.

    Parameters
    ----------
    only
        How names of modules start; empty for all.
    jobs
        Processes.

    Raises
    ------
    ToolMissing
        If there is no Yosys.
    CheckFailed
        If Yosys cannot read one of the texts.
    """
    return compare(design, rewritten(design.modules, design.top, design.inputs), only, jobs)


def compare(
    design: YosysText, modules: Sequence[Netlist], only: Sequence[str] = (), jobs: int = 1
) -> list[Verdict]:
    """The same, of modules that are rewritten already."""
    pairs: dict[str, Sequence[Any]] = {}
    verdicts: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="pulsarray-proof-") as name:
        folder = Path(name)
        both = read(folder, "\n".join(design.ready), design.modules, map(write, modules))
        for module in modules:
            if module.name.startswith(tuple(only or [""])):
                verdict, sides = _paired(both, module, is_top=module.name == design.top)
                verdicts[module.name] = verdict
                pairs |= {module.name: sides} if sides else {}
        for module_name, fault in solve(folder, pairs, jobs).items():
            verdicts[module_name].fault = fault
    return list(verdicts.values())


def _paired(both: Sequence[Any], module: Netlist, *, is_top: bool) -> tuple[Verdict, Sequence[Any]]:
    """Both sides of a module, or none if they cannot be equal."""
    name = module.name
    try:
        plain, short = (cut(modules, name) for modules in both)
        if is_top and plain.outputs.keys() != short.outputs.keys():
            raise CheckFailed("the top module has other outputs")
        matched = pair(plain, short, module)
    except CheckFailed as error:
        return Verdict(name, str(error)), ()
    verdict = Verdict(name, "", matched.bits_held, matched.bits_compared)
    return verdict, matched.modules(plain, short)


def main() -> int:
    """Prove, and print a line for each module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", action="append", required=True)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    failed = 0
    for name in options.config:
        verdicts = prove(machine_text(load_config(name)), options.only, options.jobs)
        for verdict in verdicts:
            print(f"{name}: {verdict.module}: {verdict.fault or 'equal'}")
        faults = sum(bool(verdict.fault) for verdict in verdicts)
        registers = sum(verdict.registers for verdict in verdicts)
        compared = sum(verdict.compared for verdict in verdicts)
        print(
            f"{name}: {len(verdicts)} modules, {registers} bits of registers, {compared} bits "
            f"compared; {faults} modules not proven"
        )
        failed += faults
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
