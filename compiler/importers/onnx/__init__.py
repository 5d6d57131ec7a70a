"""ONNX files: float, quantized (QDQ and QLinear)."""
