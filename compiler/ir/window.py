"""What a kernel sees of a feature map (H, W, C)."""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.errors import InputError

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """What a kernel sees of a feature map, as the ONNX operators of the same names define it.

    Output row ``y`` looks at input rows ``y * stride - top + k * dilation``.

    Parameters
    ----------
    kernel, stride, dilation
        Height and width; rows and columns; rows and columns.
    padding
        Rows and columns added at top, left, bottom, right.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def __str__(self) -> str:
        texts = [f"{self.kernel[0]}x{self.kernel[1]}"]
        if self.stride != (1, 1):
            texts.append(f"stride {self.stride[0]}x{self.stride[1]}")
        if any(self.padding):
            texts.append(f"padding {','.join(map(str, self.padding))}")
        if self.dilation != (1, 1):
            texts.append(f"dilation {self.dilation[0]}x{self.dilation[1]}")
        return f"({' '.join(texts)})"

    def extent(self, axis: int) -> int:
        """Rows (axis 0) or columns from the first to the last that an output sees."""
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def span(self, axis: int, outputs: int) -> int:
        """Rows or columns from the first to the last that so many outputs in a row see."""
        return (outputs - 1) * self.stride[axis] + self.extent(axis)

    def missing(self, axis: int, size: int) -> int:
        """Rows or columns to add for one result at each stride of an input ("same" padding)."""
        return max(self.span(axis, -(-size // self.stride[axis])) - size, 0)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the result.

        Raises
        ------
        InputError
            If a number is out of its range, or the kernel is larger than the padded input.
        """
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            raise InputError(
                "kernel, stride and dilation must be at least 1 and padding at least 0, "
                f"not {self.kernel}, {self.stride}, {self.dilation} and {self.padding}"
            )
        sizes = []
        for axis, size in enumerate((height, width)):
            padded = size + self.padding[axis] + self.padding[axis + 2]
            extent = self.extent(axis)
            if extent > padded:
                raise InputError(
                    f"a kernel of {self.kernel} with dilation {self.dilation} is larger than the "
                    f"padded input, which has {padded} {('rows', 'columns')[axis]}"
                )
            sizes.append((padded - extent) // self.stride[axis] + 1)
        return sizes[0], sizes[1]
