"""Decoders that judge designs: linear minimum mean square, and a small network. Not in the product.

The linear one: S. M. Kay, Estimation Theory (1993), section 12.5, on sample moments with a ridge
chosen on validation objects. The network adds to it, on fresh noise every step, and is trained
alike for every design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Indices of objects and a generator to noisy measurements (objects, values)."""


@dataclass(frozen=True)
class Linear:
    """`target = mean + (y - mean of y) @ matrix`."""

    mean_y: np.ndarray
    mean_target: np.ndarray
    matrix: np.ndarray
    ridge: float

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return targets of measurements (objects, values)."""
        return self.mean_target + (y - self.mean_y) @ self.matrix


def fit_lmmse(
    y: np.ndarray,
    target: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray],
    ridges: Sequence[float],
) -> Linear:
    """Fit on (objects, values) -> (objects, pixels); ridges are shares of the mean variance."""
    mean_y, mean_target = y.mean(axis=0), target.mean(axis=0)
    centred = y - mean_y
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / len(y))
    cross = vectors.T @ (centred.T @ (target - mean_target) / len(y))
    floor = max(float(eigenvalues.mean()), 1e-300)
    candidates = [
        Linear(mean_y, mean_target, vectors @ (cross / (eigenvalues + r * floor)[:, None]), r)
        for r in ridges
    ]
    return min(candidates, key=lambda d: float(np.mean((d(validation[0]) - validation[1]) ** 2)))


def train_network(
    draw: Draw,
    loss_target: np.ndarray,
    *,
    objects: np.ndarray,
    outputs: int,
    is_classifier: bool,
    base: Linear | None,
    settings: dict[str, Any],
    seed: int,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a network from noisy measurements to targets (or class logits).

    `base` is what it adds to; targets are in its units. Classes are integers.
    """
    rng = np.random.default_rng(seed)
    sample = draw(rng.choice(objects, size=min(1024, len(objects)), replace=False), rng)
    mean, spread = sample.mean(axis=0), sample.std(axis=0) + 1e-9
    scale = 1.0 if is_classifier else float(loss_target[objects].std())
    network = eqx.nn.MLP(
        sample.shape[1],
        outputs,
        settings["hidden"],
        settings["layers"],
        activation=jax.nn.gelu,
        key=jax.random.key(seed),
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(settings["rate"], settings["steps"]))
    state = optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    def loss(network, inputs, wanted):
        given = jax.vmap(network)(inputs)
        if is_classifier:
            return optax.softmax_cross_entropy_with_integer_labels(given, wanted).mean()
        return jnp.mean((given - wanted) ** 2)

    @eqx.filter_jit
    def step(network, state, inputs, wanted):
        slopes = eqx.filter_grad(loss)(network, inputs, wanted)
        updates, state = optimizer.update(slopes, state)
        return eqx.apply_updates(network, updates), state

    def inputs_of(y: np.ndarray) -> jax.Array:
        return jnp.asarray((y - mean) / spread, jnp.float32)

    for _ in range(settings["steps"]):
        chosen = rng.choice(objects, size=settings["batch"])
        y = draw(chosen, rng)
        wanted = loss_target[chosen]
        if base is not None:
            wanted = (wanted - base(y)) / scale
        wanted = jnp.asarray(wanted, jnp.int32 if is_classifier else jnp.float32)
        network, state = step(network, state, inputs_of(y), wanted)

    def decode(y: np.ndarray) -> np.ndarray:
        given = np.asarray(jax.vmap(network)(inputs_of(y)), np.float64)
        return given if base is None else base(y) + scale * given

    return decode
