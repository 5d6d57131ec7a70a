"""The module ``pulsarray_axi``: the machine under the names that vendors' tools know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pulsarray.config import Config
from pulsarray.handoff.interface import Interface
from pulsarray.handoff.text import rendered
from pulsarray.hw.ports import Port, machine_ports

__all__ = ["wrapper"]

_OWN = ("clk", "rst", "interrupt")
_REQUESTS = ("s_axil_awvalid", "s_axil_wvalid", "s_axil_arvalid")
_SIDE = {"lock": 1, "qos": 4, "region": 4}
"""Signals of AXI4 that the machine has not, with their bits."""
_CONSTANT = ("id", "cache", "prot")
"""Signals whose values the options give."""


@dataclass(frozen=True)
class _BusPort(Port):
    """A port of a bus, and what Vivado is told of it."""

    info: str
    parameter: str


def wrapper(config: Config, interface: Interface) -> str:
    """Verilog text of ``pulsarray_axi``."""
    ports = [p for p in machine_ports(config, interface.address_bits) if p.name not in _OWN]
    buses = [port for port in ports if port.name.startswith(("m_axi_", "s_axil_"))]
    constant = {f"m_axi_{channel}{name}" for channel in ("aw", "ar") for name in _CONSTANT}
    ids = {"m_axi_bid", "m_axi_rid"}
    others = {port.name for port in ports} - {port.name for port in buses}
    return rendered(
        "pulsarray_axi.v",
        interface=interface,
        bus_ports=list(_bus_ports(buses, config, interface)),
        passed=[port.name for port in buses if port.name not in constant | ids],
        requests=_REQUESTS,
        left_open=sorted(constant | others),
    )


def _bus_ports(ports: list[Port], config: Config, interface: Interface) -> Iterator[_BusPort]:
    """Every port of both buses, those included that the machine has not."""
    for port in ports:
        is_id = port.name.startswith("m_axi_") and port.name.endswith("id") and port.width == 1
        is_id = is_id and not port.name.endswith("valid")
        yield _told(replace(port, width=interface.id_bits) if is_id else port, config, interface)
    for channel in ("aw", "ar"):
        for name, width in _SIDE.items():
            yield _told(Port(f"m_axi_{channel}{name}", "output", width, ""), config, interface)


def _told(port: Port, config: Config, interface: Interface) -> _BusPort:
    bus = "m_axi" if port.name.startswith("m_axi_") else "s_axil"
    signal = port.name.removeprefix(f"{bus}_")
    parameter = ""
    if signal == "awaddr":
        kind = (
            f"PROTOCOL AXI4, DATA_WIDTH {config.bus_bits}, ADDR_WIDTH {interface.address_bits}, "
            f"ID_WIDTH {interface.id_bits}, MAX_BURST_LENGTH {config.burst_beats}, "
            f"NUM_READ_OUTSTANDING {config.outstanding}, "
            f"NUM_WRITE_OUTSTANDING {config.outstanding}, SUPPORTS_NARROW_BURST 0"
            if bus == "m_axi"
            else "PROTOCOL AXI4LITE, DATA_WIDTH 32, ADDR_WIDTH 12"
        )
        parameter = f"XIL_INTERFACENAME {bus}, {kind}"
    info = f"xilinx.com:interface:aximm:1.0 {bus} {signal.upper()}"
    return _BusPort(port.name, port.direction, port.width, port.meaning, info, parameter)
