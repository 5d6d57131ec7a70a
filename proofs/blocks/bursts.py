"""Bursts: the transfer they are cut from, as three nested loops over bytes."""

from __future__ import annotations

from proofs.prover import Fault, Proof
from pulsarray.hw.memory.bursts import Bursts

__all__ = ["proof"]

_PROPERTIES = """
  // A transfer that FETCH's checks let pass starts when none is there, or with the last burst.
  always @* begin
    assume (!step || active);
    assume (!start || !active || (step && last));
    assume (!start || (count0 != 0 && count1 != 0 && run_bytes != 0));
    assume (!start || address % {bus} == 0 && run_bytes % {bus} == 0);
    assume (!start || stride0 % {bus} == 0 && stride1 % {bus} == 0);
  end

  // Run (i, j) starts at `place_j`, the first one of i at `place_i`; `done` bytes are asked for.
  reg [15:0] i, j, end_i, end_j;
  reg [31:0] place_i, place_j, by_i, by_j, done, whole;
  wire [31:0] bytes = beats * {bus};
  wire [31:0] to_page = 4096 - burst_address % 4096;
  wire [31:0] rest = whole - done;
  wire [31:0] most = to_page < {burst} ? to_page : {burst};
  always @(posedge clk) begin
    if (start) begin
      i <= 0; j <= 0; end_i <= count0; end_j <= count1; place_i <= address; place_j <= address;
      by_i <= stride0; by_j <= stride1; done <= 0; whole <= run_bytes;
    end else if (step) begin
      if (done + bytes < whole) done <= done + bytes;
      else begin
        done <= 0;
        if (j + 1 < end_j) begin j <= j + 1; place_j <= place_j + by_j; end
        else begin j <= 0; i <= i + 1; place_i <= place_i + by_i; place_j <= place_i + by_i; end
      end
    end
  end
  wire final_run = i + 1 == end_i && j + 1 == end_j;
  always @* if (active) begin
    assert (burst_address == place_j + done);
    assert (bytes == (rest < most ? rest : most));
    assert (beats >= 1 && beats <= {burst} / {bus});
    assert (burst_address % 4096 + bytes <= 4096);
    assert (bytes <= rest);
    assert (last == (bytes == rest && final_run));
    // What the module holds is what the loops say.
    assert (i < end_i && j < end_j && done < whole);
    assert ({left} * {bus} == rest && left0 == end_i - i && left1 == end_j - j);
    assert (inner_count == end_j);
    assert (last0 == (left0 == 1) && last1 == (left1 == 1) && single == (inner_count == 1));
    assert ({run} * {bus} == place_j && {outer} * {bus} == place_i);
    assert ({length} * {bus} == whole && burst_address % {bus} == 0);
    assert ({step0} * {bus} == by_i && {step1} * {bus} == by_j);
  end

  // It ends: with every burst that is not the last, what is left becomes less.
  wire [63:0] measure = {{left0, left1, {left}}};
  reg stepped = 0;
  reg [63:0] measure_before;
  always @(posedge clk) begin
    stepped <= !rst && active && step && !last && !start;
    measure_before <= measure;
  end
  always @* assert (!stepped || !active || measure < measure_before);
  always @* cover (active && last && i == 1 && j == 1 && done != 0);
  always @* cover (active && bytes < {burst} && bytes < rest);
"""
_FAULTS = (
    Fault(
        "bursts cross 4 KiB",
        r"crosses \? \((\d+'h\w+) - \{ here_beats\[\d+:0\],\s+\d+'h0\s+\}\) :(\s+)\1",
        r"\1",
    ),
    Fault(
        "a page is a beat longer",
        r"(- \{ here_beats\[\d+:0\],\s+\d+'h0\s+\})\) :",
        r"\1 + 3'h4) :",
    ),
    Fault(
        "an outer loop goes on from the inner one's end",
        r"last1 \? \{ outer_beats",
        "0 ? { outer_beats",
    ),
    Fault("the last run is not the last", r"last = ends & last_turn", "last = ends"),
    Fault("the inner loop is not begun again", r"inner_count :(\s+)\(left1", r"left1 :\1(left1"),
    Fault("the last run is known a run late", r"left1 == 16'h2", "left1 == 16'h1"),
)


def proof(burst_bytes: int, bus_bytes: int, run_bits: int) -> Proof:
    """Of a longest burst, on a bus, of runs whose bytes have so many bits."""
    names = ("left", "run", "outer", "length", "step0", "step1")
    beats = {name: f"{name}_beats" if bus_bytes > 1 else name for name in names}
    return Proof(
        name="bursts",
        variant=f"{burst_bytes} bytes, bus {bus_bytes}, runs of {run_bits} bits",
        claim="Bursts cover every run of a transfer from its start to its end, in order, without a "
        "gap; each is as long as it may be; none crosses 4 KiB; there are 1 to as many beats as a "
        "burst may have; the last is marked, and there is one: what is left becomes less.",
        component=lambda: Bursts(burst_bytes, bus_bytes, run_bits),
        properties=_PROPERTIES.format(burst=burst_bytes, bus=bus_bytes, **beats),
        cover_depth=10,
        faults=_FAULTS,
    )
