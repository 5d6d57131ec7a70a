"""The configuration: every parameter of the machine, validated, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pulsarray.errors import InputError, did_you_mean

__all__ = ["BOARDS", "DEFAULT_CONFIG", "PRESETS", "Config", "label_of", "load_config"]

DEFAULT_CONFIG = "small"
"""Preset of who names no machine."""
SEMAPHORES = 16
"""Counting semaphores (an 8-bit count each)."""
SEMAPHORE_MAX = 255
"""Largest count of a semaphore; one more signal is an error."""
QUEUE_MAX = 64
"""Instructions that a unit's queue holds at most."""
EXPONENTS = 64
"""Registers of the exponent file; register 0 reads as zero."""
FETCH_BYTES = 512
"""Bytes that FETCH asks for at a time (less when a burst cannot hold them)."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One machine.

    Parameters
    ----------
    dim
        Rows and columns of the array, D: any integer from 2 to 64.
    operand_bits
        Width of an operand: 8 (codes) or 16 (mantissas).
    acc_bits
        Width of a sum: 24..32 with 8-bit operands, 40..64 with 16-bit operands.
    scale_bits
        Width of a requantization multiplier: 16, 24 or 31; 0 means powers of two only
        (16-bit operands).
    scratchpad_banks, scratchpad_depth
        Banks of operand words, and words in each.
    accumulator_banks, accumulator_depth
        Banks of accumulator words, and words in each.
    parameter_depth
        Rows of per-lane constants (bias, multiplier, shift, constant) in the vector unit.
    tables, table_segments
        Resident function tables, and segments of each (256 with 8-bit operands).
    bus_bits
        Width of the memory bus: from one padded operand word down to a quarter of it.
    burst_beats
        Longest AXI burst, in beats.
    outstanding
        Bursts that may be outstanding in each direction.
    queue_depth
        Instructions that each unit's queue holds.
    transposer, vector_multiply, training, counters, trace
        Optional parts; a part that is off is absent from the RTL. ``training`` (16-bit
        operands, with vector_multiply and tables) is the exponent registers, the scale
        controller with its statistics, sums after rounding, exponential and reciprocal.
    tflite, residual, leaky
        Optional parts of every lane: TensorFlow Lite's rounding (with scale_bits = 31), a second
        source with a scale of its own, and a second scale for negative numbers.
    fast_clock
        Registers in the long ways of the vector unit and of the sums: more MHz, and results some
        cycles later (docs/machine.md).
    vector_lanes
        Lanes of the vector unit: ``dim`` (or 0, which means that), half of it, or, where ``dim``
        is a power of two, a quarter. A word takes 1, 2 or 4 cycles there.
    queue_blocks
        Queues of instructions, and what waits for words on their way, in block RAM; else in
        look-up tables, which they take many of.

    Raises
    ------
    InputError
        If any field breaks its rule; the text names the field, the rule and the value.
    """

    dim: int = 8
    operand_bits: int = 8
    acc_bits: int = 32
    scale_bits: int = 31
    scratchpad_banks: int = 8
    scratchpad_depth: int = 1024
    accumulator_banks: int = 2
    accumulator_depth: int = 256
    parameter_depth: int = 64
    tables: int = 2
    table_segments: int = 256
    bus_bits: int = 64
    burst_beats: int = 256
    outstanding: int = 8
    queue_depth: int = 4
    transposer: bool = True
    vector_multiply: bool = True
    training: bool = False
    counters: bool = True
    trace: bool = True
    tflite: bool = True
    residual: bool = True
    leaky: bool = True
    fast_clock: bool = False
    vector_lanes: int = 0
    queue_blocks: bool = True

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, wanted = getattr(self, field.name), type(field.default)
            if type(value) is not wanted:
                rule = _TYPE_NAMES[wanted]
                raise InputError(f"config: {field.name} must be {rule}, not {value!r}")
        self._check_range("dim", 2, 64)
        self._check_choice("operand_bits", (8, 16))
        low, high = (24, 32) if self.operand_bits == 8 else (40, 64)
        self._check_range("acc_bits", low, high, f"with operand_bits = {self.operand_bits}")
        scales = (16, 24, 31) if self.operand_bits == 8 else (0,)
        self._check_choice("scale_bits", scales, f"with operand_bits = {self.operand_bits}")
        self._check_range("scratchpad_banks", 4, 32)
        self._check_range("scratchpad_depth", 16, 32768)
        self._check_range("accumulator_banks", 2, 16)
        self._check_range("accumulator_depth", 16, 32768)
        self._check_range("parameter_depth", 1, 4096)
        self._check_range("tables", 0, 8)
        segments = (256,) if self.operand_bits == 8 else (16, 32, 64, 128, 256)
        self._check_choice("table_segments", segments, f"with operand_bits = {self.operand_bits}")
        word = 8 * self.word_bytes
        buses = tuple(b for b in (word // 4, word // 2, word) if b >= 8)
        self._check_choice("bus_bits", buses, f"(a quarter, a half or all of a {word}-bit word)")
        # A fetch is one burst and holds at least one 32-byte unit of the program.
        bursts = tuple(n for n in (16, 32, 64, 128, 256) if n * self.bus_bytes >= 32)
        self._check_choice("burst_beats", bursts, f"with bus_bits = {self.bus_bits}")
        if self.training and not (self.operand_bits == 16 and self.vector_multiply and self.tables):
            raise InputError(
                "config: training must be false, not true, "
                "without operand_bits = 16, vector_multiply and tables"
            )
        if self.training:
            self._check_range("acc_bits", 40, 48, "with training = true")
        self._check_range("outstanding", 1, 64)
        self._check_range("queue_depth", 1, QUEUE_MAX)
        self._check_choice("vector_lanes", self._lane_choices(), f"with dim = {self.dim}")
        if self.vector_lanes == self.dim:
            object.__setattr__(self, "vector_lanes", 0)  # equal machines are equal

    def _check_range(self, name: str, low: int, high: int, when: str = "") -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            rule = f"{low} to {high} {when}".rstrip()
            raise InputError(f"config: {name} must be {rule}, not {value}")

    def _check_choice(self, name: str, allowed: tuple[int, ...], when: str = "") -> None:
        value = getattr(self, name)
        if value not in allowed:
            rule = f"one of {', '.join(map(str, allowed))}" if len(allowed) > 1 else f"{allowed[0]}"
            raise InputError(f"config: {name} must be {f'{rule} {when}'.rstrip()}, not {value}")

    def _lane_choices(self) -> tuple[int, ...]:
        """Values of ``vector_lanes``: what a LOAD brings in four beats is taken in four cycles."""
        halves = [self.dim, self.dim // 2] if self.dim % 2 == 0 else [self.dim]
        is_power = self.dim & (self.dim - 1) == 0
        return (0, *halves, *([self.dim // 4] if is_power and self.dim >= 4 else []))

    @cached_property
    def lanes(self) -> int:
        """Lanes of the vector unit."""
        return self.vector_lanes or self.dim

    @cached_property
    def word_cycles(self) -> int:
        """Cycles that a word takes in the vector unit."""
        return self.dim // self.lanes

    @cached_property
    def operand_bytes(self) -> int:
        """Bytes of one operand."""
        return self.operand_bits // 8

    @cached_property
    def word_bytes(self) -> int:
        """Bytes of one operand word in memory: D operands padded to a power of two."""
        return (1 << (self.dim - 1).bit_length()) * self.operand_bytes

    @cached_property
    def acc_slot_bytes(self) -> int:
        """Bytes of one sum in memory (four operands)."""
        return 4 * self.operand_bytes

    @cached_property
    def acc_word_bytes(self) -> int:
        """Bytes of one accumulator word in memory (four operand words)."""
        return 4 * self.word_bytes

    @cached_property
    def bus_bytes(self) -> int:
        """Bytes of one beat of the memory bus."""
        return self.bus_bits // 8

    @cached_property
    def beats_per_word(self) -> int:
        """Beats of one operand word: 1, 2 or 4."""
        return self.word_bytes // self.bus_bytes

    @cached_property
    def burst_bytes(self) -> int:
        """Longest burst in bytes; a burst also never crosses 4 KiB."""
        return min(4096, self.burst_beats * self.bus_bytes)

    @cached_property
    def fetch_bytes(self) -> int:
        """Bytes of one instruction fetch, a power of two."""
        return min(FETCH_BYTES, self.burst_bytes)

    @cached_property
    def psum_bits(self) -> int:
        """Width of a partial sum at the foot of the array: exact for D products."""
        return min(self.acc_bits, 2 * self.operand_bits + (self.dim - 1).bit_length())

    @cached_property
    def alu_bits(self) -> int:
        """Width of the vector unit's value before the scale multiply, whose product has 64 bits."""
        return 64 - self.scale_bits

    @cached_property
    def table_planes(self) -> int:
        """Operand-wide planes of a table: 1 (codes), or 3 (low and high half of c0, then c1)."""
        return 1 if self.operand_bits == 8 else 3

    @cached_property
    def table_words(self) -> int:
        """Operand words that hold one plane of a table."""
        return -(-self.table_segments // (self.word_bytes // self.operand_bytes))

    @cached_property
    def fingerprint(self) -> str:
        """64 bits of SHA-256 over every parameter, as 16 hexadecimal digits.

        Parameters that joined later count where they are not as before: machines keep their
        fingerprint.
        """
        values = self.to_dict()
        for name, before in _JOINED.items():
            if values[name] == before:
                del values[name]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The fingerprint, after the name of the preset that is this machine."""
        return label_of(self.fingerprint)

    def to_dict(self) -> dict[str, int | bool]:
        """Every parameter by name."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """The configuration as a TOML document that :func:`load_config` reads back."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.to_dict().items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "config") -> Config:
        """Build from a mapping, refusing unknown names.

        Raises
        ------
        InputError
            If a name is unknown or a value breaks its rule.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(
                    f"{where}: unknown parameter {name!r}; known: {', '.join(known)}"
                    f"{did_you_mean(name, known)}"
                )
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(str(error).replace("config:", f"{where}:", 1)) from None


_JOINED = {
    "tflite": True,
    "residual": True,
    "leaky": True,
    "queue_blocks": True,
    "fast_clock": False,
    "vector_lanes": 0,
}
"""Parameters that joined later, and what machines were before they had them."""
_TYPE_NAMES: dict[type, str] = {int: "an integer", bool: "true or false"}

_BASE = {"dim": 16, "scratchpad_depth": 2048, "accumulator_depth": 512, "bus_bits": 128}
_TRAIN = {
    "operand_bits": 16,
    "acc_bits": 48,
    "scale_bits": 0,
    "accumulator_banks": 4,
    "tables": 4,
    "training": True,
}

BOARDS = {"ecp5-25k": "ecp5", "ecp5-85k": "ecp5", "artix7-35": "xilinx7", "artix7-100": "xilinx7"}
"""Presets named after devices, each with the family that it belongs to."""
_BOARD: dict[str, Any] = {"trace": False, "fast_clock": True}
_SMALL_BOARD: dict[str, Any] = {**_BOARD, "queue_blocks": False}
"""Devices whose block RAM has more use for the banks."""

PRESETS: dict[str, Config] = {
    "tiny": Config(
        dim=4, scratchpad_banks=4, scratchpad_depth=512, accumulator_depth=128, bus_bits=32
    ),
    "small": Config(dim=8),
    "base": Config(**_BASE),  # type: ignore[arg-type]
    "large": Config(dim=32, scratchpad_depth=2048, accumulator_depth=512, bus_bits=256),
    "train-small": Config(bus_bits=128, **_TRAIN),  # type: ignore[arg-type]
    "train": Config(**{**_BASE, **_TRAIN, "bus_bits": 256}),  # type: ignore[arg-type]
    "ecp5-25k": Config(dim=4, bus_bits=32, scratchpad_banks=4, vector_lanes=1, **_SMALL_BOARD),
    "ecp5-85k": Config(dim=8, vector_lanes=4, **_BOARD),
    "artix7-35": Config(
        dim=8, scratchpad_banks=4, scratchpad_depth=2048, vector_lanes=2, **_SMALL_BOARD
    ),
    "artix7-100": Config(dim=12, bus_bits=128, vector_lanes=6, **_SMALL_BOARD),
}
"""Configurations by name; ``base`` is the reference of the published figures, and those of
:data:`BOARDS` fit the devices that they are named after."""


def label_of(fingerprint: str) -> str:
    """A fingerprint, after the name of the preset that has it."""
    known = [name for name, preset in PRESETS.items() if preset.fingerprint == fingerprint]
    return f"{known[0]} ({fingerprint})" if known else fingerprint


def load_config(source: str | Config = DEFAULT_CONFIG, overrides: Sequence[str] = ()) -> Config:
    """The configuration that a preset name or a TOML file gives, with ``key=value`` overrides.

    One that is there already is taken as it is.

    A file may name a ``preset`` to start from and change some parameters of it.

    Raises
    ------
    InputError
        If the source is neither a preset nor a readable TOML file, or a value breaks its rule.
    """
    values, where = _read_source(source)
    for item in overrides:
        name, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"--set: expected key=value, not {item!r}")
        values[name.strip()] = _parse_value(text.strip(), item)
    if overrides:
        where = f"{where} with --set" if where else "--set"
    return Config.from_dict(values, where or "config")


def _read_source(source: str | Config) -> tuple[dict[str, Any], str]:
    if isinstance(source, Config):
        return dict(source.to_dict()), ""
    if source in PRESETS:
        return dict(PRESETS[source].to_dict()), ""
    path = Path(source)
    if not path.is_file():
        presets = ", ".join(PRESETS)
        raise InputError(
            f"--config: {source!r} is neither a file nor a preset ({presets})"
            f"{did_you_mean(source, PRESETS)}"
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{source}: not a readable TOML file: {error}") from None
    preset = values.pop("preset", None)
    if preset is None:
        return values, source
    if preset not in PRESETS:
        raise InputError(
            f"{source}: preset must be one of {', '.join(PRESETS)}, not {preset!r}"
            f"{did_you_mean(preset, PRESETS)}"
        )
    return {**PRESETS[preset].to_dict(), **values}, source


def _parse_value(text: str, item: str) -> int | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text, 0)
    except ValueError:
        raise InputError(f"--set: value must be an integer, true or false, not {item!r}") from None
