"""What can go wrong, one class per exit code of the command line."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "INTERRUPTED",
    "CheckFailed",
    "InputError",
    "ProgramError",
    "PulsarrayError",
    "ToolMissing",
    "UnknownResult",
    "did_you_mean",
]


INTERRUPTED = 130
"""Exit code of the ``pulsarray`` command after Ctrl-C, as shells have it."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that is most like it, if any."""
    import difflib  # only when something is wrong

    by_fold = {text.casefold().replace("_", "-"): text for text in known}
    fold = str(name).casefold().replace("_", "-")
    close = difflib.get_close_matches(fold, by_fold, n=1)
    return f"; did you mean {by_fold[close[0]]!r}?" if close else ""


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
    ahead
        Whether it was seen without running the program: the machine may stop on another
        instruction before it comes to this one.
    """

    def __init__(self, code: int, index: int, message: str, *, ahead: bool = False) -> None:
        super().__init__(f"{message} (seen ahead of the run)" if ahead else message)
        self.code = code
        self.index = index
        self.ahead = ahead


class UnknownResult(ProgramError):
    """A program that the machine runs to its END, but whose result nobody can tell.

    It reads a word that nothing has written in the run, or leaves the order of two instructions
    that touch one word to chance. ``code`` is 0: the machine does not notice.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(0, index, message)
