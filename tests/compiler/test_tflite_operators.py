"""Each further operator of TensorFlow Lite files in floating point against LiteRT's kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tflite

from pulsarray import compiler
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from tests.compiler.test_tflite_real import OPTIMIZED, RealBuilder, check, outputs_of, wanted

pytest.importorskip("ai_edge_litert.interpreter")


def start(*shape: int, seed: int = 0) -> RealBuilder:
    return RealBuilder(np.random.default_rng(seed), *shape)


def put_kind(b: RealBuilder, result: str, kind: str, inputs: list[int], shape: tuple[int, ...],
             **options: float) -> RealBuilder:  # fmt: skip
    """An operator whose result is of another type."""
    made = b.tensor(shape, kind=result)
    b.operator(kind, inputs, made, **options)
    b.last = made
    return b


def compared(kind: str) -> RealBuilder:
    """Two values, chosen by how they compare."""
    b = start(1, 3, 4)
    other = b.put("TANH", [0], b.shape).last
    condition = put_kind(b, "bool", kind, [0, b.random(4)], (1, 3, 4)).last
    return b.put("SELECT_V2", [condition, 0, other], (1, 3, 4))


def logical(kind: str) -> RealBuilder:
    b = start(1, 6)
    above, below = (put_kind(b, "bool", k, [0, b.random(1)], (1, 6)).last
                    for k in ("GREATER", "LESS"))  # fmt: skip
    operands = [above] if kind == "LOGICAL_NOT" else [above, below]
    condition = put_kind(b, "bool", kind, operands, (1, 6)).last
    return b.put("SELECT", [condition, 0, b.put("TANH", [0], (1, 6)).last], (1, 6))


def constant_choice() -> RealBuilder:
    b = start(1, 4)
    condition = b.constant(np.array([[True, False, True, True]]))
    return b.put("SELECT_V2", [condition, 0, b.put("TANH", [0], (1, 4)).last], (1, 4))


def number_choice() -> RealBuilder:
    """One number or another: a metadata input with a range."""
    b = start(1, 3)
    spec = [b.ints(*n) for n in ([0, 2], [1, 3], [1, 1])]
    one = b.put("STRIDED_SLICE", [0, *spec], (1,), BeginMask=1, EndMask=1, ShrinkAxisMask=2).last
    zero, unit = (b.constant(np.float32(n).reshape(())) for n in (0.0, 1.0))
    above = put_kind(b, "bool", "GREATER", [one, zero], (1,)).last
    mask = b.put("SELECT_V2", [above, unit, zero], (1,)).last
    wide = b.put("EXPAND_DIMS", [mask, b.ints(-1)], (1, 1)).last
    return b.put("MUL", [wide, b.put("TANH", [0], (1, 3)).last], (1, 3), FusedActivationFunction=0)


def reduced(kind: str) -> RealBuilder:
    b = start(1, 3, 4, 5)
    if kind in ("REDUCE_ANY", "REDUCE_ALL"):
        put_kind(b, "bool", "GREATER", [0, b.random(1)], b.shape)
        put_kind(b, "bool", kind, [b.last, b.ints(1, 3)], (1, 4), KeepDims=0)
        return b.put("CAST", [b.last], (1, 4))
    return b.put(kind, [0, b.ints(1, -1)], (1, 4), KeepDims=0)


def split(kind: str) -> RealBuilder:
    b = start(1, 4, 6)
    parts = [b.value(1, 4, 2) for _ in range(3)]
    if kind == "UNPACK":
        parts = [b.value(1, 6) for _ in range(4)]
        b.operator(kind, [0], parts, Axis=1, Num=4)
    elif kind == "SPLIT":
        b.operator(kind, [b.ints(2), 0], parts, NumSplits=3)
    else:
        parts = [b.value(1, 4, n) for n in (1, 2, 3)]
        b.operator(kind, [0, b.ints(1, -1, 3), b.ints(-1)], parts, NumSplits=3)
    shape = (1, 3, 4, 2) if kind == "SPLIT" else (1, 4, 6)
    if kind == "SPLIT_V":
        return b.put("CONCATENATION", parts[::-1], shape, Axis=2)
    return b.put("PACK", parts[::-1], shape, Axis=1, ValuesCount=len(parts))


def moved(kind: str) -> RealBuilder:
    b = start(1, 3, 4, 5)
    if kind == "REVERSE_V2":
        return b.put(kind, [0, b.ints(2)], b.shape)
    if kind == "TILE":
        return b.put(kind, [0, b.ints(1, 2, 1, 3)], (1, 6, 4, 15))
    if kind == "BROADCAST_TO":
        b = start(1, 3, 1, 5)
        return b.put(kind, [0, b.ints(1, 3, 4, 5)], (1, 3, 4, 5))
    places = b.constant(np.array([[2, 0], [1, 1], [0, 2]], np.int32))
    return b.put(kind, [0, places], (1, 3, 2, 4, 5), Axis=1)


def many_axes() -> RealBuilder:
    """Some of each of four axes of a sample."""
    b = start(1, 3, 4, 5, 4)
    operands = [b.ints(*n) for n in ([0, 1, 0, 0, 1], [1, 3, 4, 5, 4], [1, 1, 2, 2, 2])]
    return b.put("STRIDED_SLICE", [0, *operands], (1, 2, 2, 3, 2))


def masks() -> RealBuilder:
    """An ellipsis, a new axis, and one that goes."""
    b = start(1, 4, 5, 6)
    operands = [b.ints(*n) for n in ([0, 0, 2, 1], [0, 0, 3, 6], [1, 1, 1, 2])]
    options = {"EllipsisMask": 1, "NewAxisMask": 2, "ShrinkAxisMask": 4}
    return b.put("STRIDED_SLICE", [0, *operands], (1, 4, 1, 3), **options)


def mirrored() -> RealBuilder:
    """A long signal, of which only the ends are moved."""
    b = start(1, 5000)
    pairs = b.constant(np.array([[0, 0], [3, 2]], np.int32))
    return b.put("MIRROR_PAD", [0, pairs], (1, 5005), Mode=0)


def padded(kind: str) -> RealBuilder:
    b = start(1, 3, 2, 4, 5)
    pairs = b.constant(np.array([[0, 0], [1, 0], [0, 2], [0, 0], [3, 1]], np.int32))
    more = [b.constant(np.array([-2.5], np.float32))] if kind == "PADV2" else []
    return b.put(kind, [0, pairs, *more], (1, 4, 4, 4, 9))


def vector_padded() -> RealBuilder:
    b = start(1, 6)
    return b.put("PAD", [0, b.constant(np.array([[0, 0], [2, 1]], np.int32))], (1, 9))


def arithmetic(kind: str) -> RealBuilder:
    b = start(1, 3, 4)
    if kind == "POW":
        b.put("EXP", [0], b.shape)
        b.put("POW", [b.last, b.constant(np.float32(1.7).reshape(()))], b.shape)
        return b.put("POW", [b.constant(np.float32(1.3).reshape(())), b.last], b.shape)
    if kind == "ADD_N":
        one, other = b.put("TANH", [0], b.shape).last, b.put("RELU", [0], b.shape).last
        return b.put(kind, [0, one, other], b.shape)
    if kind == "CUMSUM":
        return b.put(kind, [0, b.ints(-1)], b.shape, Exclusive=1, Reverse=1)
    if kind in ("FLOOR_DIV", "FLOOR_MOD"):
        return b.put(kind, [0, b.constant(np.full(4, 0.7, np.float32))], b.shape)
    if kind == "LOCAL_RESPONSE_NORMALIZATION":
        b = start(1, 3, 3, 8)
        options = {"Radius": 2, "Bias": 1.5, "Alpha": 0.3, "Beta": 0.75}
        return b.put(kind, [0], b.shape, **options)
    return b.put(kind, [0], b.shape)


def spectrum(kind: str, length: int = 16) -> RealBuilder:
    """Frames of a signal, a window, and what their spectra are."""
    b = start(1, 60)
    b.put("RESHAPE", [0, b.ints(1, 30, 2)], (1, 30, 2))
    places = 3 * np.arange(7)[:, None] + np.arange(8)
    b.put("GATHER", [b.last, b.constant(places.astype(np.int32))], (1, 7, 8, 2), Axis=1)
    b.put("RESHAPE", [b.last, b.ints(1, 7, 16)], (1, 7, 16))
    window = b.constant(np.hanning(16).astype(np.float32))
    b.put("MUL", [b.last, window], (1, 7, 16), FusedActivationFunction=0)
    b.put("EXPAND_DIMS", [b.last, b.ints(2)], (1, 7, 1, 16))
    lines = length // 2 + 1
    put_kind(b, "complex64", "RFFT2D", [b.last, b.ints(1, length)], (1, 7, 1, lines))
    put_kind(b, "complex64", "SQUEEZE", [b.last], (1, 7, lines), SqueezeDims=[2])
    return b.put(kind, [b.last], (1, 7, lines))


def across_the_batch() -> RealBuilder:
    """Rows that are rows of one sample, and an axis of one sample that is last for a while."""
    b = start(1, 3, 4)
    b.put("RESHAPE", [0, b.ints(3, 4)], (3, 4))
    b.put("FULLY_CONNECTED", [b.last, b.random(5, 4), b.random(5)], (3, 5))
    b.put("TRANSPOSE", [b.last, b.ints(1, 0)], (5, 3))
    b.put("ADD", [b.last, b.random(5, 1)], (5, 3), FusedActivationFunction=0)
    b.put("RESHAPE", [b.last, b.ints(1, 5, 3)], (1, 5, 3))
    return b.put("TRANSPOSE", [b.last, b.ints(1, 0, 2)], (5, 1, 3)).put(
        "RESHAPE", [b.last, b.ints(1, 15)], (1, 15)
    )


def each(make: Callable[[str], RealBuilder], *kinds: str) -> dict[str, Callable[[], RealBuilder]]:
    return {kind: lambda kind=kind: make(kind) for kind in kinds}  # type: ignore[misc]


CASES: dict[str, Callable[[], RealBuilder]] = {
    **each(compared, "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"),
    **each(logical, "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR"),
    "SELECT_V2": constant_choice,
    "number": number_choice,
    **each(reduced, "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MIN"),
    **each(split, "SPLIT", "SPLIT_V", "UNPACK"),
    **each(moved, "BROADCAST_TO", "GATHER", "REVERSE_V2", "TILE"),
    "four axes": many_axes,
    "masks": masks,
    **each(padded, "PAD", "PADV2"),
    "vector": vector_padded,
    "mirrored": mirrored,
    **each(arithmetic, "ADD_N", "CUMSUM", "FLOOR_DIV", "FLOOR_MOD", "L2_NORMALIZATION"),
    **each(arithmetic, "LOCAL_RESPONSE_NORMALIZATION", "LOG_SOFTMAX", "POW"),
    **each(spectrum, "CAST", "COMPLEX_ABS", "IMAG", "REAL"),
    "longer spectrum": lambda: spectrum("REAL", 32),
    "shorter spectrum": lambda: spectrum("COMPLEX_ABS", 8),
    "batch": across_the_batch,
}


@pytest.mark.parametrize("name", CASES)
def test_operators_equal_litert(tmp_path: Path, name: str) -> None:
    b = CASES[name]()
    check(tmp_path, b, b.rng, OPTIMIZED)


def test_frames_and_what_multiplies_them_are_one_convolution(tmp_path: Path) -> None:
    graph = import_tflite(spectrum("REAL").save(tmp_path))
    assert [node.op.title for node in graph.nodes if node.op.title == "convolution"] == [
        "convolution"
    ]
    (node,) = (node for node in graph.nodes if node.op.title == "convolution")
    assert graph.macs_of(node) == 7 * 16 * 9


def test_axes_that_change_places_on_the_machine(tmp_path: Path) -> None:
    """Quantized, compiled and run: as near to the real result as int8 is."""
    b = start(1, 4, 5, 3)
    b.put("TRANSPOSE", [0, b.ints(0, 3, 1, 2)], (1, 3, 4, 5))
    b.put("TANH", [b.last], b.shape)
    b.put("TRANSPOSE", [b.last, b.ints(0, 2, 1, 3)], (1, 4, 3, 5))
    b.put("SUM", [b.last, b.ints(3)], (1, 4, 3), KeepDims=0)
    graph = import_tflite(b.save(tmp_path))
    samples = b.rng.uniform(-1, 1, (8, 4, 5, 3))
    program = compiler.compile(graph, PRESETS["small"], calibration=samples)
    for sample in samples[:2]:
        (real,) = run_outputs(graph, sample[None]).values()
        assert np.abs(outputs_of(program, sample).reshape(-1) - real.reshape(-1)).max() < 0.1


def open_network() -> RealBuilder:
    """A network of any number of rows, whose sizes are worked out from its input's."""
    b = start(1, 1, 4)
    b.tensors[0].signature = [1, -1, 4]
    shape = b.tensor((3,), kind="int32")
    b.operator("SHAPE", [0], shape, OutType=tflite.TensorType.INT32)
    rows = b.tensor((1,), kind="int32")
    spec = [b.ints(n) for n in (1, 2, 1)]
    b.operator("STRIDED_SLICE", [shape, *spec], rows)
    one, two = b.ints(1), b.ints(2)
    pairs, sizes = b.tensor((1,), kind="int32"), b.tensor((3,), kind="int32")
    b.operator("FLOOR_DIV", [rows, two], pairs)
    b.operator("CONCATENATION", [one, pairs, b.ints(8)], sizes, Axis=0)
    made = b.put("RESHAPE", [0, sizes], (1, 1, 8)).last
    b.tensors[made].signature = [1, -1, 8]
    b.put("FULLY_CONNECTED", [made, b.random(3, 8), -1], (1, 1, 3), KeepNumDims=1)
    b.tensors[b.last].signature = [1, -1, 3]
    return b


