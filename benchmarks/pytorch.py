"""PyTorch modules by ``torch.onnx.export``, classic and dynamo, compared with PyTorch.

``python benchmarks/pytorch.py write FOLDER`` exports every module both ways, with inputs and what
PyTorch makes of them; it needs torch and onnxscript, not this package. ``python -m
benchmarks.pytorch check FOLDER`` imports each file, computes it in floating point (1e-4 of the
largest value), and compiles it for ``base``. Exit 1 if one is wrong or refused.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 4


def modules() -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Modules by name, with the shape of a sample."""
    from torch import nn  # type: ignore[import-not-found,unused-ignore]

    class Residual(nn.Module):  # type: ignore[misc,unused-ignore]
        """Two convolutions around which the input goes, and a gate for each channel."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(8)
            self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.SiLU(), nn.Conv2d(2, 8, 1),
                nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            made = self.second(nn.functional.relu6(self.norm(self.first(x))))
            return x + made * self.gate(made)

    class Tokens(nn.Module):  # type: ignore[misc,unused-ignore]
        """Attention and a feed-forward layer of a transformer, by hand."""

        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(16), nn.LayerNorm(16)])
            self.three = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)])
            self.feed = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

        def forward(self, x: Any) -> Any:
            query, key, value = (layer(self.norms[0](x)) for layer in self.three)
            weights = (query @ key.transpose(-2, -1) / 4.0).softmax(dim=-1)
            x = x + weights @ value
            return x + self.feed(self.norms[1](x))

    class Moves(nn.Module):  # type: ignore[misc,unused-ignore]
        """Pixels and channels that change places, cuts, joins and padding."""

        def forward(self, x: Any) -> Any:
            from torch import cat, roll

            first, second = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect").chunk(2, dim=1)
            joined = cat([first.flip(3), roll(second, 1, 2)], dim=1)
            blocks = nn.functional.pixel_unshuffle(joined, 2)
            return blocks.permute(0, 2, 3, 1).flatten(1, 2).amax(dim=1)

    images = (8, 10, 10)
    return {
        "mlp": (nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 5)), (20,)),
        "classes": (nn.Sequential(nn.Flatten(), nn.Linear(800, 5), nn.Softmax(dim=-1)), images),
        "residual": (Residual(), images),
        "tokens": (Tokens(), (6, 16)),
        "moves": (Moves(), images),
        "norms": (nn.Sequential(nn.GroupNorm(2, 8), nn.ReLU(), nn.InstanceNorm2d(8)), (8, 4, 4)),
        "up": (
            nn.Sequential(
                nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Hardswish(), nn.MaxPool2d(3, 2, 1),
                nn.LeakyReLU(0.1), nn.Upsample(scale_factor=2.0), nn.Mish(),
            ),
            images,
        ),
        "line": (
            nn.Sequential(nn.Conv1d(8, 4, 5, padding=2), nn.ELU(), nn.AvgPool1d(2), nn.Flatten()),
            (8, 12),
        ),
    }  # fmt: skip


def write(folder: Path) -> None:
    """Export every module both ways."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, (module, shape) in modules().items():
        module.eval()
        data = torch.randn(BATCH, *shape)
        np.savez(folder / f"{name}.npz", x=data.numpy(), y=module(data).detach().numpy())
        for way in ("classic", "dynamo"):
            path = folder / f"{name}.{way}.onnx"
            options = {"input_names": ["x"], "output_names": ["y"], "dynamo": way == "dynamo"}
            torch.onnx.export(module, (data,), str(path), **options)
    print(f"torch {torch.__version__}: {len(modules())} modules in {folder}")


def check(folder: Path) -> int:
    """Compare every file with PyTorch; how many are wrong or refused."""
    from pulsarray import compiler
    from pulsarray.compiler.importers.onnx.importer import import_onnx
    from pulsarray.compiler.interpreter import run_float
    from pulsarray.config import PRESETS
    from pulsarray.errors import InputError

    failures = 0
    for path in sorted(folder.glob("*.onnx")):
        arrays = np.load(folder / f"{path.name.partition('.')[0]}.npz")
        try:
            graph = import_onnx(path)
            error = float(np.abs(run_float(graph, arrays["x"]) - arrays["y"]).max())
            compiler.compile(graph, PRESETS["base"], batch=1, calibration=arrays["x"], effort=0)
            good = error <= 1e-4 * max(1.0, float(np.abs(arrays["y"]).max()))
            print(f"{path.name}: {'right' if good else 'WRONG'}, off by {error:.1e}")
        except InputError as refusal:
            good = False
            print(f"{path.name}: REFUSED: {str(refusal).removeprefix(f'{path}: ')}")
        failures += not good
    return failures


if __name__ == "__main__":
    way, place = sys.argv[1], Path(sys.argv[2])
    if way == "write":
        write(place)
    else:
        sys.exit(check(place) > 0)
