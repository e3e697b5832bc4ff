"""The lensless camera: a few lenslets, or a mask of many spots, in front of a bare sensor.

    psf = sum_l weight_l G(position_l, sigma_l),   sum of weights 1
    image = crop(electrons * (object (*) psf) + background)        [expected photo-electrons]

with a circular convolution over a field larger than the sensor, so that objects beside the field
of view are multiplexed into it (reference/domains.md, section 1; Pinkard et al., arXiv 2405.20559).
Every spot is a product of two one-dimensional kernels, transformed one by one.
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

Spot = Literal["sampled", "band_limited"]


class Lensless(Twin):
    """A sensor behind lenslets.

    Parameters
    ----------
    positions_px
        Row and column of each spot's centre relative to a centred lens, (lenslets, 2).
    weights
        Share of the light in each spot, (lenslets,).
    sigma_px
        Radius of each spot, (lenslets,); one number for all.
    electrons
        Expected photo-electrons of a pixel at object brightness 1.
    background_e
        Photo-electrons a pixel that carry no object.
    field, side
        Pixels of a side of object and sensor; the sensor sits in the middle.
    smallest_sigma_px
        What diffraction and the pixel allow.
    reach_px
        Largest distance of a spot from the centre, per axis.
    spot
        `"sampled"`: a Gaussian sampled at the pixels, non-negative, for brightness;
        `"band_limited"`: transfer function exp(-2 pi^2 sigma^2 f^2) exactly, for fields of either
        sign.
    """

    positions_px: Float[Array, "lenslets 2"]
    weights: Float[Array, " lenslets"]
    sigma_px: Float[Array, " lenslets"]
    electrons: Float[Array, ""]
    background_e: Float[Array, ""]
    field: int = eqx.field(static=True)
    side: int = eqx.field(static=True)
    smallest_sigma_px: float = eqx.field(static=True)
    reach_px: float = eqx.field(static=True)
    spot: Spot = eqx.field(static=True)

    def __init__(
        self,
        positions_px: Any = ((0.0, 0.0),),
        weights: Any = None,
        sigma_px: Any = 1.0,
        *,
        electrons: float = 100.0,
        background_e: float = 10.0,
        field: int = 48,
        side: int = 20,
        smallest_sigma_px: float = 0.8,
        reach_px: float = 10.0,
        spot: Spot = "sampled",
    ):
        self.positions_px = jnp.asarray(positions_px, float)
        lenslets = self.positions_px.shape[0]
        even = np.full(lenslets, 1.0 / lenslets)
        self.weights = jnp.asarray(even if weights is None else weights, float)
        self.sigma_px = jnp.broadcast_to(jnp.asarray(sigma_px, float), (lenslets,))
        self.electrons, self.background_e = jnp.asarray(electrons), jnp.asarray(background_e)
        if not 0 < side <= field:
            raise ValueError(f"side {side}: between 1 and the field's {field} pixels")
        self.field, self.side, self.spot = field, side, spot
        self.smallest_sigma_px, self.reach_px = smallest_sigma_px, reach_px

    @property
    def object_shape(self) -> tuple[int, int]:
        """(field, field)."""
        return self.field, self.field

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Positions, weights and radii of the spots."""
        reach = self.reach_px
        return {
            "positions_px": Parameter(unit="px", low=-reach, high=reach, meaning="spot centres"),
            "weights": Parameter(unit="1", low=0.0, high=1.0, meaning="shares of the light"),
            "sigma_px": Parameter(
                unit="px", low=self.smallest_sigma_px, high=6.0, meaning="spot radii"
            ),
        }

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """One lens, or up to three rings of equal lenslets; spots not needed get no light."""
        lenslets = len(self.weights)
        counts = [n for n in (1, 2, 3, 5, 9) if n <= lenslets]
        return {f"{n} lenslets" if n > 1 else "one lens": self._scattered(n) for n in counts}

    def _scattered(self, count: int) -> dict[str, Any]:
        # A sunflower's spiral: no two distances between lenslets are alike.
        turn = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(count)
        radius = 0.9 * self.reach_px * np.sqrt(np.arange(count) / max(count - 1, 1))
        lenslets = len(self.weights)
        positions = np.zeros((lenslets, 2))
        positions[:count] = np.stack([radius * np.sin(turn), radius * np.cos(turn)], axis=1)
        weights = np.zeros(lenslets)
        weights[:count] = 1.0 / count
        sigma = np.full(lenslets, self.smallest_sigma_px)
        return {"positions_px": positions, "weights": weights, "sigma_px": sigma}

    def projected(self) -> Self:
        """Positions and radii within bounds, weights a share of the light each."""
        inside = super().projected()
        return inside.with_values({"weights": onto_simplex(self.weights)})

    def transfer(self) -> Complex[Array, "rows columns"]:
        """Return the optical transfer function on the half-plane FFT grid, 1 at zero frequency."""
        rows = self._kernel_waves(self.positions_px[:, 0], half=False)
        columns = self._kernel_waves(self.positions_px[:, 1], half=True)
        return jnp.einsum("l,ly,lx->yx", self.weights, rows, columns)

    def psf(self) -> Float[Array, "field field"]:
        """Return the point spread function, centred at (field // 2, field // 2), sum 1."""
        return jnp.fft.fftshift(jnp.fft.irfft2(self.transfer(), s=self.object_shape))

    def __call__(
        self, objects: Float[Array, "objects rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected photo-electrons of one shot an object of brightness (field, field)."""
        waves = jnp.fft.rfft2(objects) * self.transfer()
        blurred = jnp.fft.irfft2(waves, s=self.object_shape)
        if self.spot == "sampled":  # rounding of the FFT must not make light negative
            blurred = jnp.maximum(blurred, 0.0)
        first = (self.field - self.side) // 2
        seen = blurred[:, first : first + self.side, first : first + self.side]
        return (self.electrons * seen + self.background_e)[:, None]

    def _kernel_waves(
        self, centres: Float[Array, " lenslets"], *, half: bool
    ) -> Complex[Array, "lenslets waves"]:
        if self.spot == "band_limited":
            grid = np.fft.rfftfreq(self.field) if half else np.fft.fftfreq(self.field)
            blur = jnp.exp(-2.0 * (jnp.pi * self.sigma_px[:, None] * grid) ** 2)
            return blur * jnp.exp(-2j * jnp.pi * centres[:, None] * grid)
        distance = np.arange(self.field) - centres[:, None]
        distance = jnp.mod(distance + self.field / 2, self.field) - self.field / 2
        kernel = jax.nn.softmax(-0.5 * (distance / self.sigma_px[:, None]) ** 2, axis=-1)
        return jnp.fft.rfft(kernel) if half else jnp.fft.fft(kernel)
