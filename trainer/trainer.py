"""Training on a device: epochs of steps, tests, checkpoints, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.data import TrainingData, batches
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.losses import correct, loss_value
from pulsarray.compiler.training.state import TrainState, real_masters
from pulsarray.compiler.training.train import Training
from pulsarray.errors import CheckFailed, InputError
from pulsarray.run import RunResult
from pulsarray.sim.device import Device
from pulsarray.sim.jobs import Job
from pulsarray.trainer.checkpoint import Checkpoint
from pulsarray.trainer.history import Epoch, History, Overflow, Progress
from pulsarray.trainer.learner import Learner
from pulsarray.trainer.setup import Options, identity, require_fit

__all__ = ["Trainer"]

Rows = npt.NDArray[np.int64]


class Trainer:
    """Trains a network on a device.

    Parameters
    ----------
    training
        The programs.
    device
        Where they run; who made it closes it.
    data
        The samples.
    options
        How to train.
    progress
        Called after every step with its number from 1, the number of all steps, its loss and its
        machine cycles.

    Members
    -------
    history
        What happened so far.
    recorded
        The runs of the step that the options ask to note: jobs, and what came of them.

    Raises
    ------
    InputError
        If data or options do not fit the network.
    """

    def __init__(
        self,
        training: Training,
        device: Device,
        data: TrainingData,
        options: Options,
        *,
        progress: Callable[[int, int, float, int], None] | None = None,
    ) -> None:
        require_fit(options, data, training)
        self._training, self._data, self._options = training, data, options
        self._report = progress
        self._generator = np.random.default_rng(options.seed)
        self._identity = identity(training, data, options)
        self._epoch, self._step = 0, 0
        self._sums, self.history = Progress(), History()
        self._device, self.recorded = device, list[tuple[Job, RunResult]]()
        self._streaks: dict[str, int] = {}
        interpreter = TrainInterpreter(training.network, training.tensors.config.table_segments)
        state = self._initial(interpreter)
        self._learner = Learner(training, device, interpreter, state, clip=options.clip)

    def _initial(self, interpreter: TrainInterpreter) -> TrainState:
        """The state before the first step, scaled to the first batch."""
        data, batch = self._data, self._training.batch
        x, t = _all(data.inputs, data.test_inputs), _all(data.targets, data.test_targets)
        rate, seed = self._options.rates(0), self._options.seed
        state = interpreter.initial(x, t, learning_rate=rate, batch=batch, seed=seed)
        first = self._order(np.random.default_rng(seed))[0]
        x_codes = interpreter.encode(state, data.inputs[first])
        interpreter.calibrate(state, x_codes, interpreter.encode_target(state, data.targets[first]))
        return state

    @property
    def state(self) -> TrainState:
        """Weights, exponents and all else that training has changed so far."""
        return self._learner.state

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, as if nothing had come between.

        Raises
        ------
        InputError
            If the file is damaged or of another training.
        """
        checkpoint = Checkpoint.load(path, self._identity)
        try:
            self._generator.bit_generator.state = checkpoint.generator
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged checkpoint: {error}") from None
        self._epoch, self._step = checkpoint.epoch, checkpoint.step
        self._sums, self.history = checkpoint.progress, checkpoint.history
        self._streaks = dict(checkpoint.streaks)
        self._learner.put(checkpoint.state)
        self.history.stopped = self._reason() if self.history.epochs else ""

    def run(self) -> History:
        """Train to the last epoch, or until there is a reason to stop.

        Raises
        ------
        CheckFailed
            If training diverges, a shared scale never fits, or the device fails.
        InputError
            If a checkpoint cannot be written.
        """
        options = self._options
        while self._epoch < options.epochs and not self.history.stopped:
            self._run_epoch()
        return self.history

    def _order(self, generator: np.random.Generator) -> list[Rows]:
        return list(batches(generator, len(self._data.inputs), self._training.batch))

    def _run_epoch(self) -> None:
        drawn = dict(self._generator.bit_generator.state)
        order = self._order(self._generator)
        rate = self._options.rates(self._epoch)
        self._learner.set_rate(rate)
        for number in range(self._step, len(order)):
            begin = time.monotonic()
            self._run_step(order[number], len(order))
            self._sums.seconds += time.monotonic() - begin
            self._step = number + 1
            every = self._options.checkpoint_steps
            if every and len(self.history.losses) % every == 0 and self._step < len(order):
                self._save(drawn)
        self._end_epoch(rate)
        self._save(dict(self._generator.bit_generator.state))

    def _run_step(self, rows: Rows, steps: int) -> None:
        data, history = self._data, self.history
        noted = len(history.losses) + 1 == self._options.recorded_step
        with self._device.recording(self.recorded) if noted else nullcontext():
            result = self._learner.step(data.inputs[rows], data.targets[rows])
        loss, right = self._judge(result.outputs, data.targets[rows])
        history.losses.append(loss)
        self._require_convergence(loss)
        self._note_overflows(result.overflows)
        sums = self._sums
        count = len(rows) * self._training.network.judged
        sums.loss += loss * count
        sums.correct = None if sums.correct is None or right is None else sums.correct + right
        sums.samples += count
        sums.steps += 1
        sums.cycles += result.cycles
        if self._report is not None:
            whole = steps * self._options.epochs
            self._report(len(history.losses), whole, loss, result.cycles)

    def _judge(self, outputs: Floats, targets: Floats) -> tuple[float, int | None]:
        """Mean loss, and how many samples are right; None where the loss does not say.

        Pixels of a result count like samples.
        """
        loss, count = self._training.network.loss, len(outputs) * self._training.network.judged
        outputs, targets = outputs.reshape(count, -1), targets.reshape(count, -1)
        right = correct(loss, outputs, targets)
        mean = float(loss_value(loss, outputs, targets).mean())
        return mean, None if right is None else int(right.sum())

    def _require_convergence(self, loss: float) -> None:
        losses, most = self.history.losses, self._options.divergence
        limit = most * losses[0] + most
        if isfinite(loss) and loss <= limit:
            return
        raise CheckFailed(
            f"train: diverged in step {len(losses)}: loss {loss:g}, the first was {losses[0]:g}, "
            f"the limit is {limit:g}; use a lower --learning-rate"
        )

    def _note_overflows(self, names: list[str]) -> None:
        step, options = len(self.history.losses), self._options
        self._streaks = {name: self._streaks.get(name, 0) + 1 for name in names}
        for name, length in self._streaks.items():
            if length == options.notable_overflows:
                first = step - length + 1
                self.history.overflows.append(Overflow(tensor=name, first=first, steps=length))
            elif length > options.notable_overflows:
                overflow = next(x for x in reversed(self.history.overflows) if x.tensor == name)
                overflow.steps = length
            if length > options.patience_for_overflows:
                raise CheckFailed(
                    f"train: {name} exceeded its shared scale in {length} steps in a row, up to "
                    f"step {step}; use a lower --learning-rate"
                )

    def _end_epoch(self, rate: float) -> None:
        sums, samples = self._sums, self._sums.samples
        begin = time.monotonic()
        test_loss, test_accuracy = self.test()
        self.history.epochs.append(
            Epoch(
                epoch=self._epoch + 1,
                rate=rate,
                loss=sums.loss / samples,
                accuracy=None if sums.correct is None else sums.correct / samples,
                test_loss=test_loss,
                test_accuracy=test_accuracy,
                steps=sums.steps,
                cycles=sums.cycles,
                seconds=sums.seconds + time.monotonic() - begin,
            )
        )
        self.history.stopped = self._reason()
        self._epoch, self._step, self._sums = self._epoch + 1, 0, Progress()

    def test(self) -> tuple[float | None, float | None]:
        """Loss and accuracy on the test data, as training has come so far."""
        data = self._data
        if data.test_inputs is None or data.test_targets is None:
            return None, None
        outputs = self._learner.outputs(data.test_inputs)
        loss, right = self._judge(outputs, data.test_targets)
        count = len(outputs) * self._training.network.judged
        return loss, None if right is None else right / count

    def outputs(self, inputs: Floats) -> Floats:
        """What the network answers now, (samples, N), real values."""
        return self._learner.outputs(inputs)

    def weights(self) -> dict[str, Floats]:
        """Real values of ``LAYER.weight`` (K, N) and ``LAYER.bias`` (N,) as they are now."""
        return real_masters(self._learner.state)

    def _reason(self) -> str:
        """Why training should stop after the last epoch so far; empty if it should not."""
        epochs, options = self.history.epochs, self._options
        accuracy = epochs[-1].judged_accuracy
        if options.until is not None and accuracy is not None and accuracy >= options.until:
            return f"accuracy {accuracy:g} reached"
        losses = [epoch.judged_loss for epoch in epochs]
        patience = options.patience
        if patience is not None and len(losses) - 1 - losses.index(min(losses)) >= patience:
            return f"no lower loss in {patience} epochs"
        return ""

    def _save(self, generator: dict[str, Any]) -> None:
        if self._options.checkpoint is None:
            return
        Checkpoint(
            identity=self._identity,
            state=self.state,
            generator=generator,
            epoch=self._epoch,
            step=self._step,
            progress=self._sums,
            history=self.history,
            streaks=self._streaks,
        ).save(self._options.checkpoint)


def _all(first: Floats, second: Floats | None) -> Floats:
    return first if second is None else np.concatenate([first, second])
