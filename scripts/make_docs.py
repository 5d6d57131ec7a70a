"""Write the pages of docs/ that derive from definitions; with --check only compare them.

Usage: .venv/bin/python scripts/make_docs.py [--check]
"""

from __future__ import annotations

import functools
import json
import runpy
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import numpy as np

from pulsarray.compiler.importers.onnx.dynamic import DYNAMIC
from pulsarray.compiler.importers.onnx.operators import TAKEN as ONNX
from pulsarray.compiler.importers.onnx.quantized import QUANTIZED
from pulsarray.compiler.importers.tflite.operators import OPERATORS as TFLITE
from pulsarray.compiler.importers.tflite.real_operators import TAKEN as TFLITE_REAL
from pulsarray.compiler.ir.operator import Kind, Operator, registered
from pulsarray.compiler.passes.pipeline import INFERENCE, TRAINING
from pulsarray.config import PRESETS, Config
from pulsarray.isa import (
    FORMATS,
    Activation,
    Alu,
    Bank,
    Format,
    Instruction,
    Opcode,
    Reduce,
    ScaleAction,
    StreamFlag,
    VectorFlag,
    WeightFlag,
)
from pulsarray.program import Layer, Program, Tensor
from pulsarray.registers import (
    COUNTERS,
    IDENTITY,
    INTERFACE_VERSION,
    PARAMETER_BASE,
    REGISTERS,
    ErrorCode,
    counter_address,
)
from pulsarray.report.schema import REPORT, SCHEMA_VERSION, Entry
from pulsarray.report.synthesis import SYNTHESIS
from pulsarray.sim.random.graphs import OPERATORS

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = "small"
NOTICE = (
    "<!-- Written by scripts/make_docs.py (`make docs`); edit the definitions, not this page. -->"
)


