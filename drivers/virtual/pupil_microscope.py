"""The twin of a programmable-pupil microscope, in JAX and differentiable in its controls.

An incoherent wide-field microscope with a phase modulator in a pupil plane:

    pupil = aperture * exp(i (hidden aberration + defocus + modulator phase))
    image = object (*) |FFT(pupil)|^2        [expected photo-electrons per unit of light]

J. W. Goodman, Introduction to Fourier Optics (3rd ed.), sections 6.3 and 6.4. Defocus is the
paraxial quadratic phase pi NA^2 z rho^2 / wavelength of a displacement z.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from drivers.virtual.zernike import FIRST_MODE, LAST_MODE, aperture, noll_modes, pupil_grid

WAVELENGTH_UM = 0.53
NUMERICAL_APERTURE = 0.25
PIXEL_UM = WAVELENGTH_UM / (4 * NUMERICAL_APERTURE)  # the incoherent cut-off falls on Nyquist
DEFOCUS_RAD_PER_UM = np.pi * NUMERICAL_APERTURE**2 / WAVELENGTH_UM  # times rho^2, at 1 um


class PupilMicroscope(eqx.Module):
    """Objects to expected images, given modulator phase and focus.

    Parameters
    ----------
    aberration_rad
        Hidden Zernike coefficients, modes 4 to 15 (Noll), rad rms.
    height, width
        Field of the camera in pixels.
    margin
        Object pixels beyond each edge of the field that can blur into it.
    """

    aberration_rad: Float[Array, " modes"]
    _aberration_phase: Float[Array, "side side"]
    _defocus: Float[Array, "side side"]
    _aperture: Float[Array, "side side"]
    height: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    margin: int = eqx.field(static=True)
    side: int = eqx.field(static=True)

    def __init__(
        self,
        aberration_rad: Float[np.ndarray, " modes"],
        *,
        height: int = 128,
        width: int = 128,
        margin: int = 32,
        side: int = 64,
    ):
        if len(aberration_rad) != LAST_MODE - FIRST_MODE + 1:
            raise ValueError(f"{len(aberration_rad)} aberration coefficients, modes 4 to 15 needed")
        x, y = pupil_grid(side)
        inside = aperture(side)
        self.aberration_rad = jnp.asarray(aberration_rad, jnp.float32)
        self._aberration_phase = jnp.asarray(
            np.tensordot(aberration_rad, noll_modes(side), axes=1), jnp.float32
        )
        self._defocus = jnp.asarray(
            np.where(inside, DEFOCUS_RAD_PER_UM * (x**2 + y**2), 0.0), jnp.float32
        )
        self._aperture = jnp.asarray(inside, jnp.float32)
        self.height, self.width, self.margin, self.side = height, width, margin, side

    @property
    def object_shape(self) -> tuple[int, int]:
        """(height, width) of the object that one image needs, margins included."""
        return self.height + 2 * self.margin, self.width + 2 * self.margin

    def wavefront_rad(
        self, modulator_rad: Float[Array, "side side"], focus_um: Float[Array, ""]
    ) -> Float[Array, "side side"]:
        """Total phase in the pupil, zero outside it."""
        phase = self._aberration_phase + self._defocus * focus_um + modulator_rad
        return phase * self._aperture

    def transfer(
        self, modulator_rad: Float[Array, "side side"], focus_um: Float[Array, ""]
    ) -> Complex[Array, "rows columns"]:
        """Optical transfer function on the object's half-plane FFT grid, 1 at zero frequency."""
        field = self._aperture * jnp.exp(1j * self.wavefront_rad(modulator_rad, focus_um))
        # The pupil spans half of the frequency grid (PIXEL_UM above), so twice its side is the
        # grid on which its autocorrelation fits without wrapping.
        amplitude = jnp.fft.fft2(field, s=(2 * self.side, 2 * self.side))
        psf = amplitude.real**2 + amplitude.imag**2  # a root has no slope at zero
        psf = jnp.fft.fftshift(psf / psf.sum())
        rows, columns = self.object_shape
        centre = self.side
        half = self.margin
        window = psf[centre - half : centre + half, centre - half : centre + half]
        window = window / window.sum()  # light scattered beyond the margin is counted as in view
        padded = jnp.zeros((rows, columns)).at[: 2 * half, : 2 * half].set(window)
        return jnp.fft.rfft2(jnp.roll(padded, (-half, -half), axis=(0, 1)))

    def image(
        self,
        spectrum: Complex[Array, "*batch rows columns"],
        transfer: Complex[Array, "rows columns"],
    ) -> Float[Array, "*batch height width"]:
        """Image of objects given by their half-plane spectrum, cut to the field."""
        blurred = jnp.fft.irfft2(spectrum * transfer, s=self.object_shape)
        m = self.margin
        return jnp.maximum(blurred[..., m : m + self.height, m : m + self.width], 0.0)

    def __call__(
        self,
        objects: Float[Array, "objects rows columns"],
        *,
        modulator_rad: Float[Array, "side side"],
        focus_um: Float[Array, ""],
        electrons: float = 1.0,
        background_e: float = 0.0,
    ) -> Float[Array, "objects shots height width"]:
        """Return the expected photo-electrons of one shot an object.

        Parameters
        ----------
        objects
            Relative brightness with margins, shape (objects, *object_shape).
        modulator_rad
            Phase of the modulator on the pupil grid.
        focus_um
            Displacement of the focus stage from the plane where the hidden defocus is as given.
        electrons
            Photo-electrons a unit of object brightness.
        background_e
            Photo-electrons a pixel that carry no object.
        """
        images = self.image(jnp.fft.rfft2(objects), self.transfer(modulator_rad, focus_um))
        return (electrons * images + background_e)[:, None]
