"""What AXI demands of a channel: an offer stands, unchanged, until it is taken."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["stays"]


def stays(valid: str, ready: str, payload: Sequence[str]) -> str:
    """Verilog that asserts it; reset alone may withdraw an offer."""
    values = f"{{{', '.join(payload)}}}"
    return f"""
  reg offered_{valid} = 0;
  reg [1023:0] payload_{valid};
  always @(posedge clk) begin
    offered_{valid} <= !rst && {valid} && !{ready};
    payload_{valid} <= {values};
  end
  always @* assert (!offered_{valid} || ({valid} && payload_{valid} == {values}));
"""
