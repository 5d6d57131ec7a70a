"""ONNX files: float, quantized (QDQ and QLinear)."""

from pulsarray.extras import require

require("ONNX files", "onnx")
