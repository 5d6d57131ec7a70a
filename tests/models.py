"""MLPerf Tiny's models, which are not part of the repository: tests of them skip without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["NETWORKS", "model_file"]

NETWORKS = ("kws_ref_model", "pretrainedResnet_quant")
"""Names of the files, without their suffix; no other file in the folder is looked at."""

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "models"


def model_file(name: str) -> Path:
    """The file of a model, in PULSARRAY_MODELS or a folder beside the repository."""
    file = Path(os.environ.get("PULSARRAY_MODELS", _BESIDE)) / f"{name}.tflite"
    if not file.is_file():
        pytest.skip(f"needs {file.name}; PULSARRAY_MODELS may name its folder")
    return file
