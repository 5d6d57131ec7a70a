"""A network from a file, .tflite or .onnx, such as a MobileNet: its operators and what it costs.

Usage: python examples/mobilenet.py FILE [--config PRESET] [--calibrate X.npz] [--shape 3x224x224]

A float network is calibrated with samples of its input from an .npz file, or with noise if there
are none, which is enough to know its cost.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pulsarray import compiler
from pulsarray.arrays import load_arrays
from pulsarray.compiler.importers.inspection import inspect_integer
from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.compiler.importers.tflite.importer import import_tflite
from pulsarray.compiler.interpreter import host_shape
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import Config, load_config
from pulsarray.model.timing import simulate_timing
from pulsarray.report import build_report


def quantized(path: Path, calibrate: Path | None, shape: str, config: Config) -> Graph:
    """The network of a file in int8."""
    if path.suffix == ".tflite":
        return import_tflite(path)
    sizes = tuple(int(size) for size in shape.split("x")) if shape else None
    network = import_onnx_any(path, shape=sizes)
    if network.is_quantized:
        return network
    if calibrate is not None:
        (samples,) = load_arrays(calibrate).values()
    else:
        samples = np.random.default_rng(1).normal(size=(2, *host_shape(network)))
    return quantize_graph(network, samples, config)


def main() -> None:
    """Import, compile, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--config", default="base")
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--shape", default="")
    options = parser.parse_args()
    config = load_config(options.config)
    network = quantized(options.file, options.calibrate, options.shape, config)
    inspection = inspect_integer(network)
    print(
        f"{options.file.name}: {len(inspection.rows)} operators, {inspection.macs:,} MACs, "
        f"{inspection.parameters:,} parameters"
    )
    program = compiler.compile(network, config)
    report = build_report(program, simulate_timing(program))
    for layer in sorted(report["layers"], key=lambda layer: -int(layer["cycles"]))[:10]:
        print(
            f"  {layer['name'][:40]:40s} {layer['kind'][:20]:20s} {layer['cycles']:9,} cycles  "
            f"{layer['array_utilization']:6.1%}"
        )
    print(
        f"{report['cycles']:,} cycles an image on D = {config.dim}, array busy "
        f"{report['array_utilization']:.1%}, {report['bytes_read']:,} bytes read"
    )


if __name__ == "__main__":
    main()
