"""Two networks trained against each other on the machine, beside the same training in float64.

The generator makes pictures of digits from noise, the discriminator tells them from real ones. On a
simulator every run is compared with the model. Writes losses and pictures as a page.

    .venv/bin/python examples/adversarial.py --on verilator --rounds 300 --page adversarial.html
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from plotly import graph_objects
from plotly.subplots import make_subplots
from rich.progress import Progress

from pulsarray.config import PRESETS
from pulsarray.sim.device import PLACES, Device
from pulsarray.trainer.adversarial import Adversaries
from pulsarray.zoo.adversarial import FloatAdversaries, networks, noise
from pulsarray.zoo.workloads import digits_8x8

BATCH, RATE, MOMENTUM = 16, 0.05, 0.5
COLUMNS, SIDE = 8, 8
SHADES = " .:-=+*#%@"


def page(losses: npt.NDArray[np.float64], pictures: npt.NDArray[np.float64]) -> str:
    """Curves of the losses and a grid of pictures."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("losses", "made by the generator"))
    names = ("discriminator", "generator", "discriminator, float64", "generator, float64")
    window = np.ones(25) / 25
    for values, name in zip(losses.T, names, strict=True):
        smooth = np.convolve(values, window, "valid") if len(values) > 50 else values
        figure.add_scatter(y=smooth, name=name, row=1, col=1)
    count = len(pictures) // COLUMNS
    grid = pictures.reshape(count, COLUMNS, SIDE, SIDE).swapaxes(1, 2)
    grid = grid.reshape(count * SIDE, COLUMNS * SIDE)[::-1]
    figure.add_trace(graph_objects.Heatmap(z=grid, colorscale="gray", showscale=False), 1, 2)
    figure.update_layout(title="Adversarial training on digits of 8 x 8 pixels")
    return str(figure.to_html(include_plotlyjs=True))


def main() -> None:
    """Train, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=PLACES, default="model")
    parser.add_argument("--rounds", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="page to write, .html")
    options = parser.parse_args()
    images, _ = digits_8x8()
    adversaries = networks(options.seed, MOMENTUM)
    reference, random = FloatAdversaries(adversaries, RATE), np.random.default_rng(options.seed)
    losses, cycles = [], 0
    with Device(options.on, check=options.on != "model") as device, Progress() as progress:
        learned = Adversaries(
            adversaries, PRESETS["train-small"], device,
            batch=BATCH, learning_rate=RATE, pictures=images,
        )  # fmt: skip
        for _ in progress.track(range(options.rounds), description=f"training on {options.on}"):
            real = images[random.integers(0, len(images), BATCH)]
            first, second = noise(random, BATCH), noise(random, BATCH)
            now = learned.round(real, first, second)
            beside = reference.step(real, first, second)
            losses.append((now.discriminator, now.generator, *beside))
            cycles += now.cycles
        pictures = learned.pictures(np.random.default_rng(options.seed), 4 * COLUMNS)
    table = np.array(losses)
    last = table[-min(100, len(table)) :].mean(axis=0)
    print(f"{options.rounds} rounds on {options.on}, {cycles // options.rounds:,} cycles each")
    print(f"mean losses at the end: discriminator {last[0]:.3f}, generator {last[1]:.3f}")
    print(f"the same in float64:    discriminator {last[2]:.3f}, generator {last[3]:.3f}")
    for row in range(SIDE):
        lines = pictures[:COLUMNS].reshape(COLUMNS, SIDE, SIDE)[:, row]
        print("  ".join("".join(SHADES[int(v * 9.99)] for v in line) for line in lines))
    if options.page is not None:
        options.page.write_text(page(table, pictures), encoding="utf-8")


if __name__ == "__main__":
    main()
