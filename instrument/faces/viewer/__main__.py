"""The viewer's process: `python -m instrument.faces.viewer`, messages on standard input.

Commands of its buttons leave on standard output. `--screenshot FILE` saves a picture of the window,
once `--after N` messages came or the stream has ended, and exits; `--press WORD` presses a button
before that. Both are for tests and documentation.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import BinaryIO

from instrument.faces.viewer.commands import ABORT, PAUSE, RESUME, Commander
from instrument.faces.viewer.inbox import Inbox

_NICENESS = 5  # where there is no graphics card, drawing must not take time from the run


def main() -> None:
    """Show what comes on standard input until the window is closed."""
    arguments = _parse()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    inbox = Inbox()
    # A handle of our own: a thread that waits in sys.stdin would abort the interpreter's shutdown.
    inbox.start(os.fdopen(os.dup(sys.stdin.fileno()), "rb"))

    commander = Commander(_own_output())

    from instrument.faces.viewer.window import show  # takes seconds: reading has begun

    show(
        inbox,
        commander,
        screenshot=arguments.screenshot,
        after=arguments.after,
        press=arguments.press,
    )


def _own_output() -> BinaryIO:
    """Return standard output for commands alone: what libraries print goes nowhere."""
    own = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return own


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="instrument.faces.viewer", description=__doc__)
    parser.add_argument("--screenshot", type=Path, metavar="FILE")
    parser.add_argument("--after", type=int, metavar="N", help="messages before the screenshot")
    parser.add_argument("--press", choices=(PAUSE, RESUME, ABORT), action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
