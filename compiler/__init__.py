"""From a network to a program: graph, importers, quantization, layout, tiling, schedule."""
