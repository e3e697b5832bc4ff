"""An X server without a screen, and what a person in front of one would see."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageGrab

MISSING = [
    *(program for program in ("Xvfb",) if shutil.which(program) is None),
    *(name for name in ("glfw", "moderngl") if importlib.util.find_spec(name) is None),
]
REASON = f"needs {', '.join(MISSING)}: apt install xvfb; infoloop[display]"
HEIGHT, WIDTH = 243, 322  # an even and an odd number, and no multiple of four


@contextlib.contextmanager
def x_server(screen: str = f"{WIDTH}x{HEIGHT}x24") -> Iterator[subprocess.Popen[bytes]]:
    """Run an X server of our own, and show `DISPLAY` to it."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", screen, "-nolisten", "tcp"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        assert server.stdout is not None
        environment.setenv("DISPLAY", f":{server.stdout.readline().decode().strip()}")
        environment.delenv("WAYLAND_DISPLAY", raising=False)
        environment.setenv("XDG_SESSION_TYPE", "x11")
        try:
            yield server
        finally:
            server.kill()


def photograph() -> np.ndarray:
    """(height, width, rgb) as the X server has them."""
    return np.asarray(ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB"))


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but to be counted."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
