"""What the compiler makes of a corpus of networks: bytes of programs, integers, cycles.

``python -m benchmarks.corpus`` compiles every case (random integer networks, perceptrons, products,
training steps, built-in networks; three machines), runs it on the model, and compares it with
benchmarks/corpus.txt: digest of the program's bytes, digest of the integers that it computes, and
its cycles. Every difference is printed by the case's name. A change that only moves code changes
nothing; one that merges two ways of doing something changes bytes, and says so with ``--merge``:
then only other integers, and more than 1 % more cycles of a network or plain product, are faults.

--update   write what was measured into the record
--big      also the networks that take minutes or gigabytes
--only     cases whose name matches, such as ``graph/1*@base``
--try      another constant, such as ``lower.cost._STEP=0``: how thresholds are measured

What has been measured is kept under build/ as long as no source changes, so a run that was stopped
goes on, and ``--update`` after a comparison costs nothing. Exit code 1 for a fault.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.corpus_cases import SEED, Case, all_cases
from pulsarray.errors import InputError
from pulsarray.model.timing import simulate_timing

__all__ = ["Figures", "compared"]

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_name("corpus.txt")
SOURCES = ("pulsarray", "model", "compiler", "sim", "zoo", "benchmarks")
TOLERANCE = 0.01
"""Cycles that a merge may add to a network, as a share."""
JUDGED = ("network/", "gemm/", "onnx/", "workload/")
"""Cases whose cycles are judged by themselves; of random ones only the sum is shown."""
_REFUSED = "refused"


@dataclass(frozen=True)
class Figures:
    """What is known of a case; of one that is refused, ``bytes`` is the digest of the reason."""

    bytes: str
    integers: str
    cycles: int

    @classmethod
    def parse(cls, line: str) -> tuple[str, Figures]:
        """Name and figures of a line of the record."""
        name, program, integers, cycles = line.rsplit(" ", 3)
        return name, cls(program, integers, int(cycles))

    def line(self, name: str) -> str:
        """A line of the record."""
        return f"{name} {self.bytes} {self.integers} {self.cycles}"


def measured(case: Case) -> tuple[str, Figures, str]:
    """Compile, run and time one case: its name, its figures, and why it is refused."""
    with threadpool_limits(1):
        try:
            made = case.make()
        except InputError as error:
            digest = hashlib.sha256(str(error).encode()).hexdigest()[:12]
            return case.name, Figures(digest, _REFUSED, 0), str(error)
        cycles = simulate_timing(made.program).cycles
        return case.name, Figures(made.bytes, made.integers, cycles), ""


def read(path: Path) -> dict[str, Figures]:
    """Figures of every case in a file; none if there is no such file."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(Figures.parse(line) for line in lines if line and not line.startswith("#"))


def write(figures: Mapping[str, Figures]) -> None:
    """The record."""
    head = "# Written by `make corpus ARGS=--update`: case, bytes, integers, cycles."
    lines = [head, *(figure.line(name) for name, figure in sorted(figures.items()))]
    RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


def kept() -> Path:
    """Where figures of exactly these sources are kept."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return ROOT / "build" / f"corpus-{digest.hexdigest()[:12]}.txt"


def change(setting: str) -> None:
    """Set a constant of the compiler, given as ``module.NAME=value``."""
    place, _, value = setting.partition("=")
    module, _, name = place.rpartition(".")
    home = import_module(f"pulsarray.compiler.{module}")
    getattr(home, name)
    setattr(home, name, literal_eval(value))


def measure(cases: Sequence[Case], jobs: int, path: Path) -> dict[str, Figures]:
    """Figures of cases: those kept in a file, and the others on several processes."""
    path.parent.mkdir(exist_ok=True)
    figures = read(path)
    missing = [case for case in cases if case.name not in figures]
    with ProcessPoolExecutor(jobs) as pool, path.open("a") as file:
        waiting = [pool.submit(measured, case) for case in missing]
        for number, done in enumerate(as_completed(waiting), 1):
            name, figure, reason = done.result()
            figures[name] = figure
            print(figure.line(name), file=file, flush=True)
            if reason:
                print(f"{name}: refused: {reason}")
            elif number % 100 == 0:
                print(f"{number} of {len(missing)}", flush=True)
    return {case.name: figures[case.name] for case in cases}


def compared(
    old: Mapping[str, Figures], new: Mapping[str, Figures], *, merge: bool
) -> Iterator[tuple[str, bool]]:
    """Every difference in a line, and whether it is a fault.

    Parameters
    ----------
    old, new
        The record, and what was measured.
    merge
        Whether bytes may change, and cycles within a tolerance.
    """
    for name, figure in new.items():
        before = old.get(name)
        if before is None:
            yield f"{name}: not in the record", True
            continue
        if figure.integers != before.integers:
            yield f"{name}: integers: {before.integers} before, {figure.integers} now", True
        if figure.bytes != before.bytes and not merge:
            yield f"{name}: bytes", True
        if figure.cycles != before.cycles:
            ratio = figure.cycles / max(1, before.cycles) - 1
            text = f"{name}: cycles: {before.cycles:,} before, {figure.cycles:,} now, {ratio:+.2%}"
            judged = name.startswith(JUDGED)
            yield text, not merge or (judged and ratio > TOLERANCE)


def summary(old: Mapping[str, Figures], new: Mapping[str, Figures]) -> Iterator[str]:
    """A line for each kind of case."""
    for kind in dict.fromkeys(name.partition("/")[0] for name in new):
        pairs = [
            (old[name], figure)
            for name, figure in new.items()
            if name.startswith(f"{kind}/") and name in old
        ]
        changed = [
            sum(getattr(a, field) != getattr(b, field) for a, b in pairs)
            for field in ("bytes", "integers", "cycles")
        ]
        before, now = (sum(pair[side].cycles for pair in pairs) for side in (0, 1))
        yield (
            f"{kind}: {len(pairs)} cases; other bytes {changed[0]}, integers {changed[1]}, "
            f"cycles {changed[2]}; all cycles {before:,} before, {now:,} now"
        )


def main() -> int:
    """Measure and compare; 1 for a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the record")
    parser.add_argument("--merge", action="store_true", help="bytes may differ")
    parser.add_argument("--big", action="store_true", help="also large networks")
    parser.add_argument("--only", action="append", default=[], help="pattern of names")
    parser.add_argument("--try", action="append", default=[], dest="tried", help="a constant")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    every = list(all_cases())
    cases = [
        case
        for case in every
        if (options.big or not case.big)
        and (not options.only or any(fnmatch(case.name, pattern) for pattern in options.only))
    ]
    for setting in options.tried:
        change(setting)
    begin = time.perf_counter()
    print(f"seed {SEED}: {len(cases)} cases", flush=True)
    path = Path(os.devnull) if options.tried else kept()
    new, old = measure(cases, options.jobs, path), read(RECORD)
    differences = list(compared(old, new, merge=options.merge))
    for text, _ in differences:
        print(text)
    print(*summary(old, new), sep="\n")
    faults = sum(fault for _, fault in differences)
    print(f"{len(differences)} differences, {faults} faults, {time.perf_counter() - begin:.0f} s")
    if options.update:
        known = old | new
        write({case.name: known[case.name] for case in every if case.name in known})
        return 0
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
