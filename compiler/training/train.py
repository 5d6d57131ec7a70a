"""From a training network to programs: one step, and the network's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.machine.assemble import Assembly, assemble
from pulsarray.compiler.machine.check import check
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.training.differentiate import TrainingNetwork
from pulsarray.compiler.training.drop import draw_masks
from pulsarray.compiler.training.layers import NormLayer, TrainingLayer
from pulsarray.compiler.training.lower.backward import Backward
from pulsarray.compiler.training.lower.forward import Forward
from pulsarray.compiler.training.lower.learn import apply
from pulsarray.compiler.training.lower.live import Live
from pulsarray.compiler.training.lower.loss import loss_rows
from pulsarray.compiler.training.lower.lowering import Lowering, Phase, weight_banks
from pulsarray.compiler.training.lower.tensors import PARAMETER_ROW, TrainTensors, usable_depth
from pulsarray.compiler.training.lower.update import Update
from pulsarray.compiler.training.lower.words import NoRoom
from pulsarray.compiler.training.state import TrainState
from pulsarray.config import EXPONENTS, Config
from pulsarray.errors import InputError
from pulsarray.program import Layer, Program, pack

__all__ = ["Task", "Training", "compile_together", "compile_training"]

Integers = npt.NDArray[np.int64]

_COUNT, _LIMIT, _OVERFLOW = 8, 11, 12
_PARAMETERS = 6
_SHARES = (1, 2, 4, 8)


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
        A whole step on one chunk; None if a batch has several.
    accumulate, update
        Gradients of a chunk added to their sums, and the update with them; None if a batch is
        one chunk.
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
        found = {
            "step": self.step,
            "accumulate": self.accumulate,
            "update": self.update,
            "forward": self.forward,
        }
        return {name: program for name, program in found.items() if program is not None}

    @property
    def first(self) -> Program:
        """The program of a step, or its first part; all have the same memory image."""
        return next(iter(self.programs.values()))

    def filled(self, program: Program, values: Mapping[str, Integers]) -> Program:
        """A program with tensors in its memory image; the input as samples (chunk, elements)."""
        memory = program.memory.copy()
        for name, array in values.items():
            if name == self.tensors.input.name:
                array = self.pack(array)
            tensor = program.tensor(name)
            data = pack(array, tensor, program.config)
            memory[tensor.address : tensor.address + data.size] = data
        return replace(program, memory=memory)

    def pack(self, samples: Integers) -> Integers:
        """Samples (chunk, elements) as the matrix that the machine reads."""
        packed = self.tensors.packed
        if packed is not None:
            return packed.pack(samples)
        return samples.reshape(-1, self.tensors.input.columns)

    # State

    def _placed(self, layer: TrainingLayer, values: Integers) -> Integers:
        """Weights (K, N) where they lie in memory."""
        if layer.name not in self.tensors.geometries:
            return values
        found = np.zeros(self.tensors.shape(layer), np.int64)
        found[self.tensors.geometries[layer.name].places(values.shape)] = values
        return found

    def _taken(self, layer: TrainingLayer, values: Integers) -> Integers:
        """The reverse."""
        if layer.name not in self.tensors.geometries:
            return values
        return values[self.tensors.geometries[layer.name].places(layer.weight.shape)]

    def _stored(
        self, layers: Sequence[TrainingLayer], values: Mapping[str, Integers], end: str
    ) -> dict[str, Integers]:
        """Values by ``LAYER.weight`` and ``LAYER.bias`` as tensors."""
        found = {}
        for layer in layers:
            weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
            if weight in values:
                found[f"{weight}.{end}"] = self._placed(layer, values[weight])
            if bias in values:
                found[f"{bias}.{end}"] = np.atleast_2d(values[bias])
        return found

    def encode_state(self, state: TrainState) -> dict[str, Integers]:
        """A state as tensors to write."""
        layers = self.network.layers
        found = {f"{x.name}.weight": self._placed(x, state.weights[x.name]) for x in layers}
        found |= self._stored(layers, state.masters, "master")
        if self.network.optimizer.momentum:
            found |= self._stored(self.network.learning, state.velocities, "velocity")
        found |= self.encode_masks(state, 0)
        own = {"exponents": self._exponents(state), "rates": self._rates(state)}
        return found | {f"{self.tensors.prefix}{name}": values for name, values in own.items()}

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
        words = np.zeros((3, PARAMETER_ROW, self.tensors.config.dim), np.int64)
        words[:, -1] = np.array([[state.rate], [state.decay], [state.momentum]])
        return words.reshape(3 * PARAMETER_ROW, -1)

    def decode_state(self, read: Callable[[str], Integers], state: TrainState) -> TrainState:
        """The state in a device's memory; ``state`` gives what the device does not change."""
        found = state.copy()
        for layer in self.network.layers:
            found.weights[layer.name] = self._taken(layer, read(f"{layer.name}.weight"))
        for layer in self.network.learning:
            for name in layer.learned:
                kind = name.rsplit(".", 1)[1]
                found.masters[name] = self._read(read, layer, kind, "master")
                if self.network.optimizer.momentum:
                    found.velocities[name] = self._read(read, layer, kind, "velocity")
        words = read(self.tensors.exponents.name).reshape(-1)
        for name, register in self.tensors.registers.items():
            word = int(words[register])
            if name in state.exponents:
                found.exponents[name] = (word + 128) % 256 - 128
            if name in state.counts:
                found.counts[name] = word >> _COUNT & 7
        return found

    def _read(
        self, read: Callable[[str], Integers], layer: TrainingLayer, kind: str, end: str
    ) -> Integers:
        values = read(f"{layer.name}.{kind}.{end}")
        return self._taken(layer, values) if kind == "weight" else values.reshape(-1)

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


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training of several on one memory.

    Parameters
    ----------
    network, batch, chunk
        As for :func:`compile_training`.
    prefix
        Begins the names of its data, exponents and rates in memory.
    """

    network: TrainingNetwork
    batch: int
    chunk: int | None = None
    prefix: str = ""


def compile_training(
    network: TrainingNetwork, config: Config, *, batch: int, chunk: int | None = None
) -> Training:
    """Compile a training step.

    Parameters
    ----------
    network
        What is trained.
    config
        A machine with ``training``.
    batch
        Samples of a step.
    chunk
        Samples of one run of a program, a divisor of ``batch``; None for as many as fit the chip.

    Raises
    ------
    InputError
        If the machine cannot train, or something does not fit it.
    """
    return compile_together([Task(network=network, batch=batch, chunk=chunk)], config)[0]


def compile_together(tasks: Sequence[Task], config: Config) -> list[Training]:
    """Compile trainings that share one memory image, and with it the layers of the same name.

    Two networks that are trained against each other are such: what one learns is in the other at
    once. Every task has a prefix of its own.

    Raises
    ------
    InputError
        As for :func:`compile_training`.
    """
    _check_machine(config)
    layout = Layout(config)
    prepared = [_lowered(task, layout) for task in tasks]
    flat = {
        (i, name): found for i, (_, all_) in enumerate(prepared) for name, found in all_.items()
    }
    programs = _programs(flat, layout)
    return [
        _training(task, tensors, lowered, {name: programs[i, name] for name in lowered})
        for i, (task, (tensors, lowered)) in enumerate(zip(tasks, prepared, strict=True))
    ]


def _lowered(task: Task, layout: Layout) -> tuple[TrainTensors, dict[str, Lowering]]:
    """A training's tensors, and its programs as instructions."""
    network, batch, config = task.network, task.batch, layout.config
    if batch < 1:
        raise InputError(f"batch: must be at least 1, not {batch}")
    chunk = _chunk(network, config, batch, task.chunk)
    _check_sums(network, config, batch)
    whole = chunk == batch
    if not whole and any(isinstance(step, NormLayer) for step in network.steps):
        raise InputError(
            f"chunk: batch normalization needs the whole batch of {batch} in one run, not {chunk}"
        )
    tensors = TrainTensors(network, config, layout, chunk, sums=not whole, prefix=task.prefix)
    lowered = {"forward": _lower(tensors, _forward, training=False)}
    steps = {"step": _step} if whole else {"accumulate": _accumulate, "update": _update}
    for name, emit in steps.items():
        lowered[name] = _lower(tensors, emit, training=True)
    return tensors, lowered


