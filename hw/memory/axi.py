"""Signatures of the AXI4 channels that the machine uses, as the manager sees them."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config

__all__ = ["axi4_members", "axi4_read", "axi4_write", "axi_lite_members"]

_ADDRESS = {
    "addr": 32,
    "len": 8,
    "size": 3,
    "burst": 2,
    "id": 1,
    "cache": 4,
    "prot": 3,
    "valid": 1,
}


def axi4_read(config: Config) -> wiring.Signature:
    """Channels AR and R: ``araddr`` and so on."""
    return wiring.Signature(
        {
            **{f"ar{name}": Out(bits) for name, bits in _ADDRESS.items()},
            "arready": In(1),
            "rid": In(1),
            "rdata": In(config.bus_bits),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def axi4_write(config: Config) -> wiring.Signature:
    """Channels AW, W and B."""
    return wiring.Signature(
        {
            **{f"aw{name}": Out(bits) for name, bits in _ADDRESS.items()},
            "awready": In(1),
            "wdata": Out(config.bus_bits),
            "wstrb": Out(config.bus_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def axi4_members(config: Config) -> dict[str, wiring.Member]:
    """Every signal of the manager port, prefixed ``m_axi_``."""
    members = {**axi4_write(config).members, **axi4_read(config).members}
    return {f"m_axi_{name}": member for name, member in members.items()}


def axi_lite_members() -> dict[str, wiring.Member]:
    """Every signal of the subordinate register port, prefixed ``s_axil_``."""
    members = {
        "awaddr": In(12),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(12),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }
    return {f"s_axil_{name}": member for name, member in members.items()}
