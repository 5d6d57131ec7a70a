"""Addresses of nested loops, as sums of indices times strides."""

from __future__ import annotations

from collections.abc import Iterator

from proofs.prover import Fault, Proof
from pulsarray.hw.blocks.addressing import AddressGenerator

__all__ = ["proof"]

_SUMS = (
    "Loops count as nested loops do; every address and position is where it began plus what each "
    "loop has moved it, one stride for each step of its index; `zero`, `last`, `done` and the "
    "window follow from the indices and positions."
)
_PRODUCTS = (
    "What a loop has moved an address is its index times its stride, in as many bits as an address "
    "has: shown for fewer than the machine's 16, which the solver cannot multiply in good time."
)

_LOOP = """
  // Loop {l}: its index, and when it grows or returns to 0.
  reg [15:0] index{l}, count{l};
  wire at_end{l} = index{l} + 1 == count{l};
  wire moves{l} = step && {inner};
  always @(posedge clk) begin
    if (start) begin index{l} <= 0; count{l} <= counts[{l} * 16 +: 16]; end
    else if (moves{l}) index{l} <= at_end{l} ? 0 : index{l} + 1;
  end
  always @* begin
    assume (!start || counts[{l} * 16 +: 16] != 0);
    if (active) begin
      assert (index{l} < count{l} && size{l} == count{l});
      assert (second{l} == index{l} + 16'd2);
      assert (only{l} == (count{l} == 1));
      assert (last[{l}] == at_end{l} && zero[{l}] == (index{l} == 0));
    end
  end
"""
_POSITION = """
  // {name}: where it began, and how far each loop has moved it.
  reg [{bits}-1:0] {name}_from;
  always @(posedge clk) if (start) {name}_from <= {base};
  wire [{bits}-1:0] {name}_position;
  wire [{levels} * {bits}-1:0] {name}_latched;
"""
_MOVED = """
  reg [{bits}-1:0] {name}_by{l}, {name}_moved{l};
  always @(posedge clk) begin
    if (start) begin {name}_by{l} <= {stride}; {name}_moved{l} <= 0; end
    else if (moves{l}) {name}_moved{l} <= at_end{l} ? 0 : {name}_moved{l} + {name}_by{l};
  end
  wire [{bits}-1:0] {name}_pointer{l};
  wire [{bits}-1:0] {name}_product{l} = index{l} * {name}_by{l};
  always @* if (active) begin
    assert ({name}_pointer{l} == {name}_from + {sum});
    assert ({name}_latched[{l} * {bits} +: {bits}] == {name}_by{l});
    {product}
  end
"""
_ADDRESS = """
  always @* if (active) assert (addresses[{s} * {bits} +: {bits}] == stream{s}_position);
"""
_CONTROL = """
  always @* begin
    assume (!step || active);
    assert (!active || done == ({all_last}));
    cover (active && done && index0 == 1 && index{innermost} == 1);
  end
  reg expected_active = 0;
  always @(posedge clk)
    expected_active <= !rst && (start || (expected_active && !clear && !(step && {all_last})));
  always @* assert (active == expected_active);
"""
_WINDOW = """
  reg [15:0] {axis}_below;
  always @(posedge clk) if (start) {axis}_below <= {axis}_limit;
  wire signed [17:0] {axis}_at = $signed({axis}_position);
  wire {axis}_fits = {axis}_at >= 0 && {axis}_at < $signed({{2'b0, {axis}_below}});
  wire [15:0] {axis}_most;
  always @* if (active) assert ({axis}_most == ({axis}_below > 32768 ? 32768 : {axis}_below));
"""
_INSIDE = "  always @* if (active) assert (\\inside  == (row_fits && column_fits));\n"
_FAULTS = (
    Fault(
        "an inner loop returns to where it is",
        r"(position <= moves\[)\d(\] \? \w+ : position;\n  end)",
        r"\g<1>0\2",
    ),
    Fault("a loop ends late", r"(last1 \? only1 : \(second1) ==", r"\1 - 16'h1 =="),
    Fault("a limit above all positions", r"limit\[15\] \? 16'h8000 : limit", "limit"),
    Fault("what is negative is inside", r"~following\[15\] & below\[15\]", "below[15]"),
)


def _walker(
    name: str, base: str, strides: str, sizes: tuple[int, int], *, products: bool
) -> Iterator[str]:
    """Where a position must be; ``strides`` lacks the place of a loop's."""
    levels, bits = sizes
    yield _POSITION.format(name=name, bits=bits, levels=levels, base=base)
    for level in range(levels):
        product = f"assert ({name}_moved{level} == {name}_product{level});"
        yield _MOVED.format(
            name=name,
            bits=bits,
            l=level,
            stride=strides.format(level=level),
            sum=" + ".join(f"{name}_moved{outer}" for outer in range(level + 1)),
            product=product if products else "",
        )


def _loops(levels: int) -> Iterator[str]:
    """The indices, the innermost first, whose end the others wait for."""
    for level in reversed(range(levels)):
        inner = " && ".join(f"at_end{i}" for i in range(level + 1, levels)) or "1"
        yield _LOOP.format(l=level, inner=inner)


def _probes(name: str, levels: int) -> dict[str, str]:
    pointers = [*(f"pointer{level}" for level in range(levels - 1)), "position"]
    probes = {f"{name}_{signal}": f"{name}.{signal}" for signal in ("position", "latched")}
    return probes | {f"{name}_pointer{i}": f"{name}.{p}" for i, p in enumerate(pointers)}


def proof(levels: int, streams: int, bits: int, *, window: bool, products: bool = False) -> Proof:
    """Of a generator; ``products`` shows by a multiplication how far a loop has moved."""
    all_last = " && ".join(f"at_end{level}" for level in range(levels))
    text = [*_loops(levels), _CONTROL.format(all_last=all_last, innermost=levels - 1)]
    probes: dict[str, str] = {}
    for s in range(streams):
        strides = f"strides[({s * levels} + {{level}}) * {bits} +: {bits}]"
        base = f"bases[{s * bits} +: {bits}]"
        text += _walker(f"stream{s}", base, strides, (levels, bits), products=products)
        text.append(_ADDRESS.format(s=s, bits=bits))
        probes |= _probes(f"stream{s}", levels)
    for axis in ("row", "column") if window else ():
        strides = f"{axis}_steps[{{level}} * 16 +: 16]"
        text += _walker(axis, f"{axis}_start", strides, (levels, 16), products=products)
        text.append(_WINDOW.format(axis=axis))
        probes |= _probes(axis, levels) | {f"{axis}_most": f"{axis}.latched_limit"}
    return Proof(
        name="addresses as products" if products else "addresses",
        variant=f"{levels} loops, {streams} x {bits} bits{', window' if window else ''}",
        claim=_PRODUCTS if products else _SUMS,
        component=lambda: AddressGenerator(levels, streams, bits, bits, window),
        properties="".join([*text, _INSIDE if window else ""]),
        probes=probes,
        cover_depth=0 if products else 2**levels + 4,
        faults=() if products else _FAULTS,
    )
