"""Whether a mutant changes nothing that anybody looks at, proven by Yosys in one step.

Registers and memories are cut out of the block: what they hold are inputs, what they hold next are
outputs. For all inputs and all states that are reached, block and mutant must agree on the outputs
and on the next state, as far as these are read (:class:`Views`), when their states agree that far.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.mutation.mutants import READ, run
from pulsarray.errors import CheckFailed
from tests.hw.harness import TOP

__all__ = ["Prover", "Views"]

_MAPPED = """\
opt_expr -mux_undef
memory_collect
memory_map
"""
_PLAIN = READ + _MAPPED + "write_json plain.json\n"
_PROVE = f"""\
design -save block
{{mutant}}
{_MAPPED}expose -dff -evert-dff
rename {TOP} mutated
design -stash mutated
design -load block
{_MAPPED}expose -dff -evert-dff
design -copy-from mutated mutated
read_verilog miter.v
hierarchy -check -top miter
flatten
setundef -zero
opt -fine
sat -timeout 60 -prove wrong 0 miter
"""
_PROVE_ALL = f"""\
design -save plain
{{mutant}}
{_MAPPED}rename {TOP} mutated
expose -dff -evert-dff
design -stash mutated
design -load plain
{_MAPPED}expose -dff -evert-dff
design -copy-from mutated mutated
miter -equiv -flatten {TOP} mutated miter
hierarchy -top miter
opt -full
sat -timeout 60 -prove trigger 0 miter
"""
"""Of blocks of which everything is looked at."""
_PROVEN = "SAT proof finished - no model found: SUCCESS!"
_NO_PROOF = ("does not have a port named", "No matching port in", "No SAT model available")
_OUTPUT = re.compile(
    r"-mode (?P<mode>\w+) .*-cell (?P<cell>\S+) -port Q -portbit (?P<bit>\d+)"
    r"(?: -ctrlbit (?P<control>\d+))?"
)
_NAME = re.compile(r"(?<![\w'.])[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Views:
    """What of a block is looked at, and when; conditions are expressions of Verilog.

    Members
    -------
    outputs
        Of outputs that are not always read: the condition, of outputs, inputs and registers, that
        their readers look at (docs/machine.md).
    registers
        Of registers whose value does not always matter: the condition, of registers. It is proven
        that the block itself does not depend on the value otherwise. Names are patterns, here and
        of outputs; the first that fits counts, for what its condition does not name itself.
    given
        What the blocks around it see to.
    always
        What is true of the registers in every state that is reached; proven by induction.
    """

    outputs: Mapping[str, str] = field(default_factory=dict)
    registers: Mapping[str, str] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    always: tuple[str, ...] = ()

    @staticmethod
    def condition(patterns: Mapping[str, str], name: str) -> str | None:
        """When an output or register is read; always without one."""
        for pattern, condition in patterns.items():
            if fnmatchcase(name, pattern) and name not in _NAME.findall(condition):
                return condition
        return None


class Prover:
    """Proves mutants of one block equivalent.

    Parameters
    ----------
    views
        What is looked at.
    folder
        Where :func:`benchmarks.mutation.mutants.draw` put the block.

    Raises
    ------
    CheckFailed
        If what ``views`` says of registers is not so.
    """

    def __init__(self, views: Views, folder: Path) -> None:
        self._views, self._folder = views, folder
        run(folder, "plain", _PLAIN)
        module = json.loads((folder / "plain.json").read_text(encoding="utf-8"))["modules"][TOP]
        self._cells = _cells(module)
        self._registers = {
            name: len(module["netnames"][name]["bits"]) for name in self._cells.values()
        }
        self._others = _others(module, self._registers)
        self._first = {name: _first(module["netnames"][name]) for name in self._registers}
        self._inputs, self._outputs = (
            {
                name: len(port["bits"])
                for name, port in module["ports"].items()
                if port["direction"] == way
            }
            for way in ("input", "output")
        )
        if views != Views() and not self._proven("", _same, TOP):
            raise CheckFailed("what is said of the registers is not so")

    def equivalent(self, mutant: str) -> bool:
        """Whether nobody sees a difference; not every mutant of which that is true is proven."""
        if self._views == Views():
            return self._succeeds(_PROVE_ALL.format(mutant=mutant))
        changed = _OUTPUT.search(mutant)
        if changed is None or changed["cell"] not in self._cells:
            return self._proven(mutant, _same, "mutated")
        return self._proven("", self._altered(changed), TOP)

    def _altered(self, changed: re.Match[str]) -> Callable[[str], str]:
        """What the readers of registers get when one bit of a register's output is mutated."""
        name = self._cells[changed["cell"]]
        value = _mutated(changed, _same(name), self._registers[name])
        return lambda other: value if other == name else _same(other)

    def _proven(self, mutant: str, seen: Callable[[str], str], second: str) -> bool:
        """Whether the block and ``second``, which sees those values of registers, are alike."""
        (self._folder / "miter.v").write_text(self._miter(seen, second), encoding="utf-8")
        return self._succeeds(_PROVE.format(mutant=mutant))

    def _succeeds(self, script: str) -> bool:
        try:
            return _PROVEN in run(self._folder, "prove", READ + script)
        except CheckFailed as error:
            if any(reason in str(error) for reason in _NO_PROOF):
                return False
            raise

    def _held(self, name: str) -> str:
        """What a register of ``second`` holds: anything where its value does not matter."""
        condition = self._views.condition(self._views.registers, name)
        held = _wire("q", name)
        return (
            f"({self._text(condition, 'q')}) ? {held} : {_wire('any', name)}" if condition else held
        )

    def _miter(self, seen: Callable[[str], str], second: str) -> str:
        """A module with both blocks, and ``wrong``."""
        ports = [("in", name, bits) for name, bits in self._inputs.items()]
        ports += [
            (kind, *register) for register in self._registers.items() for kind in ("q", "any")
        ]
        wires = [(kind, *output) for output in self._outputs.items() for kind in "ab"]
        kinds = ("held", "seen", "a.d", "b.d", "first")
        wires += [(kind, *register) for register in self._registers.items() for kind in kinds]
        head = ", ".join(f"input {_declared(*port)}" for port in ports)
        lines = [f"module miter({head}, output wrong);"]
        wires += [(kind, name, 1) for name in self._registers for kind in ("a.c", "b.c")]
        lines += [f"wire {_declared(*wire)};" for wire in wires]
        for name, bits in self._registers.items():
            lines.append(f"assign {_wire('held', name)}= {self._held(name)};")
            lines.append(f"assign {_wire('seen', name)}= {seen(name)};")
            lines.append(f"assign {_wire('first', name)}= {bits}'b{self._first[name]};")
        lines += [self._instance(TOP, "a", "q"), self._instance(second, "b", "seen")]
        alike = " & ".join(self._alike())
        given = self._all(self._views.given, "q")
        reached = f"{self._always('q')} & {self._always('held')}"
        lines.append(f"assign wrong = {given} & {reached} & ~({alike});")
        return "\n".join([*lines, "endmodule", ""])

    def _instance(self, module: str, name: str, state: str) -> str:
        ports = [(port, _wire("in", port)) for port in self._inputs]
        ports += [(port, _wire(name, port)) for port in self._outputs]
        ports += [(f"{register}.q", _wire(state, register)) for register in self._registers]
        for register in self._registers:
            ports += [(f"{register}.{part}", _wire(f"{name}.{part}", register)) for part in "cd"]
        for other, bits in self._others.items():
            held = ", ".join(f"{_wire(state, register)}[{bit}]" for register, bit in reversed(bits))
            ports.append((f"{other}.q", f"{{{held}}}"))
        connections = ", ".join(f".\\{port} ({wire})" for port, wire in ports)
        return f"{module} {name} ({connections});"

    def _alike(self) -> list[str]:
        """What must be true."""
        terms = [self._always(state) for state in ("a.d", "b.d", "first")]
        views = self._views
        for name in self._outputs:
            terms.append(self._same(views.condition(views.outputs, name), "q", name, "a", "b"))
        for name in self._registers:
            terms.append(self._same(None, "q", name, "a.c", "b.c"))
            condition = views.condition(views.registers, name)
            terms.append(self._same(condition, "a.d", name, "a.d", "b.d"))
        return terms

    def _same(self, condition: str | None, state: str, name: str, one: str, other: str) -> str:
        same = f"({_wire(one, name)}== {_wire(other, name)})"
        return f"(~({self._text(condition, state)}) | {same})" if condition else same

    def _always(self, state: str) -> str:
        return self._all(self._views.always, state)

    def _all(self, facts: Iterable[str], state: str) -> str:
        return f"({' & '.join(['1', *(self._text(fact, state) for fact in facts)])})"

    def _text(self, condition: str, state: str) -> str:
        """A condition with the names of the miter, registers those of a state."""
        return f"(|({_NAME.sub(lambda name: self._known(name[0], state), condition)}))"

    def _known(self, name: str, state: str) -> str:
        if name in self._registers:
            return _wire(state, name)
        if name not in self._inputs.keys() | self._outputs.keys():
            raise KeyError(f"the block has neither a port nor a register named {name}")
        return _wire("a" if name in self._outputs else "in", name)


