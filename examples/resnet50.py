"""ResNet-50 with random weights: what an image costs, and which layers use the array badly.

Usage: python examples/resnet50.py [preset or TOML file]

The network is the one without weights that the onnx package carries for its own tests.
"""

from __future__ import annotations

import sys

from pulsarray import compiler
from pulsarray.config import load_config
from pulsarray.model.timing import simulate_timing
from pulsarray.report import build_report
from pulsarray.zoo.networks import built_in

BAR = 0.8


def main() -> None:
    """Compile, time, print the layers below the bar."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "base")
    graph, calibration = built_in("resnet50")
    program = compiler.compile(graph, config, calibration=calibration)
    report = build_report(program, simulate_timing(program))
    layers = [layer for layer in report["layers"] if layer["macs"]]
    below = [layer for layer in layers if layer["mac_utilization"] < BAR]
    print(
        f"{report['cycles']:,} cycles an image on D = {config.dim}, {report['macs']:,} MACs: "
        f"multipliers {report['mac_utilization']:.1%}, array busy "
        f"{report['array_utilization']:.1%}, {report['bytes_read']:,} bytes read"
    )
    print(f"{len(below)} of {len(layers)} layers use less than {BAR:.0%} of the multipliers:")
    for layer in sorted(below, key=lambda layer: float(layer["mac_utilization"])):
        size = f"{layer['m']}x{layer['k']}x{layer['n']}"
        used = f"{layer['mac_utilization']:6.1%}"
        print(f"  {layer['name']:24s} {size:14s} {layer['cycles']:9,} cycles  {used}")


if __name__ == "__main__":
    main()
