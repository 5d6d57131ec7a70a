"""What becomes of a network before it is lowered: passes by name, one after the other.

Each makes another graph of a graph. Making one checks names, shapes and numbers, so that a fault
shows behind the pass that made it; ``pulsarray inspect NETWORK --after PASS`` prints the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from pulsarray.compiler.interpreter import Samples
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.loss import Loss
from pulsarray.compiler.ops.optimizer import Optimizer
from pulsarray.compiler.passes.arithmetic import with_products
from pulsarray.compiler.passes.constants import with_constants
from pulsarray.compiler.passes.curves import with_curves
from pulsarray.compiler.passes.dropout import without_dropout
from pulsarray.compiler.passes.ends import with_one_end, with_plain_ends
from pulsarray.compiler.passes.expand import expand
from pulsarray.compiler.passes.maps import with_maps
from pulsarray.compiler.passes.norms import without_norms
from pulsarray.compiler.passes.padding import with_padded_windows
from pulsarray.compiler.passes.quantize.calibrate import calibrate
from pulsarray.compiler.passes.quantize.network import quantize
from pulsarray.compiler.passes.quantize.rules import with_rules
from pulsarray.compiler.passes.training.activations import with_activations
from pulsarray.compiler.passes.training.ends import frozen_but, with_loss
from pulsarray.compiler.passes.training.exponents import with_exponents
from pulsarray.compiler.passes.training.gradients import with_gradients
from pulsarray.compiler.passes.training.maps import with_learning_maps
from pulsarray.compiler.passes.training.statistics import with_statistics
from pulsarray.compiler.passes.training.updates import with_updates
from pulsarray.config import Config
from pulsarray.errors import InputError, did_you_mean

__all__ = [
    "FOLDING",
    "INFERENCE",
    "TRAINING",
    "Goal",
    "Pass",
    "Setting",
    "folded",
    "passed",
    "quantize_graph",
    "up_to",
]


_PLAIN = Optimizer()


@dataclass(frozen=True, eq=False)
class Setting:
    """What passes are told besides the network.

    Parameters
    ----------
    samples
        Typical data of each input by name, (samples, elements), in the graph's order.
    config
        The machine.
    """

    samples: Mapping[str, Floats]
    config: Config

    @classmethod
    def of(cls, graph: Graph, calibration: Samples | None, config: Config) -> Setting:
        """From samples as a host gives them.

        Raises
        ------
        InputError
            If they are missing, have a wrong shape, or are not finite.
        """
        return cls(calibrate(graph, calibration), config)


@dataclass(frozen=True)
class Goal:
    """What passes of training are told besides the network.

    Parameters
    ----------
    loss
        What is minimized.
    frozen
        Names of layers that do not learn, and of operators that leave what others learn alone.
    optimizer
        How parameters are updated.
    """

    loss: Loss
    frozen: Collection[str] = ()
    optimizer: Optimizer = _PLAIN


@dataclass(frozen=True)
class Pass:
    """A step of the way from a network to what is lowered.

    Parameters
    ----------
    name
        Its name.
    run
        From a graph to another; the first line of its docstring says which.
    takes
        Fields of the setting that it takes, too.
    extends
        Whether it adds inputs and outputs.
    """

    name: str
    run: Callable[..., Graph]
    takes: tuple[str, ...] = ()
    extends: bool = False

    @property
    def summary(self) -> str:
        """What it makes, in a few words."""
        return (self.run.__doc__ or "").partition("\n")[0].rstrip(".")

    def __call__(self, graph: Graph, setting: Setting | Goal | None) -> Graph:
        """What it makes of a network; sizes of inputs and outputs must stay."""
        made = self.run(graph, *(getattr(setting, name) for name in self.takes))
        if not self.extends and _sizes(made) != _sizes(graph):
            raise RuntimeError(f"{graph.name}: pass {self.name} changed its inputs or outputs")
        return made


_MAPS = [
    Pass("ends", with_plain_ends),
    Pass("expand", expand),
    Pass("constants", with_constants),
    Pass("rules", with_rules),
    Pass("dropout", without_dropout),
    Pass("maps", with_maps),
    Pass("products", with_products),
]
_PADDING = [Pass("padding", with_padded_windows), Pass("norms", without_norms)]
FOLDING = [*_MAPS, *_PADDING]
"""Until only feature maps are left, and operators of which quantization knows."""

INFERENCE = [
    *_MAPS,
    Pass("curves", with_curves),
    *_PADDING,
    Pass("quantize", quantize, takes=("samples", "config")),
]
"""Until the machine's int8 operators are left, which are lowered."""

TRAINING = [
    Pass("ends", with_one_end),
    Pass("maps", with_learning_maps),
    Pass("statistics", with_statistics),
    Pass("activations", with_activations),
    Pass("loss", with_loss, takes=("loss",), extends=True),
    Pass("frozen", frozen_but, takes=("frozen",)),
    Pass("gradients", with_gradients, takes=("frozen",), extends=True),
    Pass("updates", with_updates, takes=("optimizer",), extends=True),
    Pass("exponents", with_exponents),
]
"""Until there is a node for all that a step of training computes, with the format of its result."""


def folded(graph: Graph) -> Graph:
    """The network without dropout, padding, normalization, dense layers and flattening.

    Raises
    ------
    InputError
        If a flattened map is used in a way that would need it in another order in memory, or a
        value is no feature map.
    """
    return passed(graph, FOLDING)


def passed(graph: Graph, passes: Sequence[Pass], setting: Setting | Goal | None = None) -> Graph:
    """The network after passes.

    Raises
    ------
    InputError
        If one of them cannot take it.
    """
    with threadpool_limits(1):  # so that scales do not depend on the number of cores
        for step in passes:
            graph = step(graph, setting)
    return graph


def up_to(passes: Sequence[Pass], name: str) -> Sequence[Pass]:
    """The passes to that of a name, it included.

    Raises
    ------
    InputError
        If there is none of that name; the text lists them all.
    """
    names = [step.name for step in passes]
    if name not in names:
        raise InputError(
            f"pass: must be one of {', '.join(names)}, not {name!r}{did_you_mean(name, names)}"
        )
    return passes[: names.index(name) + 1]


def quantize_graph(graph: Graph, calibration: Samples | None, config: Config) -> Graph:
    """Quantize a network for a machine: all of :data:`INFERENCE`.

    Parameters
    ----------
    graph
        The network.
    calibration
        Samples as a host gives them, of each input by name or of the only one: typical data, at
        least one sample.
    config
        The machine: width of sums and multipliers.

    Raises
    ------
    InputError
        If an operator is not possible, calibration data is missing, has a wrong shape, or is not
        finite, or if a sum has too many products for the machine.
    """
    return passed(graph, INFERENCE, Setting.of(graph, calibration, config))


def _sizes(graph: Graph) -> tuple[list[int], list[int]]:
    """Elements of inputs and outputs."""
    outputs = [graph.values[name].size for name in graph.outputs]
    return [value.size for value in graph.inputs], outputs
