"""Virtual benches: a world, and the devices through which the real Micro-Manager core drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drivers.errors import ConnectionLost
from drivers.virtual.bench.devices import (
    Knob,
    VirtualCamera,
    VirtualDevice,
    VirtualKnobs,
    VirtualSelector,
    VirtualSLM,
    VirtualStage,
    VirtualXY,
    core_with,
)
from drivers.virtual.bench.led import LocalLed, RemoteLed
from drivers.virtual.drift import Drift
from drivers.virtual.options import (
    PupilMicroscopeOptions,
    TwinBenchOptions,
    VirtualBenchOptions,
)
from drivers.virtual.worlds.colour import ColourWorld
from drivers.virtual.worlds.factory import make_twin_world
from drivers.virtual.worlds.infrared import CUBIC_WAVES, F_NUMBERS, InfraredWorld
from drivers.virtual.worlds.interferometer import InterferometerWorld
from drivers.virtual.worlds.lensless import LenslessWorld
from drivers.virtual.worlds.phase import PhaseWorld
from drivers.virtual.worlds.pupil import PupilWorld
from drivers.virtual.worlds.tomography import TomographyWorld
from drivers.virtual.worlds.twin_world import TwinWorld

TWIN_EXPOSURE_MS = 1.0

__all__ = ["VirtualBench", "VirtualCamera"]


class VirtualBench:
    """A running virtual bench: the core, where its instruments listen, and the truth.

    Parameters
    ----------
    options
        What to simulate: any of `drivers.virtual.options.VIRTUAL_BENCHES`.

    Raises
    ------
    ValueError
        For options of no bench.
    ConnectionLost
        If its objects need a package that is not installed.
    """

    def __init__(self, options: VirtualBenchOptions):
        self._light: LocalLed | RemoteLed | None = None
        if isinstance(options, PupilMicroscopeOptions):
            self._light = RemoteLed(options.led) if options.led else LocalLed()
            self.world: PupilWorld | TwinWorld = PupilWorld(
                seed=options.seed,
                sample=options.sample,
                fill=options.fill,
                aberration_rms_rad=options.aberration_rms_rad,
                optical_power_mw=self._light.optical_power_mw,
                drift=None if options.drift is None else Drift(options.drift),
            )
            slm = VirtualSLM(self.world)
            devices: dict[str, VirtualDevice] = {
                "Camera": VirtualCamera(self.world, exposure_out=slm.trigger_in),
                "SLM": slm,
                "XY": VirtualXY(self.world.xy),
                "Z": VirtualStage(self.world.z),
            }
        elif isinstance(options, TwinBenchOptions):
            self.world = _make_twin_world(options)
            actuators = _actuators(self.world)
            camera = VirtualCamera(
                self.world, exposure_ms=TWIN_EXPOSURE_MS, exposure_out=_trigger_input(actuators)
            )
            devices = {"Camera": camera, "XY": VirtualXY(self.world.xy), **actuators}
        else:
            raise ValueError(f"{type(options).__name__}: no virtual bench has these options")
        self.core = core_with(devices)

    def address(self, name: str) -> str:
        """Return the VISA address of the bench's own instrument `name`.

        Raises
        ------
        ConnectionLost
            If this bench has none of that name.
        """
        if self._light is None:
            raise ConnectionLost(
                f"the virtual bench has no instrument {name!r}, nor any other; "
                "take it out of bench.visa"
            )
        if name != "led":
            raise ConnectionLost(
                f"the virtual bench has no instrument {name!r}; its only one is 'led'"
            )
        return self._light.address

    def truth(self) -> dict[str, float]:
        """Return what only the simulator knows of its present state."""
        return self.world.truth()

    def seed_noise(self, trial: int, part: int = 0) -> None:
        """Draw the noise of the exposures that follow from the seed and these numbers alone."""
        self.world.seed_noise(trial, part)

    def close(self) -> None:
        """Stop the instrument server; the core is closed by whoever drives it. Idempotent."""
        if self._light is not None:
            self._light.close()


def _make_twin_world(options: TwinBenchOptions) -> TwinWorld:
    try:
        return make_twin_world(options)
    except ModuleNotFoundError as error:
        if error.name != "skimage":
            raise
        raise ConnectionLost(
            f"{type(options).__name__}: its objects are photographs from scikit-image, which is "
            "not installed; pip install 'infoloop[photographs]'"
        ) from error


def _trigger_input(devices: Mapping[str, VirtualDevice]) -> Callable[[], None]:
    """Return the trigger input of the modulator among these devices, or a line to nowhere."""
    inputs = [device.trigger_in for device in devices.values() if isinstance(device, VirtualSLM)]
    return inputs[0] if inputs else lambda: None


def _actuators(world: TwinWorld) -> dict[str, VirtualDevice]:
    """Return what moves on a twin's bench, by label."""
    match world:
        case LenslessWorld():
            return {"Mask": VirtualSLM(world)}
        case ColourWorld():
            return {"Filters": VirtualSLM(world)}
        case PhaseWorld():
            return {"LEDs": VirtualSLM(world), "Z": VirtualStage(world.z)}
        case InfraredWorld():
            knobs = {
                "FNumber": Knob("f_number", F_NUMBERS),
                "Cubic": Knob("cubic_waves", CUBIC_WAVES),
            }
            return {"Lens": VirtualKnobs(world, knobs)}
        case TomographyWorld():
            return {"Rotation": VirtualStage(world.rotation)}
        case InterferometerWorld():
            return {"Stations": VirtualSelector(world)}
        case _:
            raise ValueError(f"{type(world).__name__}: nothing moves on this bench")