def test_open_sizes_are_given_or_named(tmp_path: Path) -> None:
    b = open_network()
    file = b.save(tmp_path)
    with pytest.raises(InputError, match=r"fixed sizes of at least 1, not \(1, \?, 4\): --shape"):
        import_tflite(file)
    graph = import_tflite(file, shape=(6, 4))
    assert graph.input.shape == (6, 4)
    sample = b.rng.normal(size=(1, 6, 4)).astype(np.float32)
    (made,) = run_outputs(graph, sample.astype(np.float64)).values()
    assert made.shape == (1, 3, 3)
    b.tensors[0].shape = (1, 6, 4)
    b.tensors[0].signature = None
    (result,) = wanted(b.bytes(), [sample], OPTIMIZED)
    np.testing.assert_allclose(made, result, atol=1e-5)
    for shape, text in (
        ((6, 5), r"input t0: shape \(6, 5\) does not fit \(\?, 4\) of the file"),
        ((5, 4), r"operator 4 \(RESHAPE, .*\(1, 5, 4\) cannot become \[1, 2, 8\]"),
        ({"u": (6, 4)}, "'u' is no input"),
    ):
        with pytest.raises(InputError, match=text):
            import_tflite(file, shape=shape)


WRONG: dict[str, tuple[Callable[[RealBuilder], object], str]] = {
    "two exponents": (lambda b: b.put("POW", [0, b.random(4)], (1, 4)), "needs one exponent"),
    "rows": (
        lambda b: put_kind(b, "complex64", "RFFT2D", [0, b.ints(2, 4)], (1, 2, 3)),
        "must be of one row each",
    ),
    "indices": (lambda b: b.put("GATHER", [0, b.ints(4)], (1, 1), Axis=1), r"not inside 0 \.\. 3"),
    "axis": (lambda b: b.put("REVERSE_V2", [0, b.ints(2)], (1, 4)), "there is no axis 2 of 2"),
    "infinite border": (
        lambda b: b.put(
            "PADV2", [0, b.constant(np.zeros((2, 2), np.int32)),
                      b.constant(np.array([-1e30], np.float32))], (1, 4)),
        r"must be with numbers up to 1e\+06",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_operators(tmp_path: Path, name: str) -> None:
    change, text = WRONG[name]
    b = start(1, 4)
    change(b)
    with pytest.raises(InputError, match=text):
        import_tflite(b.save(tmp_path))
