"""Quantized graphs on this compiler's integers and on onnxruntime, both judged exactly."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.constants import FOLDED
from pulsarray.compiler.importers.onnx.file import read_onnx
from pulsarray.compiler.importers.onnx.integers import integers
from pulsarray.compiler.importers.onnx.operators import OPERATORS
from pulsarray.compiler.importers.onnx.quantized import QUANTIZED, quantized_network
from pulsarray.compiler.importers.onnx.rounding import QuantizedNetwork
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.host import machine_part
from pulsarray.compiler.ir.operator import Kind
from pulsarray.compiler.reference.run import run
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import unpack
from pulsarray.sim.device import run_model
from pulsarray.sim.random.exact_onnx import Judgement
from pulsarray.sim.random.maps import with_inputs
from pulsarray.sim.random.qdq import QdqCase

__all__ = ["Verdict", "import_case", "judge", "model_differences"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    """What came of a case.

    Parameters
    ----------
    refused
        Why it was not imported; empty if it was.
    integers, runtime
        The codes of all quantizers: those given here, and onnxruntime's.
    different, results
        Results that differ between the two, of how many.
    """

    refused: str = ""
    integers: Judgement = field(default_factory=Judgement)
    runtime: Judgement = field(default_factory=Judgement)
    different: int = 0
    results: int = 0

    @property
    def wrong(self) -> list[str]:
        """What float32 does not explain, on either side."""
        ours = [f"integers {text}" for text in self.integers.wrong]
        return ours + [f"onnxruntime {text}" for text in self.runtime.wrong]


def import_case(case: QdqCase) -> tuple[QuantizedNetwork, Graph]:
    """A case as its file says it, and its integer network.

    Raises
    ------
    InputError
        If it is refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(case.model, path)
        network = quantized_network(read_onnx(path, {*OPERATORS, *QUANTIZED}, FOLDED), None)
    return network, integers(network)


def judge(case: QdqCase) -> Verdict:
    """Import, run and judge a case."""
    try:
        network, graph = import_case(case)
    except InputError as error:
        return Verdict(refused=str(error))
    nodes, inputs = list(case.model.graph.node), {"x": case.inputs}
    theirs = _runtime(case)
    _, runtime = case.exact.run(nodes, inputs, theirs)
    ours = _integers(case, network, graph)
    shapes = [
        f"{name}: shape {codes.shape}, not {theirs[name].shape}"
        for name, codes in ours.items()
        if codes.shape != theirs[name].shape
    ]
    if shapes:
        return Verdict("", Judgement(wrong=shapes), runtime)
    _, integers = case.exact.run(nodes, inputs, ours)
    if case.answer not in ours:  # A softmax, or a choice of what was rounded before.
        return Verdict("", integers, runtime)
    different = int((ours[case.answer] != theirs[case.answer]).sum())
    return Verdict("", integers, runtime, different, theirs[case.answer].size)


def _runtime(case: QdqCase) -> dict[str, Array]:
    """Every quantizer's codes of onnxruntime with its optimizations off."""
    import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    names = [node.output[0] for node in case.quantizers]
    kept = {output.name for output in model.graph.output}
    for name in names:
        if name not in kept:
            model.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results = session.run(names, {"x": case.inputs})
    return dict(zip(names, (np.asarray(r, np.int64) for r in results), strict=True))


def _input_codes(case: QdqCase, graph: Graph) -> Array:
    """A case's inputs as codes of the network's input."""
    source = graph.input.codes.encode(case.inputs)
    view = graph.views.get(graph.input.name)
    if view is not None:
        source = view.from_host(source)
    return source.reshape(-1, *graph.input.shape)


def _integers(case: QdqCase, network: QuantizedNetwork, graph: Graph) -> dict[str, Array]:
    """The codes of quantizers whose result is a map of the network, by name of their result."""
    maps = run(graph, _input_codes(case, graph))
    # A host's softmax takes the network's result.
    result = network.tensor(network.file.outputs[0], "output").value
    last = next((node for node in reversed(network.nodes) if node.output == result), None)
    result = last.inputs[0] if last and last.op.kind is Kind.HOST else result
    codes: dict[str, Array] = {}
    for node in case.quantizers:
        tensor = network.tensor(node.output[0], node.name)
        names = {tensor.value, network.origin(tensor.value)}
        names |= {graph.input.name} if node.input[0] == graph.input.name else set()
        names |= {machine_part(graph).output.name} if tensor.value == result else set()
        for computed in (maps[name] for name in names if name in maps):
            flat = computed.reshape(len(computed), -1)[:, network.places(tensor, node.name)]
            unsigned = case.exact.constants[node.input[2]].dtype == np.uint8
            codes[node.output[0]] = flat + (128 if unsigned else 0)
    if machine_part(graph) is not graph:
        codes |= _answer(case, graph, maps[graph.output.name])
    return codes


def _answer(case: QdqCase, graph: Graph, answer: Array) -> dict[str, Array]:
    """The codes to which a host rounds the probabilities that it makes."""
    if not isinstance(graph.output.format, Affine8):
        return {}
    view = graph.views.get(graph.output.name)
    return {case.answer: view.to_host(answer) if view else answer.reshape(len(answer), -1)}


def model_differences(case: QdqCase, config: Config) -> list[str]:
    """Maps that a compiled case leaves in the functional model's memory other than as defined.

    Raises
    ------
    InputError
        If it is refused.
    """
    _, graph = import_case(case)
    codes = _input_codes(case, graph)
    program = compiler.compile(graph, config, batch=len(codes))
    memory = run_model(replace(program, memory=with_inputs(program, codes))).memory
    assert memory is not None
    wanted = run(graph, codes)
    texts = []
    for tensor in program.tensors:
        if tensor.role in ("intermediate", "output") and tensor.name in wanted:
            stored = unpack(memory, tensor, config)
            differs = stored != wanted[tensor.name].reshape(tensor.rows, tensor.columns)
            if differs.any():
                texts.append(f"{tensor.name}: {int(differs.sum())} of {differs.size} codes differ")
    return texts
