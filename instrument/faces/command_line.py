"""The command that a run was given, as text that a shell takes again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def command_line(
    command: str, config: Path, overrides: Sequence[str] = (), *, seed: int | None = None
) -> str:
    """Return the command with everything that decides the result, quoted for a POSIX shell."""
    words = ["infoloop", command, str(config)]
    for override in overrides:
        words += ["--set", override]
    if seed is not None:
        words += ["--seed", str(seed)]
    return shlex.join(words)
