"""What a machine must have to train a network, and how many samples it takes at a time."""

from __future__ import annotations

from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.layers import is_vector
from pulsarray.compiler.training.lower.loss import loss_rows
from pulsarray.compiler.training.lower.lowering import weight_banks
from pulsarray.compiler.training.lower.tensors import usable_depth
from pulsarray.config import EXPONENTS, Config
from pulsarray.errors import InputError

__all__ = ["check_machine", "check_sums", "chunks_of"]

_PARAMETERS = 6


def check_machine(config: Config) -> None:
    """Refuse a machine that cannot train.

    Raises
    ------
    InputError
        With the parameter that is in the way.
    """
    if not config.training:
        raise InputError(
            "config: training must be true to train; use --config train or train-small"
        )
    if not config.transposer:
        raise InputError("config: transposer must be true to train, not false")
    if config.accumulator_banks < 4:
        raise InputError(
            f"config: accumulator_banks must be at least 4 to train, not {config.accumulator_banks}"
        )
    if config.parameter_depth < _PARAMETERS:
        raise InputError(
            f"config: parameter_depth must be at least {_PARAMETERS} to train, "
            f"not {config.parameter_depth}"
        )
    if config.accumulator_depth < 2 * max(config.dim, -(-EXPONENTS // config.dim)):
        raise InputError(
            f"config: accumulator_depth must be at least 2 x dim to train, "
            f"not {config.accumulator_depth}"
        )


def check_sums(network: TrainingNetwork, config: Config, batch: int) -> None:
    """No sum of products may overflow, whatever the operands.

    Raises
    ------
    InputError
        If one may.
    """
    sizes = [size for layer in network.layers for size in layer.weight.shape]
    sizes += [size for step in network.steps for size in (*step.given[1:], *step.result[1:])]
    # A gradient of weights is one sum over all pixels of all layers that have them.
    pixels = max(
        sum(step.result[0] * step.result[1] for step in steps) for steps in network.members.values()
    )
    longest = max(*sizes, batch * pixels)
    if longest > 1 << (config.acc_bits - 31):
        raise InputError(
            f"{network.graph.name}: sums of {longest} products may overflow acc_bits = "
            f"{config.acc_bits}; at most {1 << (config.acc_bits - 31)}"
        )


def chunks_of(network: TrainingNetwork, config: Config, batch: int, chunk: int | None) -> list[int]:
    """The given chunk, or divisors of the batch whose rows fit the chip, the largest first.

    A normalization needs the whole batch: there is no choice then.

    Raises
    ------
    InputError
        If not even one sample fits, or the given chunk does not.
    """
    depth = usable_depth(network, config)
    most = min(depth // loss_rows(network, config.dim), config.scratchpad_depth)
    if most and network.judged > 1:
        # Losses of maps are worked on tile by tile.
        most = batch
    if most < 1:
        columns = network.last.weight.shape[1]
        raise InputError(f"{network.graph.name}: {columns} outputs are too many for this machine")
    if chunk is not None:
        if chunk < 1 or batch % chunk or chunk > most:
            raise InputError(
                f"chunk: must divide the batch, {batch}, and be at most {most}, not {chunk}"
            )
        return [chunk]
    if not network.needs_whole_batch:
        # Vectors of all samples stay on chip.
        words = (config.scratchpad_banks - weight_banks(config)) * config.scratchpad_depth
        most = min(most, max(1, words // max(1, _vector_blocks(network, config))))
    sizes = [size for size in range(min(batch, most), 0, -1) if batch % size == 0]
    return sizes[:1] if network.needs_whole_batch else sizes


def _vector_blocks(network: TrainingNetwork, config: Config) -> int:
    """Words of a sample's vectors and their errors; maps are worked on image by image."""
    shape, steps = network.flow.input_shape, network.steps
    inputs = -(-shape[2] // config.dim) if is_vector(shape) else 0
    sizes = [step.result[2] for step in steps if is_vector(step.result)]
    return inputs + sum(2 * -(-size // config.dim) for size in sizes)
