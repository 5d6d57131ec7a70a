"""QONNX: numbers of few bits, against their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write

RNG = np.random.default_rng(3)
DATA = RNG.normal(size=(4, 6)).astype(np.float32)
WEIGHT = RNG.normal(size=(6, 5)).astype(np.float32)
DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def made(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int | str, ...] = ("N", 6),
    domain: str = DOMAINS[0],
) -> onnx.ModelProto:
    file = model(nodes, constants, shape)
    file.opset_import.append(helper.make_opsetid(domain, 1))
    return file


def answers(tmp_path: Path, file: onnx.ModelProto, data: np.ndarray) -> np.ndarray:
    return run_float(import_onnx(write(tmp_path, file)), data)


@pytest.mark.parametrize("domain", DOMAINS)
def test_quantizers(tmp_path: Path, domain: str) -> None:
    """Brevitas and QKeras write these; weights are rounded at once."""
    names = ["scale", "zero", "bits"]
    nodes = [
        helper.make_node("Quant", ["w", *names], ["q"], name="weights", narrow=1, domain=domain),
        node("MatMul", ["x", "q"], "p"),
        helper.make_node("Quant", ["p", *names], ["r"], name="results", signed=0, domain=domain),
        helper.make_node("BipolarQuant", ["r", "scale"], ["y"], name="signs", domain=domain),
    ]
    constants = {"w": WEIGHT, "scale": np.float32(0.25), "zero": np.float32(0.0)}
    file = made(nodes, {**constants, "bits": np.float32(4.0)}, domain=domain)
    weight = np.clip(np.round(WEIGHT / 0.25), -7, 7) * 0.25
    result = np.clip(np.round(DATA @ weight / 0.25), 0, 15) * 0.25
    wanted = np.where(result >= 0, 0.25, -0.25)
    np.testing.assert_allclose(answers(tmp_path, file, DATA), wanted, atol=1e-6)


@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "CEIL"])
def test_roundings(tmp_path: Path, mode: str) -> None:
    names = ["x", "scale", "zero", "bits"]
    quant = helper.make_node("Quant", names, ["y"], domain=DOMAINS[0], rounding_mode=mode)
    constants = {"scale": np.float32(0.3), "zero": np.float32(1.0), "bits": np.float32(3.0)}
    way = {"ROUND": np.round, "FLOOR": np.floor, "CEIL": np.ceil}[mode]
    wanted = (np.clip(way(DATA / np.float32(0.3) + 1.0), -4, 3) - 1.0) * 0.3
    file = made([quant], constants)
    np.testing.assert_allclose(answers(tmp_path, file, DATA), wanted, atol=1e-6)


def test_last_bits_go(tmp_path: Path) -> None:
    """The forms with 5 and with 7 values."""
    scale, zero, bits = np.float32(0.125), np.float32(4.0), np.float32(8.0)
    constants = {"s": scale, "z": zero, "before": bits, "after": bits - 2, "large": scale * 4}
    few, many = ["x", "s", "z", "before", "after"], ["x", "s", "z", "before", "large", "z", "after"]
    codes = np.round(DATA * 3 / scale + zero) / 4.0
    older = (np.floor(codes) - zero) * scale
    newer = (np.round(np.clip(codes, -32, 31)) - zero / 4.0) * scale * 4
    for names, mode, wanted in ((few, "FLOOR", older), (many, "ROUND", newer)):
        node_of = helper.make_node("Trunc", names, ["y"], domain=DOMAINS[0], rounding_mode=mode)
        file = made([node_of], constants)
        np.testing.assert_allclose(answers(tmp_path, file, DATA * 3), wanted, atol=1e-5)


def reached(data: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Thresholds (C, T) that data (N, C, ...) reach."""
    return np.moveaxis((np.moveaxis(data, 1, -1)[..., None] >= levels).sum(-1), -1, 1)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("shape", [("N", 6), ("N", 6, 4, 5)])
def test_thresholds(tmp_path: Path, shape: tuple[int | str, ...], even: bool) -> None:
    """Of FINN: values at a threshold count, as whole numbers often are."""
    data = RNG.integers(-9, 10, (3, *(int(size) for size in shape[1:]))).astype(np.float32)
    steps = np.arange(1.0, 8.0) * 2 if even else np.array([0.0, 1, 3, 4, 7, 8, 9])
    levels = (steps - RNG.integers(3, 9, (6, 1))).astype(np.float32)
    attributes = {"out_scale": 0.5, "out_bias": -1.0, "out_dtype": "UINT3"}
    step = helper.make_node("MultiThreshold", ["x", "t"], ["y"], domain=DOMAINS[2], **attributes)
    file = made([step], {"t": levels}, shape, DOMAINS[2])
    made_of = answers(tmp_path, file, data)
    np.testing.assert_allclose(made_of, reached(data, levels) * 0.5 - 1.0, atol=1e-6)


def test_what_it_cannot_be_is_named(tmp_path: Path) -> None:
    names = ["x", "s", "s", "s"]
    quant = helper.make_node("Quant", names, ["y"], domain=DOMAINS[0], rounding_mode="UP")
    with pytest.raises(InputError, match="rounding_mode 'UP' is unknown; one of ROUND, FLOOR"):
        import_onnx(write(tmp_path, made([quant], {"s": np.float32(1.0)})))
    step = helper.make_node("MultiThreshold", ["x", "t"], ["y"], domain=DOMAINS[0])
    with pytest.raises(InputError, match=r"thresholds \(5, 3\) must be \(1 or 6, at least 1\)"):
        import_onnx(write(tmp_path, made([step], {"t": np.zeros((5, 3), np.float32)})))
    levels = np.arange(64.0, dtype=np.float32)[None] ** 2
    with pytest.raises(InputError, match="64 uneven thresholds are too many, up to 63"):
        import_onnx(write(tmp_path, made([step], {"t": levels})))
