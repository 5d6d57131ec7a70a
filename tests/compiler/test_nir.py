"""NIR files: what their equations say step by step, written directly, and refusals by name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pulsarray as pa
from pulsarray.compiler.importers.nir.importer import import_nir
from pulsarray.compiler.interpreter import inputs_from_host
from pulsarray.compiler.reference.run import run_in_order
from pulsarray.errors import InputError

nir = pytest.importorskip("nir")
RNG = np.random.default_rng(3)
STEP = 1e-3


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0.0, 1.0, shape)


def chain(path: Path, shape: tuple[int, ...], *nodes: Any, end: tuple[int, ...]) -> Path:
    """A file of nodes one after the other."""
    named = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(end))}
    named |= {f"n{number}": node for number, node in enumerate(nodes)}
    order = ["input", *(f"n{number}" for number in range(len(nodes))), "output"]
    graph = nir.NIRGraph(named, [*pairwise(order)], type_check=False)
    nir.write(str(path / "net.nir"), graph)
    return path / "net.nir"


def lif(*shape: int, **parameters: float) -> Any:
    values = {"tau": 5e-3, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.4, "v_reset": 0.0} | parameters
    return nir.LIF(**{name: np.full(shape, value) for name, value in values.items()})


def cuba(size: int) -> Any:
    values = {"tau_syn": 4e-3, "tau_mem": 8e-3, "r": 3.0, "v_leak": 0.05}
    values |= {"v_threshold": 0.5, "v_reset": -0.1, "w_in": 1.5}
    return nir.CubaLIF(**{name: np.full(size, value) for name, value in values.items()})


def stepped(v: np.ndarray, current: np.ndarray, what: Any, tau: str) -> tuple[Any, Any]:
    """Spikes, and the potential after them."""
    v = v + STEP / getattr(what, tau) * (what.v_leak - v + what.r * current)
    spikes = v > what.v_threshold
    return spikes * 1.0, np.where(spikes, what.v_reset, v)


def test_neurons_with_and_without_currents(tmp_path: Path) -> None:
    first, bias, second = weights(5, 4), weights(5), 2.0 * weights(3, 5)
    nodes = [nir.Affine(first, bias), lif(5, v_leak=0.1), nir.Linear(second), cuba(3)]
    path, inputs = chain(tmp_path, (4,), *nodes, end=(3,)), 2.0 * weights(60, 4)
    v, w, current, wanted = np.zeros(5), np.zeros(3), np.zeros(3), []
    for x in inputs:
        s, v = stepped(v, first @ x + bias, nodes[1], "tau")
        current = current + STEP / nodes[3].tau_syn * (nodes[3].w_in * (second @ s) - current)
        z, w = stepped(w, current, nodes[3], "tau_mem")
        wanted.append(z)
    assert 0 < np.sum(wanted) < np.size(wanted)
    graph = import_nir(path, time_step=STEP)
    computed = run_in_order(graph, inputs_from_host(graph, inputs))["output"]
    np.testing.assert_array_equal(computed, wanted)
    program, run = pa.load(graph).quantize(inputs).compile("tiny"), None
    equal = 0
    for x, z in zip(inputs, wanted, strict=True):
        run = program.run(x[None], after=run)
        equal += np.sum(np.round(run.outputs["output"]) == z)
    assert equal > 0.8 * np.size(wanted)


def test_maps(tmp_path: Path) -> None:
    """Convolution, neurons, pooling by sums, and elements in the file's order after Flatten."""
    kernel, matrix = weights(6, 2, 3, 3), weights(3, 6 * 2 * 3)
    shape, inner = (2, 4, 6), (6, 2, 3)
    nodes = [
        nir.Conv2d((4, 6), kernel, 1, 1, 1, 1, np.zeros(6)),
        lif(6, 4, 6),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten({"input": np.array(inner)}, 0),
        nir.Linear(matrix),
        lif(3),
    ]
    graph = import_nir(chain(tmp_path, shape, *nodes, end=(3,)), time_step=STEP)
    inputs, v, w, wanted = weights(30, *shape), np.zeros((6, 4, 6)), np.zeros(3), []
    for x in inputs:
        padded, sums = np.pad(x, ((0, 0), (1, 1), (1, 1))), np.zeros((6, 4, 6))
        for row, column in np.ndindex(3, 3):
            part = padded[:, row : row + 4, column : column + 6]
            sums += np.einsum("oc,chw->ohw", kernel[:, :, row, column], part)
        s, v = stepped(v, sums, nodes[1], "tau")
        pooled = s.reshape(6, 2, 2, 3, 2).sum(axis=(2, 4))
        z, w = stepped(w, matrix @ pooled.reshape(-1), nodes[5], "tau")
        wanted.append(z)
    assert 0 < np.sum(wanted) < np.size(wanted)
    computed = run_in_order(graph, inputs_from_host(graph, inputs))["output"]
    np.testing.assert_array_equal(computed, wanted)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (lambda: [nir.LI(*np.full((3, 3), 1e-2))], r"node n0 \(LI\): not supported, only Affine"),
        (lambda: [lif(3, tau=1e-4)], "node n0: tau must be above 0.001, not 0.0001"),
        (lambda: [lif(3, r=0.0)], "node n0: r must be above 0, not 0"),
        (lambda: [nir.Linear(weights(3, 5))], "cannot read: Type inference error: type mismatch"),
        (lambda: [lif(3), uneven()], "node n1: v_threshold must be the same for all"),
    ],
)
def test_wrong(tmp_path: Path, nodes: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"net\.nir: {message}"):
        import_nir(chain(tmp_path, (3,), *nodes(), end=(3,)), time_step=STEP)


def uneven() -> Any:
    what = lif(3)
    what.v_threshold[1] = 0.5
    return what


def test_loops_wrong(tmp_path: Path) -> None:
    path = chain(tmp_path, (3,), nir.Linear(weights(3, 3)), lif(3), end=(3,))
    file = nir.read(str(path))
    file.edges.append(("n1", "n0"))
    nir.write(str(path), file)
    with pytest.raises(InputError, match=r"a loop through .*: not supported"):
        import_nir(path)


def test_files_wrong(tmp_path: Path) -> None:
    (tmp_path / "net.nir").write_text("no file of this kind")
    with pytest.raises(InputError, match=r"net\.nir: cannot read: "):
        pa.load(tmp_path / "net.nir")
