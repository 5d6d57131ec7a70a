"""What the heading of a test run says."""

from __future__ import annotations

import os


def pytest_report_header() -> str:
    """The seed of the random comparisons of RTL with the model."""
    return f"random cases: PULSARRAY_SEED={os.environ.get('PULSARRAY_SEED', '1')}"
