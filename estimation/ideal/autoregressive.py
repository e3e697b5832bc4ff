"""The autoregressive stand-in for H(Y): fitted to the present design, frozen between two fits.

A Gaussian surrogate takes sparse or coloured scenes for richer than they are, and most so for the
sharpest design. This one is the density that scores designs at the end. Every so many steps it
goes on from its last fit on fresh noise of the present design (IDEAL-IO, arXiv 2507.07789,
alternates in the same way); in between, the slope of `E[-ln q(Y)]` is carried to the design by

    Y = mean + standard deviation * standard normal,

the noise's two moments at the twin's mean, with fresh normals every step. At a few photons a pixel
those are not quite the noise that will be scored; the score at the end is, as it draws counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from estimation.density.autoregressive import AutoregressiveMixture, FittedAutoregressive
from estimation.density.frozen import FrozenDensity
from estimation.ensemble import clip_level, prepare
from estimation.errors import EstimationError
from estimation.ideal.protocol import Forward, Patch
from estimation.ideal.surrogates import cut
from estimation.noise import SimulatedNoise


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoregressiveSurrogate:
    """How the density is fitted and used.

    Parameters
    ----------
    family
        The density, with the steps of the first fit and of those that go on from it.
    every
        Steps of the ascent between two fits.
    check_every
        Steps between two validations, each with a fit from the start.
    objects
        That one fit sees, at most; drawn afresh for each.
    values
        Of the measurements whose density is taken in one step.
    """

    family: AutoregressiveMixture = field(
        default_factory=lambda: AutoregressiveMixture(steps=500, warm_steps=100, hidden=64)
    )
    every: int = 20
    check_every: int = 100
    objects: int = 2000
    values: int = 2**13

    def __post_init__(self) -> None:
        for name in ("every", "check_every", "objects", "values"):
            if getattr(self, name) < 1:
                raise EstimationError(
                    f"surrogate 'autoregressive': {name}={getattr(self, name)!r} came; 1 or more "
                    "is due"
                )

    @property
    def name(self) -> str:
        """The word under which designs report it."""
        return "autoregressive"

    def fitted(
        self,
        electrons: Float[np.ndarray, "objects shots height width"],
        noise: SimulatedNoise,
        *,
        patch: Patch,
        seed: list[int],
        last: AutoregressiveFit | None = None,
    ) -> AutoregressiveFit:
        """Fit to noisy measurements of one design, from an earlier fit where there is one.

        Parameters
        ----------
        electrons
            What the twin expects under the design.
        noise
            Drawn here, with `seed`.
        patch
            Height and width.
        seed
            Of noise, dequantisation and batches.
        last
            Of another design; its sizes and windows are kept.

        Raises
        ------
        TooFewObjects
            For fewer objects than the density needs.
        """
        rng = np.random.default_rng([*seed, 1])
        measurements = noise.sample(electrons, rng)
        # The network is made of float32, whatever the ascent around it uses.
        with jax.enable_x64(False):
            ensemble = prepare(measurements, noise, patch=patch, seed=int(rng.integers(2**31)))
            family = replace(
                self.family,
                seed=int(rng.integers(2**31)),
                start=None if last is None else last.fit,
            )
            fit = family.fit(ensemble)
        pattern = noise.fixed_pattern(*measurements.shape[-2:])
        frame = np.ones(measurements.shape[1:])
        ceiling = clip_level(noise)
        return AutoregressiveFit(
            surrogate=FrozenSurrogate(
                density=FrozenDensity.of(fit),
                offset=jnp.asarray(pattern.offset * frame),
                scale=jnp.asarray(pattern.scale * frame),
                ceiling=None if ceiling is None else jnp.asarray(ceiling * frame),
                values=self.values,
            ),
            fit=fit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoregressiveFit:
    """The surrogate of one design, and what the next fit goes on from."""

    surrogate: FrozenSurrogate
    fit: FittedAutoregressive


class FrozenSurrogate(eqx.Module):
    """A bound on H(Y) by a density that knows one design and is asked about its neighbours."""

    density: FrozenDensity
    offset: Float[Array, "shots height width"]
    scale: Float[Array, "shots height width"]
    ceiling: Float[Array, "shots height width"] | None
    values: int = eqx.field(static=True)

    @property
    def name(self) -> str:
        """The word under which designs report it."""
        return "autoregressive"

    def entropy_nats(
        self, forward: Forward, objects: Any, noise: SimulatedNoise, *, patch: Patch, key: Any
    ) -> Any:
        """Return the bound of some values of this batch, nats per value, with noise from `key`."""
        noise_key, patch_key, position_key = jax.random.split(key, 3)
        mean, variance = noise.moments_at(forward(objects))
        normal = jax.random.normal(noise_key, mean.shape, mean.dtype)
        patches = cut(mean + jnp.sqrt(variance) * normal, patch)
        count, positions, values = patches.shape

        def rows(frame: Array) -> Array:
            return jnp.tile(cut(frame[None], patch)[0], (count, 1))

        if positions != self.density.positions:
            raise EstimationError(
                f"surrogate 'autoregressive': a frame has {positions} patches, the fit saw "
                f"{self.density.positions} of them; use noise without defective pixels, or fewer "
                "objects"
            )
        chosen = min(self.values, count * positions * values)
        return self.density.nats(
            patches.reshape(-1, values),
            offset=rows(self.offset),
            scale=rows(self.scale),
            ceiling=None if self.ceiling is None else rows(self.ceiling),
            patch=jax.random.randint(patch_key, (chosen,), 0, count * positions),
            position=jax.random.randint(position_key, (chosen,), 0, values),
        ).mean()
