"""The ``pulsarray`` command: its verbs, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer import TyperException

from pulsarray import __version__
from pulsarray.cli.check import check
from pulsarray.cli.compare import compare
from pulsarray.cli.compile import compile_
from pulsarray.cli.disasm import disasm
from pulsarray.cli.doctor import doctor
from pulsarray.cli.estimate import estimate
from pulsarray.cli.generate import generate
from pulsarray.cli.gradcheck import gradcheck
from pulsarray.cli.info import info
from pulsarray.cli.inspect import inspect
from pulsarray.cli.simulate import simulate
from pulsarray.cli.train import train
from pulsarray.errors import InputError, PulsarrayError, ToolMissing

__all__ = ["app", "main", "run"]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="pulsarray",
    help="Pulsarray: generate an accelerator, compile networks for it, prove it by simulation.",
    epilog="Exit codes: 0 fine, 1 a check failed, 2 bad usage or input, 3 a tool is missing.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(generate)
app.command(name="compile")(compile_)
app.command()(check)
app.command()(simulate)
app.command()(train)
app.command()(gradcheck)
app.command()(inspect)
app.command()(estimate)
app.command()(compare)
app.command()(disasm)
app.command()(info)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pulsarray {__version__}")
        raise typer.Exit


@app.callback()
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
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="pulsarray", standalone_mode=False)
        sys.stdout.flush()
    except PulsarrayError as error:
        text = str(error)
        return _fail(
            _one_line(text) if isinstance(error, InputError | ToolMissing) else text, error
        )
    except TyperException as error:
        return _fail(f"{_one_line(error.format_message())} (see --help)", InputError())
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except SystemExit as error:  # what typer makes of a reader that left, as `head` does
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _silence_stdout()
        return 0
    except OSError as error:
        _silence_stdout()
        return _fail(_reason(error), InputError())
    except MemoryError:
        return _fail("not enough memory for this input", InputError())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("pulsarray: interrupted", err=True)
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
    typer.echo(f"pulsarray: {text}", err=True)
    return error.exit_code


def _silence_stdout() -> None:
    """Forget what standard output could not take, so that Python's exit does not try again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))
