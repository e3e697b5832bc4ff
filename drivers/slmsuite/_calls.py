"""Every call into slmsuite: on one thread a device, bounded in time, its errors in our words.

slmsuite and the SDKs below it raise whatever they like, and may not return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from drivers.call_thread import CallThread
from drivers.errors import ConnectionLost, DeviceError, DeviceTimeout, InstrumentReported

ResultT = TypeVar("ResultT")
CALL_TIMEOUT_S = 10.0


class Calls:
    """The thread of one device of slmsuite's.

    Parameters
    ----------
    name
        Label of the device, for messages.
    timeout_s
        Longest wait for a call that says no other.
    """

    def __init__(self, name: str, *, timeout_s: float = CALL_TIMEOUT_S):
        self._name = name
        self._timeout_s = timeout_s
        self._thread = CallThread(f"slmsuite {name}", library="slmsuite", owned="the device")

    def __call__(
        self, what: str, function: Callable[[], ResultT], *, timeout_s: float | None = None
    ) -> ResultT:
        """Run `function` on the thread and translate what it raises.

        Raises
        ------
        DeviceTimeout
            It did not return in `timeout_s`, or says itself that something took too long.
        ConnectionLost
            The device cannot be reached, its SDK is missing, or an earlier call never returned.
        InstrumentReported
            Anything else.
        """
        asked = f"{self._name}: {what}"
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            return self._thread.call(function, what=asked, timeout_s=limit_s)
        except DeviceError:
            raise
        except TimeoutError as error:
            raise DeviceTimeout(
                f"{asked}: slmsuite: {_said(error)}; check trigger and cable"
            ) from error
        except (OSError, EOFError) as error:
            raise ConnectionLost(
                f"{asked}: slmsuite: {_said(error)}; check power, cable, and files in its options"
            ) from error
        except ImportError as error:
            raise ConnectionLost(
                f"{asked}: {_said(error)}; install the vendor's SDK that slmsuite needs for it"
            ) from error
        except Exception as error:  # an SDK raises whatever it likes
            raise InstrumentReported(f"{asked}: slmsuite reports: {_said(error)}") from error

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._thread.close()


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
