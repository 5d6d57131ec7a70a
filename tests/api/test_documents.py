"""Every block of Python in docs/python.md runs, in order."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(3)
PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def save_network(path: Path) -> None:
    """A perceptron with two classes."""
    weights = {"w": RNG.normal(size=(4, 2)), "b": RNG.normal(size=2)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="fc1"),
        helper.make_node("Softmax", ["h"], ["y"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def test_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_network(tmp_path / "net.onnx")
    x = RNG.normal(size=(32, 4))
    names: dict[str, Any] = {
        "samples": x,
        "images": x[:4],
        "x": x,
        "labels": RNG.integers(0, 2, 32),
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["run"].output.shape == (4, 2)


def test_xor_step_is_what_the_verilog_does() -> None:
    """The page is of a run on the model; Icarus gives the same, compared in every bit and cycle."""
    scripts = PAGE.parents[1] / "scripts"
    xor_step = runpy.run_path(str(scripts / "xor_step.py"))
    step = xor_step["run_step"]("icarus")
    assert step.result.source == "icarus"
    text = (PAGE.parent / "xor-step.md").read_text(encoding="utf-8")
    assert "\n".join(xor_step["page"](step)) in text
    picture = (PAGE.parent / "images" / "xor-step.svg").read_text(encoding="utf-8")
    assert xor_step["picture"](step) in picture


def test_page_of_state() -> None:
    """The first block of docs/state.md: what is kept is the sum of the inputs so far."""
    block, *_ = re.findall(r"```python\n(.*?)```", (PAGE.parent / "state.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(compile(block, "state.md", "exec"), names)
    (total,) = names["run"].states.values()
    run, tensor = names["run"], names["program"].program.tensor("total")
    np.testing.assert_array_equal(run.outputs["next total"], total)
    rng = np.random.default_rng(0)
    rng.normal(size=(4, 2))
    rng.uniform(size=(50, 4))
    wanted = rng.uniform(-1, 1, size=(3, 1, 4)).sum(axis=0)
    np.testing.assert_allclose(total, wanted, atol=3 * tensor.scale)
