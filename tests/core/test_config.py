"""Configurations: rules, derived sizes, presets, files, overrides."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from pulsarray.config import PRESETS, Config, load_config
from pulsarray.errors import InputError


@pytest.mark.parametrize("dim", range(2, 65))
def test_every_dim_is_legal_with_every_width_of_bus(dim: int) -> None:
    word = 8 * (1 << (dim - 1).bit_length())
    for bus in (word // 4, word // 2, word):
        if bus >= 8:
            config = Config(dim=dim, bus_bits=bus)
            assert config.word_bytes * 8 == word
            assert config.beats_per_word * bus == word
            assert config.word_bytes >= dim


def test_base_is_the_reference() -> None:
    base = PRESETS["base"]
    assert base.scratchpad_banks * base.scratchpad_depth * base.dim == 256 * 1024
    assert base.accumulator_banks * base.accumulator_depth * base.dim * base.acc_bits == 8 * 65536
    assert base.bus_bits == 128


def test_derived_sizes_of_an_odd_machine() -> None:
    config = Config(dim=5, bus_bits=16)
    assert (config.word_bytes, config.acc_word_bytes, config.bus_bytes) == (8, 32, 2)
    assert config.beats_per_word == 4
    assert config.psum_bits == 16 + 3
    assert config.burst_bytes == 512
    assert config.table_words == 32


OTHER: dict[str, object] = {
    "dim": 7,
    "operand_bits": 16,
    "acc_bits": 31,
    "scale_bits": 24,
    "scratchpad_banks": 9,
    "scratchpad_depth": 1000,
    "accumulator_banks": 3,
    "accumulator_depth": 100,
    "parameter_depth": 63,
    "tables": 0,
    "bus_bits": 32,
    "burst_beats": 64,
    "outstanding": 1,
    "queue_depth": 64,
    "transposer": False,
    "vector_multiply": False,
    "counters": False,
    "trace": False,
    "tflite": False,
    "residual": False,
    "leaky": False,
    "fast_clock": True,
    "vector_lanes": 2,
    "queue_blocks": False,
}
"""A legal value other than the default for each parameter that is free on its own."""
WIDE = {"operand_bits": 16, "acc_bits": 48, "scale_bits": 0, "bus_bits": 128}
NAMES = [field.name for field in dataclasses.fields(Config)]


def test_fingerprint_changes_with_every_parameter() -> None:
    assert {*OTHER, "table_segments", "training"} == set(NAMES)
    changed = [
        Config(**{**(WIDE if name == "operand_bits" else {}), name: value})  # type: ignore[arg-type]
        for name, value in OTHER.items()
    ]
    changed += [Config(table_segments=segments, **WIDE) for segments in (16, 128)]
    changed.append(Config(training=True, **WIDE))  # type: ignore[arg-type]
    prints = {config.fingerprint for config in (Config(), *changed)}
    assert len(prints) == 1 + len(changed)
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in prints)


def test_fingerprint_is_stable() -> None:
    assert PRESETS["small"].fingerprint == "a234b0c5ef44e6a8"


def test_as_many_lanes_as_columns_are_the_default() -> None:
    assert Config(vector_lanes=8) == Config()
    assert [Config(vector_lanes=lanes).word_cycles for lanes in (8, 4, 2)] == [1, 2, 4]
    assert [Config(dim=6, vector_lanes=lanes).lanes for lanes in (0, 3)] == [6, 3]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_type_and_a_rule(name: str) -> None:
    boolean = type(getattr(Config(), name)) is bool
    wanted = "true or false" if boolean else "an integer"
    for value in ("8", 8.0, None, 1 if boolean else True):
        with pytest.raises(InputError, match=f"^config: {name} must be {wanted}, not {value!r}$"):
            Config(**{name: value})  # type: ignore[arg-type]
    for value in () if boolean else (-1, 10**6):
        with pytest.raises(InputError, match=f"^config: {name} must be .*, not {value}$"):
            Config(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 1}, "config: dim must be 2 to 64, not 1"),
        ({"dim": 65}, "config: dim must be 2 to 64, not 65"),
        ({"dim": True}, "config: dim must be an integer, not True"),
        ({"dim": "8"}, "config: dim must be an integer, not '8'"),
        ({"dim": 8.0}, "config: dim must be an integer, not 8.0"),
        ({"vector_lanes": 3}, "config: vector_lanes must be one of 0, 8, 4, 2 with dim = 8, not 3"),
        (
            {"dim": 12, "vector_lanes": 3},
            "config: vector_lanes must be one of 0, 12, 6 with dim = 12, not 3",
        ),
        (
            {"dim": 5, "vector_lanes": 1},
            "config: vector_lanes must be one of 0, 5 with dim = 5, not 1",
        ),
        ({"operand_bits": 4}, "config: operand_bits must be one of 8, 16, not 4"),
        ({"acc_bits": 40}, "config: acc_bits must be 24 to 32 with operand_bits = 8, not 40"),
        (
            {"operand_bits": 16, "acc_bits": 32},
            "config: acc_bits must be 40 to 64 with operand_bits = 16, not 32",
        ),
        (
            {"scale_bits": 8},
            "config: scale_bits must be one of 16, 24, 31 with operand_bits = 8, not 8",
        ),
        ({"scratchpad_banks": 3}, "config: scratchpad_banks must be 4 to 32, not 3"),
        ({"scratchpad_depth": 15}, "config: scratchpad_depth must be 16 to 32768, not 15"),
        ({"accumulator_banks": 1}, "config: accumulator_banks must be 2 to 16, not 1"),
        (
            {"bus_bits": 128},
            "config: bus_bits must be one of 16, 32, 64 "
            "(a quarter, a half or all of a 64-bit word), not 128",
        ),
        (
            {"dim": 2, "bus_bits": 8, "burst_beats": 16},
            "config: burst_beats must be one of 32, 64, 128, 256 with bus_bits = 8, not 16",
        ),
        ({"accumulator_depth": 15}, "config: accumulator_depth must be 16 to 32768, not 15"),
        ({"parameter_depth": 0}, "config: parameter_depth must be 1 to 4096, not 0"),
        (
            {"table_segments": 128},
            "config: table_segments must be 256 with operand_bits = 8, not 128",
        ),
        (
            {"operand_bits": 16, "acc_bits": 48, "scale_bits": 31},
            "config: scale_bits must be 0 with operand_bits = 16, not 31",
        ),
        ({"outstanding": 0}, "config: outstanding must be 1 to 64, not 0"),
        ({"queue_depth": 65}, "config: queue_depth must be 1 to 64, not 65"),
        ({"tables": 9}, "config: tables must be 0 to 8, not 9"),
        *(
            (
                {"training": True, **values},
                "config: training must be false, not true, "
                "without operand_bits = 16, vector_multiply and tables",
            )
            for values in ({}, {**WIDE, "vector_multiply": False}, {**WIDE, "tables": 0})
        ),
        (
            {**WIDE, "acc_bits": 49, "training": True},
            "config: acc_bits must be 40 to 48 with training = true, not 49",
        ),
        ({"trace": 1}, "config: trace must be true or false, not 1"),
    ],
)
def test_config_wrong(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Config(**values)  # type: ignore[arg-type]


def test_toml_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    for config in PRESETS.values():
        path.write_text(config.to_toml())
        assert load_config(str(path)) == config


def test_file_may_start_from_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text('preset = "base"\noutstanding = 16\n')
    config = load_config(str(path))
    assert (config.dim, config.outstanding) == (16, 16)


def test_overrides() -> None:
    config = load_config("small", ["dim=5", "trace=false", "outstanding = 0x10"])
    assert (config.dim, config.trace, config.outstanding) == (5, False, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dim = ", r"machine\.toml: not a readable TOML file: .*"),
        ("size = 8", r"machine\.toml: unknown parameter 'size'; known: dim, .*"),
        ("dim = 99", r"machine\.toml: dim must be 2 to 64, not 99"),
        ('preset = "huge"', r"machine\.toml: preset must be one of tiny, .*, not 'huge'"),
    ],
)
def test_file_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(str(path))


def test_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a readable TOML file"):
        load_config(str(path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dim", "--set: expected key=value, not 'dim'"),
        ("dim=big", "--set: value must be an integer, true or false, not 'dim=big'"),
        ("size=8", "--set: unknown parameter 'size'"),
        ("dim=1", "--set: dim must be 2 to 64, not 1"),
    ],
)
def test_override_wrong(override: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_config("small", [override])


def test_a_file_and_an_override_are_both_named(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text("bus_bits = 16\n")
    with pytest.raises(InputError, match=r"machine\.toml with --set: bus_bits must be one of 32, "):
        load_config(str(path), ["dim=16"])


def test_source_that_is_nothing() -> None:
    with pytest.raises(InputError, match="'nope' is neither a file nor a preset"):
        load_config("nope")
