"""The child process: `python -m drivers.display --monitor 1`; not for people to start."""

from __future__ import annotations

import argparse
import os
import sys
import threading

from drivers.display._messages import Kind, Message, write_message
from drivers.display._process import MONITORS
from drivers.display._screen import WindowError
from drivers.display._serve import serve

_LONGEST_END_S = 5.0


def main() -> None:
    """Open a window and serve it over standard input and output, or list the monitors."""
    parser = argparse.ArgumentParser(prog="drivers.display")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--monitor", default="0")
    parser.add_argument("--named", action="store_true", help="the monitor is a name, not a number")
    parser.add_argument("--shape", type=int, nargs=2, default=None)
    asked = parser.parse_args()
    # Only messages may go to the parent: what a library prints goes where complaints go.
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    try:
        from drivers.display._window import Window, monitors

        if asked.list:
            write_message(replies, Message(Kind.READY, MONITORS.dump_json(monitors())))
            return
        monitor = asked.monitor if asked.named else int(asked.monitor)
        window = Window(monitor, tuple(asked.shape) if asked.shape else None)
        try:
            serve(window, requests, replies, at_end=_leave_in_time)
        finally:
            window.close()
    except ImportError as error:
        sys.exit(f'{error}; a display needs: pip install "infoloop[display]"')
    except WindowError as error:
        sys.exit(str(error))


def _leave_in_time() -> None:
    """Leave hard if nothing else does: a driver may hold a swap for ever on a dead monitor."""
    timer = threading.Timer(_LONGEST_END_S, os._exit, [1])
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
