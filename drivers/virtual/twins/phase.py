"""Phase contrast with an LED array: which LEDs light a thin, nearly transparent object.

For an object `exp(-absorption + i phase)` that is weak, LED l (at `l` in the pupil) adds

    I(f) ~ Ha M(f) + Hp Phi(f),   Ha = - w_l [P*(l) P(l + f) + P(l) P*(l - f)],
                                  Hp = i w_l [P*(l) P(l + f) - P(l) P*(l - f)]

to the constant `w_l |P(l)|^2`, by expanding the intensity to first order (N. Streibl, J. Opt. Soc.
Am. A 2, 121, 1985; L. Tian and L. Waller, Opt. Express 23, 11394, 2015). A source that is even
in `l` shows no phase in focus. Frequencies are in units of the pupil's radius.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from drivers.virtual.twins.projection import onto_simplex
from drivers.virtual.twins.twin import Parameter, Twin

Exposure = Literal["equal_dose", "equal_time"]

NA_CYCLES_PER_PIXEL = 0.2
LEDS_ACROSS = 15
PUPIL_EDGE = 0.05  # softness of the pupil's edge, in radii
_TINY = 1e-12


def led_positions() -> Float[np.ndarray, "leds 2"]:
    """Return row and column of the LEDs that the objective sees, in radii of its pupil."""
    axis = np.linspace(-1.0, 1.0, LEDS_ACROSS)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid[np.hypot(grid[:, 0], grid[:, 1]) <= 1.0]


class PhaseContrast(Twin):
    """A microscope whose condenser is an LED array; one or several shots.

    Parameters
    ----------
    sources
        Drive of every LED in every shot, 0 to 1, (shots, leds).
    defocus_rad
        Phase of defocus at the pupil's edge.
    dose_e
        Photo-electrons a pixel of all shots together; see `exposure`.
    exposure
        `"equal_dose"`: every design may use `dose_e`, however dim its sources, and only ratios of
        drives within a shot matter. `"equal_time"`: `dose_e` is what all LEDs at full drive would
        give, and a design with few LEDs gets little light.
    field, side
        Pixels of a side of object and of the frame cut from its middle.
    """

    sources: Float[Array, "shots leds"]
    defocus_rad: Float[Array, ""]
    dose_e: Float[Array, ""]
    exposure: Exposure = eqx.field(static=True)
    field: int = eqx.field(static=True)
    side: int = eqx.field(static=True)

    def __init__(
        self,
        sources: Any = None,
        defocus_rad: Any = 0.0,
        *,
        shots: int = 1,
        dose_e: float = 1000.0,
        exposure: Exposure = "equal_dose",
        field: int = 32,
        side: int = 16,
    ):
        leds = len(led_positions())
        even = np.full((shots, leds), 1.0 / leds if exposure == "equal_dose" else 1.0)
        self.sources = jnp.asarray(even if sources is None else sources, float)
        self.defocus_rad = jnp.asarray(defocus_rad, float)
        self.dose_e = jnp.asarray(dose_e, float)
        self.exposure, self.field, self.side = exposure, field, side

    @property
    def object_shape(self) -> tuple[int, int, int]:
        """(2, field, field): phase in rad, and absorption of the amplitude (nepers)."""
        return 2, self.field, self.field

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The LEDs' drives, and focus."""
        return {
            "sources": Parameter(unit="1", low=0.0, high=1.0, meaning="drive of each LED"),
            "defocus_rad": Parameter(unit="rad", low=-6.0, high=6.0, meaning="at the pupil's edge"),
        }

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Bright field, half circles, half annuli and single LEDs, the same or turned each shot."""
        shots = len(self.sources)
        turns = np.pi * np.arange(shots) / max(shots, 2)
        y, x = led_positions().T
        radius = np.hypot(x, y)

        def along(turn: float) -> np.ndarray:
            return x * np.cos(turn) + y * np.sin(turn)

        patterns = {
            "bright field": [np.ones_like(x) for _ in turns],
            "low aperture": [radius < 0.3 for _ in turns],
            "half": [along(turn) > 0.01 for turn in turns],
            "half annulus": [(along(turn) > 0.01) & (radius > 0.7) for turn in turns],
            "one led": [_one_led(along(turn) - 0.01 * (radius > 0.93)) for turn in turns],
        }
        designs = {}
        for name, drives in patterns.items():
            drive = np.asarray(drives, float)
            if self.exposure == "equal_dose":
                drive /= drive.sum(axis=1, keepdims=True)
            designs[name] = {"sources": drive, "defocus_rad": 0.0}
        return designs

    def projected(self) -> Self:
        """Drives within bounds; at equal dose, the drives of a shot sum to one."""
        inside = super().projected()
        if self.exposure == "equal_time":
            return inside
        return inside.with_values({"sources": onto_simplex(self.sources)})

    def transfer(
        self,
    ) -> tuple[Complex[Array, "shots rows columns"], Complex[Array, "shots rows columns"]]:
        """Return Ha and Hp of every shot on the half-plane FFT grid."""
        fy = np.fft.fftfreq(self.field)[:, None] / NA_CYCLES_PER_PIXEL
        fx = np.fft.rfftfreq(self.field)[None, :] / NA_CYCLES_PER_PIXEL
        y, x = led_positions().T[:, :, None, None]
        centre = self._pupil(y, x)
        ahead = jnp.conj(centre) * self._pupil(y + fy, x + fx)
        behind = centre * jnp.conj(self._pupil(y - fy, x - fx))
        light = self._light()
        weights = self.sources / jnp.maximum(light, _TINY)[:, None]
        absorption = -jnp.einsum("sl,lyx->syx", weights, ahead + behind)
        return absorption, 1j * jnp.einsum("sl,lyx->syx", weights, ahead - behind)

    def __call__(
        self, objects: Float[Array, "objects 2 rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected photo-electrons of objects (phase in rad, absorption)."""
        on_absorption, on_phase = self.transfer()
        waves = jnp.fft.rfft2(objects)[:, None]
        changes = jnp.fft.irfft2(
            on_phase * waves[:, :, 0] + on_absorption * waves[:, :, 1], s=(self.field, self.field)
        )
        first = (self.field - self.side) // 2
        seen = changes[..., first : first + self.side, first : first + self.side]
        # To first order a strong object could make the light negative.
        return self._mean_e()[:, None, None] * jnp.maximum(1.0 + seen, 0.0)

    def _mean_e(self) -> Float[Array, " shots"]:
        """Photo-electrons a pixel of each shot without an object."""
        shots = len(self.sources)
        if self.exposure == "equal_dose":
            return jnp.full(shots, self.dose_e / shots)
        return self.dose_e / shots * self._light() / self._led_light().sum()

    def _led_light(self) -> Float[Array, " leds"]:
        """How much of each LED's light passes the pupil."""
        y, x = led_positions().T
        return jnp.abs(self._pupil(y, x)) ** 2

    def _light(self) -> Float[Array, " shots"]:
        return self.sources @ self._led_light()

    def _pupil(self, y: Any, x: Any) -> Array:
        squared = y**2 + x**2
        inside = jax.nn.sigmoid((1.0 - squared) / (2.0 * PUPIL_EDGE))
        return inside * jnp.exp(1j * self.defocus_rad * squared)


def _one_led(preference: np.ndarray) -> np.ndarray:
    chosen = np.zeros_like(preference)
    chosen[np.argmax(preference)] = 1.0
    return chosen
