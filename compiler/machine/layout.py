"""Where tensors and code lie in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import accumulate, chain, count

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.program import Tensor, pack
from pulsarray.views import HostView

__all__ = ["Layout"]

_PAGE = 4096
_SMALLEST = 256
"""No word of memory is larger, so everything that is aligned to it is aligned enough."""
_ADDRESSES = 1 << 32


class Layout:
    """Places tensors one after the other from address 0, then the code.

    A tensor smaller than a page never crosses one, so that its bursts are not cut.

    Parameters
    ----------
    config
        The machine.
    reserved
        Names that only inputs, outputs and state get.

    Members
    -------
    tensors
        Every tensor so far.
    """

    def __init__(self, config: Config, reserved: Collection[str] = ()) -> None:
        self.config = config
        self._reserved = frozenset(reserved)
        self.tensors: list[Tensor] = []
        self._names: set[str] = set()
        self._contents: list[tuple[int, npt.NDArray[np.uint8]]] = []
        self._end = 0

    def add(
        self,
        name: str,
        role: str,
        rows: int,
        columns: int,
        *,
        element: str = "code",
        values: npt.ArrayLike | None = None,
        words: npt.NDArray[np.uint8] | None = None,
        scale: float = 1.0,
        zero_point: int = 0,
        after: str = "",
        image: Sequence[int] = (),
        window: Sequence[int] = (),
        view: HostView | None = None,
        half_away: bool = False,
        answer_scale: float = 0.0,
        answer_zero: int = 0,
    ) -> Tensor:
        """Place a tensor; ``values`` are its contents, or ``words`` as they lie in memory.

        A name that is taken gets a number, as ``fc.weight#2``.

        Raises
        ------
        InputError
            If it does not fit the machine's 32-bit addresses.
        """
        tensor = Tensor(
            name=self._free_name(name, role),
            role=role,
            address=0,
            rows=rows,
            columns=columns,
            element=element,
            scale=scale,
            zero_point=zero_point,
            after=after,
            image=tuple(image),
            window=tuple(window),
            view=view,
            half_away=half_away,
            answer_scale=answer_scale,
            answer_zero=answer_zero,
        )
        size = tensor.bytes(self.config)
        address = self._place(name, size)
        tensor = replace(tensor, address=address)
        self.share(tensor)
        if values is not None:
            self._contents.append((address, pack(values, tensor, self.config)))
        if words is not None:
            self._contents.append((address, words))
        return tensor

    def add_raw(self, name: str, words: npt.NDArray[np.uint8]) -> Tensor:
        """Place operand words given as bytes, padding lanes included (a function table)."""
        config = self.config
        tensor = Tensor(
            name=self._free_name(name),
            role="constant",
            address=self._place(name, words.size),
            rows=words.size // config.word_bytes,
            columns=config.dim,
        )
        self.share(tensor)
        self._contents.append((tensor.address, words))
        return tensor

    def fork(self) -> Layout:
        """A layout that goes on from here by itself."""
        other = Layout(self.config, self._reserved)
        other.take(self)
        return other

    def take(self, other: Layout) -> None:
        """Become what a fork of this has become."""
        self.tensors, self._contents = list(other.tensors), list(other._contents)
        self._names, self._end = set(other._names), other._end

    def share(self, tensor: Tensor) -> None:
        """Add a tensor whose words are those of one that is there."""
        self.tensors.append(tensor)
        self._names.add(tensor.name)

    def _free_name(self, name: str, role: str = "constant") -> str:
        reserved = () if role in ("input", "output", "state") else self._reserved
        numbered = (f"{name}#{number}" for number in count(2))
        names = chain([name], numbered)
        return next(n for n in names if n not in self._names and n not in reserved)

    def _place(self, name: str, size: int) -> int:
        align = min(_PAGE, max(_SMALLEST, 1 << (size - 1).bit_length()))
        address = -(-self._end // align) * align
        if address + size > _ADDRESSES:
            raise InputError(f"{name}: {size} bytes at {address:#x} are beyond 32-bit addresses")
        self._end = address + size
        return address

    def image(self, codes: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], list[int]]:
        """Memory with every tensor's contents, then each code from a page on; and these places.

        Raises
        ------
        InputError
            If it does not fit the machine's 32-bit addresses.
        """
        pages = [-(-size // _PAGE) for size in (self._end, *(len(code) for code in codes))]
        *addresses, end = (_PAGE * page for page in accumulate(pages))
        if end > _ADDRESSES:
            size = sum(len(code) for code in codes)
            raise InputError(f"program: {size} bytes of code are beyond 32-bit addresses")
        memory = np.zeros(end, np.uint8)
        code_parts = (
            (a, np.frombuffer(c, np.uint8)) for a, c in zip(addresses, codes, strict=True)
        )
        for address, contents in (*self._contents, *code_parts):
            memory[address : address + contents.size] = contents
        return memory, addresses
