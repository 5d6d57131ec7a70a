"""What can go wrong, one class per exit code of the command line."""

from __future__ import annotations

__all__ = ["CheckFailed", "InputError", "ProgramError", "PulsarrayError", "ToolMissing"]


class PulsarrayError(Exception):
    """Base of every error a user can cause or meet; its text is one line.

    Attributes
    ----------
    exit_code
        The exit code of the ``pulsarray`` command for this error.
    """

    exit_code = 2


class InputError(PulsarrayError):
    """Bad configuration, network, file or option: names the place, the rule and the value."""


class CheckFailed(PulsarrayError):
    """A comparison that must hold does not (RTL against model, a regression limit)."""

    exit_code = 1


class ToolMissing(PulsarrayError):
    """A program that is needed is not installed; the text says how to get it."""

    exit_code = 3


class ProgramError(PulsarrayError):
    """A program that the machine would stop on.

    Attributes
    ----------
    code
        The error code of :class:`pulsarray.registers.ErrorCode`, as in the machine's register.
    index
        Index of the instruction in the program, or -1 when none is to blame.
    """

    def __init__(self, code: int, index: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.index = index