def _table(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
    yield ""


def isa() -> Iterator[str]:
    """docs/isa.md."""
    yield from (
        "# Instructions",
        "",
        NOTICE,
        "",
        "Encodings. What each instruction does, and when, is in [machine.md](machine.md).",
        "Fields are little-endian at a byte offset; `u` unsigned, `i` two's complement. Bytes that",
        "no field covers are zero. Assembler text is the opcode and every field that is not at its",
        "default.",
        "",
    )
    for form in FORMATS.values():
        yield from _format(form)
    yield from ("## Enumerations", "")
    for enum in (
        Bank,
        Alu,
        Activation,
        Reduce,
        WeightFlag,
        StreamFlag,
        VectorFlag,
        ScaleAction,
    ):
        yield from _enumeration(enum)


def _format(form: Format) -> Iterator[str]:
    unit = "FETCH" if form.unit is None else form.unit.name
    yield f"## {form.opcode.name} (0x{form.opcode:02x})"
    yield from ("", f"{form.doc} Unit {unit}, {form.bytes} bytes.", "")
    example = Instruction.make(form.opcode)
    rows = ((f.offset, f.name, f.kind, example[f.name], f.doc) for f in form.fields)
    yield from _table(("byte", "field", "type", "default", "meaning"), rows)
    yield from ("With every field at its default:", "", "```", example.encode().hex(" ", 4))
    yield from ("```", "")


def _enumeration(enum: type[IntEnum | IntFlag]) -> Iterator[str]:
    yield from (f"### {enum.__name__}", "", (enum.__doc__ or "").strip(), "")
    rows = ((f"0x{int(value):02x}", name) for name, value in enum.__members__.items())
    yield from _table(("value", "name"), rows)


def registers() -> Iterator[str]:
    """docs/registers.md."""
    yield from (
        "# Registers",
        "",
        NOTICE,
        "",
        "32 bits each, on AXI4-Lite; addresses are bytes. Reading any other address gives zero,",
        "writing it does nothing.",
        f"ID is 0x{IDENTITY:08x}, VERSION is {INTERFACE_VERSION}.",
        "",
        "A run: write BASE_ADDRESS, PROGRAM_ADDRESS, PROGRAM_UNITS and CYCLE_LIMIT, write START to",
        "CONTROL, wait for the interrupt, read STATUS, write CLEAR to CONTROL. Registers keep what",
        "was written; but for CONTROL they are not to be written while a program runs.",
        "",
    )
    rows = ((f"0x{r.address:03x}", r.name, "RW"[: 1 + r.writable], r.doc) for r in REGISTERS)
    yield from _table(("address", "name", "access", "meaning"), rows)
    yield from (
        f"From 0x{PARAMETER_BASE:03x} on, each in four bytes, are the parameters of the",
        "[configuration](configuration.md) in the order of that page; PARAMETERS says how many.",
        "",
    )
    yield from ("## Error codes", "")
    yield from _table(("code", "name"), ((int(code), code.name) for code in ErrorCode))
    yield from ("## Performance counters", "")
    yield from ("What they count is in [machine.md](machine.md), section 8.", "")
    yield from _table(("address", "name"), ((f"0x{counter_address(n):03x}", n) for n in COUNTERS))


def report() -> Iterator[str]:
    """docs/report.md."""
    yield from (
        "# The report",
        "",
        NOTICE,
        "",
        f"JSON, schema version {SCHEMA_VERSION}. `pulsarray simulate --report` and",
        "`pulsarray estimate --report` write it, `pulsarray compare` reads it. The JSON Schema is",
        "`pulsarray.report.schema.json_schema()`. The model's report and the RTL's are made by the",
        "same code, from counters and trace, and are equal field by field, `source` aside.",
        "",
        "## The bound",
        "",
        "The larger of two. *Compute*: a layer of M x K times K x N takes `ceil(K/D) * ceil(N/D)`",
        "tiles of weights, each of which occupies the array for `max(M, D)` cycles (the next tile",
        "takes D cycles to enter); once for the whole run come D cycles for the first tile, 2D + 3",
        "from the last word to its stored sums, and 2 to stop, together `fill = 3D + 5`; the very",
        "last tile counts M cycles. *Memory*: bytes of operands and results in memory, over the",
        "bytes that the bus moves in a cycle, reading and writing side by side.",
        "",
        "## Where the cycles went",
        "",
        "Each unit is in exactly one state in each cycle. `explanation` tells the array's side:",
        "every cycle in which it took no word has one cause, and the last row takes off what the",
        "bound needs too, so that the rows sum to `cycles - bound_cycles` exactly.",
        "",
        "## Fields",
        "",
    )
    yield from _table(("field", "type", "meaning"), _entries(REPORT, ""))
    yield from ("", "## Fields of a synthesis", "")
    yield from ("`pulsarray synth --report` writes it, `pulsarray compare` reads it too.", "")
    yield from _table(("field", "type", "meaning"), _entries(SYNTHESIS, ""))


def _entries(entry: Entry, prefix: str) -> Iterator[tuple[object, ...]]:
    for inner in entry.entries:
        name = f"{prefix}{inner.name}{'[]' if inner.kind == 'list' else ''}"
        yield f"`{name}`", f"{inner.kind}{' or null' if inner.nullable else ''}", inner.doc
        yield from _entries(inner, f"{name}.")


def program_file() -> Iterator[str]:
    """docs/program-file.md."""
    yield from (
        "# The program file",
        "",
        NOTICE,
        "",
        "A `.pulse` file holds everything that a run needs: instructions, memory image, tensors,",
        "layers, and the configuration it was compiled for. It is refused when a byte of it",
        "differs from what was written, and when it is for another configuration.",
        "",
    )
    magic, version, header = _example_file()
    rows = (
        ("magic", len(magic), f"`{magic.decode()}`"),
        ("version", 1, f"{version}"),
        ("header length", 4, "little-endian"),
        ("header", "as told", "JSON, below"),
        ("image", "the rest", "memory from address 0, code included, deflated by zlib"),
        ("checksum", 32, "SHA-256 of everything before"),
    )
    yield from _table(("part", "bytes", "value"), iter(rows))
    yield from ("## Header", "", f"Of a program with nothing but END on `{EXAMPLE}`:", "")
    yield from ("```json", json.dumps(header, indent=2), "```", "")
    yield from ("## Tensors", "", *_docstring(Tensor), "", "## Layers", "", *_docstring(Layer), "")


def _example_file() -> tuple[bytes, int, dict[str, Any]]:
    """Magic, version and header of a program file, taken from one that was just written."""
    code = Instruction.make(Opcode.END).encode()
    memory = np.zeros(4096, np.uint8)
    memory[: len(code)] = np.frombuffer(code, np.uint8)
    config = PRESETS[EXAMPLE]
    program = Program(
        config=config, code=code, code_address=0, memory=memory, tensors=[], layers=[]
    )
    with tempfile.TemporaryDirectory() as folder:
        program.save(Path(folder) / "example.pulse")
        data = (Path(folder) / "example.pulse").read_bytes()
    start = data.index(b'{"')  # a byte of the size before it may be a brace
    size = int.from_bytes(data[start - 4 : start], "little")
    return data[: start - 5], data[start - 5], json.loads(data[start : start + size])


def _docstring(cls: type) -> Iterator[str]:
    """A dataclass's summary, then its parameters as a list, without what it raises."""
    text = (cls.__doc__ or "").replace("``", "`").partition("    Raises\n")[0]
    summary, _, parameters = text.partition("Parameters\n")
    yield " ".join(summary.split())
    yield ""
    for line in parameters.splitlines()[1:]:
        text = line.strip()
        if not text:
            continue
        names = [name.strip() for name in text.split(",")]
        if line.startswith("    ") and not line.startswith("     ") and _are_fields(cls, names):
            yield f"- **{text}**:"
        else:
            yield f"  {text}"


def _are_fields(cls: type, names: list[str]) -> bool:
    known = {field.name for field in fields(cls)}
    return all(name in known for name in names)


def configuration() -> Iterator[str]:
    """docs/configuration.md."""
    yield from (
        "# The configuration",
        "",
        NOTICE,
        "",
        "A preset, a TOML file with the names below (which may start from a `preset`), and",
        "`--set NAME=VALUE`. `pulsarray info --config ...` prints what follows from one.",
        "",
        *_docstring(Config),
        "",
        "## Presets",
        "",
    )
    names = [field.name for field in fields(Config)]
    values = {preset: config.to_dict() for preset, config in PRESETS.items()}
    rows = ((name, *(_text(v[name]) for v in values.values())) for name in names)
    yield from _table(("parameter", *PRESETS), rows)


def _text(value: int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def operators() -> Iterator[str]:
    """docs/operators.md."""
    yield from ("# Operators", "", NOTICE, "")
    yield from (
        "What a graph is made of (`compiler/ops/`, one file each or a family). Inputs in *italics*",
        "must be constants or parameters. A kernel is what the machine computes, a composite is",
        "made of kernels; one of the host is computed by it at a network's end and is a composite",
        "elsewhere. Every one has a definition in real numbers and its gradient; what the compiler",
        "cannot bring to the machine yet it refuses by name.",
        "",
    )
    head = ("operator", "reads", "attributes", "what it does", "kind")
    yield from _table(head, (_operator(op) for op in OPERATORS))
    yield from (
        "",
        "## On int8 codes",
        "",
        "What quantization makes of them (`compiler/ops/integer/`): the machine's kernels, each",
        "defined by integers alone, whose zero points are those of the values' formats.",
        "",
    )
    codes = [op for op in registered().values() if op.has_integers()]
    yield from _table(head, (_operator(op) for op in codes))
    yield from (
        "",
        "## Of files",
        "",
        "Operators of files that an import takes (`compiler/importers/`); what follows from",
        "constants alone is computed at import. More of them: [networks.md](networks.md).",
        "",
    )
    yield from _table(("source", "operators"), _of_files())
    yield from (
        "",
        "## On their way to int8",
        "",
        "What the passes make of a network in real numbers, one after the other; `pulsarray",
        "inspect NETWORK --after PASS` prints it.",
        "",
    )
    yield from _table(("pass", "result"), ((f"`{x.name}`", x.summary) for x in INFERENCE))
    yield from (
        "",
        "## Of training",
        "",
        "What the passes of training put into a network beside its own operators: gradients are",
        "nodes of the same graph, each defined by the operator that it is of.",
        "",
    )
    learning = [op for op in registered().values() if op.kind is Kind.TRAINING]
    yield from _table(head, (_operator(op) for op in learning))
    yield from (
        "",
        "The passes, one after the other; `pulsarray inspect NETWORK --training --after PASS`",
        "prints what one makes.",
        "",
    )
    yield from _table(("pass", "result"), ((f"`{x.name}`", x.summary) for x in TRAINING))


def _of_files() -> Iterator[tuple[str, str]]:
    """Operators that the importers take, by kind of file."""
    yield "ONNX", ", ".join(sorted(ONNX))
    yield "ONNX, of dynamically quantized files", ", ".join(sorted(DYNAMIC))
    yield "ONNX, of quantized files", ", ".join(sorted(QUANTIZED))
    yield "TensorFlow Lite in float32", ", ".join(sorted(TFLITE_REAL))
    yield "TensorFlow Lite in int8", ", ".join(sorted(TFLITE))


def _operator(op: type[Operator]) -> tuple[str, ...]:
    """A row of the table."""
    inputs = (f"*{n}*" if k in op.constants else n for k, n in enumerate(op.reads))
    attributes = ", ".join(f"`{attribute.name}`" for attribute in fields(op))
    return f"`{op.title}`", ", ".join(inputs), attributes, op.summary, op.kind.value


@functools.cache
def _xor_step() -> tuple[str, list[str]]:
    """A picture and a page of one run."""
    script = runpy.run_path(str(ROOT / "scripts" / "xor_step.py"))
    step = script["run_step"]()
    return script["picture"](step), script["page"](step)


def xor_page() -> Iterator[str]:
    """A step of training, from a run."""
    yield NOTICE
    yield from _xor_step()[1]


def xor_picture() -> Iterator[str]:
    """The same as a picture."""
    yield _xor_step()[0]
    yield NOTICE


PAGES = {
    "isa.md": isa,
    "registers.md": registers,
    "report.md": report,
    "program-file.md": program_file,
    "configuration.md": configuration,
    "operators.md": operators,
    "xor-step.md": xor_page,
    "images/xor-step.svg": xor_picture,
}


def pages() -> dict[Path, str]:
    """Every generated page by its path."""
    return {ROOT / "docs" / name: "\n".join(page()).rstrip() + "\n" for name, page in PAGES.items()}


def stale() -> list[Path]:
    """Pages that differ from what the definitions give."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Write or compare the pages."""
    wrong = stale()
    if "--check" in sys.argv[1:]:
        for path in wrong:
            print(f"{path.relative_to(ROOT)} is not what the definitions give; run make docs")
        return 1 if wrong else 0
    for path in wrong:
        path.write_text(pages()[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
