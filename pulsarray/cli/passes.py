"""``pulsarray inspect --after``: what a pass of the compiler makes of a network, as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pulsarray.api.source import Shapes
from pulsarray.config import Config
from pulsarray.errors import InputError

if TYPE_CHECKING:
    from pulsarray.compiler.importers.onnx.fixed import SetInputs

__all__ = ["text_after", "training_after"]


def text_after(
    source: str,
    name: str,
    calibrate: Path | None,
    config: Config,
    shape: Shapes,
    set_inputs: SetInputs | None = None,
) -> str:
    """The network of a file or a name after the pass of a name.

    Raises
    ------
    InputError
        If there is no such pass or network, or it is in int8 already, or the pass cannot take it.
    """
    from pulsarray.api.network import load
    from pulsarray.compiler.ir.show import show
    from pulsarray.compiler.passes.pipeline import INFERENCE, Setting, passed, up_to

    steps = up_to(INFERENCE, name)
    network = load(source, shape=shape, set_inputs=set_inputs)
    if network.graph.is_quantized:
        raise InputError(f"--after: {source} is in int8 already; no pass changes it")
    if calibrate is not None:
        network = network.quantize(calibrate)
    setting = None
    if any(step.takes for step in steps):
        setting = Setting.of(network.graph, network.samples, config)
    return show(passed(network.graph, steps, setting))


def training_after(
    source: str, name: str | None, shape: Shapes, settings: Mapping[str, float]
) -> str:
    """The same of a pass of training, the last by default, with a loss that suits the end.

    ``settings`` are those of the optimizer.

    Raises
    ------
    InputError
        If there is no such pass or network, or it cannot be trained.
    """
    from pulsarray.api.network import load
    from pulsarray.compiler.importers.onnx.importer import import_onnx
    from pulsarray.compiler.ir.show import show
    from pulsarray.compiler.ops.loss import LOSSES, Loss
    from pulsarray.compiler.ops.optimizer import Optimizer
    from pulsarray.compiler.passes.pipeline import TRAINING, Goal, passed, up_to

    steps = TRAINING if name is None else up_to(TRAINING, name)
    path = Path(source)
    if path.suffix == ".onnx":
        network = import_onnx(path, shape=shape, learns=True)
    else:
        network = load(source, shape=shape).graph
    end = network.nodes[-1].op.title
    suited = (loss for loss, rule in LOSSES.items() if rule.after == end)
    goal = Goal(Loss(next(suited, "mse")), optimizer=Optimizer(**settings))
    return show(passed(network, steps, goal))
