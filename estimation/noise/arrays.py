"""NumPy or JAX, by what came: float64 NumPy for measured counts, JAX where a gradient is taken."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def as_floating(array: Any) -> tuple[Any, Any]:
    """Return (`jax.numpy`, the array) for a JAX array or tracer, else (`numpy`, float64 array).

    Never imports JAX by itself: whoever holds a JAX array has done so already.
    """
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(array, jax.Array):
        return jax.numpy, array
    values = np.asarray(array)
    return np, values if values.dtype.kind == "c" else values.astype(np.float64)
