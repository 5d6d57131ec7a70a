"""``python -m pulsarray`` and the ``pulsarray`` command."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading

from pulsarray.collector import collect_rarely
from pulsarray.errors import INTERRUPTED

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process.

    While modules are imported, Ctrl-C ends the process at once: there is nothing to clean up, and
    an exception would end in a traceback, or be lost where a package catches all.
    """
    collect_rarely()
    handler = signal.getsignal(signal.SIGINT)
    ignored = handler is not signal.default_int_handler  # as in the background of a shell
    if not ignored:
        signal.signal(signal.SIGINT, _leave)
        sys.unraisablehook = _raise_again
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # nothing is left to stop
    from pulsarray.cli.main import main as command

    try:
        signal.signal(signal.SIGINT, handler)
        code = command(sys.argv[1:])
        if not ignored:
            signal.signal(signal.SIGINT, _leave)
    except KeyboardInterrupt:
        _leave()
    sys.exit(code)


def _raise_again(dropped: sys.UnraisableHookArgs) -> None:
    """Raise the KeyboardInterrupt that Python drops in a ``__del__``, once that is left."""
    if dropped.exc_type is KeyboardInterrupt:
        main_thread = threading.main_thread().ident
        threading.Timer(0.01, signal.pthread_kill, (main_thread, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(dropped)


def _leave(*_: object) -> None:
    try:
        os.write(2, b"pulsarray: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
