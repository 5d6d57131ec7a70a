"""``python -m pulsarray`` and the ``pulsarray`` command."""

from __future__ import annotations

from pulsarray.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
