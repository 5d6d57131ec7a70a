"""Proves the control blocks: ``python -m proofs.formal``. Exit code 1 if something is not proven.

--only     blocks whose name holds this; may be repeated
--faults   also plant every fault, which the proof must find
--jobs     proofs at a time
--table    print what is proven as a table, and prove nothing
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from proofs.catalogue import all_proofs, first_of_each
from proofs.prover import Fault, Proof, prove
from pulsarray.errors import CheckFailed

__all__ = ["main", "table"]


def _tasks(only: list[str], *, faults: bool) -> Iterator[tuple[Proof, Fault | None]]:
    for proof in all_proofs():
        if not only or any(part in proof.name for part in only):
            yield proof, None
    for name, proof in first_of_each().items():
        if faults and (not only or any(part in name for part in only)):
            yield from ((proof, fault) for fault in proof.faults)


def _report(task: tuple[Proof, Fault | None]) -> tuple[bool, str]:
    """Whether all is as it should be, and a line."""
    proof, fault = task
    what = f"{proof.name} ({proof.variant})"
    start = time.monotonic()
    try:
        said = prove(proof, proof.with_fault(fault) if fault else None)
    except CheckFailed as error:
        return False, f"{what}: {error}"
    seconds = f"{time.monotonic() - start:.0f} s"
    if fault:
        return bool(said), f"{what}: {fault.what}: {'found' if said else 'NOT FOUND'}, {seconds}"
    return not said, f"{what}: {said or f'proven, depth {proof.depth}'}, {seconds}"


def table() -> str:
    """What is proven, in Markdown: the table of docs/verification.md."""
    rows = [
        "| block | proven for | depth | what is proven | faults that it finds |",
        "|---|---|---|---|---|",
    ]
    for name, first in first_of_each().items():
        alike = [proof for proof in all_proofs() if proof.name == name]
        variants = ", ".join(proof.variant for proof in alike)
        depth = max(proof.depth for proof in alike)
        faults = "; ".join(fault.what for fault in first.faults)
        rows.append(f"| {name} | {variants} | {depth} | {first.claim} | {faults} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Prove, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table(), end="")
        return 0
    failed = total = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for good, line in pool.map(_report, _tasks(options.only, faults=options.faults)):
            print(line, flush=True)
            failed += not good
            total += 1
    print(f"{total - failed} of {total} as they should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
