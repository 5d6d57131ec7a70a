"""Windows of ONNX's convolutions and pools: strides, dilations, and three ways to give padding."""

from __future__ import annotations

from dataclasses import replace

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.ir.window import Window
from pulsarray.errors import InputError

__all__ = ["lifted", "pool_window", "transposed_window", "window"]

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]

_LARGEST = 1 << 14
"""Rows or columns of a kernel, and of padding at one side."""


def lifted(call: Call, rank: int) -> Call:
    """An operator on (N, C, L) as one on images (N, C, 1, L); ``rank`` leaves out the batch."""
    if rank != 2:
        return call
    made = dict(call.attributes)
    for name, first in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
        if (values := call.integers(name)) is not None:
            made[name] = [first] * (len(values) == 1) + list(values)
    for name in ("output_padding", "output_shape"):
        if (values := call.integers(name)) is not None:
            made[name] = [int(name == "output_shape"), *values[-1:]]
    if (values := call.integers("pads")) is not None and len(values) == 2:
        made["pads"] = [0, values[0], 0, values[1]]
    return replace(call, attributes=made)


def window(call: Call, kernel: Pair, size: Pair) -> Window:
    """Window of a convolution or pool that looks at ``size`` rows and columns.

    Raises
    ------
    InputError
        If an attribute is wrong.
    """
    plain, mode = _plain(call, kernel), call.text("auto_pad", "NOTSET")
    sides: Sides
    if mode == "NOTSET":
        sides = _sides(call)
    elif mode == "VALID":
        sides = (0, 0, 0, 0)
    else:
        sides = _share(call, mode, [plain.missing(axis, n) for axis, n in enumerate(size)])
    return replace(plain, padding=sides)


def pool_window(call: Call, size: Pair) -> tuple[Window, Pair]:
    """Window of a pool, and the rows and columns that ``ceil_mode`` adds at bottom and right.

    These are part of the window's padding.
    """
    kernel = call.integers("kernel_shape")
    if kernel is None or len(kernel) != 2:
        raise InputError(f"{call.where}: {call.kind} needs a kernel of rows and columns")
    made = window(call, (kernel[0], kernel[1]), size)
    if made.dilation != (1, 1) and call.text("auto_pad", "NOTSET").startswith("SAME"):
        raise InputError(
            f"{call.where}: {call.kind} with dilations and auto_pad is padded one way by ONNX's "
            "text and another by ONNX Runtime; give pads instead of auto_pad"
        )
    if not call.integer("ceil_mode", 0) or call.text("auto_pad", "NOTSET").startswith("SAME"):
        return made, (0, 0)
    extra = []
    for axis, n in enumerate(size):
        first, last, stride = made.padding[axis], made.padding[axis + 2], made.stride[axis]
        padded = n + first + last
        count = -(-max(padded - made.extent(axis), 0) // stride) + 1
        if (count - 1) * stride >= n + first:  # It would see padding alone.
            count -= 1
        extra.append(max(made.span(axis, count) - padded, 0))
    top, left, bottom, right = made.padding
    sides = (top, left, bottom + extra[0], right + extra[1])
    return replace(made, padding=sides), (extra[0], extra[1])


def transposed_window(call: Call, kernel: Pair, size: Pair) -> tuple[Window, Pair]:
    """Window of a transposed convolution, and its output padding."""
    plain = _plain(call, kernel)
    extra = _pair(call, "output_padding", 0)
    mode = call.text("auto_pad", "NOTSET")
    wanted = call.integers("output_shape")
    if wanted is None and mode in ("NOTSET", "VALID"):
        sides = _sides(call) if mode == "NOTSET" else (0, 0, 0, 0)
        return replace(plain, padding=sides), extra
    if wanted is None:
        wanted = (size[0] * plain.stride[0], size[1] * plain.stride[1])
    ends = zip(size, extra, wanted[-2:], strict=True)
    totals = [plain.span(axis, n) + x - w for axis, (n, x, w) in enumerate(ends)]
    if min(totals) < 0:
        raise InputError(
            f"{call.where}: a kernel of {kernel} is too small for an output of {wanted}"
        )
    return replace(plain, padding=_share(call, mode, totals)), extra


def _pair(call: Call, name: str, default: int = 1) -> Pair:
    values = call.integers(name) or (default, default)
    if len(values) != 2 or not all(default <= value <= _LARGEST for value in values):
        raise InputError(
            f"{call.where}: {name} must be two numbers from {default} to {_LARGEST}, not {values}"
        )
    return values[0], values[1]


def _sides(call: Call) -> Sides:
    values = call.integers("pads") or (0, 0, 0, 0)
    if len(values) != 4 or not all(0 <= value <= _LARGEST for value in values):
        raise InputError(f"{call.where}: pads must be four numbers of at least 0, not {values}")
    return values[0], values[1], values[2], values[3]


def _plain(call: Call, kernel: Pair) -> Window:
    """The window without its padding."""
    made = Window(kernel, _pair(call, "strides"), dilation=_pair(call, "dilations"))
    sizes = call.integers("kernel_shape")
    if sizes is not None and sizes != kernel:
        raise InputError(f"{call.where}: kernel_shape {sizes} is not that of the weight {kernel}")
    if not all(1 <= size <= _LARGEST for size in kernel):
        raise InputError(f"{call.where}: a kernel of {kernel} is not possible")
    return made


def _share(call: Call, mode: str, totals: list[int]) -> Sides:
    """Padding divided between both sides; what is odd goes to the end or to the start."""
    if mode == "SAME_UPPER":
        first = [total // 2 for total in totals]
    elif mode in ("SAME_LOWER", "NOTSET"):
        first = [total - total // 2 for total in totals]
    else:
        raise InputError(f"{call.where}: auto_pad {mode!r} is unknown")
    return first[0], first[1], totals[0] - first[0], totals[1] - first[1]
