"""The conformance checks: every mock passes, and each claim is failed by a device that breaks it.

A check that no device fails would prove nothing, so every claim has its deliberately wrong device;
`test_every_claim_has_a_wrong_device` sees that none is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import DeviceDescription, DeviceError
from drivers.conformance import (
    Scope,
    _running,
    check_camera,
    check_light,
    check_meter,
    check_property,
    check_rotation,
    check_selector,
    check_slm,
    check_stage,
    check_xy_stage,
)
from drivers.testing import (
    MockCamera,
    MockLight,
    MockMeter,
    MockProperty,
    MockRotation,
    MockSelector,
    MockSlm,
    MockStage,
    MockXYStage,
)

LIMITS = (-10.0, 10.0)


class CountedProperty(MockProperty):
    is_integer = True


GOOD: dict[str, tuple[Callable, Callable]] = {
    "camera": (check_camera, lambda make=MockCamera: make("device")),
    "slm": (check_slm, lambda make=MockSlm: make("device")),
    "stage": (check_stage, lambda make=MockStage: make("device", limits=LIMITS)),
    "xy_stage": (
        check_xy_stage, lambda make=MockXYStage: make("device", limits_um=(LIMITS, LIMITS)),
    ),
    "rotation": (check_rotation, lambda make=MockRotation: make("device", limits=LIMITS)),
    "selector": (check_selector, lambda make=MockSelector: make("device")),
    "property": (check_property, lambda make=CountedProperty: make("device", limits=LIMITS)),
    "light": (check_light, lambda make=MockLight: make("device")),
    "meter": (check_meter, lambda make=MockMeter: make("device")),
}  # fmt: skip


def of(results, status):
    return [each.check for each in results if each.status == status]


@pytest.mark.parametrize("kind", GOOD)
def test_a_mock_passes_every_check(kind):
    check, make = GOOD[kind]
    results = check(make(), scope=Scope.SIMULATED)
    assert [each for each in results if each.status != "passed"] == []
    assert all(each.device == "device" and each.came and each.asked for each in results)


@pytest.mark.parametrize("kind", GOOD)
def test_reading_gives_a_device_no_command(kind):
    check, make = GOOD[kind]
    device = make()
    assert of(check(device, scope=Scope.READ_ONLY), "failed") == []
    assert device.record.calls == []


@pytest.mark.parametrize("kind", ["stage", "xy_stage", "rotation", "property"])
def test_moving_stays_within_the_limits_given_and_comes_back(kind):
    check, make = GOOD[kind]
    device = make()
    given = ((2.0, 3.0), (4.0, 5.0)) if kind == "xy_stage" else (2.0, 3.0)
    device.at = (2.0, 4.0) if kind == "xy_stage" else 2.0
    key = {"rotation": "limits_deg", "property": "limits"}.get(kind, "limits_um")
    assert of(check(device, scope=Scope.MOVE, **{key: given}), "failed") == []
    targets = [call.value for call in device.record.calls if call.command == "start"]
    assert len(set(targets)) == 2 if kind == "property" else 3
    for target in targets:
        assert np.all(np.array(given).T[0] <= target)
        assert np.all(target <= np.array(given).T[1])
    assert device.at == targets[-1] == ((2.0, 4.0) if kind == "xy_stage" else 2.0)


@given(
    low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), is_integer=st.booleans(),
    at=st.floats(-1e6, 1e6),
)  # fmt: skip
def test_no_limits_are_left_whatever_they_are(low, width, is_integer, at):
    number = MockProperty("n", at=at)
    number.is_integer = is_integer
    limits = (low, low + width)
    check_property(number, scope=Scope.MOVE, limits=limits, tolerance=1.0)
    targets = [call.value for call in number.record.calls if call.command == "start"]
    assert all(limits[0] <= target <= limits[1] for target in targets)


def test_a_light_is_lit_once_at_its_lowest_level_and_dark_after():
    light = MockLight("led", limits=(0.0, 50.0))
    check_light(light, scope=Scope.MOVE, limits=(0.0, 20.0))
    assert [call.value for call in light.record.calls if call.command == "start"] == [0.2]
    assert not light.is_on()


def test_a_shutter_is_a_light_of_one_level():
    class Shutter(MockLight):
        kind = "shutter"

    shutter = Shutter("shutter", unit="1", limits=(0.0, 1.0))
    results = check_light(shutter, scope=Scope.MOVE, level=1.0, kind="shutter")
    assert of(results, "failed") == []
    assert [call.value for call in shutter.record.calls if call.command == "start"] == [1.0]


def test_a_light_stays_dark_where_there_is_a_reason():
    light = MockLight("led")
    results = check_light(light, scope=Scope.MOVE, why_not=lambda: "the door is open")
    assert "start" not in {call.command for call in light.record.calls}
    (result,) = [each for each in results if each.came == "the door is open"]
    assert (result.status, result.check) == ("skipped", "shines at its lowest level, and goes dark")


def test_a_light_that_fails_while_lit_is_made_safe():
    light = MockLight("led")
    light.raise_on("wait", DeviceError("led: interlock"))
    results = check_light(light, scope=Scope.MOVE)
    assert of(results, "failed") == ["shines at its lowest level, and goes dark"]
    assert not light.is_on()


def test_a_camera_without_noise_is_not_blamed_for_equal_frames():
    still = MockCamera("Camera", picture=lambda number: np.full((16, 16), 7, np.uint16))
    results = check_camera(still, scope=Scope.MOVE)
    assert of(results, "failed") == []
    (result,) = [each for each in results if each.check == "returns no frame twice"]
    assert (result.status, result.came[:22]) == ("skipped", "two snaps are the same")


@pytest.mark.leaves_thread
def test_a_device_that_hangs_is_named_and_the_rest_is_skipped(monkeypatch):
    monkeypatch.setattr(_running, "LONGEST_CHECK_S", 0.05)
    stage = MockStage("Z", limits=LIMITS)
    hang = stage.hang_on("read_back")
    results = check_stage(stage, scope=Scope.MOVE)
    hang.release()
    assert of(results, "failed") == ["says where it is"]
    assert results[2].came == "no return within 0.05 s"
    assert {each.came for each in results[3:]} == {"'says where it is' has not returned"}


def test_a_device_of_another_kind_is_told_what_it_lacks():
    results = check_stage(MockLight("led"), scope=Scope.SIMULATED)
    assert results[0].came == "it has no limits_um"
    assert of(results, "skipped") == [each.check for each in results[1:]]


# ---- wrong on purpose


def nothing(*_, **__):
    """Accept what must be refused, or do what is asked no more."""


def breaking(kind: str, **methods):
    """Return a maker of a mock whose class breaks a promise by other methods or attributes."""
    base = type(GOOD[kind][1]())
    wrong = type(f"Wrong{base.__name__}", (base,), methods)
    return kind, lambda: GOOD[kind][1](wrong)


def described(**said):
    def describe(self):
        facts = {"name": self.name, "kind": self.kind, "identity": "mock"}
        return DeviceDescription(**(facts | said))

    return describe


def moving_check(self, target):
    type(self).__mro__[1].check(self, target)
    self.at = target


def lighting_check(self, target):
    MockLight.check(self, target)
    self.level = 1.0


def drifting(self):
    self.at = (3.0, 3.0) if isinstance(self.at, tuple) else 3


def frames_of_one_buffer(self, *, timeout_s):
    self.buffer = getattr(self, "buffer", np.zeros(self.shape, np.uint16))
    self.buffer[:] = MockCamera.snap(self, timeout_s=timeout_s)
    return self.buffer


def snapping(frame):
    return breaking("camera", snap=lambda self, *, timeout_s: frame)


def capturing(change):
    """Capture another number of frames than asked for."""

    def capture(self, frames, *, timeout_s):
        return MockCamera.capture(self, change(frames), timeout_s=timeout_s)

    return breaking("camera", capture=capture)


def exposing_once_only(self, frames, *, timeout_s):
    return np.stack([self.snap(timeout_s=timeout_s)] * frames)


def breaks_after_stop(self, *, timeout_s):
    if ("device", "make_safe") in self.record.names():
        raise DeviceError("device: stopped")
    return MockCamera.snap(self, timeout_s=timeout_s)


def keeps_what_is_given(self, target):
    self._check(target)
    self.shown = target


def start_unchecked(self, target):
    self.at = target


def shown_unchecked(self, target):
    self.shown = np.asarray(target).astype(np.uint8)


def lit_unchecked(self, target):
    self.level = target


def raises(*_, **__):
    raise RuntimeError("broken")


def forgets_to_come_back(self, target):
    self.times = getattr(self, "times", 0) + 1
    if self.times <= 2:
        self.at = target


def second_time_raises(name):
    def method(self):
        if (self.name, name) in self.record.names():
            raise RuntimeError("already done")
        self._command(name)

    return method


ALL = ("camera", "slm", "stage", "xy_stage", "rotation", "selector", "property", "light", "meter")
AXES = ("stage", "rotation", "property", "xy_stage")
MOVERS = (*AXES, "selector")
WRONG: list[tuple[str, tuple[str, Callable]]] = [
    *(("says what it is", breaking(kind, describe=described(name="other"))) for kind in ALL),
    ("says what it is", breaking("stage", describe=described(kind="piston"))),
    ("says what it is", breaking("stage", describe=described(identity=" "))),
    ("says what it is", breaking("stage", describe=described(limits={"um": (9.0, -9.0)}))),
    ("says what it is", breaking("stage", describe=described(properties={"version": 3}))),
    ("says what it is", breaking("stage", describe=lambda self: "a stage")),
    *(("closes twice", breaking(kind, close=second_time_raises("close"))) for kind in ALL
      if kind != "light"),
    *(("is safe", breaking(kind, make_safe=second_time_raises("make_safe")))
      for kind in ("camera", "meter")),
    *(("says where it is", breaking(kind, read_back=lambda self: float("nan"))) for kind in
      ("stage", "rotation", "property")),
    ("says where it is", breaking("xy_stage", read_back=lambda self: (0.0, float("nan")))),
    ("says where it is", breaking("selector", read_back=lambda self: 1.0)),
    ("says where it is", breaking("selector", read_back=lambda self: 7)),
    ("declares its limits in order", breaking("stage", limits_um=(9.0, -9.0))),
    ("declares its limits in order", breaking("rotation", limits_deg=(9.0, -9.0))),
    ("declares its limits in order", breaking("property", limits=(9.0, -9.0))),
    ("declares its limits in order", ("light", lambda: MockLight("device", limits=(9.0, -9.0)))),
    ("declares its limits in order",
     ("xy_stage", lambda: MockXYStage("device", limits_um=(LIMITS, (9.0, -9.0))))),
    ("declares its limits in order",
     ("camera", lambda: MockCamera("device", exposure_limits_ms=(9.0, 1.0)))),
    *(("refuses what is no number", breaking(kind, check=nothing)) for kind in AXES),
    *(("refuses what is beyond its limits", breaking(kind, check=nothing)) for kind in AXES),
    *(("refuses what is no number", breaking(kind, check=raises)) for kind in AXES),
    *(("checking moves nothing", breaking(kind, check=moving_check)) for kind in MOVERS),
    *(("arrives where it is sent", breaking(kind, start=nothing)) for kind in MOVERS),
    *(("arrives where it is sent", breaking(kind, wait=raises)) for kind in MOVERS),
    *(("comes back", breaking(kind, start=forgets_to_come_back)) for kind in AXES),
    *(("stays when it is made safe", breaking(kind, _become_safe=drifting)) for kind in MOVERS),
    *(("is safe", breaking(kind, make_safe=raises)) for kind in MOVERS),
    *(("refuses at start, and stays", breaking(kind, start=start_unchecked)) for kind in MOVERS),
    ("refuses fractions where it takes whole numbers",
     breaking("property", check=MockRotation.check)),
    ("names its positions", ("selector", lambda: MockSelector("device", labels=(1, 2)))),
    ("refuses what is no position", breaking("selector", check=nothing)),
    ("says its format", breaking("slm", levels=1)),
    ("says its format", ("slm", lambda: MockSlm("device", shape=(0, 4)))),
    ("refuses what it would wrap or stretch", breaking("slm", check=nothing)),
    ("allows a pattern", breaking("slm", check=raises)),
    ("shows what it was given", breaking("slm", start=nothing)),
    ("keeps copies", breaking("slm", start=keeps_what_is_given)),
    ("keeps copies", breaking("slm", read_back=lambda self: self.shown)),
    ("is safe", breaking("slm", _become_safe=nothing)),
    ("refuses at start, and stays", breaking("slm", start=shown_unchecked)),
    ("says its format", ("camera", lambda: MockCamera("device", bit_depth=24))),
    ("takes an exposure", breaking("camera", set_exposure_ms=lambda self, ms: 2 * ms)),
    ("refuses what is no exposure", breaking("camera", set_exposure_ms=lambda self, ms: ms)),
    ("returns a frame of its format", snapping([[1]])),
    ("returns a frame of its format", snapping(np.zeros((16, 16)))),
    ("returns a frame of its format", snapping(np.zeros((4, 4), np.uint16))),
    ("returns a frame of its format", snapping(np.full((16, 16), 4096, np.uint16))),
    ("returns as many frames as asked", capturing(lambda frames: max(frames - 1, 1))),
    ("returns no frame twice", breaking("camera", capture=exposing_once_only)),
    ("returns copies", breaking("camera", snap=frames_of_one_buffer)),
    ("refuses to capture no frames", capturing(lambda frames: max(frames, 1))),
    ("works after a sequence and a stop", breaking("camera", snap=breaks_after_stop)),
    ("is dark", breaking("light", is_on=lambda self: True)),
    ("is dark", breaking("light", is_on=lambda self: None)),
    ("says its unit", ("light", lambda: MockLight("device", unit=""))),
    ("says its unit", ("meter", lambda: MockMeter("device", unit=" "))),
    ("says its level", breaking("light", read_back=lambda self: None)),
    ("refuses what is no level, or beyond its limits", breaking("light", check=nothing)),
    ("checking lights nothing", breaking("light", check=lighting_check)),
    ("shines at its lowest level, and goes dark", breaking("light", start=nothing)),
    ("shines at its lowest level, and goes dark", breaking("light", read_back=lambda self: 0.0)),
    ("shines at its lowest level, and goes dark", breaking("light", make_safe=nothing)),
    ("is safe", breaking("light", make_safe=nothing, is_on=lambda self: True)),
    ("refuses at start, and stays dark", breaking("light", start=lit_unchecked)),
    ("is dark once closed", breaking("light", close=nothing)),
    ("reads finite numbers", ("meter", lambda: MockMeter("device", values=(1.0, float("nan"))))),
    ("reads finite numbers", breaking("meter", read=lambda self: "OVLD")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "wrong"), WRONG, ids=[f"{wrong[0]}: {claim}" for claim, wrong in WRONG]
)
def test_a_wrong_device_fails_its_check(claim, wrong):
    kind, make = wrong
    results = GOOD[kind][0](make(), scope=Scope.SIMULATED)
    assert claim in of(results, "failed"), results


def test_every_claim_has_a_wrong_device():
    failed = {(wrong[0], claim) for claim, wrong in WRONG}
    claims = {
        (kind, result.check)
        for kind, (check, make) in GOOD.items()
        for result in check(make(), scope=Scope.READ_ONLY)
        if result.check != "keeps its protocol"  # a wrong one has a test of its own
    }
    assert claims - failed == set()
