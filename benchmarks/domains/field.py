"""A decoder of beads anywhere in the field: which pixels are lit, each with a probability.

An unrolled deconvolution (K. Gregor and Y. LeCun, ICML 2010, in kind): a stage predicts the
measurement from the probabilities so far, and gives to a small convolutional network what is left
over, seen from each pixel of the field: with residual r of variance v and spot a_j of pixel j,

    score_j = sum_p a_jp r_p / v_p / sqrt(f_j),    f_j = sum_p a_jp^2 / v_p

The network sees the linear estimate of the field beside it (`fit_lmmse`), and moves the log odds.
Pixels from which no light can reach the sensor keep the prior's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import logit

from benchmarks.domains.decoders import Linear

CHUNK = 50


class Stages(eqx.Module):
    """The networks of all stages, and the optics they share."""

    first: list[eqx.nn.Conv2d]
    second: list[eqx.nn.Conv2d]
    last: list[eqx.nn.Conv2d]

    def __init__(self, stages: int, hidden: int, window: int, *, key: Any):
        keys = jax.random.split(key, 3 * stages)
        half = window // 2
        self.first = [
            eqx.nn.Conv2d(4, hidden, window, padding=half, padding_mode="CIRCULAR", key=k)
            for k in keys[:stages]
        ]
        self.second = [eqx.nn.Conv2d(hidden, hidden, 1, key=k) for k in keys[stages : 2 * stages]]
        self.last = [eqx.nn.Conv2d(hidden, 1, 1, key=k) for k in keys[2 * stages :]]


@dataclass(frozen=True)
class FieldDecoder:
    """Log probabilities of fields of lit and dark pixels."""

    odds: Callable[[np.ndarray], np.ndarray]

    def log_probability(self, electrons: np.ndarray, is_lit: np.ndarray) -> np.ndarray:
        """Return ln q(field | measurement) of every object, nats, pixels as if independent."""
        nats = np.empty(len(is_lit))
        for start in range(0, len(is_lit), CHUNK):
            piece = slice(start, start + CHUNK)
            odds = self.odds(electrons[piece])
            sign = np.where(is_lit[piece], -1.0, 1.0)
            nats[piece] = -np.logaddexp(0.0, sign * odds).sum(axis=(1, 2))
        return nats


def train_field_decoder(
    draw: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    is_lit: np.ndarray,
    *,
    objects: np.ndarray,
    linear: Linear,
    psf: np.ndarray,
    bead_e: float,
    background_e: float,
    read_noise_e: float,
    in_view: np.ndarray,
    fill: float,
    settings: dict[str, Any],
    seed: int,
) -> FieldDecoder:
    """Train on fields (objects, side, side) of booleans and fresh noise.

    `draw` gives measured electrons (objects, sensor, sensor); `linear` goes from these, flattened,
    to the flattened field; `psf` (side, side) is the design's, centred, of sum 1; `in_view`
    (side, side) is the share of each pixel's entropy that the sensor can see at most.
    """
    rng = np.random.default_rng(seed)
    side = psf.shape[0]
    sensor = draw(objects[:1], rng).shape[-1]
    inside = slice((side - sensor) // 2, (side - sensor) // 2 + sensor)
    light = bead_e * np.fft.ifftshift(psf)
    wave, square_wave = np.fft.rfft2(light), np.fft.rfft2(light**2)
    wave, square_wave = (jnp.asarray(w, jnp.complex64) for w in (wave, square_wave))
    gate = jnp.asarray(in_view, jnp.float32)[None]
    prior = float(logit(fill))
    matrix = jnp.asarray(linear.matrix, jnp.float32)
    mean_y, mean_field = (jnp.asarray(m, jnp.float32) for m in (linear.mean_y, linear.mean_target))

    def through(field, transfer):
        return jnp.fft.irfft2(jnp.fft.rfft2(field) * transfer, s=(side, side))

    def back(values, transfer):
        field = jnp.zeros((len(values), side, side)).at[:, inside, inside].set(values)
        return through(field, jnp.conj(transfer))

    def all_odds(network, electrons):
        variance = jnp.maximum(electrons, background_e) + read_noise_e**2
        fisher = jnp.maximum(back(1.0 / variance, square_wave), 1e-6)
        odds = jnp.full((len(electrons), side, side), prior)
        flat = electrons.reshape(len(electrons), -1)
        estimate = mean_field[None] + (flat - mean_y[None]) @ matrix
        estimate = jnp.arcsinh(estimate.reshape(odds.shape) / np.sqrt(fill))
        stages = []
        for first, second, last in zip(network.first, network.second, network.last, strict=True):
            seen = through(jax.nn.sigmoid(odds), wave)[:, inside, inside] + background_e
            score = back((electrons - seen) / variance, wave) / jnp.sqrt(fisher)
            views = [jnp.arcsinh(score), 0.3 * odds, 0.3 * jnp.log(fisher), estimate]
            hidden = jax.nn.gelu(jax.vmap(first)(jnp.stack(views, axis=1)))
            hidden = hidden + jax.nn.gelu(jax.vmap(second)(hidden))
            odds = odds + gate * jax.vmap(last)(hidden)[:, 0]
            stages.append(odds)
        return stages

    def loss(network, electrons, lit):
        losses = [
            jnp.mean(jnp.logaddexp(0.0, jnp.where(lit, -odds, odds)))
            for odds in all_odds(network, electrons)
        ]
        return jnp.sum(jnp.stack(losses))

    network = Stages(
        settings["stages"], settings["hidden"], settings["window"], key=jax.random.key(seed)
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(settings["rate"], settings["steps"])),
    )
    state = optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(network, state, electrons, lit):
        slopes = eqx.filter_grad(loss)(network, electrons, lit)
        updates, state = optimizer.update(slopes, state)
        return eqx.apply_updates(network, updates), state

    for _ in range(settings["steps"]):
        chosen = rng.choice(objects, size=settings["batch"])
        electrons = jnp.asarray(draw(chosen, rng), jnp.float32)
        network, state = step(network, state, electrons, jnp.asarray(is_lit[chosen]))
    final = eqx.filter_jit(lambda electrons: all_odds(network, electrons)[-1])
    return FieldDecoder(
        lambda electrons: np.asarray(final(jnp.asarray(electrons, jnp.float32)), np.float64)
    )
