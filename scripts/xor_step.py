"""One training step of XOR from a run: its page and picture in docs/ (written by make_docs.py)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsarray.api.task import Given, task_of
from pulsarray.compiler.training.state import TrainState, real_masters
from pulsarray.compiler.training.train import Training, compile_training
from pulsarray.config import load_config
from pulsarray.isa import Unit
from pulsarray.program import Program
from pulsarray.report.timeline import Span, spans
from pulsarray.run import RunResult
from pulsarray.sim.device import Device
from pulsarray.trainer.setup import Options, scheduled
from pulsarray.trainer.trainer import Trainer

__all__ = ["Step", "page", "picture", "run_step"]

_WIDTH, _LANE, _LEFT, _TOP = 1000, 46, 84, 34
_COLOURS = {
    "forward": "#2a6fb5",
    "backward": "#8e44ad",
    "input gradient": "#c77b1f",
    "weight gradient": "#b5475f",
    "update": "#2e8b57",
    "wait": "#d5dadf",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of training as it ran.

    Parameters
    ----------
    training, program, result
        What ran, and what came of it.
    sample, target, output
        What was learned, and what the network answered before.
    before, after
        What training keeps, before the step and after it.
    """

    training: Training
    program: Program
    result: RunResult
    sample: list[float]
    target: float
    output: float
    before: TrainState
    after: TrainState


class _First(Trainer):
    """A training of one step, which notes what is around it."""

    def _run_step(self, rows: Any, steps: int) -> None:
        if self.recorded:
            return
        self.rows, self.before = rows, self.state.copy()
        self.answer = float(self.outputs(self._data.inputs[rows])[0, 0])
        super()._run_step(rows, steps)
        self.after = self.state.copy()


def run_step(on: str = "model") -> Step:
    """The first step of ``pulsarray train xor``; on a simulator it is compared with the model."""
    task = task_of(Given(network="xor", epochs=1))
    training = compile_training(task.network, load_config("train-small"), batch=task.batch)
    rates = scheduled("constant", task.learning_rate, 1)
    options = Options(epochs=1, rates=rates, recorded_step=1)
    with Device(on, check=on != "model") as device:
        trainer = _First(training, device, task.data, options)
        trainer.run()
    (job, result), *_ = trainer.recorded
    row = trainer.rows[0]
    return Step(
        training=training,
        program=job.program,
        result=result,
        sample=[float(x) for x in task.data.inputs[row]],
        target=float(task.data.targets[row].reshape(-1)[0]),
        output=trainer.answer,
        before=trainer.before,
        after=trainer.after,
    )


def picture(step: Step) -> str:
    """An SVG: a lane for each unit, a colour for each phase, waits in grey."""
    cycles = step.result.cycles
    scale = (_WIDTH - _LEFT - 16) / cycles
    bottom = _TOP + _LANE * len(Unit)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 64}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img" '
        'aria-label="When each unit worked in one training step of XOR">',
        f'<rect width="{_WIDTH}" height="{bottom + 64}" fill="white"/>',
    ]
    for cycle in range(0, cycles, 100):
        x = _LEFT + cycle * scale
        parts.append(f'<path d="M{x:.1f} {_TOP - 8}V{bottom}" stroke="#e3e7eb"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle">{cycle}</text>')
    for unit in Unit:
        y = _TOP + _LANE * unit + _LANE / 2 + 5
        parts.append(f'<text x="{_LEFT - 10}" y="{y:.0f}" text-anchor="end">{unit.name}</text>')
    parts += [_bar(span, scale) for span in spans(step.program, step.result)]
    parts += _legend(bottom + 40)
    return "\n".join([*parts, "</svg>"])


def _bar(span: Span, scale: float) -> str:
    kind = "wait" if span.waits else span.phase
    x, width = _LEFT + span.first * scale, max((span.after - span.first) * scale, 0.8)
    high = 10 if span.waits else 30
    y = _TOP + _LANE * Unit[span.unit] + (_LANE - high) / 2
    about = f"{span.index}: {span.text.partition(' ')[0]} {span.layer}, {kind}"
    cycles = f"cycles {span.first} to {span.after - 1}"
    waits = f", for {span.waits}" if span.waits else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{high}" '
        f'fill="{_COLOURS[kind]}"><title>{html.escape(f"{about}{waits}, {cycles}")}</title></rect>'
    )


def _legend(y: int) -> Iterator[str]:
    x = _LEFT
    for name, colour in _COLOURS.items():
        yield f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="{y}">{name}</text>'
        x += 44 + 8 * len(name)


def page(step: Step) -> list[str]:
    """The page in Markdown."""
    work = [span for span in spans(step.program, step.result) if not span.waits]
    rows = (_row(span) for span in sorted(work, key=lambda span: span.index))
    figures = {**_of_run(step), **_of_work(work), **_of_bias(step), "rows": "\n".join(rows)}
    text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    return text.format(**figures).splitlines()


def _of_run(step: Step) -> dict[str, Any]:
    return {
        "sample": "(" + ", ".join(f"{value:g}" for value in step.sample) + ")",
        "target": step.target,
        "output": step.output,
        "loss": (step.output - step.target) ** 2,
        "instructions": len(step.program.instructions),
        "products": sum(layer.macs for layer in step.program.layers),
        "cycles": step.result.cycles,
        "dim": step.program.config.dim,
    }


def _of_work(work: list[Span]) -> dict[str, Any]:
    lanes = {name: [x for x in work if x.phase == name and x.unit == "STREAM"] for name in _COLOURS}
    forward, weights = lanes["forward"], lanes["weight gradient"]
    return {
        "fc1": forward[0].first,
        "fc2": forward[-1].complete,
        "inputs": len(lanes["input gradient"]),
        "weights": len(weights),
        "dw": weights[0].first,
        "dw_end": weights[-1].complete,
        "vectors": sum(x.phase == "update" and "SUB_AFTER" in x.text for x in work),
    }


def _of_bias(step: Step) -> dict[str, Any]:
    before, after = (
        float(real_masters(x)["fc2.bias"].reshape(-1)[0]) for x in (step.before, step.after)
    )
    error = (step.output - step.target) * step.output * (1 - step.output)
    rate = step.before.learning_rate
    wanted = before - rate * error
    return {"before": before, "after": after, "error": error, "rate": rate, "wanted": wanted}


def _row(span: Span) -> str:
    cycles, opcode = f"{span.first} to {span.complete}", f"`{span.text.partition(' ')[0]}`"
    cells = (str(span.index), cycles, span.unit, opcode, span.layer, span.phase, span.tensor)
    return f"| {' | '.join(cells)} |"
