"""What the protocol checker in ``axi_checker.v`` reports, by number."""

from __future__ import annotations

__all__ = ["VIOLATIONS", "violation_text"]

VIOLATIONS = {
    1: "AR changed or fell before it was accepted",
    2: "AW changed or fell before it was accepted",
    3: "W changed or fell before it was accepted",
    4: "AR is not an aligned INCR burst of whole beats",
    5: "AW is not an aligned INCR burst of whole beats",
    6: "a read burst crosses 4 KiB",
    7: "a write burst crosses 4 KiB",
    8: "WLAST is not on the last beat that AWLEN announced",
    9: "more read bursts outstanding than configured",
    10: "more write bursts outstanding than configured",
    11: "an AXI signal has an unknown value (X)",
    12: "a write beat came before its address (the simulated memory does not take that)",
}
"""Rule by the number on the checker's ``violation`` output."""


def violation_text(number: int) -> str:
    """The broken rule in words."""
    return f"AXI protocol: {VIOLATIONS.get(number, f'unknown rule {number}')}"
