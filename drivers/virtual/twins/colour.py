"""The colour camera: a mosaic of red, green, blue and white filters, 8 x 8, repeated.

    electrons_p = electrons * sum_f mask[p mod 8, f] * scene_f(p),    white = red + green + blue

The mask is relaxed to softmax(sharpness * preference) over the filters while it is designed, and
hardens to one filter a pixel (reference/information.md, 3.2; A. Chakrabarti, NeurIPS 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from drivers.virtual.twins.twin import Parameter, Twin

FILTERS = "RGBW"
PERIOD = 8
SOFTEST, SHARPEST = 1.0, 100.0
_PASSES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], float)


class Colour(Twin):
    """A sensor behind a filter mosaic.

    Parameters
    ----------
    preference
        Of every pixel of the tile for every filter (R, G, B, W), (8, 8, 4), -1 to 1.
    electrons
        Expected photo-electrons of a white pixel at scene brightness 1, 30 to 1000.
    side
        Pixels of a side of the sensor.
    progress
        0 a soft mixture of filters, 1 one filter a pixel: see `annealed`.
    """

    preference: Float[Array, "8 8 4"]
    electrons: Float[Array, ""]
    progress: Float[Array, ""]
    side: int = eqx.field(static=True)

    def __init__(
        self,
        preference: Any = None,
        *,
        electrons: float = 1000.0,
        side: int = 16,
        progress: float = 1.0,
    ):
        if preference is None:
            preference = preference_of("GR BG")
        self.preference = jnp.asarray(preference, float)
        self.electrons, self.progress = jnp.asarray(electrons), jnp.asarray(progress)
        self.side = side

    @property
    def object_shape(self) -> tuple[int, int, int]:
        """(3, side, side): linear red, green and blue, of which the mean sum is 1."""
        return 3, self.side, self.side

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The preference of every pixel for every filter."""
        return {
            "preference": Parameter(unit="1", low=-1.0, high=1.0, meaning="for R, G, B, W"),
        }

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Mosaics in use: Bayer, quad Bayer, RGBW, sparse RGBW, all white."""
        tiles = {
            "bayer": "GR BG",
            "quad bayer": "GGRR GGRR BBGG BBGG",
            "rgbw": "RG BW",
            "sparse rgbw": "WBWG BWGW WGWR GWRW",
            "all white": "W",
        }
        return {name: {"preference": preference_of(tile)} for name, tile in tiles.items()}

    def annealed(self, progress: Any) -> Self:
        """Return the twin at this share of an optimisation; at 1 the mask is binary."""
        return eqx.tree_at(lambda twin: twin.progress, self, jnp.asarray(progress, float))

    def mask(self) -> Float[Array, "8 8 4"]:
        """Return each pixel's share of every filter."""
        sharpness = SOFTEST + (SHARPEST - SOFTEST) * self.progress**2
        soft = jax.nn.softmax(sharpness * self.preference, axis=-1)
        hard = jax.nn.one_hot(jnp.argmax(self.preference, axis=-1), len(FILTERS))
        return jnp.where(self.progress >= 1.0, hard, soft)

    def __call__(
        self, objects: Float[Array, "objects 3 rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected photo-electrons of one shot a scene, linear RGB (3, side, side)."""
        tiles = -(-self.side // PERIOD)
        mask = self.mask()
        # JAX keeps the device's copy of a module's array in the precision of its first use.
        passes = jnp.asarray(_PASSES, mask.dtype)
        shares = jnp.tile(mask @ passes, (tiles, tiles, 1))[: self.side, : self.side]
        return self.electrons * jnp.einsum("yxc,ncyx->nyx", shares, objects)[:, None]


def preference_of(tile: str) -> Float[np.ndarray, "8 8 4"]:
    """Return the preference for a mosaic written as rows of letters, such as "GR BG"."""
    rows = tile.split()
    wanted = np.array([
        [FILTERS.index(rows[y % len(rows)][x % len(rows[0])]) for x in range(PERIOD)]
        for y in range(PERIOD)
    ])
    return 2.0 * np.eye(len(FILTERS))[wanted] - 1.0
