"""Who writes: the host, the process and the versions of what decides the numbers."""

from __future__ import annotations

import functools
import platform
import sqlite3
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np


def versions() -> dict[str, str]:
    """Return versions of infoloop, Python, SQLite and numpy; the commit of a git checkout."""
    found = {
        "infoloop": metadata.version("infoloop"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "numpy": np.__version__,
    }
    commit = _commit()
    return {**found, "commit": commit} if commit else found


@functools.cache
def _commit() -> str | None:
    """Commit of the checkout that this code runs from, `+` where it was changed; None elsewhere."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        said = subprocess.run(  # noqa: S603 - nothing of it comes from outside
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()
