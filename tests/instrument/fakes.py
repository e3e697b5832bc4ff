"""Devices without physics, for tests of what the bench and the campaign do with devices.

Every call is noted in `calls` of the shared `Log`, in order, so that a test can say what came
before what.
"""

from dataclasses import dataclass, field

import numpy as np

from drivers import DeviceDescription, DeviceError, LimitViolation
from instrument.bench.bench import Bench
from instrument.config import parse_config

CONFIG = {
    "bench": {
        "micromanager": {"virtual": "pupil_microscope"},
        "visa": {"led": {"declaration": "led_driver", "address": "virtual"}},
        "roles": {
            "camera": {"device": "Camera", "exposure_ms": 1},
            "slm": {"device": "SLM"},
            "sample": {"device": "XY", "limits_um": [[-500, 500], [-500, 500]]},
            "focus": {"device": "Z", "limits_um": [-50, 50]},
            "light": {"device": "led", "channel": "power_mw", "level": 10, "limits": [0, 20]},
        },
    },
    "objects": {"stage_grid": {"count": 16, "spacing_um": 10}},
    "design": {
        "pupil": {"role": "slm", "basis": "zernike", "modes": [4, 6], "bounds_rad": [-2, 2]},
        "focus": {"role": "focus", "bounds_um": [-10, 10]},
    },
    "noise": {"gain": 1.0, "offset": 100, "read_noise": 1.0, "bit_depth": 12},
    "score": {"density": "gaussian", "patch": 4},
    "search": {"trials": 12, "confirm": {"repeats": 1}},
}


@dataclass
class Log:
    """What was asked of the devices, in order."""

    calls: list = field(default_factory=list)

    def names(self):
        return [call[:2] for call in self.calls]


class FakeDevice:
    kind = "device"

    def __init__(self, name, log):
        self.name = name
        self.log = log
        self.fails_on = {}

    def note(self, what, value=None):
        self.log.calls.append((self.name, what, value))
        if what in self.fails_on:
            raise self.fails_on[what]

    def describe(self):
        return DeviceDescription(name=self.name, kind=self.kind, identity="fake")

    def make_safe(self):
        self.note("make_safe")

    def close(self):
        self.note("close")


class FakeStage(FakeDevice):
    kind = "stage"
    limits_um = (-100.0, 100.0)

    def __init__(self, name, log, at=0.0):
        super().__init__(name, log)
        self.at = at
        self.error_um = 0.0

    def check(self, target):
        if not -100 <= target <= 100:
            raise LimitViolation(f"{self.name}: {target}")

    def start(self, target):
        self.note("start", target)
        self.at = target

    def wait(self, *, timeout_s):
        self.note("wait")

    def read_back(self):
        return self.at + self.error_um


class FakeRotation(FakeStage):
    kind = "rotation"
    limits_deg = (0.0, 180.0)


class FakeProperty(FakeStage):
    kind = "property"
    limits = (0.5, 64.0)
    is_integer = False


class FakeSelector(FakeDevice):
    kind = "selector"
    labels = ("mirror", "red", "green", "blue")

    def __init__(self, name, log, at=0):
        super().__init__(name, log)
        self.at = at
        self.error = 0

    def check(self, target):
        if type(target) is not int or not 0 <= target < len(self.labels):
            raise LimitViolation(f"{self.name}: {target!r}")

    def start(self, target):
        self.note("start", target)
        self.at = target

    def wait(self, *, timeout_s):
        self.note("wait")

    def read_back(self):
        return self.at + self.error


class FakeXY(FakeStage):
    kind = "xy_stage"
    limits_um = None

    def __init__(self, name, log):
        super().__init__(name, log, at=(0.0, 0.0))

    def check(self, target):
        pass

    def read_back(self):
        return (self.at[0] + self.error_um, self.at[1])


