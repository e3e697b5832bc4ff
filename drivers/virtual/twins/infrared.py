"""The long-wave infrared camera: diffraction against flux, and a lens that glows itself.

    e = t [flux 17 / (4 F^2 + 1) (tau (1 + c OTF * dT) + (1 - tau) g) + dark]     [photo-electrons]

of a scene that differs by `dT` kelvin from its background. `17 / (4 F^2 + 1)` is the light that a
lens of F-number F collects, relative to F/2 (J. M. Lloyd, Thermal Imaging Systems, 1975, ch. 5);
`c` is the relative increase of photons a kelvin near 300 K and 10 um; the optics, of transmission
`tau`, emit as a black body a little warmer (`g`). The transfer function is the autocorrelation of
the pupil (Goodman, section 6.3) with a wavefront of defocus and a cubic term (E. Dowski and
W. T. Cathey, Appl. Opt. 34, 1859, 1995), times the pixel's sinc. The well and the converter belong
to the sensor: the twin says how many electrons the light would make (see `reference/domains.md` 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from drivers.virtual.twins.twin import Parameter, Twin

WAVELENGTH_UM = 10.0
PITCH_UM = 15.0
FLUX_E_PER_MS = 1e7  # at F/2, of a scene at background temperature
CONTRAST_PER_K = 0.017
TRANSMISSION = 0.85
OPTICS_GLOW = 1.1
DARK_E_PER_MS = 1e6
WELL_E = 1.8e7
_TINY = 1e-6
_HALF_NODES, _HALF_WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES_ALONG = np.concatenate([-0.5 - 0.5 * _HALF_NODES, 0.5 + 0.5 * _HALF_NODES])
_WEIGHTS_ALONG = 0.5 * np.concatenate([_HALF_WEIGHTS, _HALF_WEIGHTS])
_NODES_ACROSS, _WEIGHTS_ACROSS = np.polynomial.legendre.leggauss(32)


class Infrared(Twin):
    """A thermal camera with a lens of variable aperture.

    Parameters
    ----------
    f_number
        Focal length over aperture.
    time_ms
        Integration time.
    cubic_waves
        Wavefront coding: waves of `x^3 + y^3` at the pupil's edge.
    focus_waves
        Waves of defocus at the pupil's edge.
    field, side
        Pixels of a side of object and of the frame cut from its middle.
    """

    f_number: Float[Array, ""]
    time_ms: Float[Array, ""]
    cubic_waves: Float[Array, ""]
    focus_waves: Float[Array, ""]
    field: int = eqx.field(static=True)
    side: int = eqx.field(static=True)

    def __init__(
        self,
        f_number: Any = 2.0,
        time_ms: Any = 0.5,
        cubic_waves: Any = 0.0,
        focus_waves: Any = 0.0,
        *,
        field: int = 32,
        side: int = 16,
    ):
        self.f_number, self.time_ms = jnp.asarray(f_number, float), jnp.asarray(time_ms, float)
        self.cubic_waves = jnp.asarray(cubic_waves, float)
        self.focus_waves = jnp.asarray(focus_waves, float)
        self.field, self.side = field, side

    @property
    def object_shape(self) -> tuple[int, int]:
        """(field, field): kelvin above the background."""
        return self.field, self.field

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Aperture, time and wavefront."""
        return {
            "f_number": Parameter(unit="1", low=1.0, high=6.0, meaning="F-number"),
            "time_ms": Parameter(unit="ms", low=0.02, high=3.0, meaning="integration time"),
            "cubic_waves": Parameter(unit="waves", low=-3.0, high=3.0, meaning="cubic phase"),
            "focus_waves": Parameter(unit="waves", low=-3.0, high=3.0, meaning="defocus"),
        }

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Apertures in use, each with the longest time that keeps the well half full."""
        flat = {"cubic_waves": 0.0, "focus_waves": 0.0}
        return {
            f"F/{f:g}": {"f_number": f, "time_ms": _half_full_ms(f), **flat}
            for f in (1.0, 1.4, 2.0, 3.0)
        }

    def transfer(self) -> Complex[Array, "rows columns"]:
        """Return lens times pixel on the half-plane FFT grid, 1 at zero frequency."""
        fy = np.fft.fftfreq(self.field)[:, None]
        fx = np.fft.rfftfreq(self.field)[None, :]
        frequency, direction = np.hypot(fy, fx), np.arctan2(fy + 0.0 * fx, fx + 0.0 * fy)
        shift = frequency * (2.0 * WAVELENGTH_UM * self.f_number / PITCH_UM)
        overlap = jax.vmap(self._overlap)(shift.ravel(), jnp.asarray(direction.ravel()))
        return overlap.reshape(shift.shape) * np.sinc(fy) * np.sinc(fx)

    def __call__(
        self, objects: Float[Array, "objects rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected photo-electrons of one frame of kelvin above background."""
        waves = jnp.fft.rfft2(objects) * self.transfer()
        seen = jnp.fft.irfft2(waves, s=self.object_shape)
        first = (self.field - self.side) // 2
        kelvin = seen[:, first : first + self.side, first : first + self.side]
        scene = TRANSMISSION * (1.0 + CONTRAST_PER_K * kelvin)
        glow = (1.0 - TRANSMISSION) * OPTICS_GLOW
        rate = FLUX_E_PER_MS * _collected(self.f_number) * (scene + glow) + DARK_E_PER_MS
        return (self.time_ms * rate)[:, None]

    def _overlap(self, shift: Any, direction: Any) -> Complex[Array, ""]:
        """Autocorrelation of the pupil at `shift` radii, by quadrature over the two discs' lens.

        Nodes move with the lens, so that the result is exact for a flat wavefront and smooth in F.
        """
        half = 0.5 * jnp.minimum(shift, 2.0 - _TINY)
        # JAX keeps the device's copy of a module's array in the precision of its first use.
        nodes, weigh, nodes_across, weigh_across = (
            jnp.asarray(rule, half.dtype)
            for rule in (_NODES_ALONG, _WEIGHTS_ALONG, _NODES_ACROSS, _WEIGHTS_ACROSS)
        )
        along = nodes * (1.0 - half)
        width = jnp.sqrt(1.0 - (jnp.abs(along) + half) ** 2)
        across = width[:, None] * nodes_across
        weights = (1.0 - half) * (weigh * width)[:, None] * weigh_across
        ahead, behind = (
            self._waves(along[:, None] + sign * half, across, direction) for sign in (1.0, -1.0)
        )
        overlap = jnp.sum(weights * jnp.exp(2j * jnp.pi * (ahead - behind))) / jnp.pi
        return jnp.where(shift < 2.0, overlap, 0.0)

    def _waves(self, along: Any, across: Any, direction: Any) -> Array:
        """Wavefront at points given along and across a direction, waves."""
        cosine, sine = jnp.cos(direction), jnp.sin(direction)
        x, y = along * cosine - across * sine, along * sine + across * cosine
        return self.focus_waves * (x**2 + y**2) + self.cubic_waves * (x**3 + y**3)


def _collected(f_number: Any) -> Any:
    """Light relative to F/2."""
    return 17.0 / (4.0 * f_number**2 + 1.0)


def _half_full_ms(f_number: float) -> float:
    rate = FLUX_E_PER_MS * _collected(f_number) + DARK_E_PER_MS
    return float(min(3.0, 0.5 * WELL_E / rate))
