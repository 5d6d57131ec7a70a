"""A program as text: instructions by name, with the tensors that they move."""

from __future__ import annotations

from collections.abc import Iterator

from pulsarray.isa import Instruction, Opcode
from pulsarray.program import Program, Tensor
from pulsarray.report.products import product_kind

__all__ = ["disassemble", "tensor_at"]


def disassemble(program: Program) -> Iterator[str]:
    """One line an instruction: index, layer, assembler text, and what it moves or computes."""
    width = len(str(len(program.instructions)))
    names = [layer.name for layer in program.layers for _ in range(layer.first, layer.last)]
    names += [""] * (len(program.instructions) - len(names))
    widest = max(map(len, names), default=0)
    for index, (instruction, name) in enumerate(zip(program.instructions, names, strict=True)):
        comment = _comment(program, index, instruction)
        after = f"  ; {comment}" if comment else ""
        yield f"{index:{width}d}  {name:<{widest}s}  {instruction.text()}{after}"


def _comment(program: Program, index: int, instruction: Instruction) -> str:
    if instruction.op in (Opcode.LOAD, Opcode.STORE):
        return tensor_at(program, instruction["address"])
    if instruction.op is Opcode.STREAM and "training" in program.notes:
        return product_kind(instruction, index, program.layers)
    return ""


def tensor_at(program: Program, address: int) -> str:
    """The tensor that an address is in, with the bytes before it; empty if in none."""
    for tensor in program.tensors:
        if tensor.address <= address < tensor.address + tensor.bytes(program.config):
            return _place(tensor, address - tensor.address)
    return ""


def _place(tensor: Tensor, offset: int) -> str:
    return f"{tensor.name} + {offset:,}" if offset else tensor.name
