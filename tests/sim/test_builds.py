"""The cache of generated Verilog."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulsarray.hw.emit
from pulsarray.config import Config
from pulsarray.sim import builds

CONFIG = Config(dim=2, bus_bits=16)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSARRAY_CACHE", str(tmp_path))


def test_generated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(pulsarray.hw.emit, "generate", lambda _: calls.append(1) or "text")
    assert builds.verilog(CONFIG).read_text() == "text"
    assert builds.verilog(CONFIG).read_text() == "text"
    assert len(calls) == 1


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Config) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(pulsarray.hw.emit, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        builds.verilog(CONFIG)
    monkeypatch.setattr(pulsarray.hw.emit, "generate", lambda _: "whole")
    assert builds.verilog(CONFIG).read_text() == "whole"


def test_ports() -> None:
    ports = builds.ports(Path(builds.__file__).parent / "axi_checker.v")
    assert ports[:3] == ["clk", "rst", "awaddr"]
    assert ports[-1] == "violation"
