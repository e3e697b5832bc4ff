"""Objects sorted by contrast, a Gaussian for each class: for scenes that are no Gaussian together.

Photographs are flat here and busy there, and one Gaussian for both is far too wide: of 256 pixels
behind Bayer's mosaic at 1000 photons it leaves 762 bits, eight classes 421 (200 directions each,
benchmarks/results/domain_colour_strata.json). For any classes K of the objects

    H(Y) <= H(Y, K) = H(K) + sum over k of P(k) H(Y | K = k),

and each term is bounded by the Gaussian of its class, whose moments a twin that is affine in its
objects tells without a batch (`LinearGaussian`). That is a bound where all directions are kept;
what `rank` leaves out is left out of H(Y) too. A mixture of scales is the oldest model of natural
images: M. J. Wainwright and E. P. Simoncelli, NIPS 1999.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from estimation.errors import EstimationError
from estimation.ideal.protocol import Forward, Patch
from estimation.ideal.surrogates import LinearGaussian
from estimation.noise import SimulatedNoise

_AT_ONCE = 256  # objects: a memory-mapped array stays on the disk


class LinearStrata(eqx.Module):
    """A `LinearGaussian` for each class of objects of like contrast.

    Attributes
    ----------
    shares
        Of the objects in every class.
    strata
        Mean and factor of every class, stacked along a first axis.
    """

    shares: Float[np.ndarray, " strata"]
    strata: LinearGaussian

    @classmethod
    def of(cls, objects: Any, *, strata: int = 8, rank: int) -> LinearStrata:
        """Sort objects into classes of equal size and measure the moments of each.

        Parameters
        ----------
        objects
            (objects, ..., rows, columns); read in pieces, may stay on the disk.
        strata
            Classes. On photographs, mosaics rank alike from 4 to 16.
        rank
            Largest directions kept of each class; a step costs as much as `strata * rank` images.
            Fewer than all give less than the bound: on photographs of 768 values, 200 of them give
            a seventh less, and mosaics with much white a little less than others.

        Raises
        ------
        EstimationError
            If a class has fewer objects than `rank`, so that its directions would be noise.
        """
        classes = contrast_classes(objects, strata)
        fewest = int(np.bincount(classes, minlength=strata).min())
        if fewest <= rank:
            raise EstimationError(
                f"{len(objects)} objects in {strata} classes of contrast leave {fewest} in one; "
                f"more than the rank {rank} are due: give more objects, or fewer classes"
            )
        each = [LinearGaussian.of(objects[classes == k], rank=rank) for k in range(strata)]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
        return cls(shares=np.bincount(classes) / len(classes), strata=stacked)

    @property
    def name(self) -> str:
        """The word under which designs report it."""
        return "linear strata"

    def entropy_nats(
        self, forward: Forward, objects: Any, noise: SimulatedNoise, *, patch: Patch, key: Any
    ) -> Any:
        """Return the bound, less what `rank` left out, nats per value.

        `objects` are not used: each class knows its mean.
        """
        del objects

        def of_one(stratum: LinearGaussian) -> Any:
            # Noise variance is affine in the light, so its mean is that at the mean object.
            middle = jnp.asarray(stratum.mean)[None]
            return stratum.entropy_nats(forward, middle, noise, patch=patch, key=key)

        nats = jax.lax.map(of_one, self.strata)
        frame = jax.eval_shape(forward, jnp.asarray(self.strata.mean[:1])).shape
        values = frame[1] * min(patch[0], frame[2]) * min(patch[1], frame[3])
        which = -jnp.sum(self.shares * jnp.log(self.shares)) / values
        return jnp.sum(self.shares * nats) + which


def contrast_classes(objects: Any, strata: int) -> Int[np.ndarray, " objects"]:
    """Return the class of every object by the power of its differences between neighbours.

    Differences, not values: brightness alone makes few bits, texture most of them.
    """
    power = np.empty(len(objects))
    for first in range(0, len(objects), _AT_ONCE):
        piece = np.asarray(objects[first : first + _AT_ONCE], np.float64)
        rest = tuple(range(1, piece.ndim))
        down, along = np.diff(piece, axis=-2), np.diff(piece, axis=-1)
        power[first : first + _AT_ONCE] = (down**2).mean(axis=rest) + (along**2).mean(axis=rest)
    order = np.argsort(np.argsort(power, kind="stable"), kind="stable")
    return order * strata // len(objects)