class FakeSlm(FakeDevice):
    kind = "slm"
    shape = (16, 16)
    levels = 256

    def __init__(self, name, log):
        super().__init__(name, log)
        self.shown = np.zeros(self.shape, np.uint8)

    def check(self, target):
        if target.dtype != np.uint8 or target.shape != self.shape:
            raise LimitViolation(f"{self.name}: {target.dtype} {target.shape}")

    def start(self, target):
        self.note("start", "pattern")
        self.shown = target

    def wait(self, *, timeout_s):
        self.note("wait")

    def read_back(self):
        return self.shown


class FakeLight(FakeDevice):
    kind = "light"
    unit = "mW"
    limits = (0.0, 20.0)

    def __init__(self, name, log):
        super().__init__(name, log)
        self.level = 0.0

    def check(self, target):
        if not 0 <= target <= 20:
            raise LimitViolation(f"{self.name}: {target}")

    def start(self, target):
        self.level = target
        self.note("start", target)

    def wait(self, *, timeout_s):
        self.note("wait")

    def read_back(self):
        return self.level

    def is_on(self):
        return self.level > 0

    def make_safe(self):
        super().make_safe()
        self.level = 0.0


class FakeMeter(FakeDevice):
    """Reads the given values one after the other, the last one for ever."""

    unit = "degC"

    def __init__(self, name, log, values):
        super().__init__(name, log)
        self.values = list(values)

    def read(self):
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]


class FakeCamera(FakeDevice):
    """Objects are random textures whose contrast falls with distance from the best design."""

    kind = "camera"
    shape = (16, 16)
    bit_depth = 12
    exposure_limits_ms = (0.1, 1000.0)

    def __init__(self, name, log, *, stage, xy, slm, light):
        super().__init__(name, log)
        self.stage, self.xy, self.slm, self.light = stage, xy, slm, light
        self.rng = np.random.default_rng(0)
        self.saturates = False
        self.lit_frames = 0
        self.exposure_error_ms = 0.0

    def set_exposure_ms(self, exposure_ms):
        return exposure_ms + self.exposure_error_ms

    def snap(self, *, timeout_s):
        self.note("snap")
        if self.saturates and self.light.is_on():
            return np.full(self.shape, 4095, np.uint16)
        electrons = np.zeros(self.shape)
        if self.light.is_on():
            self.lit_frames += 1
            seed = hash((round(self.xy.at[0]), round(self.xy.at[1]))) % 2**32
            texture = np.random.default_rng(seed).standard_normal(self.shape)
            contrast = 0.3 / (1 + ((self.stage.at - 4) / 5) ** 2)
            electrons = 400 * np.clip(1 + contrast * texture, 0, None)
        noisy = self.rng.poisson(electrons) + self.rng.standard_normal(self.shape)
        return np.rint(100 + noisy).astype(np.uint16)

    def capture(self, frames, *, timeout_s):
        return np.stack([self.snap(timeout_s=timeout_s) for _ in range(frames)])


def merged(base, changes):
    """Copy of nested dicts with some leaves replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


def make_config(tmp_path, **changes):
    return parse_config(merged(CONFIG, changes), source="test", folder=tmp_path)


FAKE_OF_KIND = {
    "selector": FakeSelector, "property": FakeProperty, "rotation": FakeRotation, "slm": FakeSlm,
}  # fmt: skip


def make_bench(config, log=None, **keywords):
    """Bench on fake devices, one for every role of the file; the log is `bench.log`."""
    log = log or Log()
    stage, xy = FakeStage("Z", log), FakeXY("XY", log)
    slm, light = FakeSlm("SLM", log), FakeLight("led", log)
    camera = FakeCamera("Camera", log, stage=stage, xy=xy, slm=slm, light=light)
    devices = {"camera": camera, "slm": slm, "sample": xy, "focus": stage, "light": light}
    devices = {name: device for name, device in devices.items() if name in config.bench.roles}
    for name, role in config.bench.roles.items():
        if name not in devices:
            devices[name] = FAKE_OF_KIND[role.kind](role.device, log)
    devices = {name: devices[name] for name in config.bench.roles}
    bench = Bench(config, devices, **keywords)
    bench.log = log
    return bench


def broken(text="cable pulled"):
    return DeviceError(text)
