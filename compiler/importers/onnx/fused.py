"""Operators that ONNX Runtime's optimizer writes in place of several of ONNX's, taken apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pulsarray.compiler.importers.onnx.composed import Compose, Make
from pulsarray.errors import InputError

__all__ = ["FUSED"]

_MICROSOFT = "com.microsoft."


def _gelu(make: Make, x: str) -> str:
    return make("Gelu", x)


def _bias_gelu(make: Make, x: str, bias: str) -> str:
    return make("Gelu", make("Add", x, bias))


def _fast_gelu(make: Make, x: str, bias: str = "") -> str:
    return make("Gelu", make("Add", x, bias) if bias else x, approximate="tanh")


def _quick_gelu(make: Make, x: str) -> str:
    alpha = make.constant(make.call.number("alpha", 1.702))
    return make("Mul", x, make("Sigmoid", make("Mul", x, alpha)))


def _matmul(make: Make, a: str, b: str) -> str:
    """A product of matrices that may be turned, times a factor."""
    for name in ("transBatchA", "transBatchB"):
        if make.call.integer(name, 0):
            raise InputError(f"{make.call.where}: {make.call.kind} with {name} is not supported")
    turned = [
        _turned(make, x) if make.call.integer(name, 0) else x
        for x, name in ((a, "transA"), (b, "transB"))
    ]
    product, alpha = make("MatMul", *turned), make.call.number("alpha", 1.0)
    return product if alpha == 1.0 else make("Mul", product, make.constant(alpha))


def _turned(make: Make, x: str) -> str:
    """A value with its last two axes changed over."""
    known = make.known(x)
    if known is not None and known.ndim < 2:
        raise InputError(f"{make.call.where}: {x!r} must be a matrix, not {known.shape}")
    if known is not None:
        return make.constant(np.swapaxes(known, -1, -2))
    order = [*range(len(make.shape(x)) + 1)]
    return make("Transpose", x, perm=[*order[:-2], order[-1], order[-2]])


def _conv(make: Make, x: str, weight: str, bias: str = "", other: str = "") -> str:
    """A convolution, what is added to it, and a function of the sum."""
    attributes = {k: v for k, v in make.call.attributes.items() if not k.startswith("activation")}
    made = make("Conv", x, weight, *([bias] if bias else []), **attributes)
    if other:
        made = make("Add", made, other)
    function = make.call.text("activation", "")
    numbers = make.call.attributes.get("activation_params") or []
    names = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"], "Clip": ["min", "max"]}
    wanted = dict(zip(names.get(function, []), map(float, numbers), strict=False))
    if function == "Clip":
        return make("Clip", made, *(make.constant(number) for number in wanted.values()))
    return make(function, made, **wanted) if function else made


def _skip_layer_norm(
    make: Make, x: str, skip: str, scale: str, shift: str = "", bias: str = ""
) -> tuple[str, ...]:
    """Layer normalization of a sum, which is a result, too."""
    return _normalized(make, "LayerNormalization", (x, skip, bias), (scale, shift))


def _skip_rms_norm(make: Make, x: str, skip: str, scale: str, bias: str = "") -> tuple[str, ...]:
    """Root-mean-square normalization of a sum, which is a result, too."""
    return _normalized(make, "RMSNormalization", (x, skip, bias), (scale,))


def _normalized(
    make: Make, kind: str, terms: tuple[str, ...], learned: tuple[str, ...]
) -> tuple[str, ...]:
    total = terms[0]
    for term in filter(None, terms[1:]):
        total = make("Add", total, term)
    attributes = {"axis": -1, "epsilon": make.call.number("epsilon", 1e-5)}
    return make(kind, total, *filter(None, learned), **attributes), "", "", total


def _attention(make: Make, x: str, weight: str, bias: str = "", *more: str) -> str:
    """Attention with one product for all heads' queries, keys and values."""
    call = make.call
    heads = call.integer("num_heads", 0)
    if any(more) or call.integer("unidirectional", 0) or call.attributes.get("qkv_hidden_sizes"):
        raise InputError(
            f"{call.where}: {call.kind} with a mask, a past, unidirectional or qkv_hidden_sizes is "
            "not supported"
        )
    product = make("MatMul", x, weight)
    columns = make.shape(product)[-1]
    if heads < 1 or columns % (3 * heads):
        raise InputError(f"{call.where}: {columns} columns are not those of {heads} heads")
    product = make("Add", product, bias) if bias else product
    query, key, value = (_heads(make, product, k * columns // 3, columns // 3) for k in range(3))
    scale = call.number("scale", 0.0) or (columns / 3 / heads) ** -0.5
    scores = make("MatMul", query, make("Transpose", key, perm=[0, 1, 3, 2]))
    shares = make("Softmax", make("Mul", scores, make.constant(scale)), axis=-1)
    mixed = make("Transpose", make("MatMul", shares, value), perm=[0, 2, 1, 3])
    return make("Reshape", mixed, make.constant(np.array([0, 0, columns // 3])))


def _heads(make: Make, x: str, first: int, size: int) -> str:
    """Some columns as heads: (N, heads, rows, columns of a head)."""
    lists = [make.constant(np.array([number])) for number in (first, first + size, 2)]
    shape = make.constant(np.array([0, 0, make.call.integer("num_heads", 0), -1]))
    return make("Transpose", make("Reshape", make("Slice", x, *lists), shape), perm=[0, 2, 1, 3])


FUSED: Mapping[str, Compose] = {
    f"{_MICROSOFT}Attention": _attention,
    f"{_MICROSOFT}BiasGelu": _bias_gelu,
    f"{_MICROSOFT}FastGelu": _fast_gelu,
    f"{_MICROSOFT}FusedConv": _conv,
    f"{_MICROSOFT}FusedMatMul": _matmul,
    f"{_MICROSOFT}Gelu": _gelu,
    f"{_MICROSOFT}QuickGelu": _quick_gelu,
    f"{_MICROSOFT}SkipLayerNormalization": _skip_layer_norm,
    f"{_MICROSOFT}SkipSimplifiedLayerNormalization": _skip_rms_norm,
    f"{_MICROSOFT}TransposeMatMul": _matmul,
}
"""What each is made of."""
