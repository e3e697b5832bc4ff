"""The physics that the virtual devices share: what light, sample, pupil and sensor do together.

The world knows the time (stages travel, the modulator settles) and the truth (the hidden
aberration). Devices write its controls; the camera reads `expected_electrons`. What is expected is
cached per device state, so that a repeated exposure costs only its noise.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, UInt8

from drivers.virtual.drift import Drift
from drivers.virtual.pupil_microscope import PIXEL_UM, PupilMicroscope
from drivers.virtual.samples import SampleKind, sample_of
from drivers.virtual.sensor import VirtualSensor, noise_of
from drivers.virtual.travel import Axes
from drivers.virtual.zernike import FIRST_MODE, LAST_MODE, aperture, pupil_grid

SAMPLE_SIDE = 2048
SLM_LEVELS = 256
ELECTRONS_PER_MW_MS = 2.0  # at object brightness 1
STRAY_FRACTION = 0.05  # of the light, without object
BACKGROUND_E_PER_MS = 0.02  # room light, LED off
SLM_SETTLE_S = 0.015
XY_SPEED_UM_PER_S = 20_000.0
Z_SPEED_UM_PER_S = 2_000.0
XY_TRAVEL_UM = (-500.0, 500.0)
Z_TRAVEL_UM = (-100.0, 100.0)
_CACHED_FIELDS = 512

_transfer = eqx.filter_jit(PupilMicroscope.transfer)
_image = eqx.filter_jit(PupilMicroscope.image)
_spectrum = jax.jit(jnp.fft.rfft2)


class PupilWorld:
    """State and physics of the programmable-pupil microscope (`drivers.virtual.worlds.World`).

    Parameters
    ----------
    seed
        Fixes sample, aberration, sensor and the order of noise draws.
    sample, fill
        Kind of sample, and the fraction of bead pixels.
    aberration_rms_rad
        Size of the hidden aberration over Zernike modes 4 to 15; 0 gives the unaberrated bench.
    optical_power_mw
        Called at every exposure: the power that leaves the light source now.
    drift
        Of lamp and focus, if any.
    """

    def __init__(
        self,
        *,
        seed: int,
        sample: SampleKind,
        fill: float,
        aberration_rms_rad: float,
        optical_power_mw: Callable[[], float],
        drift: Drift | None = None,
    ):
        _, aberration, sensor, frames = np.random.default_rng(seed).spawn(4)
        self._sample = sample_of(seed, sample, SAMPLE_SIDE, fill)
        self.twin = PupilMicroscope(_draw_aberration(aberration, aberration_rms_rad))
        self.sensor = VirtualSensor.draw(self.twin.height, self.twin.width, rng=sensor)
        self._frame_rng = self._frame_rng_at_start = frames
        self._optical_power_mw = optical_power_mw
        self._drift = drift
        self._lock = threading.Lock()
        side = self.twin.side
        self.slm_shape = (side, side)
        self._pattern = np.zeros(self.slm_shape, np.uint8)
        self._left_rad = np.zeros(self.slm_shape)  # where the crystal last set off from
        self._pattern_changed_s = -np.inf
        self.z = Axes((Z_TRAVEL_UM,), speed_per_s=Z_SPEED_UM_PER_S)
        self.xy = Axes((XY_TRAVEL_UM, XY_TRAVEL_UM), speed_per_s=XY_SPEED_UM_PER_S)
        self._spectra: OrderedDict[tuple[int, int], Complex[Array, "rows columns"]]
        self._spectra = OrderedDict()
        self._transfer_key: tuple[bytes, float] | None = None
        self._transfer: Complex[Array, "rows columns"] | None = None
        self._image_key: tuple[int, int] | None = None
        self._image: Float[np.ndarray, "height width"] | None = None

    # ---- controls, written by the devices

    def show(self, pattern: UInt8[np.ndarray, "side side"]) -> None:
        """Let the modulator turn from what it shows now to `pattern`."""
        with self._lock:
            self._left_rad = self.modulator_rad()
            self._pattern = pattern.copy()
            self._pattern_changed_s = time.perf_counter()

    def seed_noise(self, trial: int, part: int = 0) -> None:
        """Draw the noise of the exposures that follow from the seed and these numbers alone."""
        self._frame_rng = noise_of(self._frame_rng_at_start, trial=trial, part=part)

    # ---- physics, read by the camera

    def expose(self, exposure_s: float) -> np.ndarray:
        """Draw one frame of raw counts, (height, width) uint16 ADU, under the present state."""
        expected = self.expected_electrons(exposure_s)
        return self.sensor.expose(expected, exposure_s=exposure_s, rng=self._frame_rng)

    def expected_electrons(self, exposure_s: float) -> Float[np.ndarray, "height width"]:
        """Return expected photo-electrons a pixel under the present state, float64."""
        power_mw = self._optical_power_mw() * self._lamp_factor()
        light = ELECTRONS_PER_MW_MS * power_mw * exposure_s * 1e3
        background = BACKGROUND_E_PER_MS * exposure_s * 1e3
        if light == 0:
            return np.full((self.twin.height, self.twin.width), background)
        with self._lock:
            image = self._unit_image()
        return light * ((1 - STRAY_FRACTION) * image + STRAY_FRACTION) + background

    def modulator_rad(self) -> Float[np.ndarray, "side side"]:
        """Phase of the modulator now: a 2 pi look-up table, exponential settling."""
        phase = self._pattern * (2 * np.pi / SLM_LEVELS)
        elapsed_s = time.perf_counter() - self._pattern_changed_s
        if elapsed_s >= SLM_SETTLE_S:
            return phase
        return phase + (self._left_rad - phase) * np.exp(-5 * elapsed_s / SLM_SETTLE_S)

    def truth(self) -> dict[str, float]:
        """Return what only the simulator knows of the present state.

        `residual_rad` is that of the bench as it stands, drift included; where it drifts, also what
        the same settings would have left before it did.
        """
        if self._drift is None:
            return {"residual_rad": self.residual_rad()}
        return {
            "residual_rad": self.residual_rad(),
            "undrifted_residual_rad": self._residual_rad(focus_um=self.z.target[0]),
            "lamp_factor": self._lamp_factor(),
            "focus_drift_um": self._focus_drift_um(),
        }

    def residual_rad(self) -> float:
        """Rms of the settled wavefront over the pupil without piston, tip and tilt: the truth."""
        return self._residual_rad(focus_um=self.z.target[0] + self._focus_drift_um())

    def _residual_rad(self, *, focus_um: float) -> float:
        phase = self._pattern * (2 * np.pi / SLM_LEVELS)
        wavefront = self.twin.wavefront_rad(jnp.asarray(phase, jnp.float32), jnp.float32(focus_um))
        return wavefront_rms_rad(np.asarray(wavefront, np.float64))

    def _lamp_factor(self) -> float:
        return 1.0 if self._drift is None else self._drift.lamp_factor()

    def _focus_drift_um(self) -> float:
        return 0.0 if self._drift is None else self._drift.focus_um()

    def _unit_image(self) -> Float[np.ndarray, "height width"]:
        modulator = self.modulator_rad()
        focus_um = self.z.position()[0] + self._focus_drift_um()
        transfer_key = (modulator.tobytes(), focus_um)
        if transfer_key != self._transfer_key or self._transfer is None:
            self._transfer = _transfer(
                self.twin, jnp.asarray(modulator, jnp.float32), jnp.float32(focus_um)
            )
            self._transfer_key = transfer_key
            self._image = None
        corner = self._corner()
        if self._image is None or corner != self._image_key:
            image = _image(self.twin, self._field_spectrum(corner), self._transfer)
            self._image = np.asarray(image, np.float64)
            self._image_key = corner
        return self._image

    def _corner(self) -> tuple[int, int]:
        """Row and column of the field's first object pixel in the sample map."""
        x_um, y_um = self.xy.position()
        rows, columns = self.twin.object_shape
        row = round(y_um / PIXEL_UM) + (SAMPLE_SIDE - rows) // 2
        column = round(x_um / PIXEL_UM) + (SAMPLE_SIDE - columns) // 2
        return row % SAMPLE_SIDE, column % SAMPLE_SIDE

    def _field_spectrum(self, corner: tuple[int, int]) -> Complex[Array, "rows columns"]:
        if corner in self._spectra:
            self._spectra.move_to_end(corner)
            return self._spectra[corner]
        rows, columns = self.twin.object_shape
        field = self._sample.take(range(corner[0], corner[0] + rows), axis=0, mode="wrap")
        field = field.take(range(corner[1], corner[1] + columns), axis=1, mode="wrap")
        self._spectra[corner] = _spectrum(field)
        if len(self._spectra) > _CACHED_FIELDS:
            self._spectra.popitem(last=False)
        return self._spectra[corner]


