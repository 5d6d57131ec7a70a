"""Random quantized ONNX graphs against onnxruntime without optimizations. Exit 1 on a wrong code.

``python benchmarks/random_qdq.py --cases 5000`` judges each quantizer's codes, those computed here
and onnxruntime's, against the real values in exact arithmetic: a code is right if it is the nearest
one; it is explained by float32 if the real value lies beyond its half step by less than float32
arithmetic can be off. ``--model 200`` also compiles the first of them and compares the functional
model's memory with the integers.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import track

from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.sim.random.judged_qdq import Verdict, judge, model_differences
from pulsarray.sim.random.qdq import draw_qdq


def judged(seed: int) -> Verdict:
    """The verdict on the case of a seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return judge(draw_qdq(seed))


def on_model(seed: int) -> list[str]:
    """What the functional model does differently from the integers."""
    try:
        return model_differences(draw_qdq(seed), PRESETS["small"])
    except InputError as error:
        return [f"refused: {error}"]


def kind_of(reason: str) -> str:
    """A refusal without names and numbers."""
    return re.sub(r"'?\bn?_?v\d+\b'?", "V", re.sub(r"-?\b\d[\d.e+-]*", "N", reason))


def show(verdicts: dict[int, Verdict], console: Console) -> int:
    """The counts; how many cases are wrong."""
    taken = [verdict for verdict in verdicts.values() if not verdict.refused]
    for name in ("integers", "runtime"):
        parts = [getattr(verdict, name) for verdict in taken]
        console.print(
            f"{name}: {sum(part.codes for part in parts):,} codes, "
            f"{sum(part.beside for part in parts):,} not the nearest code, by at most "
            f"{max((part.farthest for part in parts), default=0):.2g} beyond its half step"
        )
    results = sum(verdict.results for verdict in taken)
    different = sum(verdict.different for verdict in taken)
    console.print(f"{different:,} of {results:,} results differ between the two")
    refusals = Counter(kind_of(v.refused) for v in verdicts.values() if v.refused)
    for reason, count in refusals.most_common():
        console.print(f"refused {count}: {reason}", highlight=False)
    wrong = {seed: verdict for seed, verdict in verdicts.items() if verdict.wrong}
    for seed, verdict in wrong.items():
        console.print(f"seed {seed}:", *verdict.wrong, sep="\n  ", highlight=False)
    console.print(f"{len(verdicts)} graphs: {len(taken)} taken, {len(wrong)} wrong")
    return len(wrong)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="graphs")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first graph")
    parser.add_argument("--model", type=int, default=0, help="graphs on the functional model")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    console = Console(width=120)
    seeds = range(options.seed, options.seed + options.cases)
    console.print(f"seeds {seeds.start} to {seeds.stop - 1}")
    with ProcessPoolExecutor(options.jobs) as pool:
        judgements = pool.map(judged, seeds, chunksize=16)
        verdicts = dict(
            zip(seeds, track(judgements, total=len(seeds), console=console), strict=True)
        )
        taken = [seed for seed in seeds if not verdicts[seed].refused][: options.model]
        texts = dict(zip(taken, pool.map(on_model, taken, chunksize=4), strict=True))
    wrong = show(verdicts, console)
    for seed, differences in texts.items():
        if differences:
            console.print(f"seed {seed} on the model:", *differences, sep="\n  ", highlight=False)
    if texts:
        console.print(f"{len(texts)} on the model, {sum(map(bool, texts.values()))} different")
    return 1 if wrong or any(texts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
