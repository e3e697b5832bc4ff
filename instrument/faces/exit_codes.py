"""What a command says on standard error, and the exit code it ends with.

0 done; 1 the run or the bench failed, everything is safe; 2 bad input, nothing was touched;
3 something could NOT be made safe; 130 interrupted, everything is safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

FAILED, BAD_INPUT, UNSAFE, INTERRUPTED = 1, 2, 3, 130

ERRORS = Console(stderr=True)
"""Standard error: progress and messages; results go to standard output."""


def say(text: str, *, style: str = "yellow") -> None:
    """One message for the person, on standard error, as it is and unbroken."""
    ERRORS.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bad_input(*errors: type[Exception]) -> Iterator[None]:
    """Turn bad input into one message and its exit code."""
    try:
        yield
    except errors as error:
        say(str(error), style="red")
        raise typer.Exit(BAD_INPUT) from error


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what may go wrong at a bench into one clear message and an exit code."""
    from drivers import DeviceError
    from estimation import EstimationError
    from instrument.bench.connect import ConnectError
    from instrument.bench.interlocks import InterlockTripped
    from instrument.bench.safety import Interrupted, UnsafeBench
    from instrument.campaign.checks import PreflightStopped
    from instrument.campaign.ledger import EndNotRecorded, LedgerError
    from instrument.config import ConfigError
    from instrument.search.engines import EngineError

    try:
        yield
    except UnsafeBench as error:
        say(str(error), style="bold red")
        raise typer.Exit(UNSAFE) from error
    except EndNotRecorded as error:  # a bad record, but a whole night was touched
        say(str(error), style="red")
        raise typer.Exit(FAILED) from error
    except (
        ConfigError, ConnectError, LedgerError, EngineError, EstimationError, PreflightStopped,
    ) as error:  # fmt: skip
        say(str(error), style="red")
        raise typer.Exit(BAD_INPUT) from error
    except (DeviceError, InterlockTripped) as error:
        say(str(error), style="red")
        raise typer.Exit(FAILED) from error
    except (Interrupted, KeyboardInterrupt) as error:
        say("interrupted; the bench is safe")
        raise typer.Exit(INTERRUPTED) from error
