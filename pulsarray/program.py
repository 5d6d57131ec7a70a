"""The program file: instructions, memory image, tensor table, configuration, checksum.

A ``.pulse`` file is ``PULSARRAY``, a version byte, the length of a JSON header, the header, the
memory image (zlib), and the SHA-256 of everything before.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import InputError, did_you_mean
from pulsarray.files import write_atomically
from pulsarray.isa import Instruction, decode_all
from pulsarray.run import RunResult
from pulsarray.typed import typed
from pulsarray.views import HostView

__all__ = ["Layer", "Program", "Tensor", "pack", "unpack"]

_MAGIC = b"PULSARRAY"
_VERSION = 2
_HASH_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A matrix in memory, stored as column blocks of words (docs/machine.md, section 1).

    Parameters
    ----------
    name, role
        Name, and ``input``, ``output``, ``weight``, ``constant``, ``intermediate`` or
        ``state`` (read and written, for the next run).
    address
        Byte address of block 0, word 0.
    rows, columns
        Logical shape M x N. Block j holds columns jD..jD+D-1 of all rows.
    element
        ``code`` (operand words) or ``sum`` (accumulator words).
    scale, zero_point
        Real value = (code - zero_point) * scale.
    after
        What a host applies to the real values of an output along its columns: ``""``,
        ``"softmax"``, ``"argmax"``, ``"argmin"``, or the last of equal ones, ``"last_argmax"`` and
        ``"last_argmin"``.
    answer_scale, answer_zero
        Scale and zero point of the codes to which a host rounds what ``after`` makes; scale 0 where
        it does not round.
    image
        Rows, columns and channels of a feature map, whose pixels are the matrix's rows: image by
        image, row by row. Empty for a plain matrix.
    window
        Of a map packed for its first convolution: kernel, stride, padding (top, left, bottom,
        right) and dilation. Row m of the matrix is then all that output pixel m looks at: kernel
        row, kernel column, channel. Empty where it is not packed.
    view
        The shape and order in which a host gives and takes one sample, where it is neither the
        image's nor the matrix's row: see :class:`pulsarray.views.HostView`.
    half_away
        Whether a host rounds halves away from zero when it makes codes (of an input, or of what
        ``after`` makes), else to even.
    """

    name: str
    role: str
    address: int
    rows: int
    columns: int
    element: str = "code"
    scale: float = 1.0
    zero_point: int = 0
    after: str = ""
    image: Sequence[int] = ()
    window: Sequence[int] = ()
    view: HostView | None = None
    half_away: bool = False
    answer_scale: float = 0.0
    answer_zero: int = 0

    def __post_init__(self) -> None:
        # A file gives lists.
        object.__setattr__(self, "image", tuple(self.image))
        object.__setattr__(self, "window", tuple(self.window))

    def blocks(self, config: Config) -> int:
        """Column blocks."""
        return -(-self.columns // config.dim)

    def bytes(self, config: Config) -> int:
        """Bytes in memory."""
        word = config.word_bytes if self.element == "code" else config.acc_word_bytes
        return self.blocks(config) * self.rows * word


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A contiguous range of instructions that computes one layer: M x K times K x N.

    Parameters
    ----------
    name, kind
        Name in the network and operator.
    first, last
        Index of its first instruction and one past its last.
    m, k, n
        Shape of its product; 0 where it has none.
    products
        Products of that many multiply-accumulates: 2 where the gradients of input and weights are
        computed together.
    read_bytes, write_bytes
        Bytes that any schedule must move for it: operands and results that live in memory.
    """

    name: str
    kind: str
    first: int
    last: int
    m: int = 0
    k: int = 0
    n: int = 0
    products: int = 1
    read_bytes: int = 0
    write_bytes: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer's mathematics."""
        return self.m * self.k * self.n * self.products


@dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled program.

    Parameters
    ----------
    config
        The machine it is for.
    code
        Instruction bytes, END included.
    code_address
        Where they lie in memory, a multiple of 4096.
    memory
        uint8 memory image from address 0, code included; its length is the memory it needs,
        a multiple of 4096.
    tensors, layers
        Tables of tensors and layers.
    network, batch
        What it was compiled from.
    """

    config: Config
    code: bytes
    code_address: int
    memory: npt.NDArray[np.uint8]
    tensors: Sequence[Tensor]
    layers: Sequence[Layer]
    network: str = ""
    batch: int = 1
    notes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def instructions(self) -> list[Instruction]:
        """The decoded instructions."""
        return decode_all(self.code)

    @cached_property
    def timings(self) -> dict[tuple[int, int], RunResult]:
        """What the timing model said, by latency and interval of the memory, as far as it ran."""
        return {}

    def tensor(self, name: str) -> Tensor:
        """The tensor of a name.

        Raises
        ------
        InputError
            If there is none; the text lists those there are.
        """
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        names = ", ".join(t.name for role in ("input", "output") for t in self.with_role(role))
        close = did_you_mean(name, (tensor.name for tensor in self.tensors))
        raise InputError(f"program: no tensor {name!r}; it has {names}{close}")

    def with_role(self, role: str) -> list[Tensor]:
        """Tensors of one role."""
        return [tensor for tensor in self.tensors if tensor.role == role]

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        header = {
            "config": self.config.to_dict(),
            "fingerprint": self.config.fingerprint,
            "code_address": self.code_address,
            "code_bytes": len(self.code),
            "memory_bytes": int(self.memory.size),
            "tensors": [asdict(tensor) for tensor in self.tensors],
            "layers": [asdict(layer) for layer in self.layers],
            "network": self.network,
            "batch": self.batch,
            "notes": dict(self.notes),
        }
        text = json.dumps(header).encode()
        head = _MAGIC + bytes([_VERSION]) + len(text).to_bytes(4, "little") + text
        body = head + zlib.compress(self.memory.tobytes(), 6)
        write_atomically(path, body + hashlib.sha256(body).digest())

    @classmethod
    def load(cls, path: Path, config: Config | None = None) -> Program:
        """Read a file, checking its checksum and, if one is given, its configuration.

        Raises
        ------
        InputError
            If it is unreadable, truncated, altered, of another format version, or for another
            configuration.
        """
        header, image = _read(path)
        program = _from_header(header, image, path)
        if config is not None and config != program.config:
            raise InputError(
                f"{path}: compiled for configuration {program.config.label}, "
                f"not for {config.label}; compile it again with --config"
            )
        return program


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None
    if not data.startswith(_MAGIC):
        raise InputError(f"{path}: not a Pulsarray program")
    body = data[:-_HASH_BYTES]
    whole = len(data) >= len(_MAGIC) + 5 + _HASH_BYTES
    if not whole or hashlib.sha256(body).digest() != data[len(body) :]:
        raise InputError(f"{path}: truncated or altered (checksum differs); compile it again")
    version = body[len(_MAGIC)]
    if version != _VERSION:
        raise InputError(f"{path}: format version {version}, this release reads {_VERSION}")
    start = len(_MAGIC) + 5
    end = start + int.from_bytes(body[start - 4 : start], "little")
    try:
        return json.loads(body[start:end]), zlib.decompress(body[end:])
    except (ValueError, zlib.error) as error:
        raise InputError(f"{path}: malformed: {error}") from None


def _from_header(header: dict[str, Any], image: bytes, path: Path) -> Program:
    try:
        address = header["code_address"]
        program = Program(
            config=Config.from_dict(header["config"], str(path)),
            code=image[address : address + header["code_bytes"]],
            code_address=address,
            memory=np.frombuffer(image, np.uint8).copy(),
            tensors=[_tensor(fields) for fields in header["tensors"]],
            layers=[typed(Layer, layer) for layer in header["layers"]],
            network=header["network"],
            batch=header["batch"],
            notes=header["notes"],
        )
        _require_in_memory(program, header["code_bytes"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: malformed header: {error}") from None
    return program


def _tensor(fields: dict[str, Any]) -> Tensor:
    view = fields["view"]
    return typed(Tensor, {**fields, "view": None if view is None else HostView(**view)})


def _require_in_memory(program: Program, code_bytes: int) -> None:
    size = program.memory.size
    if size % 4096 or not size:
        raise ValueError(f"memory of {size} bytes is no multiple of 4096")
    places = {"code": (program.code_address, code_bytes)}
    for tensor in program.tensors:
        if tensor.rows < 1 or tensor.columns < 1:
            raise ValueError(
                f"tensor {tensor.name!r} has {tensor.rows} x {tensor.columns} elements"
            )
        places[f"tensor {tensor.name!r}"] = (tensor.address, tensor.bytes(program.config))
    for what, (start, extent) in places.items():
        if start < 0 or extent < 0 or start + extent > size:
            raise ValueError(f"{what} ends at {start + extent}, beyond a memory of {size} bytes")


def pack(values: npt.ArrayLike, tensor: Tensor, config: Config) -> npt.NDArray[np.uint8]:
    """Integer codes or sums, shape (rows, columns), as the bytes of ``tensor`` in memory."""
    size = config.operand_bytes if tensor.element == "code" else config.acc_slot_bytes
    array = np.asarray(values).reshape(tensor.rows, tensor.columns)
    lanes = config.word_bytes // config.operand_bytes
    blocks = np.zeros((tensor.blocks(config), tensor.rows, lanes), f"<i{size}")
    for block in range(tensor.blocks(config)):
        part = array[:, block * config.dim : (block + 1) * config.dim]
        blocks[block, :, : part.shape[1]] = part
    return blocks.reshape(-1).view(np.uint8)


def unpack(memory: npt.NDArray[np.uint8], tensor: Tensor, config: Config) -> npt.NDArray[np.int64]:
    """The codes or sums of ``tensor``, shape (rows, columns), from a memory image."""
    size = config.operand_bytes if tensor.element == "code" else config.acc_slot_bytes
    lanes = config.word_bytes // config.operand_bytes
    raw = memory[tensor.address : tensor.address + tensor.bytes(config)].view(f"<i{size}")
    blocks = raw.reshape(tensor.blocks(config), tensor.rows, lanes)[:, :, : config.dim]
    return np.concatenate(list(blocks), axis=1)[:, : tensor.columns].astype(np.int64)
