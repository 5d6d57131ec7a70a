"""ResNet-8 of MLPerf Tiny, with random weights: what each layer costs.

Usage: python examples/resnet8.py [preset or TOML file]
"""

from __future__ import annotations

import sys

from pulsarray import compiler
from pulsarray.config import load_config
from pulsarray.model.timing import simulate_timing
from pulsarray.report import build_report
from pulsarray.zoo.networks import built_in


def main() -> None:
    """Compile, time, print the layers."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "base")
    graph, calibration = built_in("resnet8")
    program = compiler.compile(graph, config, calibration=calibration)
    report = build_report(program, simulate_timing(program))
    for layer in report["layers"]:
        busy = f"{layer['array_utilization']:7.1%}" if layer["macs"] else "      -"
        print(f"{layer['name']:16s} {layer['kind']:14s} {layer['cycles']:7,} cycles  {busy}")
    print(
        f"{report['cycles']:,} cycles an image on D = {config.dim}, {report['macs']:,} MACs, "
        f"array busy {report['array_utilization']:.1%}, {report['bytes_read']:,} bytes read"
    )


if __name__ == "__main__":
    main()
