"""Shorter Verilog means the same: every module of a machine, simulated beside Yosys' own text."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pulsarray.config import load_config
from pulsarray.hw import emit
from pulsarray.hw.verilog.layout import LINE_LENGTH
from pulsarray.hw.verilog.liveness import Inputs
from pulsarray.hw.verilog.netlist import read
from pulsarray.hw.verilog.tidy import plain_names, shorten, tidy
from pulsarray.hw.verilog.unused import name_unused
from pulsarray.hw.verilog.writer import write

CYCLES = 200
PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\\\S+|\w+) ?;$", re.MULTILINE)
REGISTER = re.compile(r"^  reg (?:\[(\d+):0\] )?(\\\S+|[\w$]+) +=", re.MULTILINE)
RARE = ("rst", "clear", "halt")


class Machine:
    """The smallest machine as Yosys writes it, as it is generated, and each module by itself."""

    def __init__(self) -> None:
        self.raw: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(emit, "tidy", self._record)
            self.verilog = emit.generate(load_config("tiny"))
        memories = re.findall(r"^module memory1r1w.*?^endmodule$", self.verilog, re.M | re.S)
        self.before = "\n".join([*self.raw, *memories])
        self.after = "\n".join([*map(self._alone, self.raw), *memories])

    def _record(self, texts: list[str], top: str, others: Inputs) -> list[str]:
        self.raw = list(map(plain_names, texts))
        self._inputs = {**others, **{m.name: m.inputs for m in map(read, self.raw)}}
        return tidy(texts, top, others)

    def _alone(self, text: str) -> str:
        return alone(text, self._inputs)


def alone(text: str, inputs: Inputs | None = None) -> str:
    """A module rewritten, with all its ports and registers, and their names."""
    module = read(plain_names(text))
    shorten(module)
    if inputs is not None:
        name_unused(module, inputs)
    return write(module)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def stimulus(path: str, width: int) -> str:
    """A statement that sets a signal to zero, to small or any numbers, or leaves it."""
    words = ", ".join(["$random(seed)"] * (width // 32 + 1))
    small = f"{{{width // 8 + 1}{{8'h03}}}}"
    if path.strip("\\ ") in RARE:
        return f"{path} = ($random(seed) & 31) == 0;"
    choices = f"0: {path} = 0; 1: {path} = {{{words}}} & {small}; 2, 3: {path} = {{{words}}};"
    return f"case ($random(seed) & 7) {choices} default: ; endcase"


def bench(module: str, place: int) -> str:
    """Gives a module random inputs and registers; prints its outputs and registers every cycle."""
    name = module.split()[1].partition("(")[0]
    ports = [
        (kind, int(top or 0) + 1, port.lstrip("\\")) for kind, top, port in PORT.findall(module)
    ]
    inputs = {port: width for kind, width, port in ports if kind == "input" and port != "clk"}
    outputs = {port: width for kind, width, port in ports if kind == "output"}
    registers = {n.lstrip("\\"): int(top or 0) + 1 for top, n in REGISTER.findall(module)}
    joined = [f".\\{port} (\\{port} )" for port in [*inputs, *outputs]]
    joined += [".clk(clk)"] if "  input clk;\n" in module else []
    settings = [stimulus(f"\\{port} ", width) for port, width in inputs.items()]
    states = [stimulus(f"dut.\\{name} ", width) for name, width in registers.items()]
    shown = [f"\\{port} " for port in outputs] + [f"dut.\\{name} " for name in registers]
    form = " ".join(f"{path.strip()}=%h" for path in shown).replace("\\", "")
    return f"""
    module bench{place}(input clk, input do_set, input do_show);
      integer seed = {place};
      {" ".join(f"reg [{width - 1}:0] {chr(92)}{port}  = 0;" for port, width in inputs.items())}
      {" ".join(f"wire [{width - 1}:0] {chr(92)}{port} ;" for port, width in outputs.items())}
      {name} dut({", ".join(joined)});
      always @(posedge do_set) begin
        {" ".join(settings)}
        if ($random(seed) & 1) begin {" ".join(states)} end
      end
      always @(posedge do_show) $display("{name} {form}", {", ".join(shown)});
    endmodule"""


def simulate(verilog: str, benches: list[str], folder: Path) -> list[str]:
    """What the benches print."""
    cells = "\n".join(f"bench{place} b{place}(clk, set, show);" for place in range(len(benches)))
    top = f"""module top;
      reg clk = 0, set = 0, show = 0;
      {cells}
      initial repeat ({CYCLES}) begin
        #1 set = 1; #1 show = 1; #1 show = 0; #1 clk = 1; #1 show = 1; #1 show = 0; #1 clk = 0;
        set = 0;
      end
    endmodule"""
    folder.mkdir()
    source, program = folder / "all.v", folder / "all.vvp"
    source.write_text("\n".join([verilog, *benches, top]), encoding="utf-8")
    line = ["iverilog", "-g2005", "-s", "top", "-o", str(program), str(source)]
    subprocess.run(line, check=True)
    run = subprocess.run(["vvp", "-n", str(program)], check=True, capture_output=True, text=True)
    return run.stdout.splitlines()


def test_same_outputs(machine: Machine, tmp_path: Path) -> None:
    benches = [
        bench(raw, place)
        for place, raw in enumerate(machine.raw)
        if "output" in raw.split("\n", 1)[1]
    ]
    before = simulate(machine.before, benches, tmp_path / "before")
    after = simulate(machine.after, benches, tmp_path / "after")
    assert len(before) == len(benches) * CYCLES * 2
    different = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert different == []


TRICKY = {
    "inverse_as_condition": "wire _0_; assign _0_ = ~ a; assign y = _0_ ? b : c;",
    "low_bit_as_condition": "wire _0_; assign _0_ = a; assign y = _0_ ? b : c;",
    "carry_dropped": "wire [7:0] _0_; assign _0_ = a + b; assign wide = _0_ + { 1'h0, c };",
    "carry_kept": "wire [8:0] _0_; assign _0_ = a + b; assign y = _0_ >> 1'h1;",
    "carry_in_list": "wire [8:0] _0_; assign _0_ = a + b; assign wide = { _0_, 1'h1 };",
    "borrow_compared": "wire [7:0] _0_; assign _0_ = a - b; assign bit = _0_ < { 1'h0, c };",
    "inverse_compared": "wire [7:0] _0_; assign _0_ = ~ a; assign bit = _0_ == wider;",
    "sign_not_compared": "wire [7:0] _0_; assign _0_ = $signed(a) + $signed(b);"
    " assign bit = _0_ < $signed(c);",
    "sign_not_extended": "wire [7:0] _0_; assign _0_ = $signed(a) - $signed(b);"
    " assign wide = $signed(wider) + _0_;",
    "sign_in_choice": "wire [7:0] _0_; assign _0_ = $signed(a) >>> 1'h1;"
    " assign y = bits[0] ? _0_ : $signed(b);",
    "extended_before": "wire [9:0] _0_; assign _0_ = $signed(a) * $signed(b); assign wide = _0_;",
    "narrower_target": "wire [7:0] _0_; assign _0_ = a ^ b; assign bit = _0_;",
    "bit_in_sum": "wire _0_; assign _0_ = ~ bits[0]; assign y = a + _0_;",
    "choice_in_sum": "wire _0_; assign _0_ = bits[0] ? 1'h0 : 1'h1; assign y = a + _0_;",
    "negative": "wire [7:0] _0_; assign _0_ = - $signed(a); assign wide = wider - _0_;",
    "upper_bits_unused": "wire [9:0] _0_; assign _0_[7:0] = a + b; assign _0_[9:8] = 2'hx;"
    " assign y = _0_[7:0] & c;",
    "all_of_list": "wire _0_; assign _0_ = & { bits[2], bits[1], bits[0] };"
    " assign bit = _0_ | bits[3];",
    "any_of_list": "wire _0_; assign _0_ = | { a[5:3], 2'h0, bits[1], 1'h0 }; assign bit = ! _0_;",
    "one_of_list": "wire _0_; assign _0_ = | { a[5:3], 2'h0 }; assign bit = _0_ & bits[0];",
    "any_in_sum": "wire _0_; assign _0_ = | { bits[2], bits[1] }; assign wide = wider + _0_;",
    "choices_of_bits": "wire _0_; wire _1_; assign _0_ = bits[0] ? bits[1] : 1'h1;"
    " assign _1_ = bits[2] ? 1'h0 : _0_; assign bit = bits[3] ? 1'h1 : _1_;",
    "word_of_many": "wire [9:0] _0_; assign _0_ = wider | a; assign bit = ! _0_;",
    "bits_read_each_other": "wire [1:0] _0_; assign _0_ = { _0_[0], bits[0] } & bits[2:1];"
    " assign bit = _0_[1];",
}
"""Bodies of modules in which a wire's width or sign matters."""


