"""What a run cost: the report, its schema, the bound, and comparisons."""

from pulsarray.report.build import build_report, differences, load_report

__all__ = ["build_report", "differences", "load_report"]
