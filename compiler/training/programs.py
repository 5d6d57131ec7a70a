"""The programs of a training, and its state as they have it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.numerics.moments import share
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.drop import draw_masks
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.tensors import TrainTensors
from pulsarray.compiler.training.state import TrainState
from pulsarray.program import Program, pack

__all__ = ["Training"]

Integers = npt.NDArray[np.int64]

_COUNT, _LIMIT, _OVERFLOW = 8, 11, 12


@dataclass(frozen=True, eq=False, kw_only=True)
class Training:
    """Programs that train one network on one machine; all share one memory image.

    Parameters
    ----------
    network
        What is trained.
    batch, chunk
        Samples of a step, and of one run of a program.
    step
        A whole step on one chunk; None if a batch has several, or the update is to be apart.
    accumulate, update
        Gradients of a chunk added to their sums, and the update with them; None where ``step`` is
        not.
    forward
        Outputs of a chunk.
    tensors
        What lies where.
    spilled
        Names of what did not fit the chip between its making and its use.
    """

    network: TrainingNetwork
    batch: int
    chunk: int
    step: Program | None
    accumulate: Program | None
    update: Program | None
    forward: Program
    tensors: TrainTensors
    spilled: list[str]

    @property
    def chunks(self) -> int:
        """Chunks of a batch."""
        return self.batch // self.chunk

    @property
    def programs(self) -> dict[str, Program]:
        """Every program by its purpose."""
        by_name = {
            "step": self.step,
            "accumulate": self.accumulate,
            "update": self.update,
            "forward": self.forward,
        }
        return {name: program for name, program in by_name.items() if program is not None}

    @property
    def first(self) -> Program:
        """The program of a step, or its first part; all have the same memory image."""
        return next(iter(self.programs.values()))

    def filled(self, program: Program, values: Mapping[str, Integers]) -> Program:
        """A program with tensors in its memory image; the input as samples (chunk, elements)."""
        memory = program.memory.copy()
        for name, array in values.items():
            tensor = program.tensor(name)
            if name == self.tensors.input.name:
                array = self.pack(array)
            if name == self.tensors.target.name:
                array = array.reshape(-1, tensor.columns)
            data = pack(array, tensor, program.config)
            memory[tensor.address : tensor.address + data.size] = data
        return replace(program, memory=memory)

    def pack(self, samples: Integers) -> Integers:
        """Samples (chunk, elements) as the matrix that the machine reads."""
        packed = self.tensors.packed
        if packed is not None:
            return packed.pack(samples)
        if len(self.network.flow.inputs) > 1:
            return self.tensors.side_by_side(samples)
        return samples.reshape(-1, self.tensors.input.columns)

    # State

    def _placed(self, layer: Step, values: Integers) -> Integers:
        """Weights (K, N) where they lie in memory."""
        if layer.name not in self.tensors.geometries:
            return values
        placed = np.zeros(self.tensors.shape(layer), np.int64)
        placed[self.tensors.geometries[layer.name].places(values.shape)] = values
        return placed

    def _taken(self, layer: Step, values: Integers) -> Integers:
        """The reverse."""
        if layer.name not in self.tensors.geometries:
            return values
        return values[self.tensors.geometries[layer.name].places(layer.weight.shape)]

    def _matrices(self) -> Iterator[tuple[Step, str, bool]]:
        """Layers, what is kept of them by name, and whether it has the shape of weights."""
        for layer in self.network.layers:
            for name in (f"{layer.name}.weight", f"{layer.name}.bias"):
                for kept in self.network.stored(name):
                    yield layer, kept, name.endswith(".weight")

    def encode_state(self, state: TrainState) -> dict[str, Integers]:
        """A state as tensors to write."""
        by_name = {
            name: self._placed(layer, state.values[name])
            if is_weight
            else np.atleast_2d(state.values[name])
            for layer, name, is_weight in self._matrices()
        }
        if (epsilon := self.tensors.epsilon) is not None:
            by_name[epsilon.name] = np.full((1, epsilon.columns), state.rates["epsilon"], np.int64)
        by_name |= self.encode_masks(state, 0)
        registers = {"exponents": self._exponents(state), "rates": self._rates(state)}
        return by_name | {
            f"{self.tensors.prefix}{name}": values for name, values in registers.items()
        }

    def encode_masks(self, state: TrainState, first: int) -> dict[str, Integers]:
        """What a step that begins with a state drops, of the chunk from a sample on."""
        steps, last = self.network.steps, first + self.chunk
        return {
            self.tensors.drops[name.removesuffix(".mask")].name: mask[first:last].reshape(
                -1, mask.shape[3]
            )
            for name, mask in draw_masks(steps, state, self.batch).items()
        }

    def _exponents(self, state: TrainState) -> Integers:
        tensor = self.tensors.exponents
        words = np.zeros(tensor.rows * tensor.columns, np.int64)
        for name, register in self.tensors.registers.items():
            if name not in state.exponents:
                continue
            exponent, count = state.exponents[name], state.counts.get(name, 0)
            words[register] = exponent & 0xFF | count << _COUNT
        return words.reshape(tensor.rows, tensor.columns)

    def _rates(self, state: TrainState) -> Integers:
        words = np.zeros((3, PARAMETER_COLUMNS, self.tensors.config.dim), np.int64)
        kept = share(self.network.optimizer.momentum)
        words[:, -1] = np.array([[state.rates["rate"]], [state.rates.get("decay", 0)], [kept]])
        return words.reshape(3 * PARAMETER_COLUMNS, -1)

    def decode_state(self, read: Callable[[str], Integers], state: TrainState) -> TrainState:
        """The state in a device's memory; ``state`` gives what the device does not change."""
        decoded = state.copy()
        for layer, name, is_weight in self._matrices():
            values = read(name)
            decoded.values[name] = self._taken(layer, values) if is_weight else values.reshape(-1)
        words = read(self.tensors.exponents.name).reshape(-1)
        for name, register in self.tensors.registers.items():
            word = int(words[register])
            if name in state.exponents:
                decoded.exponents[name] = (word + 128) % 256 - 128
            if name in state.counts:
                decoded.counts[name] = word >> _COUNT & 7
        return decoded

    def limits(self, exponents: Integers) -> list[str]:
        """Names of weights that are near their limit, from the tensor ``exponents``."""
        return self._flagged(exponents, _LIMIT)

    def overflows(self, exponents: Integers) -> list[str]:
        """Names of what a shared scale was too small for since the tensor was written."""
        return self._flagged(exponents, _OVERFLOW)

    def _flagged(self, exponents: Integers, bit: int) -> list[str]:
        words = exponents.reshape(-1)
        # A register that two names share counts by the first.
        names = {register: n for n, register in reversed(self.tensors.registers.items())}
        return [names[register] for register in sorted(names) if words[register] >> bit & 1]
