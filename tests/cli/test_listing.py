"""What is told of programs: by names, in real values, and of training steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.program import Program
from pulsarray.zoo.workloads import workload
from tests.cli.conftest import Command


@pytest.fixture
def step(command: Command, tmp_path: Path) -> Path:
    path = tmp_path / "step.pulse"
    done = command("compile", "xor", "--training", "--batch", 4, "-o", path)
    assert done.code == 0, done.err
    return path


def test_instructions_by_name(command: Command, step: Path) -> None:
    lines = command("disasm", step).out.splitlines()
    assert lines[0].startswith("; xor step, batch 4, for train-small (")
    assert any(line.endswith("  ; fc1.weight") and " LOAD " in line for line in lines)
    assert any(line.endswith("  ; output") and " STORE " in line for line in lines)
    kinds = [line.rpartition("  ; ")[2] for line in lines if " STREAM " in line]
    assert kinds == [
        "forward",
        "forward",
        "input gradient",
        "weight gradient",
        "weight gradient",
        "weight gradient",
        "weight gradient",
    ]
    assert "alu=DSIGMOID" in command("disasm", step).out


def test_outputs_of_a_step_are_real_values(command: Command, step: Path, tmp_path: Path) -> None:
    outputs, graph = tmp_path / "y.npz", workload("xor").build(0)
    assert command("simulate", step, "--outputs", outputs).code == 0
    output = np.load(outputs)["output"]
    network, data = workload("xor").network(0), workload("xor").data()
    interpreter = TrainInterpreter(network, Program.load(step).config.table_segments)
    state = interpreter.initial(data.inputs, data.targets, learning_rate=1.0, batch=4, seed=0)
    x = interpreter.encode(state, data.inputs)
    interpreter.calibrate(state, x, interpreter.encode_target(state, data.targets))
    from pulsarray.compiler.interpreter import run_float

    np.testing.assert_allclose(output, run_float(graph, data.inputs), atol=1e-3)
    exponent = state.exponents[f"{network.layers[-1].name}.output"]
    codes = np.load(outputs)["output.codes"]
    np.testing.assert_array_equal(output, np.ldexp(codes.astype(float), exponent))


def test_inputs_of_a_step_may_be_real_values(command: Command, step: Path, tmp_path: Path) -> None:
    inputs, data = tmp_path / "x.npz", workload("xor").data()
    np.savez(inputs, input=data.inputs, target=data.targets)
    codes_file, reals_file = tmp_path / "a.npz", tmp_path / "b.npz"
    command("simulate", step, "--outputs", codes_file)
    assert command("simulate", step, "--inputs", inputs, "--outputs", reals_file).code == 0
    np.testing.assert_array_equal(np.load(codes_file)["output"], np.load(reals_file)["output"])


def test_estimates_of_training_and_of_programs(command: Command, step: Path) -> None:
    done = command("estimate", "xor", "--training", "--batch", 4, "--json")
    reports = json.loads(done.out)
    assert list(reports) == ["step", "forward"]
    assert json.loads(command("estimate", step, "--json").out) == reports["step"]
    simulated = json.loads(command("simulate", step, "--json").out)["report"]
    assert simulated["cycles"] == reports["step"]["cycles"]
    assert "forward" in command("estimate", "xor", "--training").out


def test_estimates_of_training_wrong(command: Command) -> None:
    done = command("estimate", "xor", "--loss", "mse")
    assert (done.code, "only with --training" in done.err) == (2, True)
    done = command("estimate", "xor", "--training", "--sums")
    assert (done.code, "--training: only with" in done.err) == (2, True)


def test_list(command: Command) -> None:
    told = json.loads(command("list", "--json").out)
    assert list(told) == ["networks", "workloads", "presets"]
    text = command("list").out
    for rows in told.values():
        for row in rows:
            assert row["name"] in text
