"""``pulsarray compare``: reports side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, given_config
from pulsarray.cli.output import print_json, require_writable, show, working
from pulsarray.config import label_of
from pulsarray.display.page import write_comparison
from pulsarray.display.table import comparison_view
from pulsarray.errors import InputError
from pulsarray.report import load_report
from pulsarray.report.compare import check_regression, comparison

__all__ = ["compare"]


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="A.json B.json ...", help="Reports; changes are against the first."),
    ],
    fail_over: Annotated[
        float | None,
        typer.Option(
            "--fail-over",
            metavar="PERCENT",
            min=0.0,
            help="Exit 1 if a report takes over PERCENT more cycles (of a synthesis: look-up "
            "tables or gates) than the first.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set reports side by side, say what was set differently, and fail on a regression if asked.

    For example:

      pulsarray compare before.json after.json --fail-over 1

      pulsarray compare d8.json d16.json d32.json --html sizes.html
    """
    require_writable(html, read=[*files, config])
    reports = [load_report(path) for path in files]
    wanted = given_config(config, overrides)
    for path, report in zip(files, reports, strict=True):
        if wanted is not None and report["fingerprint"] != wanted.fingerprint:
            label = label_of(report["fingerprint"])
            raise InputError(f"{path}: is for configuration {label}, not {wanted.label}")
    names = _names(files)
    data = comparison(names, reports)
    if html is not None:
        with working("drawing charts"):
            write_comparison(html, names, reports)
    if as_json:
        print_json(data)
    else:
        show(comparison_view(data))
    if fail_over is not None:
        check_regression(names, reports, fail_over)


def _names(files: list[Path]) -> list[str]:
    """File names without suffix where they differ, else paths, numbered where those repeat too."""
    stems = [path.stem for path in files]
    if len(set(stems)) == len(stems):
        return stems
    paths = [str(path) for path in files]
    if len(set(paths)) == len(paths):
        return paths
    return [f"{number}: {path}" for number, path in enumerate(paths, 1)]
