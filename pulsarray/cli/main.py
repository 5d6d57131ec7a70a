"""The ``pulsarray`` command: its verbs, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated, Any, TextIO

import typer
from typer import TyperException

from pulsarray import __version__
from pulsarray.errors import INTERRUPTED, InputError, PulsarrayError, ToolMissing
from pulsarray.extras import extra_of, missing_package

__all__ = ["app", "main", "run"]

_VERBS = {
    "generate": "generate",
    "compile": "compile",
    "check": "check",
    "simulate": "simulate",
    "train": "training.train",
    "gradcheck": "gradcheck",
    "inspect": "inspect",
    "estimate": "estimate",
    "sweep": "sweep",
    "synth": "synth",
    "export": "export",
    "compare": "compare",
    "disasm": "disasm",
    "info": "info",
    "list": "list",
    "doctor": "doctor",
}
"""Each verb's module in this folder; the function has the verb's name."""


def app(verbs: Iterable[str]) -> typer.Typer:
    """The command with some of its verbs: imports of the others would be half of a short run."""
    command = typer.Typer(
        name="pulsarray",
        help="Pulsarray: generate an accelerator, compile networks for it, prove it by simulation.",
        epilog="Exit codes: 0 fine, 1 a check failed, 2 bad usage or input, 3 a tool is missing.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    command.callback()(_options)
    for verb in verbs:
        module = import_module(f"pulsarray.cli.{_VERBS[verb]}")
        function = f"{verb}_" if verb in ("compile", "list") else verb
        command.command(name=verb)(getattr(module, function))
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pulsarray {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Generate an accelerator, compile networks for it, prove it by simulation."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns its exit code. Every error is one line on stderr."""
    verbs = arguments[:1] if arguments[:1] and arguments[0] in _VERBS else _VERBS
    try:
        command = app(verbs)
        code = command(
            args=list(arguments) or ["--help"], prog_name="pulsarray", standalone_mode=False
        )
        sys.stdout.flush()
    except PulsarrayError as error:
        text = str(error)
        return _fail(
            _one_line(text) if isinstance(error, InputError | ToolMissing) else text, error
        )
    except ModuleNotFoundError as error:
        if extra_of(error.name or "") is None:
            raise
        lacking = missing_package(arguments[0], error.name or "")
        return _fail(str(lacking), lacking)
    except TyperException as error:
        return _fail(f"{_one_line(error.format_message())} (see --help)", InputError())
    except BrokenPipeError:
        _lost_output()
        return 0
    except SystemExit as error:  # what typer makes of a reader that left, as `head` does
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _lost_output()
        return 0
    except OSError as error:
        _lost_output()
        return _fail(_reason(error), InputError())
    except MemoryError:
        return _fail("not enough memory for this input", InputError())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        _say("interrupted")
    return code if isinstance(code, int) else 0


def _reason(error: OSError) -> str:
    """The file and what is wrong with it."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        _, target, reason = error.args[0][0]  # the first of many files of a folder
        return f"{target}: {reason.removeprefix('[').partition(': ')[0].partition('] ')[2]}"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fail(text: str, error: PulsarrayError) -> int:
    _say(text)
    return error.exit_code


def _say(text: str) -> None:
    try:
        typer.echo(f"pulsarray: {text}", err=True)
    except OSError:
        _forget(sys.stderr)


def _lost_output() -> OSError | None:
    """Why standard output cannot take what it still should; None if it took it, or is gone."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _forget(sys.stdout)
        return None if isinstance(error, BrokenPipeError) else error
    return None


def _forget(stream: TextIO) -> None:
    """Drop what a stream could not take, so that Python's exit does not try again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Output(io.FileIO):
    """Standard output, by name in its errors."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


def _prepare_streams() -> None:
    """Open what is closed of the standard streams, or files of ours would take their place.

    Standard output fails then when something is written, as a full one does. What its encoding has
    not is written as messages on standard error are.
    """
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, closefd=False))
    old = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(old.fileno(), "w", closefd=False)),
        encoding=old.encoding,
        errors="backslashreplace" if old.errors == "strict" else old.errors,
        line_buffering=old.isatty(),
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command line as the whole of this process; returns its exit code."""
    _prepare_streams()
    code = run(arguments)
    lost = _lost_output()
    return _fail(_reason(lost), InputError()) if lost and code == 0 else code
