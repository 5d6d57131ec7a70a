"""Random cases for comparing simulators with the model: configurations, programs, memory timing.

Everything follows from seeds: group ``g`` of seed ``s`` always holds the same configuration, and
its case ``i`` the same program.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import Config
from pulsarray.errors import CheckFailed, PulsarrayError
from pulsarray.program import Program
from pulsarray.run import RunResult
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_jobs, run_model
from pulsarray.sim.jobs import Job
from pulsarray.sim.random.graphs import random_graph_program
from pulsarray.sim.random.machines import fewer_lanes
from pulsarray.sim.random.maps import MAP_DIMS, map_config, random_ends_program, random_map_program
from pulsarray.sim.random.programs import random_config, random_program
from pulsarray.sim.random.training import DIMS as TRAINING_DIMS
from pulsarray.sim.random.training import Setup, training_config, training_program

__all__ = [
    "DIMS",
    "Case",
    "Group",
    "differences",
    "draw_ends_groups",
    "draw_groups",
    "draw_map_groups",
    "draw_operator_groups",
    "draw_training_groups",
]

DIMS = (2, 3, 4, 5, 8, 16)
"""Values of D that are drawn."""
OPERATOR_DIMS = (2, 3, 4, 5, 8)
"""Those for networks of registered operators."""
LONGEST = 200
"""Largest M, K, N and memory latency."""
MOST_PASS_CYCLES = 3000
"""Bound on M * ceil(K/D) * ceil(N/D), so that Icarus takes seconds."""
EFFORT = 1000
"""How hard the compiler looks for a good schedule: any schedule is a test."""


@dataclass(frozen=True)
class Case:
    """One program and the memory it runs on.

    Parameters
    ----------
    name
        What it is, with the seed that reproduces it.
    program
        The program.
    latency, interval
        Of the memory, in cycles.
    """

    name: str
    program: Program
    latency: int
    interval: int

    @property
    def job(self) -> Job:
        """The case as a job of a simulator."""
        return Job(program=self.program, memory_latency=self.latency, memory_interval=self.interval)


@dataclass(frozen=True)
class Group:
    """A configuration and the number of cases it gets.

    ``kind`` is ``gemm``, ``instructions``, ``training``, ``convolution``, ``network``, ``ends`` or
    ``operators``.
    """

    kind: str
    seed: int
    config: Config
    count: int

    def cases(self) -> Iterator[Case]:
        """Draw the cases."""
        return map(self.case, range(self.count))

    def case(self, index: int) -> Case:
        """One of the cases, or of those that would follow."""
        random = np.random.default_rng((self.seed, index))
        interval = int(random.choice((1, 1, 1, 2, 3, 5)))
        latency = _size(random)
        name, program = self._program(random, self.seed * 1000 + index)
        return Case(f"{name} L={latency} I={interval}", program, latency, interval)

    def _program(self, random: np.random.Generator, seed: int) -> tuple[str, Program]:
        if self.kind == "instructions":
            return f"instructions seed={seed}", random_program(self.config, seed)
        if self.kind == "training":
            setup = Setup.draw(random)
            return f"{setup.name} seed={seed}", training_program(setup, self.config, seed)
        if self.kind == "operators":
            made = random_graph_program(random, self.config)
            titles = " ".join(node.op.title for node in made.graph.nodes)
            return f"{titles} batch={len(made.codes)} seed={seed}", made.program
        if self.kind in ("convolution", "network"):
            return self._maps(random, seed)
        if self.kind == "ends":
            return self._ends(random, seed)
        if random.random() < 0.3:
            return self._mlp(random, seed)
        m, k, n = _shape(random, self.config.dim)
        sums = bool(random.random() < 0.3)
        name = f"gemm:{m}x{k}x{n}{' sums' if sums else ''} seed={seed}"
        return name, compile_gemm(m, k, n, self.config, sums=sums, seed=seed, effort=EFFORT)

    def _maps(self, random: np.random.Generator, seed: int) -> tuple[str, Program]:
        """A convolution, or several operators on feature maps."""
        graph, program, codes = random_map_program(
            random, self.config, network=self.kind == "network"
        )
        kinds = " ".join(node.kind for node in graph.nodes)
        return f"{kinds} {graph.input.shape} batch={len(codes)} seed={seed}", program

    def _ends(self, random: np.random.Generator, seed: int) -> tuple[str, Program]:
        """Several operators on feature maps, with several inputs and outputs."""
        graph, program, _ = random_ends_program(random, self.config)
        kinds = " ".join(node.kind for node in graph.nodes)
        ends = f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs"
        return f"{kinds} {ends} batch={program.batch} seed={seed}", program

    def _mlp(self, random: np.random.Generator, seed: int) -> tuple[str, Program]:
        """A network of one to three layers on random weights and inputs."""
        batch = int(random.integers(1, 33))
        widths = [
            int(np.exp(random.uniform(0, math.log(65)))) for _ in range(random.integers(2, 5))
        ]
        builder = Builder("mlp", widths[0])
        for k, n in pairwise(widths):
            builder.dense(random.normal(0, k**-0.5, (k, n)), random.normal(0, 0.3, n))
            chosen = random.choice(["relu", "sigmoid", "tanh", "clip", "none"])
            if chosen == "clip":
                builder.clip(-0.5, 1.0)
            elif chosen != "none":
                getattr(builder, chosen)()
        inputs = random.normal(0, 1, (32, widths[0]))
        network = builder.build()
        program = compiler.compile(
            network, self.config, batch=batch, calibration=inputs, effort=EFFORT
        )
        name = f"mlp {'-'.join(map(str, widths))} batch={batch} seed={seed}"
        return name, program


def _size(random: np.random.Generator) -> int:
    """A number in 1..200, mostly log-uniform."""
    if random.random() < 0.7:
        return int(np.exp(random.uniform(0, math.log(LONGEST + 1))))
    return int(random.integers(1, LONGEST + 1))


def _shape(random: np.random.Generator, dim: int) -> tuple[int, int, int]:
    """M, K, N with a bounded product."""
    while True:
        m, k, n = (_size(random) for _ in range(3))
        if m * -(-k // dim) * -(-n // dim) <= MOST_PASS_CYCLES:
            return m, k, n


def draw_groups(seed: int, cases: int) -> list[Group]:
    """Two configurations for compiled programs and one for instructions for each D."""
    groups = []
    share = [cases // (3 * len(DIMS))] * (3 * len(DIMS))
    for i in range(cases - sum(share)):
        share[i] += 1
    for index, count in enumerate(share):
        dim, turn = DIMS[index // 3], index % 3
        number = seed * 100 + index
        random = np.random.default_rng(number)
        if turn < 2:
            groups.append(Group("gemm", number, _compiler_config(random, dim, turn), count))
        else:
            bits = 16 if dim in (3, 8) else 8
            config = random_config(random, dim, bits)
            groups.append(Group("instructions", number, config, count))
    return [group for group in groups if group.count]


def draw_training_groups(seed: int, cases: int) -> list[Group]:
    """Two configurations for training steps for each D."""
    share = [cases // (2 * len(TRAINING_DIMS))] * (2 * len(TRAINING_DIMS))
    for i in range(cases - sum(share)):
        share[i] += 1
    groups = []
    for index, count in enumerate(share):
        number = seed * 100 + 50 + index
        random = np.random.default_rng(number)
        config = training_config(random, TRAINING_DIMS[index // 2])
        groups.append(Group("training", number, config, count))
    return [group for group in groups if group.count]


def draw_map_groups(seed: int, cases: int) -> list[Group]:
    """Two configurations for convolutions and one for networks for each D of feature maps."""
    share = [cases // (3 * len(MAP_DIMS))] * (3 * len(MAP_DIMS))
    for i in range(cases - sum(share)):
        share[i] += 1
    groups = []
    for index, count in enumerate(share):
        number = seed * 100 + 80 + index
        config = map_config(np.random.default_rng(number), MAP_DIMS[index // 3])
        kind = "network" if index % 3 == 2 else "convolution"
        groups.append(Group(kind, number, config, count))
    return [group for group in groups if group.count]


def draw_ends_groups(seed: int, cases: int) -> list[Group]:
    """A configuration for networks of several inputs and outputs for each D of feature maps."""
    groups = []
    for index, dim in enumerate(MAP_DIMS):
        number = seed * 100 + 30 + index
        config = map_config(np.random.default_rng(number), dim)
        count = cases // len(MAP_DIMS) + (index < cases % len(MAP_DIMS))
        groups.append(Group("ends", number, config, count))
    return groups


def draw_operator_groups(seed: int, cases: int) -> list[Group]:
    """A configuration for networks of registered operators for each D of them."""
    groups = []
    for index, dim in enumerate(OPERATOR_DIMS):
        number = seed * 100 + 40 + index
        config = map_config(np.random.default_rng(number), dim)
        count = cases // len(OPERATOR_DIMS) + (index < cases % len(OPERATOR_DIMS))
        groups.append(Group("operators", number, config, count))
    return groups


def _compiler_config(random: np.random.Generator, dim: int, turn: int) -> Config:
    """A configuration with room for the compiler; every bus ratio and queue depth occurs."""
    word = 8 << (dim - 1).bit_length()
    buses = [bits for bits in (word, word // 2, word // 4) if bits >= 8]
    bus = buses[(DIMS.index(dim) + turn) % len(buses)]
    config = Config(
        dim=dim,
        bus_bits=bus,
        burst_beats=int(random.choice([b for b in (16, 32, 64, 256) if b * bus >= 256])),
        scale_bits=int(random.choice((16, 24, 31))),
        scratchpad_banks=int(random.integers(4, 9)),
        scratchpad_depth=int(random.choice((256, 512, 1024))),
        accumulator_banks=int(random.integers(2, 5)),
        accumulator_depth=int(random.choice((64, 128, 256))),
        parameter_depth=64,
        outstanding=int(random.integers(1, 9)),
        queue_depth=1 + turn * int(random.integers(0, 6)),
    )
    return fewer_lanes(random, config)


def differences(cases: Sequence[Case], config: Config, simulator: str) -> list[list[str]]:
    """Run the cases on a simulator and on the model: the first differences of each case."""
    try:
        outcomes = run_jobs([case.job for case in cases], config, simulator)
    except CheckFailed as error:
        return [[str(error)]] + [["not run"] for _ in cases[1:]]
    texts = []
    for case, outcome in zip(cases, outcomes, strict=True):
        try:
            texts.append(compare(_expected(case), outcome.checked(), case.program))
        except PulsarrayError as error:
            texts.append([str(error)])
    return texts


def _expected(case: Case) -> RunResult:
    return run_model(case.program, memory_latency=case.latency, memory_interval=case.interval)
