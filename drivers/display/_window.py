"""The child's window: the only module that knows GLFW and OpenGL.

A pattern becomes a texture, is copied pixel by pixel to the window's back buffer (no sampling, so
no scaling and no interpolation), read back from there, and swapped to the screen with the vertical
retrace. GLFW: https://www.glfw.org/docs/3.4/; moderngl: https://moderngl.readthedocs.io.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import glfw
import moderngl
import numpy as np
from numpy.typing import NDArray

from drivers.display._screen import Monitor, ScreenFacts, Shown, WindowError, WindowLost

ASSUMED_REFRESH_HZ = 60
"""Of monitors that do not say theirs (virtual ones)."""
_MEASURED_SWAPS = 12
_SKIPPED_SWAPS = 3  # the first fill the driver's queue and return at once
_STRAIGHT = 1.3 / 256  # the straight line of Windows ends at 255/256


def monitors() -> list[Monitor]:
    """Return every monitor; the first is the primary one."""
    _start_glfw()
    return [_describe(index, handle) for index, handle in enumerate(glfw.get_monitors())]


class Window:
    """A full-screen window, black when it opens (`drivers.display._screen.Screen`).

    Parameters
    ----------
    monitor
        Its index, 0 being the primary monitor, or its name.
    shape
        (height, width) it must have, or None for whatever it has.

    Raises
    ------
    WindowError
        No such monitor, another shape, or a monitor that the system scales or colours.
    """

    def __init__(self, monitor: int | str, shape: tuple[int, int] | None):
        _start_glfw()
        self._monitor = _find_monitor(monitor)
        self.shape = self._monitor.shape
        if shape is not None and shape != self.shape:
            raise WindowError(
                f"monitor {self._monitor.name!r} is {_size(self.shape)} pixels, {_size(shape)} "
                "asked; correct `shape`, or set the monitor's resolution in the system's settings"
            )
        handle = glfw.get_monitors()[self._monitor.index]
        _check_colours(handle, self._monitor.name)
        self._handle = _open_window(handle, self._monitor)
        self._context = moderngl.create_context(require=330, context=_Loader())  # pyright: ignore[reportArgumentType] - the stub takes every setting for a dict
        self._texture = self._context.texture((self.shape[1], self.shape[0]), 3, alignment=1)
        self._source = self._context.framebuffer([self._texture])
        self._period_s = 1.0 / (self._monitor.refresh_hz or ASSUMED_REFRESH_HZ)
        gamma = _straighten_gamma(handle, self._monitor.name)
        self.pixels: NDArray[np.uint8] = np.zeros(self.shape, np.uint8)
        self.show(self.pixels)
        self.facts = self._measure(gamma)

    def show(self, pattern: NDArray[np.uint8]) -> Shown:
        """Show (height, width) grey levels; return when they are all on the screen.

        Raises
        ------
        WindowError
            The screen's buffer does not hold what was asked, or the monitor has another mode.
        WindowLost
            The monitor was unplugged.
        """
        self._check_monitor()
        grey = np.flipud(pattern)  # OpenGL counts rows from below
        self._texture.write(np.repeat(grey[..., None], 3, axis=2).tobytes())
        self._draw()
        self.pixels = self._read(pattern)
        swapped_ns = self._swap()
        # A swap returns when the retrace before the pattern's first line comes. With a second one
        # of the same pattern, a whole frame has been drawn, whatever order the lines come in.
        self._draw()
        complete_ns = self._swap()
        missing_s = self._period_s - (complete_ns - swapped_ns) * 1e-9
        if missing_s > 0:  # no retrace to wait for: the frame is drawn in its nominal time
            time.sleep(missing_s)
            complete_ns = time.perf_counter_ns()
        return Shown(swapped_ns, complete_ns)

    def wait_for_events(self, timeout_s: float) -> None:
        """Answer the window system until something happens or `wake` is called.

        Raises
        ------
        WindowLost
            Somebody closed the window.
        """
        glfw.wait_events_timeout(timeout_s)
        if glfw.window_should_close(self._handle):
            raise WindowLost("the window was closed by hand; start again")

    def wake(self) -> None:
        """Let `wait_for_events` return; may be called from any thread."""
        glfw.post_empty_event()

    def close(self) -> None:
        """Close the window and give the monitor's gamma curve back."""
        glfw.terminate()

    def _check_monitor(self) -> None:
        glfw.poll_events()  # only so does GLFW learn that a cable was pulled
        handle = glfw.get_window_monitor(self._handle)
        if not handle:
            raise WindowLost(
                f"monitor {self._monitor.name!r} is gone; check its cable and power, start again"
            )
        width, height = glfw.get_framebuffer_size(self._handle)
        if not (height, width) == self.shape == _shape_of(handle):
            raise WindowError(
                f"monitor {self._monitor.name!r} was {_size(self.shape)} pixels and is "
                f"{_size(_shape_of(handle))} now; give it back its resolution"
            )

    def _draw(self) -> None:
        self._context.copy_framebuffer(self._context.screen, self._source)

    def _read(self, asked: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the grey levels in the back buffer; raise if they are not those asked for."""
        raw = self._context.screen.read(components=3, alignment=1)
        pixels = np.flipud(np.frombuffer(raw, np.uint8).reshape(*self.shape, 3))
        wrong = np.count_nonzero((pixels != asked[..., None]).any(axis=2))
        if wrong:
            raise WindowError(
                f"{wrong} pixels in the screen's buffer are not those asked for; is there another "
                "window in front?"
            )
        return np.ascontiguousarray(pixels[..., 0])

    def _swap(self) -> int:
        glfw.swap_buffers(self._handle)
        self._context.finish()
        return time.perf_counter_ns()

    def _measure(self, gamma: str) -> ScreenFacts:
        """See how long a swap takes: as long as a frame, if it waits for the retrace."""
        stamps_ns: list[int] = []
        for _ in range(_SKIPPED_SWAPS + _MEASURED_SWAPS + 1):
            self._draw()
            stamps_ns.append(self._swap())
        swap_s = statistics.median(np.diff(stamps_ns[_SKIPPED_SWAPS:]).tolist()) * 1e-9
        return ScreenFacts(
            monitor=self._monitor,
            frame_period_ms=self._period_s * 1e3,
            swap_interval_ms=swap_s * 1e3,
            waits_for_retrace=swap_s > 0.5 * self._period_s,
            gamma=gamma,
            renderer=self._context.info["GL_RENDERER"],
            window_system=_text(glfw.get_version_string()),
        )


class _Loader:
    """Tells moderngl where the functions of GLFW's own context are, on any platform."""

    @staticmethod
    def load_opengl_function(name: str) -> int:
        address: Any = glfw.get_proc_address(name)
        return address or 0

    def __enter__(self) -> _Loader:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back: the context belongs to the window."""

    def release(self) -> None:
        """Nothing to give back: the context belongs to the window."""


_errors: list[str] = []


def _start_glfw() -> None:
    glfw.set_error_callback(lambda _code, text: _errors.append(_text(text)))
    if not glfw.init():
        raise WindowError(f"no window system to open a window in: {_last_error()}")


def _last_error() -> str:
    return _errors[-1] if _errors else "no reason given"


def _find_monitor(asked: int | str) -> Monitor:
    there = monitors()
    found = [monitor for monitor in there if asked in {monitor.index, monitor.name}]
    choices = "; ".join(f"{m.index}: {m.name!r}, {_size(m.shape)}" for m in there)
    if not found:
        raise WindowError(f"no monitor {asked!r}; there is {choices or 'none'}")
    if len(found) > 1:
        raise WindowError(f"{len(found)} monitors are named {asked!r}; give a number: {choices}")
    return found[0]


def _check_colours(handle: Any, name: str) -> None:
    bits = _mode(handle).bits
    if min(bits.red, bits.green, bits.blue) < 8:  # OpenGL would round without a word
        raise WindowError(
            f"monitor {name!r} has {bits.red} + {bits.green} + {bits.blue} bits of colour a pixel; "
            "set it to 24 bit colour (8 + 8 + 8) in the system's settings"
        )


def _open_window(handle: Any, monitor: Monitor) -> Any:
    hints = {
        glfw.CONTEXT_VERSION_MAJOR: 3,
        glfw.CONTEXT_VERSION_MINOR: 3,
        glfw.OPENGL_PROFILE: glfw.OPENGL_CORE_PROFILE,
        glfw.OPENGL_FORWARD_COMPAT: True,
        glfw.AUTO_ICONIFY: False,  # it stays when the person works on another monitor
        glfw.FOCUSED: False,
        glfw.FOCUS_ON_SHOW: False,
        glfw.REFRESH_RATE: monitor.refresh_hz or glfw.DONT_CARE,
    }
    for hint, value in hints.items():
        glfw.window_hint(hint, value)
    height, width = monitor.shape
    window = glfw.create_window(width, height, "infoloop", handle, None)
    if not window:
        raise WindowError(
            f"no window with OpenGL 3.3 on monitor {monitor.name!r}: {_last_error()}; "
            "update the graphics driver"
        )
    glfw.set_input_mode(window, glfw.CURSOR, glfw.CURSOR_HIDDEN)
    width, height = glfw.get_framebuffer_size(window)
    if (height, width) != monitor.shape:
        raise WindowError(
            f"the system scales monitor {monitor.name!r}: {_size((height, width))} pixels drawn "
            f"for {_size(monitor.shape)}; set its scale to 100 %"
        )
    glfw.make_context_current(window)
    glfw.swap_interval(1)
    return window


def _describe(index: int, handle: Any) -> Monitor:
    return Monitor(
        index=index,
        name=_text(glfw.get_monitor_name(handle)),
        shape=_shape_of(handle),
        position=glfw.get_monitor_pos(handle),
        refresh_hz=_mode(handle).refresh_rate,
    )


def _shape_of(handle: Any) -> tuple[int, int]:
    size = _mode(handle).size
    return size.height, size.width


def _mode(handle: Any) -> Any:  # the stub promises another class than the one that comes
    return glfw.get_video_mode(handle)


def _text(raw: object) -> str:  # the stubs promise str where bytes come
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]} (width x height)"


def _straighten_gamma(handle: Any, name: str) -> str:
    """Make the graphics card's table a straight line; GLFW puts the old one back at the end."""
    if _curve(handle) is None:
        return "no table"
    was_straight = _is_straight(handle)
    if not was_straight:
        glfw.set_gamma(handle, 1.0)
    if not _is_straight(handle):
        raise WindowError(
            f"the graphics card bends the grey levels of monitor {name!r} and does not let it be "
            "changed; switch off night light and colour profiles for it"
        )
    return "straight" if was_straight else "straightened"


def _curve(handle: Any) -> NDArray[np.float64] | None:
    """(3, entries) of the card's look-up table, each from 0 to 1, or None if there is none."""
    try:
        ramp: Any = glfw.get_gamma_ramp(handle)
    except ValueError:  # ctypes' word for the null pointer of a system without tables
        return None
    curve = np.array([ramp.red, ramp.green, ramp.blue], np.float64)
    return curve if curve.any() else None  # virtual screens have a table of zeros


def _is_straight(handle: Any) -> bool:
    curve = _curve(handle)
    if curve is None:
        return True
    return bool(np.abs(curve - np.linspace(0, 1, curve.shape[1])).max() < _STRAIGHT)
