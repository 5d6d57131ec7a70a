"""TensorFlow Lite files in int8."""

from pulsarray.extras import require

require("TensorFlow Lite files", "tflite")
