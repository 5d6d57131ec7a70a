"""A small machine of two counters and a memory, whose registers can be counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsarray.config import PRESETS
from pulsarray.synth.run import Wanted, synthesize

VERILOG = """\
module counter_8(input clk, rst, step, output reg [7:0] count = 8'h0);
  always @(posedge clk) count <= rst ? 8'h0 : step ? (count + 8'h1) : count;
endmodule

module pulsarray(input clk, rst, step, write, input [7:0] data, input [9:0] place,
  output [7:0] read_data, output less);
  wire [7:0] rows, columns;
  assign less = rows < columns;
  counter_8 row$7 (.clk(clk), .count(rows), .rst(rst), .step(step));
  counter_8 column (.clk(clk), .count(columns), .rst(rst), .step(step & (&rows)));
  memory1r1w_8_1024 store (.clk(clk), .read_address(place), .read_data(read_data),
    .read_enable(step), .write_address({columns[1:0], rows}), .write_data(data),
    .write_enable(write));
endmodule

module memory1r1w_8_1024(clk, write_enable, write_address, write_data, read_enable,
  read_address, read_data);
  input clk, write_enable, read_enable;
  input [9:0] write_address, read_address;
  input [7:0] write_data;
  output reg [7:0] read_data;
  (* no_rw_check *)
  reg [7:0] rows [0:1023];
  always @(posedge clk) begin
    if (write_enable) rows[write_address] <= write_data;
    if (read_enable) read_data <= rows[read_address];
  end
endmodule
"""

Synthesize = Callable[..., dict[str, Any]]


@pytest.fixture
def synthesized(tmp_path: Path) -> Synthesize:
    """Synthesize the small machine for a target."""

    def call(target: str, **options: Any) -> dict[str, Any]:
        wanted = Wanted(config=PRESETS["tiny"], target=target, folder=tmp_path, **options)
        return synthesize(wanted, VERILOG, lambda _: None)

    return call
