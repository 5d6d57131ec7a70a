"""The program file: round trip, tampering, atomic writing; tensors to and from bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.isa import Instruction, Opcode, encode_all
from pulsarray.program import Layer, Program, Tensor, pack, unpack


def example(config: Config = PRESETS["tiny"]) -> Program:
    code = encode_all([Instruction.make(Opcode.LOAD, run=4), Instruction.make(Opcode.END)])
    memory = np.arange(8192, dtype=np.uint16).astype(np.uint8)
    memory[4096 : 4096 + len(code)] = np.frombuffer(code, np.uint8)
    return Program(
        config=config,
        code=code,
        code_address=4096,
        memory=memory,
        tensors=[Tensor(name="x", role="input", address=0, rows=4, columns=4, scale=0.5)],
        layers=[Layer(name="fc", kind="dense", first=0, last=1, m=4, k=4, n=4)],
        network="example",
        batch=4,
        notes={"seed": 3},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "p.pulse"
    example().save(path)
    return path


def test_round_trip(saved: Path) -> None:
    program, loaded = example(), Program.load(saved, PRESETS["tiny"])
    assert (loaded.memory == program.memory).all()
    for name in (
        "config",
        "code",
        "code_address",
        "tensors",
        "layers",
        "network",
        "batch",
        "notes",
    ):
        assert getattr(loaded, name) == getattr(program, name)
    assert [i.op for i in loaded.instructions] == [Opcode.LOAD, Opcode.END]


def test_saving_twice_gives_the_same_bytes(tmp_path: Path, saved: Path) -> None:
    example().save(tmp_path / "again.pulse")
    assert (tmp_path / "again.pulse").read_bytes() == saved.read_bytes()


def test_another_configuration_is_refused_with_both_named(saved: Path) -> None:
    tiny, small = PRESETS["tiny"].fingerprint, PRESETS["small"].fingerprint
    with pytest.raises(InputError) as error:
        Program.load(saved, PRESETS["small"])
    named = f"compiled for configuration tiny ({tiny}), not for small ({small})"
    assert named in str(error.value)


@settings(max_examples=60)
@given(st.data())
def test_any_altered_byte_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("altered") / "p.pulse"
    example().save(path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a Pulsarray program|truncated or altered"):
        Program.load(path)


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_any_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "p.pulse"
    example().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])
    with pytest.raises(InputError, match=r"not a Pulsarray program|truncated or altered"):
        Program.load(path)


def resealed(path: Path, old: bytes, new: bytes) -> None:
    """Change a file, and make its length and checksum right again."""
    body = path.read_bytes()[:-32]
    assert old in body
    body = body.replace(old, new)
    length = int.from_bytes(body[10:14], "little") + len(new) - len(old)
    body = body[:10] + length.to_bytes(4, "little") + body[14:]
    path.write_bytes(body + hashlib.sha256(body).digest())


def test_other_format_version_is_refused(saved: Path) -> None:
    resealed(saved, b"PULSARRAY\x02", b"PULSARRAY\x63")
    with pytest.raises(InputError, match="format version 99, this release reads 2"):
        Program.load(saved)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"batch"', b'"bacth"', "malformed header"),
        (b'"kind"', b'"kine"', "malformed header"),
        (b'"view"', b'"veiw"', "malformed header"),
        (b'{"config"', b'["config"', "malformed"),
        (b'[{"name": "x"', b'[3, {"name": "x"', "malformed header"),
        (b'"rows": 4', b'"rows": "4"', "rows must be int, not '4'"),
        (b'"rows": 4', b'"rows": true', "rows must be int, not True"),
        (b'"rows": 4', b'"rows": 0', "tensor 'x' has 0 x 4 elements"),
        (b'"rows": 4', b'"rows": 9999', "tensor 'x' ends at 39996, beyond a memory of 8192 bytes"),
        (b'"scale": 0.5', b'"scale": NaN', "scale must be float, not nan"),
        (b'"name": "fc"', b'"name": 3', "name must be str, not 3"),
        (b'"first": 0', b'"first": null', "first must be int, not None"),
        (b'"code_bytes": ', b'"code_bytes": 999', "code ends at .*, beyond a memory"),
        (b'"dim": 4', b'"dim": 1', "dim must be 2 to 64, not 1"),
    ],
)
def test_malformed_header_is_refused(saved: Path, old: bytes, new: bytes, message: str) -> None:
    resealed(saved, old, new)
    with pytest.raises(InputError, match=message):
        Program.load(saved)


def test_load_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read: No such file or directory"):
        Program.load(tmp_path / "none.pulse")
    with pytest.raises(InputError, match="cannot read: Is a directory"):
        Program.load(tmp_path)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="not a Pulsarray program"):
        Program.load(tmp_path / "text")


def test_tensor_by_name() -> None:
    assert example().tensor("x").rows == 4
    with pytest.raises(InputError, match=r"^program: no tensor 'z'; it has x$"):
        example().tensor("z")


@pytest.mark.parametrize("element", ["code", "sum"])
@pytest.mark.parametrize("dim", [3, 4, 5, 8])
def test_tensor_in_memory(dim: int, element: str) -> None:
    config = Config(dim=dim, bus_bits=8 * (1 << (dim - 1).bit_length()))
    values = np.random.default_rng(dim).integers(-128, 128, (7, 2 * dim + 1))
    tensor = Tensor(
        name="t", role="input", address=64, rows=7, columns=2 * dim + 1, element=element
    )
    data = pack(values, tensor, config)
    assert (
        data.size
        == tensor.bytes(config)
        == 3 * 7 * config.word_bytes * (4 if element == "sum" else 1)
    )
    memory = np.concatenate([np.full(64, 0xA5, np.uint8), data])
    assert (unpack(memory, tensor, config) == values).all()


def test_known_bytes_of_a_tensor() -> None:
    config = Config(dim=3, bus_bits=32)
    tensor = Tensor(name="t", role="input", address=0, rows=2, columns=4)
    data = pack([[1, 2, 3, 4], [-1, -2, -3, -4]], tensor, config)
    assert data.tobytes().hex(" ", 4) == "01020300 fffefd00 04000000 fc000000"
