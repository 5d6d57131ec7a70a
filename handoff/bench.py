"""What the testbench of the folder takes: memory before and after a run, and its counters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.handoff.images import hex_words
from pulsarray.isa import UNIT_BYTES
from pulsarray.model.run import run
from pulsarray.program import Program
from pulsarray.registers import COUNTERS, counters_of

__all__ = ["bench_files"]

_SMALLEST_MEMORY_BITS = 16


def bench_files(
    program: Program,
    memory: npt.NDArray[np.uint8] | None = None,
    *,
    memory_latency: int = 64,
    memory_interval: int = 1,
) -> dict[str, bytes]:
    """Files of a run by name, with what the model gives as what is expected.

    Parameters
    ----------
    program
        What is run.
    memory
        uint8 memory before the run; None for the program's own image.
    memory_latency, memory_interval
        L and I of the simulated memory, in cycles.

    Raises
    ------
    ProgramError
        If the program stops with an error.
    """
    image = program.memory if memory is None else memory
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    result = run(program, memory=image, **times)
    assert result.memory is not None
    fingerprint, bus = int(program.config.fingerprint, 16), program.config.bus_bytes
    facts = {
        "fingerprint, low half": fingerprint & 0xFFFF_FFFF,
        "fingerprint, high half": fingerprint >> 32,
        "bytes of memory": int(image.size),
        "program address": program.code_address,
        "program units": len(program.code) // UNIT_BYTES,
        "memory latency": memory_latency,
        "memory interval": memory_interval,
        "counters to compare": len(counters_of(program.config)),
        **{name: result.counters[name] for name in COUNTERS},
    }
    bits = max(_SMALLEST_MEMORY_BITS, (int(image.size) - 1).bit_length())
    return {
        "run.mk": f"MEMORY_BITS := {bits}\n".encode(),
        "run.hex": "".join(f"{value:08x} // {name}\n" for name, value in facts.items()).encode(),
        "image.hex": hex_words(image, bus),
        "expected.hex": hex_words(result.memory, bus),
    }