def tricky(name: str) -> str:
    """A module as Yosys writes it."""
    ports = {"a": 8, "b": 8, "c": 8, "wider": 10, "bits": 4}
    outputs = {"y": 8, "wide": 10, "bit": 1}
    lines = [f"module {name}({', '.join([*ports, *outputs])});"]
    lines += [f"  input [{width - 1}:0] {port};" for port, width in ports.items()]
    lines += [f"  output [{width - 1}:0] {port};" for port, width in outputs.items() if width > 1]
    body = TRICKY[name].replace("; ", ";\n  ")
    unused = [port for port in outputs if f"assign {port} " not in body]
    body += "".join(f"\n  assign {port} = {outputs[port]}'h0;" for port in unused)
    return "\n".join([*lines, "  output bit;", f"  {body}", "endmodule"])


def test_widths_and_signs(tmp_path: Path) -> None:
    before = [tricky(name) for name in TRICKY]
    benches = [bench(module, place) for place, module in enumerate(before)]
    expected = simulate("\n".join(before), benches, tmp_path / "before")
    after = list(map(alone, before))
    assert simulate("\n".join(after), benches, tmp_path / "after") == expected
    inlined = {name for name, text in zip(TRICKY, after, strict=True) if "_0_" not in text}
    assert inlined == {
        "extended_before",
        "upper_bits_unused",
        "all_of_list",
        "any_of_list",
        "one_of_list",
        "choices_of_bits",
        "word_of_many",
    }


