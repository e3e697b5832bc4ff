"""Decoders that judge designs: linear minimum mean square, and a small network. Not in the product.

The linear one: S. M. Kay, Estimation Theory (1993), section 12.5, on sample moments with a ridge
chosen on validation objects. The network adds to it, on fresh noise every step, and is trained
alike for every design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import log_softmax, logsumexp

from estimation.decoder import LowerBound, decoder_lower_bound

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
    optimizer = _optimizer(settings["rate"], settings["steps"])
    state = optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    def inputs_of(y: np.ndarray) -> jax.Array:
        return jnp.asarray((y - mean) / spread, jnp.float32)

    for _ in range(settings["steps"]):
        chosen = rng.choice(objects, size=settings["batch"])
        y = draw(chosen, rng)
        wanted = loss_target[chosen]
        if base is not None:
            wanted = (wanted - base(y)) / scale
        wanted = jnp.asarray(wanted, jnp.int32 if is_classifier else jnp.float32)
        network, state = _step(optimizer, network, state, inputs_of(y), wanted)

    def decode(y: np.ndarray) -> np.ndarray:
        given = np.asarray(jax.vmap(network)(inputs_of(y)), np.float64)
        return given if base is None else base(y) + scale * given

    return decode


@cache
def _optimizer(rate: float, steps: int) -> optax.GradientTransformation:
    """One object for equal settings, so that steps of many networks share a compilation."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def _loss(network: Any, inputs: Any, wanted: Any) -> Any:
    given = jax.vmap(network)(inputs)
    if jnp.issubdtype(wanted.dtype, jnp.integer):
        return optax.softmax_cross_entropy_with_integer_labels(given, wanted).mean()
    return jnp.mean((given - wanted) ** 2)


@eqx.filter_jit
def _step(optimizer: Any, network: Any, state: Any, inputs: Any, wanted: Any) -> tuple[Any, Any]:
    slopes = eqx.filter_grad(_loss)(network, inputs, wanted)
    updates, state = optimizer.update(slopes, state)
    return eqx.apply_updates(network, updates), state


def class_bits(logits: np.ndarray, classes: np.ndarray, *, entropy_bits: float) -> LowerBound:
    """Return what a classifier proves: entropy of the class less its cross entropy.

    The class is a function of the object, so this bounds I(object; measurement) as well.
    """
    log_share = log_softmax(logits, axis=1)[np.arange(len(classes)), classes]
    return decoder_lower_bound(log_share, object_entropy=entropy_bits)


def identification_bits(estimates: np.ndarray, targets: np.ndarray) -> LowerBound:
    """Return what a decoder proves by telling objects apart, at most log2 of their number.

        I >= E log2 ( q_ii / mean_j q_ij ),    ln q_ij = -k/2 ln |r_ij|^2

    A. van den Oord, Y. Li and O. Vinyals, arXiv 1807.03748 (2018); B. Poole et al., ICML 2019. It
    holds for any q and needs no entropy of the objects, which nobody knows for photographs; it
    needs objects drawn independently, alike, and not used for the decoder. `q` is normal about the
    estimate with a variance that differs from object to object and is integrated out; k, about the
    number of independent errors, is what does best on the other half of the objects.
    """
    nats = np.empty(len(targets))
    for half in (0, 1):
        own, other = slice(half, None, 2), slice(1 - half, None, 2)
        most = _independent_errors(estimates[other] - targets[other])
        trial = (_told_apart(estimates[other], targets[other], most * s) for s in SHARES)
        best = int(np.argmax([gain.mean() for gain in trial]))
        nats[own] = _told_apart(estimates[own], targets[own], most * SHARES[best])
    return decoder_lower_bound(nats, log_prior=0.0)


SHARES = (1.0, 0.3, 0.1, 0.03, 0.01)


def _told_apart(estimates: np.ndarray, targets: np.ndarray, errors: float) -> np.ndarray:
    """Return ln(q_ii / mean_j q_ij) of every object, nats."""
    squared = (
        (estimates**2).sum(axis=1)[:, None]
        + (targets**2).sum(axis=1)[None]
        - 2 * estimates @ targets.T
    )
    log_q = -0.5 * errors * np.log(np.maximum(squared, 1e-3 * np.median(np.diag(squared)) + 1e-300))
    return np.diag(log_q) - logsumexp(log_q, axis=1) + np.log(len(targets))


def _independent_errors(errors: np.ndarray) -> float:
    """Return the number of errors that are independent, by their covariance's eigenvalues."""
    covariance = np.atleast_2d(np.cov(errors, rowvar=False))
    return float(np.trace(covariance) ** 2 / np.sum(covariance**2))