def _training(
    task: Task,
    tensors: TrainTensors,
    lowered: Mapping[str, Lowering],
    programs: Mapping[str, Program],
) -> Training:
    return Training(
        network=task.network,
        batch=task.batch,
        chunk=tensors.rows,
        step=programs.get("step"),
        accumulate=programs.get("accumulate"),
        update=programs.get("update"),
        forward=programs["forward"],
        tensors=tensors,
        spilled=sorted({name for found in lowered.values() for name in found.rows.spilled}),
    )


def _check_machine(config: Config) -> None:
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


def _check_sums(network: TrainingNetwork, config: Config, batch: int) -> None:
    """No sum of products may overflow, whatever the operands."""
    sizes = [size for layer in network.layers for size in layer.weight.shape]
    pixels = max(layer.result[0] * layer.result[1] for layer in network.layers)
    longest = max(*sizes, batch * pixels)
    if longest > 1 << (config.acc_bits - 31):
        raise InputError(
            f"{network.graph.name}: sums of {longest} products may overflow acc_bits = "
            f"{config.acc_bits}; at most {1 << (config.acc_bits - 31)}"
        )


def _chunk(network: TrainingNetwork, config: Config, batch: int, given: int | None) -> int:
    """The given chunk, or the largest divisor of the batch whose rows fit the chip."""
    depth = usable_depth(network, config)
    most = min(depth // loss_rows(network, config.dim), config.scratchpad_depth)
    if most < 1:
        columns = network.layers[-1].weight.shape[1]
        raise InputError(f"{network.graph.name}: {columns} outputs are too many for this machine")
    if given is not None:
        if given < 1 or batch % given or given > most:
            raise InputError(
                f"chunk: must divide the batch, {batch}, and be at most {most}, not {given}"
            )
        return given
    banks = config.scratchpad_banks - weight_banks(config)
    most = min(most, max(1, banks * config.scratchpad_depth // _vector_blocks(network, config)))
    return max(size for size in range(1, min(batch, most) + 1) if batch % size == 0)


def _vector_blocks(network: TrainingNetwork, config: Config) -> int:
    """Words of a sample's vectors and their errors; maps are worked on image by image."""
    found = 0
    if network.flow.input_shape[:2] == (1, 1):
        found += -(-network.flow.input_shape[2] // config.dim)
    sizes = [step.result[2] for step in network.steps if step.result[:2] == (1, 1)]
    return found + sum(2 * -(-size // config.dim) for size in sizes)


def _lower(tensors: TrainTensors, emit: Callable[[Lowering], None], *, training: bool) -> Lowering:
    """A program, in segments as large as possible: smaller ones leave smaller gaps."""
    for share in _SHARES:
        layout = tensors.layout.fork()
        lowering = Lowering(tensors, layout, training=training, share=share)
        try:
            emit(lowering)
        except NoRoom:
            if share == _SHARES[-1]:
                raise
            continue
        tensors.layout.take(layout)
        return lowering
    raise AssertionError


def _forward(lowering: Lowering) -> None:
    Forward(lowering, Live(lowering)).run()


def _step(lowering: Lowering) -> None:
    _there_and_back(lowering, applies=True)


def _accumulate(lowering: Lowering) -> None:
    _there_and_back(lowering, applies=False)


def _there_and_back(lowering: Lowering, *, applies: bool) -> None:
    forward = Forward(lowering, Live(lowering))
    forward.run()
    Backward(forward, Update(lowering, gradients=True, applies=applies)).run()
    lowering.finish(adapt=applies)


def _update(lowering: Lowering) -> None:
    apply(lowering, Update(lowering, gradients=False, applies=True))
    lowering.finish(adapt=True)


def _programs(
    lowered: Mapping[tuple[int, str], Lowering], layout: Layout
) -> dict[tuple[int, str], Program]:
    """Every lowering assembled, one code behind the other, in one memory image."""
    address = layout.code_address
    assemblies: dict[tuple[int, str], tuple[Assembly, int]] = {}
    for key, lowering in lowered.items():
        assembly = assemble(lowering.chip.emitter.operations, layout.config, address)
        assemblies[key] = assembly, address
        address += -(-len(assembly.code) // _PAGE) * _PAGE
    image = np.zeros(address, np.uint8)
    start = layout.image(b"")
    image[: start.size] = start
    for assembly, place in assemblies.values():
        image[place : place + len(assembly.code)] = np.frombuffer(assembly.code, np.uint8)
    programs = {}
    for key, (assembly, place) in assemblies.items():
        lowering = lowered[key]
        program = Program(
            config=layout.config,
            code=assembly.code,
            code_address=place,
            memory=image,
            tensors=layout.tensors,
            layers=_layers(lowering.phases, assembly),
            network=f"{lowering.network.graph.name} {key[1]}",
            batch=lowering.tensors.rows,
            notes={"training": key[1], "loss": lowering.network.loss.name},
        )
        check(program)
        programs[key] = program
    return programs


_PAGE = 4096


def _layers(phases: list[Phase], assembly: Assembly) -> list[Layer]:
    return [
        Layer(
            name=f"{phase.name} {phase.kind}", kind=phase.kind, first=first, last=last,
            m=phase.m, k=phase.k, n=phase.n, products=phase.products,
        )
        for phase, (first, last) in zip(phases, assembly.boundaries(len(phases)), strict=True)
    ]  # fmt: skip
