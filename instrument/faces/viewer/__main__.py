"""The viewer's process: `python -m instrument.faces.viewer`, messages on standard input.

`--screenshot FILE` saves a picture of the window, once `--after N` messages came or the stream has
ended, and exits; it is for tests and documentation.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

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

    from instrument.faces.viewer.window import show  # takes seconds: reading has begun

    show(inbox, screenshot=arguments.screenshot, after=arguments.after)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="instrument.faces.viewer", description=__doc__)
    parser.add_argument("--screenshot", type=Path, metavar="FILE")
    parser.add_argument("--after", type=int, metavar="N", help="messages before the screenshot")
    return parser.parse_args()


if __name__ == "__main__":
    main()
