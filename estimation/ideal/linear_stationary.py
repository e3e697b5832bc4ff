"""The cheapest stand-in for H(Y): known spectrum of objects, convolution known from one impulse.

Of a twin that convolves its objects circularly and reads out any part of the field, and of objects
whose statistics are alike at every place, measurements are a stationary process with spectrum

    S_y(f) = H(f) S_o(f) H(f)^*,   H = Fourier transform of the response to an impulse,

and the entropy per value is 1/2 log(2 pi e) + the mean over frequencies of 1/2 log det(S_y + N)
(Szego's limit theorem; U. Grenander and G. Szego, Toeplitz Forms, 1958, section 5.2). A step sees a
handful of impulses, however many objects the spectrum was measured on.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from estimation.errors import EstimationError
from estimation.ideal.protocol import Forward, Patch
from estimation.ideal.surrogates import stationary_nats
from estimation.noise import SimulatedNoise

_AT_ONCE = 256


class LinearStationary(eqx.Module):
    """Objects of known spectrum through a twin that convolves them circularly: no batch.

    The bound is that of a large frame; edges of a patch are ignored, and the patch is not used.
    Where objects differ from place to place (a cell in the middle of its field), their spectrum
    is an average over places, and the bound is looser than that of `LinearGaussian`.

    Attributes
    ----------
    mean
        Of the objects in every channel, (channels,).
    spectrum
        Of the objects, between channels, on the FFT grid of the field, (rows, columns, channels,
        channels); orthonormal transform, so that its mean over frequencies is a variance.
    has_channels
        Whether objects are (channels, rows, columns), else (rows, columns).
    """

    mean: Float[np.ndarray, " channels"]
    spectrum: Complex[np.ndarray, "rows columns channels channels"]
    has_channels: bool = eqx.field(static=True)

    @classmethod
    def of(cls, objects: Any) -> LinearStationary:
        """Measure the spectrum on (objects, rows, columns) or (objects, channels, rows, columns).

        Objects are read in pieces, so that a memory-mapped array stays on the disk.

        Raises
        ------
        EstimationError
            For objects of another shape, or fewer than two.
        """
        if objects.ndim not in (3, 4) or len(objects) < 2:
            raise EstimationError(
                f"objects of shape {objects.shape} came; two or more of (rows, columns) or of "
                "(channels, rows, columns) are due"
            )
        stack = objects if objects.ndim == 4 else objects[:, None]
        count, channels, rows, columns = stack.shape
        pieces = range(0, count, _AT_ONCE)
        means = [np.asarray(stack[k : k + _AT_ONCE], np.float64).sum(axis=0) for k in pieces]
        mean = np.sum(means, axis=0) / count
        spectrum = np.zeros((rows, columns, channels, channels), complex)
        for first in pieces:
            piece = np.asarray(stack[first : first + _AT_ONCE], np.float64) - mean
            waves = np.fft.fft2(piece, norm="ortho")
            spectrum += np.einsum("ncyx,ndyx->yxcd", waves, waves.conj()) / (count - 1.0)
        return cls(mean=mean.mean(axis=(1, 2)), spectrum=spectrum, has_channels=objects.ndim == 4)

    @property
    def name(self) -> str:
        """The word under which designs report it."""
        return "linear stationary"

    def entropy_nats(
        self, forward: Forward, objects: Any, noise: SimulatedNoise, *, patch: Patch, key: Any
    ) -> Any:
        """Return the entropy rate, nats per value; neither objects nor patch are looked at."""
        del objects, patch, key
        field = self.spectrum.shape[:2]
        uniform = jnp.broadcast_to(self._shaped(jnp.asarray(self.mean)[:, None, None]), self._shape)
        impulses = jnp.asarray(self._impulses(forward), uniform.dtype)
        electrons, response = jax.jvp(
            forward, (jnp.broadcast_to(uniform, impulses.shape),), (impulses,)
        )
        # All pixels of a shot see the same: one stands for them, with the gain of its counts.
        level = electrons[0].mean(axis=(1, 2))
        (_, variance), (gain, _) = jax.jvp(noise.moments_at, (level,), (jnp.ones_like(level),))
        down, along = (
            -(-size // seen) for size, seen in zip(field, response.shape[-2:], strict=True)
        )
        kernel = (
            gain[:, None, None] * _assembled(response, down, along)[..., : field[0], : field[1]]
        )
        transfer = jnp.fft.fft2(kernel)
        spectrum = jnp.einsum(
            "csyx,yxcd,dtyx->yxst", transfer, jnp.asarray(self.spectrum), transfer.conj()
        )
        return stationary_nats(spectrum, variance)

    @property
    def _shape(self) -> tuple[int, ...]:
        rows, columns, channels, _ = self.spectrum.shape
        return (channels, rows, columns) if self.has_channels else (rows, columns)

    def _shaped(self, field: Array) -> Array:
        return field if self.has_channels else field[0]

    def _impulses(self, forward: Forward) -> np.ndarray:
        """Place an impulse a channel wherever the frame sees another part of the kernel.

        An impulse at -k * side, less where the frame begins, shows the lags k * side to (k + 1) *
        side, less the same: a shift of the whole kernel, which no spectrum depends on.
        """
        rows, columns, channels, _ = self.spectrum.shape
        frame = jax.eval_shape(forward, jax.ShapeDtypeStruct((1, *self._shape), float)).shape
        places = [
            (-y % rows, -x % columns)
            for y in range(0, rows, frame[2])
            for x in range(0, columns, frame[3])
        ]
        impulses = np.zeros((channels, len(places), channels, rows, columns))
        for channel in range(channels):
            for number, (y, x) in enumerate(places):
                impulses[channel, number, channel, y, x] = 1.0
        return impulses.reshape(-1, *self._shape)


def _assembled(
    response: Float[Array, "impulses shots height width"], down: int, along: int
) -> Float[Array, "channels shots rows columns"]:
    """Put the parts of the kernel that the impulses showed side by side."""
    _, shots, height, width = response.shape
    parts = response.reshape(-1, down, along, shots, height, width)
    return parts.transpose(0, 3, 1, 4, 2, 5).reshape(-1, shots, down * height, along * width)
