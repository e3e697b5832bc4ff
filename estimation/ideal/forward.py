"""A twin under a design, and what it expects of many objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from estimation.errors import InvalidMeasurements
from estimation.ideal.protocol import AnnealedTwin, DifferentiableTwin

_BYTES_AT_ONCE = 2**23  # of objects; a convolution holds some five times as much


def built(twin: DifferentiableTwin, values: Mapping[str, Any]) -> DifferentiableTwin:
    """Return the twin under a design as it would be built."""
    made = twin.with_values(values)
    made = made.annealed(1.0) if isinstance(made, AnnealedTwin) else made
    return made.projected()


def expected_electrons(
    twin: DifferentiableTwin, objects: np.ndarray
) -> Float64[np.ndarray, "objects shots height width"]:
    """Return what the twin expects of many objects, in pieces that fit into memory."""
    piece = max(1, _BYTES_AT_ONCE // (8 * int(np.prod(objects.shape[1:]))))
    with jax.enable_x64(True):
        parts = [
            np.asarray(_look(twin, jnp.asarray(objects[first : first + piece], jnp.float64)))
            for first in range(0, len(objects), piece)
        ]
    return np.concatenate(parts).astype(np.float64)


def check_real(twin: DifferentiableTwin, objects: np.ndarray) -> None:
    """Refuse complex numbers, of which only the real part would be followed and scored.

    Raises
    ------
    InvalidMeasurements
        The objects, or what the twin expects of them, are complex.
    """
    if np.iscomplexobj(objects):
        raise InvalidMeasurements(
            f"objects of {objects.dtype} came; a design is sought on real numbers: give the real "
            "and the imaginary part an axis, and let the twin put them together"
        )
    with jax.enable_x64(True):
        one = jax.ShapeDtypeStruct((1, *objects.shape[1:]), jnp.float64)
        expected = eqx.filter_eval_shape(twin, one)
    if jnp.issubdtype(expected.dtype, jnp.complexfloating):
        raise InvalidMeasurements(
            f"the twin expects {expected.dtype} values; a design is sought on real numbers: return "
            "the real and the imaginary part as two shots"
        )


@eqx.filter_jit
def _look(twin: Any, objects: Any) -> Any:
    """Let the twin be an argument, so that designs of one twin share a compilation."""
    return twin(objects)
