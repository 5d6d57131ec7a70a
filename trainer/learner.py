"""A training network on a device: steps and outputs of real samples, and the state between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.numerics.exponents import PROBABILITY
from pulsarray.compiler.numerics.quotients import softmax
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.training.clipping import clipped
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.rules import make_room
from pulsarray.compiler.training.state import TrainState
from pulsarray.compiler.training.train import Training
from pulsarray.errors import InputError
from pulsarray.program import Program, Tensor
from pulsarray.sim.device import Device

__all__ = ["Learner", "Step"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """What a training step tells.

    Parameters
    ----------
    outputs
        Real outputs of its samples, before the update.
    cycles
        Machine cycles; 0 from a device that does not count them.
    overflows
        Names of what a shared scale was too small for.
    """

    outputs: Floats
    cycles: int
    overflows: list[str]


class Learner:
    """A device with a training's programs and state.

    Parameters
    ----------
    training
        The programs.
    device
        Where they run.
    interpreter
        Knows how real data and rates become integers.
    state
        What training starts from.
    load
        Whether the device takes the training's memory image; it may have that of another
        training that shares it.
    clip
        The largest norm that the gradients of a step may have together; None for any.

    Members
    -------
    state
        What the device's memory holds now.
    """

    def __init__(
        self,
        training: Training,
        device: Device,
        interpreter: TrainInterpreter,
        state: TrainState,
        *,
        load: bool = True,
        clip: float | None = None,
    ) -> None:
        if clip is not None and training.update is None:
            raise InputError("clipping: the update must be a program apart (compile_training)")
        self._clip = clip
        self.training, self.interpreter = training, interpreter
        self._device, self._tensors = device, training.tensors
        if load:
            device.load(training.first)
        self.put(state)

    def put(self, state: TrainState) -> None:
        """Go on from a state."""
        self.state = state
        for name, values in self.training.encode_state(state).items():
            self._device.write(name, values)

    def set_rate(self, rate: float) -> None:
        """Go on with another learning rate."""
        self.interpreter.set_rate(self.state, rate, self.training.batch)
        self._put_rates()

    def _put_rates(self) -> None:
        self._put_only(*self._tensors.steered)

    def _put_only(self, *tensors: Tensor) -> None:
        values = self.training.encode_state(self.state)
        for tensor in tensors:
            self._device.write(tensor.name, values[tensor.name])

    def step(self, inputs: Floats, targets: Floats) -> Step:
        """Train on a batch."""
        x = self.interpreter.encode(self.state, inputs)
        t = self.interpreter.encode_target(self.state, targets)
        if self.interpreter.begin(self.state, self.training.batch):
            self._put_rates()
        whole, chunk = self.training.step, self.training.chunk
        if whole is None:
            self._clear_sums()
        batches, cycles = [], 0
        for first in range(0, self.training.batch, chunk):
            target = self._tensors.target
            codes = t[first : first + chunk].reshape(-1, target.columns)
            self._device.write(target.name, codes)
            for name, mask in self.training.encode_masks(self.state, first).items():
                self._device.write(name, mask)
            codes, used = self._run(self.training.accumulate or whole, x[first : first + chunk])
            batches.append(codes)
            cycles += used
        outputs = self._real(np.concatenate(batches))
        if self._clip is not None:
            self._clip_sums(self._clip)
        if self.training.update is not None:
            cycles += self._cycles(self.training.update)
        return Step(outputs=outputs, cycles=cycles, overflows=self._take())

    def outputs(self, inputs: Floats) -> Floats:
        """Real outputs of samples, without training; the last chunk is filled up with zeros."""
        x = self.interpreter.encode(self.state, inputs)
        chunk = self.training.chunk
        batches = []
        for first in range(0, len(x), chunk):
            rows = np.zeros((chunk, x.shape[1]), np.int64)
            part = x[first : first + chunk]
            rows[: len(part)] = part
            codes = self._run(self.training.forward, rows)[0]
            batches.append(codes[: len(part) * self.training.network.judged])
        return self._real(np.concatenate(batches))

    def _run(self, program: Program | None, x: Ints) -> tuple[Ints, int]:
        """Codes of the outputs of a chunk, and cycles."""
        assert program is not None
        self._device.write(self._tensors.input.name, self.training.pack(x))
        cycles = self._cycles(program)
        return self._device.read(self._tensors.output.name), cycles

    def _cycles(self, program: Program) -> int:
        return self._device.run(program).counters.get("cycles", 0)

    def _clear_sums(self) -> None:
        for tensor in self._tensors.gradients.values():
            self._device.write(tensor.name, np.zeros((tensor.rows, tensor.columns), np.int64))

    def _clip_sums(self, most: float) -> None:
        """Make gradients smaller in the device's memory."""
        tensors, training = self._tensors.gradients, self.training
        sums = {name: self._device.read(tensor.name) for name, tensor in tensors.items()}
        exponents = self.interpreter.sum_exponents(self.state)
        batch = training.batch * training.network.judged
        for name, values in clipped(sums, exponents, batch, most).items():
            self._device.write(tensors[name].name, values)

    def _real(self, codes: Ints) -> Floats:
        network = self.training.network
        exponent = self.state.exponents[network.flow.outputs[network.last.name]]
        if host_function(network.graph) == "softmax":
            codes, exponent = softmax(codes, exponent, self.interpreter.segments), PROBABILITY
        rows = codes.reshape(len(codes) // network.judged, -1)
        return np.ldexp(rows.astype(np.float64), exponent)

    def _take(self) -> list[str]:
        """Take the state after a step; what overflowed in it."""
        exponents = self._device.read(self._tensors.exponents.name)
        overflows = self.training.overflows(exponents)
        self.state = self.training.decode_state(self._device.read, self.state)
        self.state.steps += 1
        if self.training.limits(exponents):
            make_room(self.state)
            self.put(self.state)
        elif overflows:
            # Overflows are noted until the exponents are written again.
            self._put_only(self._tensors.exponents)
        return overflows
