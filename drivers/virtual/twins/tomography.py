"""Parallel-beam computed tomography: which views, and how much of the dose each gets.

    photons(view, detector) = dose_e share_view exp(-sum_p A(view, detector, p) mu_p)

Beer-Lambert (T. M. Buzug, Computed Tomography, 2008, section 2.3). `A` is the length of the ray
through pixel p as a detector of one pixel's width sees it: a quadratic B-spline of the distance
between the pixel's projection and the detector, whose sum over detectors is one, so that every
view holds the whole mass of the object. It is smooth in the angle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from drivers.virtual.twins.projection import onto_simplex
from drivers.virtual.twins.twin import Parameter, Twin


class Tomography(Twin):
    """A gantry with a line of detectors; each view is one shot of height one.

    Parameters
    ----------
    angles_rad
        Direction of every candidate view, 0 to pi, (views,).
    dose_shares
        Share of the dose of every view, (views,); 0 means the view is not taken.
    dose_e
        Photons that all views together send to one detector of an empty scanner.
    side
        Pixels of a side of the object; attenuation is per pixel length.
    """

    angles_rad: Float[Array, " views"]
    dose_shares: Float[Array, " views"]
    dose_e: Float[Array, ""]
    side: int = eqx.field(static=True)

    def __init__(
        self,
        angles_rad: Any = None,
        dose_shares: Any = None,
        *,
        dose_e: float = 2e4,
        side: int = 24,
        views: int = 32,
    ):
        even = np.pi * np.arange(views) / views
        self.angles_rad = jnp.asarray(even if angles_rad is None else angles_rad, float)
        count = len(self.angles_rad)
        equal = np.full(count, 1.0 / count)
        self.dose_shares = jnp.asarray(equal if dose_shares is None else dose_shares, float)
        self.dose_e, self.side = jnp.asarray(dose_e, float), side

    @property
    def detectors(self) -> int:
        """Enough to see the object's corners from every side."""
        return int(np.ceil(np.sqrt(2.0) * self.side))

    @property
    def object_shape(self) -> tuple[int, int]:
        """(side, side): attenuation, 1/pixel."""
        return self.side, self.side

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Directions, and shares of the dose."""
        return {
            "angles_rad": Parameter(unit="rad", low=0.0, high=float(np.pi), meaning="directions"),
            "dose_shares": Parameter(unit="1", low=0.0, high=1.0, meaning="shares of the dose"),
        }

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """2, 4, 8, ... views, evenly over the half turn, with equal doses."""
        views = len(self.angles_rad)
        even = np.pi * np.arange(views) / views
        designs = {}
        for taken in (2**k for k in range(1, 6)):
            if views % taken == 0:
                shares = np.where(np.arange(views) % (views // taken) == 0, 1.0 / taken, 0.0)
                designs[f"{taken} views"] = {"angles_rad": even, "dose_shares": shares}
        return designs

    def projected(self) -> Self:
        """Directions within the half turn, shares that use the whole dose."""
        inside = super().projected()
        return inside.with_values({"dose_shares": onto_simplex(self.dose_shares)})

    def with_views_taken(self) -> Self:
        """Return the twin with only those views that get a dose."""
        taken = np.flatnonzero(np.asarray(self.dose_shares) > 0.0)
        return eqx.tree_at(
            lambda twin: (twin.angles_rad, twin.dose_shares),
            self,
            (self.angles_rad[taken], self.dose_shares[taken]),
        )

    def lengths(self) -> Float[Array, "views detectors pixels"]:
        """Return the length of every ray in every pixel, in pixels: the Radon transform."""
        axis = np.arange(self.side) - (self.side - 1) / 2
        y, x = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
        cosine, sine = jnp.cos(self.angles_rad)[:, None], jnp.sin(self.angles_rad)[:, None]
        detector = np.arange(self.detectors) - (self.detectors - 1) / 2
        return _quadratic_spline((x * cosine + y * sine)[:, None, :] - detector[:, None])

    def __call__(
        self, objects: Float[Array, "objects rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected photons, (objects, views, 1, detectors), of attenuation per pixel."""
        flat = objects.reshape(len(objects), -1)
        attenuation = jnp.einsum("vdp,np->nvd", self.lengths(), flat)
        photons = (self.dose_e * self.dose_shares)[:, None] * jnp.exp(-attenuation)
        return photons[:, :, None, :]


def _quadratic_spline(distance: Any) -> Array:
    """Quadratic B-spline of unit knots: its shifts by whole numbers sum to one."""
    u = jnp.abs(distance)
    return jnp.where(u < 0.5, 0.75 - u**2, 0.5 * jnp.maximum(1.5 - u, 0.0) ** 2)
