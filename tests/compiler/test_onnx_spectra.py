"""Short-time Fourier transforms of signals: as ONNX Runtime has them, in int8 close to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

SIGNAL = np.random.default_rng(4).normal(size=(3, 50)).astype(np.float32)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("window", ["hann", "none", "constant"])
def test_frames_of_a_signal(tmp_path: Path, window: str, onesided: int) -> None:
    constants = {"step": np.array(7), "size": np.array(16)}
    nodes = [node("Mul", ["x", "two"], "d")]
    if window == "hann":
        nodes.append(node("HannWindow", ["size"], "w"))
    elif window == "constant":
        constants["w"] = np.linspace(0.5, 1.0, 16, dtype=np.float32)
    names = ["d", "step", "" if window == "none" else "w", "size"]
    nodes.append(node("STFT", names, "s", onesided=onesided))
    nodes.append(node("ReduceL2", ["s", "last"], keepdims=0))
    constants |= {"two": np.float32(2.0), "last": np.array([-1])}
    made = model(nodes, constants, ("N", 50), opset=18)
    graph = import_onnx(write(tmp_path, made))
    wanted = runtime(made, SIGNAL)
    np.testing.assert_allclose(run_float(graph, SIGNAL), wanted, rtol=1e-4, atol=1e-4)


def test_a_frame_longer_than_the_signal_is_refused(tmp_path: Path) -> None:
    constants = {"step": np.array(7), "size": np.array(51)}
    made = model([node("STFT", ["x", "step", "", "size"])], constants, ("N", 50), opset=18)
    with pytest.raises(InputError, match="frame_length 51 and frame_step 7 do not fit a signal of"):
        import_onnx(write(tmp_path, made))
