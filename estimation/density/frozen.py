"""A fitted autoregressive density as a differentiable function of values, for designs by gradient.

Its parameters are constants here and gradients go through the values alone. Where the density is
the law of the values, that is the slope of the entropy itself: what the density's own change would
add is `E[d ln q] = 0`, as `q` integrates to one. Away from there it is the slope of a bound.
"""

from __future__ import annotations

from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.linalg import solve_triangular

from estimation.density import mixture_network as network
from estimation.density.autoregressive import FittedAutoregressive
from estimation.density.linear_predictor import CholeskyPredictor, WindowedPredictor
from estimation.density.stabilise import stabilised
from estimation.errors import EstimationError


class FrozenDensity(eqx.Module):
    """The fit of one design, ready for values of another; fits of equal sizes share a compilation.

    Build it by `of`.
    """

    parameters: Any
    statics: network.Statics
    guesser: _Guesser
    intercept: Float[Array, ""]
    slope: Float[Array, ""]
    origin: Float[Array, ""]
    design: network.Architecture = eqx.field(static=True)
    has_shot_noise: bool = eqx.field(static=True)

    @classmethod
    def of(cls, fitted: FittedAutoregressive) -> FrozenDensity:
        """Take over a fit.

        Raises
        ------
        EstimationError
            If its linear predictor is of a kind unknown here.
        """
        stabiliser = fitted.stabiliser
        return cls(
            parameters=jax.tree.map(jnp.asarray, fitted.parameters),
            statics=network.Statics(*(jnp.asarray(each) for each in fitted.statics)),
            guesser=_guesser(fitted.predictor),
            intercept=jnp.asarray(stabiliser.intercept),
            slope=jnp.asarray(stabiliser.slope),
            origin=jnp.asarray(stabiliser.origin),
            design=fitted.design,
            has_shot_noise=stabiliser.slope != 0.0,
        )

    @property
    def positions(self) -> int:
        """Patches in a frame that the fit saw."""
        return self.guesser.mean.shape[0]

    def nats(
        self,
        values: Float[Array, "patches patch_values"],
        *,
        offset: Float[Array, "#patches patch_values"],
        scale: Float[Array, "#patches patch_values"],
        ceiling: Float[Array, "#patches patch_values"] | None,
        patch: Int[Array, " chosen"],
        position: Int[Array, " chosen"],
    ) -> Float[Array, " chosen"]:
        """Return nats of chosen values given the earlier ones of their patches.

        Parameters
        ----------
        values
            In the units of the sensor. Of a sensor that counts they need not be whole: each stands
            for a bin one count wide around it, and the nats are of that bin. Else they are of the
            density of the value.
        offset, scale
            The fixed pattern of the patches.
        ceiling
            Counts at which pixels clip; `None` where nothing clips. Values beyond it, or below
            zero counts, stand for the end bins and have no slope.
        patch, position
            Numbers of the patch and of the value in it.
        """
        if self.design.is_counts:
            counts = jnp.clip(values, 0.0, ceiling)
            low = self._stabilised((counts - 0.5 - offset) / scale)
            high = self._stabilised((counts + 0.5 - offset) / scale)
            is_highest = jnp.zeros(values.shape, bool) if ceiling is None else counts >= ceiling
            end = is_highest.astype(jnp.int8) - (counts <= 0.0).astype(jnp.int8)
            middle, half_width = 0.5 * (low + high), 0.5 * (high - low)
            to_values = 0.0
        else:
            middle = self._stabilised((values - offset) / scale)
            half_width, end = jnp.zeros_like(middle), jnp.zeros(middle.shape, jnp.int8)
            # of the density of t: per unit of the values themselves
            to_values = 0.5 * jnp.log(self.intercept) + jnp.log(
                jnp.broadcast_to(scale, middle.shape)[patch, position]
            )
        pixels = network.Pixels(
            middle.astype(jnp.float32),
            half_width.astype(jnp.float32),
            end,
            self.guesser(middle).astype(jnp.float32),
        )
        return to_values + network.negative_log_likelihood(
            self.parameters, self.design, self.statics, pixels, patch, position
        )

    def _stabilised(self, values: Array) -> Array:
        if self.has_shot_noise:
            return stabilised(values, self.intercept, self.slope, array_module=jnp)
        return (values - self.origin) / jnp.sqrt(self.intercept)


class _Guesser(Protocol):
    """The linear predictor in JAX: the mean of each value given the earlier ones."""

    mean: Float[Array, "positions patch_values"]

    def __call__(
        self, middle: Float[Array, "patches patch_values"]
    ) -> Float[Array, "patches patch_values"]: ...


class _CholeskyGuesser(eqx.Module):
    """`y - L_ii e_i` with `e = L^-1 (y - mean)`; the inverse is made once a fit."""

    mean: Float[Array, "positions patch_values"]
    whitener: Float[Array, "patch_values patch_values"]
    sigma: Float[Array, " patch_values"]

    @classmethod
    def of(cls, predictor: CholeskyPredictor) -> _CholeskyGuesser:
        factor = predictor.factor
        inverse = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
        return cls(jnp.asarray(predictor.mean), jnp.asarray(inverse), jnp.asarray(np.diag(factor)))

    def __call__(
        self, middle: Float[Array, "patches patch_values"]
    ) -> Float[Array, "patches patch_values"]:
        return middle - self.sigma * (_centred(middle, self.mean) @ self.whitener.T)


class _WindowedGuesser(eqx.Module):
    """A weighted sum of the neighbours in a table, as `WindowedPredictor`."""

    mean: Float[Array, "positions patch_values"]
    weights: Float[Array, "patch_values neighbours"]
    table: Int[Array, "patch_values neighbours"]

    @classmethod
    def of(cls, predictor: WindowedPredictor) -> _WindowedGuesser:
        around = predictor.around
        weights = np.where(around.table >= 0, predictor.weights[around.class_of], 0.0)
        return cls(
            jnp.asarray(predictor.mean),
            jnp.asarray(weights),
            jnp.asarray(np.maximum(around.table, 0)),
        )

    def __call__(
        self, middle: Float[Array, "patches patch_values"]
    ) -> Float[Array, "patches patch_values"]:
        centred = _centred(middle, self.mean)

        def add(guess: Array, neighbour: tuple[Array, Array]) -> tuple[Array, None]:
            weight, source = neighbour
            return guess + weight * centred[:, source], None

        start = middle - centred  # the mean
        return jax.lax.scan(add, start, (self.weights.T, self.table.T))[0]


def _guesser(predictor: object) -> _Guesser:
    match predictor:
        case CholeskyPredictor():
            return _CholeskyGuesser.of(predictor)
        case WindowedPredictor():
            return _WindowedGuesser.of(predictor)
        case _:
            raise EstimationError(f"a linear predictor of type {type(predictor)} is not known here")


def _centred(middle: Array, mean: Float[Array, "positions patch_values"]) -> Array:
    """Patches come position after position, object after object."""
    positions, values = mean.shape
    return (middle.reshape(-1, positions, values) - mean).reshape(-1, values)