def body(text: str) -> str:
    """The tidied module after its header."""
    module = "module m(a, b, c, clk, q);\n  input [7:0] a;\n  input [7:0] b;\n  input c;\n"
    return alone(f"{module}  input clk;\n{text}endmodule").partition(");\n")[2].strip()


def test_wire_used_once_is_inlined() -> None:
    text = "  output q;\n  wire _0_;\n  assign _0_ = a == b;\n  assign q = _0_ & c;\n"
    assert body(text) == "assign q = (a == b) & c;\nendmodule"


def test_wire_with_a_name_is_kept() -> None:
    text = "  output q;\n  wire same;\n  assign same = a == b;\n  assign q = same & c;\n"
    assert body(text) == "wire same = a == b;\n  assign q = same & c;\nendmodule"


def test_one_block_for_equal_conditions() -> None:
    text = "".join(
        f"  reg [7:0] {name} = 8'h00;\n  always @(posedge clk)\n    if (c) {name} <= {value};\n"
        for name, value in (("r", "a"), ("s", "b"))
    )
    assert "    if (c) begin r <= a; s <= b; end\n" in body(text)
    assert "reg [7:0] r = 8'h0, s = 8'h0;\n" in body(text)


def test_reset_before_enable() -> None:
    text = "  reg r = 1'h0;\n  always @(posedge clk)\n"
    text += "    if (a[0]) r <= 1'h0;\n    else if (c) r <= b[0];\n"
    assert "    if (a[0]) r <= 1'h0; else if (c) r <= b[0];\n" in body(text)


def test_repeated_bits() -> None:
    text = "  output [9:0] q;\n  assign q = { a[7], a[7], a };\n"
    assert "{ a[7], a[7], a }" in body(text)
    wider = text.replace("9:0", "10:0").replace("{ a[7]", "{ a[7], a[7]")
    assert "{ {3{a[7]}}, a }" in body(wider)


def test_composed_names() -> None:
    text = "  wire \\part$1.x ;\n  wire \\row[2] ;\n  wire \\before ;\n  wire \\$1 ;\n"
    assert plain_names(text) == (
        "  wire part$1_x;\n  wire row_2;\n  wire \\before ;\n  wire \\$1 ;\n"
    )


def test_unknown_line() -> None:
    with pytest.raises(ValueError, match=r"cannot read the line '  always @\*'"):
        body("  always @*\n")


def test_no_long_lines(machine: Machine) -> None:
    assert max(len(line) for line in machine.verilog.splitlines()) <= LINE_LENGTH
