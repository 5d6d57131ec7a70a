"""A file with two inputs and two outputs from its import to its answers, by their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.conftest import Command

RNG = np.random.default_rng(8)


def network(path: Path) -> Path:
    """Images of any sizes and a vector: a map, and a class."""
    arrays = {name: RNG.normal(size=s) for name, s in (("w", (4, 2, 3, 3)), ("m", (4, 3)))}
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["map"], name="conv"),
        helper.make_node("GlobalAveragePool", ["map"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Add", ["f", "flags"], ["sum"], name="sum"),
        helper.make_node("MatMul", ["sum", "m"], ["kind"], name="fc"),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [
            helper.make_tensor_value_info("image", floats, ["n", 2, "h", "w"]),
            helper.make_tensor_value_info("flags", floats, ["n", 4]),
        ],
        [
            helper.make_tensor_value_info("kind", floats, ["n", 3]),
            helper.make_tensor_value_info("map", floats, ["n", 4, "a", "b"]),
        ],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(made, path / "net.onnx")
    return path / "net.onnx"


SHAPE = ("--shape", "image=2x6x5")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    data = {"image": RNG.normal(size=(9, 2, 6, 5)), "flags": RNG.normal(size=(9, 4))}
    named = {name: tmp_path / f"{name}.npz" for name in ("data", "some", "other", "uneven", "one")}
    np.savez(named["data"], **data)
    np.savez(named["some"], **{name: array[:2] for name, array in data.items()})
    np.savez(named["other"], image=data["image"], flag=data["flags"])
    np.savez(named["uneven"], image=data["image"], flags=data["flags"][:4])
    np.savez(named["one"], flags=data["flags"][:2])
    return {**named, "net": network(tmp_path), "program": tmp_path / "net.pulse"}


def test_from_a_file_to_its_answers(command: Command, files: dict[str, Path]) -> None:
    compiling = ["compile", files["net"], "-c", "tiny", *SHAPE, "-b", "2", "-o", files["program"]]
    done = command(*compiling, "--calibrate", files["data"], "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    ends = [(end["name"], end["shape"]) for end in (*facts["inputs"], *facts["outputs"])]
    wanted = [("image", [2, 2, 6, 5]), ("flags", [2, 4]), ("kind", [2, 3]), ("map", [2, 4, 4, 3])]
    assert ends == wanted
    answers = files["program"].with_name("answers.npz")
    done = command("simulate", files["program"], "--inputs", files["some"], "--outputs", answers)
    assert done.code == 0, done.err
    with np.load(answers) as arrays:
        assert sorted(arrays) == ["kind", "kind.codes", "map", "map.codes"]
        assert (arrays["kind"].shape, arrays["map"].shape) == ((2, 3), (2, 4, 4, 3))
    told = command("inspect", files["net"], *SHAPE)
    assert "inputs image 2x6x5, flags 4; outputs kind 3, map 4x4x3" in told.out
    for source in ([files["net"], *SHAPE], [files["program"]]):
        facts = json.loads(command("inspect", *source, "--json").out)
        assert [end["name"] for end in (*facts["inputs"], *facts["outputs"])] == [
            n for n, _ in wanted
        ]
    only = ("estimate", files["net"], *SHAPE, "--outputs-only", "map", "--json", "--calibrate")
    assert command(*only, files["data"]).code == 0  # The map needs no flags.
    done = command(*only, files["other"])
    assert done.code == 2
    assert "must hold one array of samples, not 2 (image, flag)" in done.err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], "samples of the inputs 'image', an array of shape (samples, 2, 6, 5); 'flags', an"),
        (["--calibrate", "other"], "'flag' is no input; inputs: 'image', 'flags'; did you mean"),
        (["--calibrate", "uneven"], "as many samples of each input, not 9 of 'image', 4 of 'flag"),
        (["--calibrate", "one"], "input 'image' is missing; inputs: 'image', 'flags'"),
        (["--shape", "3"], "--shape: needs NAME=SIZES where there are several, not '3'"),
        (["--shape", "image=2x6x5"], "--shape: two are for 'image'"),
        (["--shape", "flags=5"], "input flags: shape (5,) does not fit (4) of the file"),
        (["--shape", "flag=4"], "shape: 'flag' is no input; inputs: image, flags, open sizes: "),
    ],
)
def test_wrong(command: Command, files: dict[str, Path], arrays: list[str], message: str) -> None:
    arguments = [files.get(argument, argument) for argument in arrays]
    done = command("estimate", files["net"], "-c", "tiny", *SHAPE, *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


def test_one_shape_for_two_inputs(command: Command, files: dict[str, Path]) -> None:
    done = command("estimate", files["net"], "--shape", "2x6x5")
    assert (done.code, "shape: must say of which input it is: image, flags" in done.err) == (
        2,
        True,
    )


def test_wrong_inputs_of_a_run(command: Command, files: dict[str, Path]) -> None:
    compiling = ["compile", files["net"], "-c", "tiny", *SHAPE, "-b", "2", "-o", files["program"]]
    assert command(*compiling, "--calibrate", files["data"]).code == 0
    for name, message in (
        ("one", "input 'image' is missing; inputs: image, flags"),
        ("other", "array 'flag' is no input of the program; inputs: image, flags; did you mean"),
        ("data", "image: shape must be (2, 2, 6, 5), not (9, 2, 6, 5)"),
    ):
        done = command("simulate", files["program"], "--inputs", files[name])
        assert (done.code, message in done.err) == (2, True), done.err
