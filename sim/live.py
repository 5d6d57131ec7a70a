"""A simulated machine for run after run, compared with the model on request."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.errors import CheckFailed, ProgramError, UnknownResult
from pulsarray.run import RunResult
from pulsarray.sim.compare import require_identical
from pulsarray.sim.jobs import Outcome
from pulsarray.sim.prepared import Prepared
from pulsarray.sim.session import Session

__all__ = ["Live"]

Memory = npt.NDArray[np.uint8]


class Live:
    """Runs prepared programs in a session that it starts when it needs one.

    Parameters
    ----------
    simulator
        ``"icarus"`` or ``"verilator"``.
    check
        Run everything on the model, too, and compare the two.
    """

    def __init__(self, simulator: str, *, check: bool = False) -> None:
        self._simulator, self._check = simulator, check
        self._session: Session | None = None

    def close(self) -> None:
        """End the simulator's process, if there is one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def run(self, prepared: Prepared, memory: Memory) -> RunResult:
        """Run a program on a memory, which stays as it is.

        Raises
        ------
        ProgramError
            If the machine stops with an error.
        CheckFailed
            If it breaks the AXI protocol, does not end, or is found to differ from the model.
        UnknownResult
            If nobody can tell what it must give, and it is to be compared.
        """
        outcome = self._serving(prepared, memory.size).run(prepared.job(memory))
        if self._check and not outcome.violation:
            self._compare(prepared, memory, outcome)
        return outcome.checked()

    def _serving(self, prepared: Prepared, memory_bytes: int) -> Session:
        config, session = prepared.program.config, self._session
        if session is None or not session.serves(config, memory_bytes):
            self.close()
            session = self._session = Session(config, self._simulator, memory_bytes)
        return session

    def _compare(self, prepared: Prepared, memory: Memory, outcome: Outcome) -> None:
        try:
            expected = prepared.run(memory)
        except UnknownResult:
            raise
        except ProgramError as error:
            if not outcome.error or (error.code != outcome.error and not error.ahead):
                text = f"the model stops: {error}; {self._simulator}: {outcome.error.name}"
                raise CheckFailed(text) from None
            return
        if outcome.error:
            where = f"{outcome.error.name} at instruction {outcome.error_index}"
            raise CheckFailed(f"{self._simulator} stops by {where}; the model ends well")
        require_identical(expected, outcome.result, prepared.program)
