"""NumPy or JAX, by what came: float64 NumPy for measured counts, JAX where a gradient is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtr

from estimation.errors import NotFinite


def as_floating(array: Any) -> tuple[Any, Any]:
    """Return (`jax.numpy`, the array) for a JAX array or tracer, else (`numpy`, float64 array).

    Never imports JAX by itself: whoever holds a JAX array has done so already.
    """
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(array, jax.Array):
        is_real_or_complex = jax.numpy.issubdtype(array.dtype, jax.numpy.inexact)
        return jax.numpy, array if is_real_or_complex else array.astype(jax.numpy.float32)
    values = np.asarray(array)
    return np, values if values.dtype.kind == "c" else values.astype(np.float64)


def as_means(mean_electrons: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Return `as_floating` of mean electrons, 0 or more, and the normal distribution's function.

    Raises
    ------
    NotFinite
        For NaN, infinity or a negative mean in NumPy; under JAX, which cannot raise, a negative
        mean counts as zero.
    """
    array_module, means = as_floating(mean_electrons)
    if array_module is np:
        if not np.all(np.isfinite(means) & (means >= 0)):
            raise NotFinite("mean electrons hold NaN, infinity or a negative number; 0 or more due")
        return array_module, means, ndtr
    from jax.scipy.special import ndtr as ndtr_of_jax

    # `where`, not `maximum`: the latter halves the gradient at zero.
    return array_module, array_module.where(means < 0, 0, means), ndtr_of_jax
