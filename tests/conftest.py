"""What every test may rely on: no accelerator, no thread left behind."""

import os
import threading
import time

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("PYMM_LOG_FILE", "0")

# A package of its own, which tests/drivers/third_party installs.
collect_ignore = ["third_party_driver"]

_OUTLIVES_TESTS = ("jax", "asyncio", "Thread-auto-read", "pymmcore")


@pytest.fixture(autouse=True)
def _no_thread_left_behind(request):
    """Fail a test that leaves a thread running (unless marked `leaves_thread`)."""
    before = set(threading.enumerate())
    yield
    if request.node.get_closest_marker("leaves_thread"):
        return
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        left = [t for t in threading.enumerate() if t not in before and _is_ours(t)]
        if not left:
            return
        left[0].join(0.1)
    pytest.fail(f"threads left behind: {left}")


def _is_ours(thread):
    return thread.is_alive() and not thread.name.startswith(_OUTLIVES_TESTS)