def _wire(kind: str, name: str) -> str:
    return f"\\{kind}:{name} "


def _cells(module: Mapping[str, Any]) -> dict[str, str]:
    """The registers of a block: each cell, and its name."""
    names = {
        tuple(net["bits"]): name
        for name, net in sorted(module["netnames"].items(), reverse=True)
        if not net["hide_name"]
    }
    return {
        cell: names[tuple(what["connections"]["Q"])]
        for cell, what in module["cells"].items()
        if "Q" in what["connections"]
    }


def _others(
    module: Mapping[str, Any], registers: Iterable[str]
) -> dict[str, list[tuple[str, int]]]:
    """Other names of registers or of parts of them: for each bit whose it is, and which."""
    nets = module["netnames"]
    owners = {
        bit: (name, place) for name in registers for place, bit in enumerate(nets[name]["bits"])
    }
    return {
        name: [owners[bit] for bit in net["bits"]]
        for name, net in nets.items()
        if name not in registers and not net["hide_name"] and owners.keys() >= set(net["bits"])
    }


def _declared(kind: str, name: str, bits: int) -> str:
    return f"[{bits - 1}:0] {_wire(kind, name)}"


def _same(name: str) -> str:
    return _wire("held", name)


def _first(net: Mapping[str, Any]) -> str:
    """The bits that a register holds before the first clock edge, 0 where none are given."""
    bits = len(net["bits"])
    return str(net["attributes"].get("init", "")).replace("x", "0").rjust(bits, "0")


def _mutated(changed: re.Match[str], held: str, bits: int) -> str:
    """What is held, with one bit mutated."""
    mask, mode = f"{bits}'b{1 << int(changed['bit']):0{bits}b}", changed["mode"]
    if mode == "const0":
        return f"{held}& ~{mask}"
    if mode == "const1":
        return f"{held}| {mask}"
    if mode == "inv":
        return f"{held}^ {mask}"
    return f"{held}^ (({held}[{changed['control']}] == {mode[-1]}) ? {mask} : 0)"