def wavefront_rms_rad(wavefront: Float[np.ndarray, "side side"]) -> float:
    """Rms over the pupil of a wavefront known modulo 2 pi, without piston, tip and tilt.

    Unwrapped along the central column and from there along every row (Itoh 1982): exact where
    neighbouring pixels differ by less than pi, as a smooth wavefront on 64 pixels does.
    """
    side = wavefront.shape[0]
    middle = side // 2
    unwrapped = np.angle(np.exp(1j * wavefront))
    unwrapped[:, middle] = np.unwrap(unwrapped[:, middle])
    unwrapped[:, middle:] = np.unwrap(unwrapped[:, middle:], axis=1)
    unwrapped[:, : middle + 1] = np.unwrap(unwrapped[:, middle::-1], axis=1)[:, ::-1]
    x, y = pupil_grid(side)
    inside = aperture(side)
    plane = np.stack([np.ones(inside.sum()), x[inside], y[inside]], axis=1)
    values = unwrapped[inside]
    coefficients, *_ = np.linalg.lstsq(plane, values, rcond=None)
    return float(np.std(values - plane @ coefficients))


def _draw_aberration(rng: np.random.Generator, rms_rad: float) -> Float[np.ndarray, " modes"]:
    """Draw Gaussian coefficients, lower orders larger, scaled to the rms asked for."""
    modes = np.arange(FIRST_MODE, LAST_MODE + 1)
    coefficients = rng.standard_normal(len(modes)) / np.sqrt(modes)
    return rms_rad * coefficients / np.linalg.norm(coefficients)
