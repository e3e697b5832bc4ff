"""From the name of one of slmsuite's classes to a device behind our protocols.

Only classes of `slmsuite.hardware` are imported: a bench file is data and must not be able to run
any module there is.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import os
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from drivers.errors import ConnectionLost, DeviceError, ProtocolError
from drivers.slmsuite._calls import Calls
from drivers.slmsuite._camera import SlmsuiteCamera
from drivers.slmsuite._slm import SlmsuiteSLM

NAME_OF_A_CLASS = re.compile(r"slmsuite\.hardware\.(slms|cameras)\.[a-z]\w*\.[A-Za-z]\w*")
OPEN_TIMEOUT_S = 60.0
_QT_PATHS = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR")
SlmsuiteDevice = SlmsuiteSLM | SlmsuiteCamera


def construct(
    name: str,
    class_name: str,
    options: Mapping[str, Any],
    *,
    devices: Mapping[str, SlmsuiteDevice] | None = None,
    timeout_s: float = OPEN_TIMEOUT_S,
) -> SlmsuiteDevice:
    """Open a device.

    Parameters
    ----------
    name
        Label of the device on this bench.
    class_name
        `slmsuite.hardware.slms.MODULE.CLASS` or `slmsuite.hardware.cameras.MODULE.CLASS`.
    options
        Keyword arguments of the class, in slmsuite's own words and units: shapes are
        (width, height), times seconds.
    devices
        Further arguments of it that are devices opened before: a simulated camera's `slm`.
    timeout_s
        Longest wait for it to open.

    Raises
    ------
    ProtocolError
        There is no such class, it is neither modulator nor camera, or it is not of a kind that
        shows or returns what it is sent.
    ConnectionLost
        slmsuite or the vendor's SDK is missing, or the device cannot be reached.
    DeviceTimeout
        It did not open in time.
    InstrumentReported
        Its class does not like the options.
    """
    arguments = {**options, **{key: device.raw for key, device in (devices or {}).items()}}
    calls = Calls(name)
    try:
        found = _find_class(name, class_name)
        raw = calls("open", lambda: found(**arguments), timeout_s=timeout_s)
        try:
            if class_name.startswith("slmsuite.hardware.slms."):
                return SlmsuiteSLM(raw, name=name, calls=calls)
            return SlmsuiteCamera(raw, name=name, calls=calls)
        except DeviceError:
            with contextlib.suppress(DeviceError):  # why it cannot be used is what counts
                calls("close", raw.close)
            raise
    except BaseException:
        calls.close()
        raise


def _find_class(name: str, class_name: str) -> type[Any]:
    if not NAME_OF_A_CLASS.fullmatch(class_name):
        raise ProtocolError(
            f"{name}: {class_name!r} is no class of slmsuite's; write "
            "slmsuite.hardware.slms.MODULE.CLASS or slmsuite.hardware.cameras.MODULE.CLASS"
        )
    module_name, _, wanted = class_name.rpartition(".")
    module = _import(name, module_name)
    base = _import_base(name, module_name)
    found = getattr(module, wanted, None)
    if inspect.isclass(found) and issubclass(found, base) and not inspect.isabstract(found):
        return found
    there = sorted(
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
    )
    raise ProtocolError(
        f"{name}: {class_name!r} is no {base.__name__} of slmsuite's that can be opened; "
        f"{module_name} has {', '.join(there) or 'none'}"
    )


def _import_base(name: str, module_name: str) -> type[Any]:
    """Return slmsuite's base class of all modulators, or of all cameras."""
    if module_name.startswith("slmsuite.hardware.slms."):
        return _import(name, "slmsuite.hardware.slms.slm").SLM
    return _import(name, "slmsuite.hardware.cameras.camera").Camera


def _import(name: str, module: str) -> Any:
    """Import a module of slmsuite's, without what else that does."""
    before = {path: os.environ.get(path) for path in _QT_PATHS}
    is_first = "slmsuite" not in sys.modules
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it names every optional library that is missing
            found = importlib.import_module(module)
        if is_first:  # it prints its log to our standard output, which belongs to --json
            sys.modules["slmsuite"].configure_logging(None)
            logging.getLogger("slmsuite").propagate = True
    except ModuleNotFoundError as error:
        raise _missing(name, module, error) from error
    except ImportError as error:
        raise ConnectionLost(f"{name}: {error}; install what {module} needs") from error
    else:
        return found
    finally:
        # OpenCV, which slmsuite needs, points Qt at plugins of its own, and the live view, a child
        # with our environment and another Qt, would not start.
        for path, value in before.items():
            if value is None:
                os.environ.pop(path, None)
            else:
                os.environ[path] = value


def _missing(name: str, module: str, error: ModuleNotFoundError) -> ConnectionLost:
    if error.name == "slmsuite":
        return ConnectionLost(
            f'{name}: slmsuite is not installed; pip install "infoloop[slmsuite]"'
        )
    if error.name is not None and module.startswith(error.name):
        return ConnectionLost(f"{name}: slmsuite has no module {module!r}; correct `class`")
    return ConnectionLost(f"{name}: {error}; install what {module} needs")
