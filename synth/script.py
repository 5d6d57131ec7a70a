"""Yosys' scripts."""

from __future__ import annotations

from pulsarray.synth.targets import Target

__all__ = ["LIBRARY", "flat_script", "kept_script"]

LIBRARY = "library.lib"
"""The liberty file beside the script."""

_ROUTED = 0.5
"""Share of a cycle that mapping may fill: the wires take the rest."""
_BOOTH = "-booth"
"""Multipliers of half as many rows, of which each is one of five multiples: an element of the
array takes a seventh fewer gates."""
_MAP_GATES = "abc -g NAND,NOR,AOI3,OAI3,AOI4,OAI4,XOR,XNOR,MUX"


def kept_script(target: Target, name: str, with_library: bool, mhz: float) -> str:
    """Statistics of every module, and the cells of the top.

    Parameters
    ----------
    name
        The top module.
    with_library
        Map to the cells of :data:`LIBRARY`, of target ``gates``.
    mhz
        Clock to aim at: what is faster anyway is mapped to few cells.
    """
    return "\n".join(
        [
            *_read(target, name),
            _aim(mhz),
            *_synthesize(target, target.synthesis, name, with_library),
            "tee -q -o statistics.json stat -json",
            f"tee -q -o top.txt select -list {name}/c:*",
            "",
        ]
    )


def flat_script(
    target: Target, name: str, with_library: bool, mhz: float, wrapper: str = ""
) -> str:
    """The same design as one module.

    Parameters
    ----------
    wrapper
        A module around it that is synthesized beside it and becomes the netlist to place.
    """
    lines = [*_read(target, name), _aim(mhz), "proc", "flatten"]
    top = name
    if wrapper:
        top = wrapper
        lines += [f"setattr -mod -set keep_hierarchy 1 {name}", "read_verilog wrapper.v"]
    lines += _synthesize(target, target.flat, top, with_library)
    lines += ["tee -q -o statistics.json stat -json"]
    return "\n".join([*lines, *(["write_json netlist.json"] if wrapper else []), ""])


def _read(target: Target, name: str) -> list[str]:
    lines = ["read_verilog pulsarray.v", f"hierarchy -top {name}"]
    if target.synthesis == "synth":
        # After `hierarchy`, that has dropped the memories that are not used.
        lines += ["blackbox memory1r1w_*"]
    return lines


def _aim(mhz: float) -> str:
    """Tell the mapper, in picoseconds; one that has no such target ignores it."""
    return f"scratchpad -set abc9.D {round(_ROUTED * 1e6 / mhz)}"


def _synthesize(target: Target, command: str, name: str, with_library: bool) -> list[str]:
    if target.synthesis != "synth":
        return [f"{command} -top {name}"]
    mapping = (
        [f"dfflibmap -liberty {LIBRARY}", f"abc -liberty {LIBRARY}"]
        if with_library
        else [_MAP_GATES]
    )
    return [f"{command} {_BOOTH} -noabc -top {name}", *mapping, "opt_clean"]
