"""TensorFlow Lite files in int8."""
