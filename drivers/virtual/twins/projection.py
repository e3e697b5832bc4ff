"""Projections onto what can be built: the nearest point, in least squares, of a convex set."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

_BISECTIONS = 60


def onto_simplex(
    values: Float[Array, "*batch entries"], *, total: float = 1.0
) -> Float[Array, "*batch entries"]:
    """Return the nearest non-negative entries that sum to `total`, along the last axis.

    J. Duchi et al., "Efficient projections onto the l1-ball", ICML 2008, figure 1.
    """
    falling = -jnp.sort(-values, axis=-1)
    count = jnp.arange(1, values.shape[-1] + 1)
    excess = (jnp.cumsum(falling, axis=-1) - total) / count
    kept = jnp.sum(falling > excess, axis=-1, keepdims=True)
    threshold = jnp.take_along_axis(excess, kept - 1, axis=-1)
    return jnp.maximum(values - threshold, 0.0)


def onto_capped_simplex(
    values: Float[Array, "*batch entries"], *, total: float
) -> Float[Array, "*batch entries"]:
    """Return the nearest entries in [0, 1] that sum to `total`, along the last axis.

    W. Wang and C. Lu, "Projection onto the capped simplex", arXiv 1503.01002; by bisection.
    """
    low = jnp.min(values, axis=-1, keepdims=True) - 1.0
    high = jnp.max(values, axis=-1, keepdims=True)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        is_low = jnp.clip(values - middle, 0.0, 1.0).sum(axis=-1, keepdims=True) > total
        low, high = jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)
    return jnp.clip(values - 0.5 * (low + high), 0.0, 1.0)
