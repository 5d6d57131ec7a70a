"""Operators on arrays, by ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from pulsarray.compiler.importers.onnx.file import Call, Constant
from pulsarray.errors import InputError

__all__ = ["evaluate"]


def evaluate(call: Call, inputs: Sequence[Constant], opset: int) -> list[Constant]:
    """All results of an operator of ONNX's own domain.

    Parameters
    ----------
    call
        The operator.
    inputs
        What it reads, without what is left out.
    opset
        Version of ONNX's operators.

    Raises
    ------
    InputError
        If it cannot work on them.
    """
    from onnx.reference import ReferenceEvaluator  # a tenth of importing a file that needs none

    names = [name for name in call.inputs if name]
    node = onnx.helper.make_node(call.kind, call.inputs, call.outputs, **call.attributes)
    versions = [onnx.helper.make_operatorsetid("", opset)]
    alone = onnx.helper.make_function(
        "pulsarray", call.kind, [*dict.fromkeys(names)], [n for n in call.outputs if n], [node],
        versions,
    )  # fmt: skip
    try:
        with np.errstate(all="ignore"):
            made = ReferenceEvaluator(alone).run(None, dict(zip(names, inputs, strict=True)), {})
    except Exception as error:  # of NumPy or of the onnx package, on whatever a file may have
        reason = " ".join(str(error).split())
        raise InputError(f"{call.where}: {call.kind} of constants fails: {reason}") from None
    return [np.asarray(array) for array in made]
