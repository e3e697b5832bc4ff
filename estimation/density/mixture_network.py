"""The network of the autoregressive density, and its training: the only module here that knows JAX.

Every pixel, given a window of earlier ones, is a mixture of normals in stabilised units (see
`stabilise`), centred and scaled by the linear predictor. Of an integer count the mixture gives the
exact probability of its bin; nothing is floored. One compiled loop gathers windows and takes
AdamW steps, so that Python is left once for a hundred steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import log_ndtr, logsumexp

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
NARROW = 0.1
"""Bins narrower than this, in sigmas, are integrated by their first terms."""

QUIET = 0.1
"""Size of the inputs relative to the linear guess.

Photographs need them, but the guess says nothing about sparse beads and its noise is in all of
them. Small inputs learn slowly, which serves both. Bits/pixel at sizes 1, .3, .1 and 0: photographs
after 800 steps .432, .437, .442, .452; frames of sparse beads after 2000 .272, .257, .250, .248.
"""

BETAS = (0.9, 0.99)
WEIGHT_DECAY = 1e-3
WARM_UP = 50
LOWEST_LOG_SIGMA, HIGHEST_LOG_SIGMA = -4.0, 30.0
"""Of a component, in stabilised units; beyond, float32 has no width left, and its slope is NaN."""

FARTHEST = 1e4
"""Sigmas from a component's mean beyond which it is far enough: the rest of the tail is as flat."""


Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the compiled functions depend on."""

    shape: tuple[int, int, int]
    features: int
    components: int
    hidden: int
    layers: int
    is_counts: bool
    is_wide: bool
    batch: int
    steps_at_once: int


class Pixels(NamedTuple):
    """Patches in stabilised units, each flattened in the order shot, row, column."""

    middle: Any
    half_width: Any
    end: Any
    """-1 lowest count, +1 clipped count, 0 all others."""
    guess: Any


class Statics(NamedTuple):
    """What all pixels of a fit share."""

    table: Any
    """Numbers of the neighbours of every value, -1 outside."""
    place: Any
    log_sigma: Any
    centre: Any
    spread: Any
    log_zero: Any
    light_centre: Any
    light_spread: Any


def log_mass(middle: Any, half_width: Any, end: Any, mean: Any, log_sigma: Any) -> Any:
    """Return ln of the normal probability of a bin, right in the far tails and for any width."""
    inverse = jnp.exp(-log_sigma)
    offset = jnp.clip((middle - mean) * inverse, -FARTHEST, FARTHEST)
    z = jnp.abs(offset)
    width = 2.0 * half_width * inverse
    is_narrow = width < NARROW
    slim = jnp.where(is_narrow, width, NARROW)
    tilt = 0.5 * z * slim
    # ln(sinh(x)/x): the slope of the density across the bin; the last term is its curvature
    sinhc = jnp.where(tilt < 0.1, tilt**2 / 6, _log_sinhc(jnp.maximum(tilt, 0.1)))
    narrow = -0.5 * z**2 - LOG_ROOT_2PI + jnp.log(slim) + sinhc - slim**2 / 24
    wide_width = jnp.where(is_narrow, 1.0, width)
    # an end bin has only one side: the other one is open
    side = half_width * inverse - end * offset
    near = log_ndtr(jnp.where(end == 0.0, 0.5 * wide_width - z, side))
    far = log_ndtr(-0.5 * wide_width - z)
    is_inside = end == 0.0
    ratio = jnp.exp(jnp.where(is_inside, far - near, -jnp.inf))
    return jnp.where(is_narrow & is_inside, narrow, near + jnp.log1p(-ratio))


def _log_sinhc(x: Any) -> Any:
    return x + jnp.log1p(-jnp.exp(-2.0 * x)) - jnp.log(2.0 * x)


def log_density(value: Any, mean: Any, log_sigma: Any) -> Any:
    """Return the normal log density."""
    z = jnp.clip((value - mean) * jnp.exp(-log_sigma), -FARTHEST, FARTHEST)
    return -0.5 * jnp.square(z) - log_sigma - LOG_ROOT_2PI


def initial_parameters(
    key: Any, design: Architecture, start: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Parameters:
    """Return weights whose output is the given mixture of residuals, whatever the window shows."""
    keys = jax.random.split(key, design.layers)
    sizes = [design.features] + [design.hidden] * design.layers
    layers = [
        (
            jax.random.normal(k, (a, b), jnp.float32) * jnp.float32(math.sqrt(1.0 / a)),
            jnp.zeros((b,), jnp.float32),
        )
        for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    logit, mean, log_sigma = (jnp.asarray(s, jnp.float32) for s in start)
    last = jnp.zeros((design.hidden, 3 * design.components), jnp.float32)
    return {"layers": layers, "last": last, "bias": jnp.concatenate([logit, mean, log_sigma])}


def feature_count(neighbours: int, places: int, *, is_wide: bool) -> int:
    """Return the number of inputs of the network."""
    return (2 + 2 * is_wide) * neighbours + places + 2


def negative_log_likelihood(
    parameters: Parameters,
    design: Architecture,
    statics: Statics,
    pixels: Pixels,
    patch: Any,
    position: Any,
) -> Any:
    """Return nats of the pixels at `position` of `patch`, in stabilised units."""
    guess = pixels.guess[patch, position]
    log_sigma = statics.log_sigma[position]
    features = _features(design, statics, pixels, patch, position, guess, log_sigma)
    hidden = features
    for i, (weight, bias) in enumerate(parameters["layers"]):
        step = jax.nn.gelu(hidden @ weight + bias[None])
        hidden = step if i == 0 else hidden + step
    out = hidden @ parameters["last"] + parameters["bias"][None]
    logit, mean, log_width = jnp.split(out, 3, axis=1)
    sigma = jnp.exp(log_sigma)[:, None]
    mean = guess[:, None] + sigma * mean
    log_width = log_sigma[:, None] + log_width
    log_width = LOWEST_LOG_SIGMA + jax.nn.softplus(log_width - LOWEST_LOG_SIGMA)
    log_width = jnp.minimum(log_width, HIGHEST_LOG_SIGMA)
    middle = pixels.middle[patch, position][:, None]
    if design.is_counts:
        half = pixels.half_width[patch, position][:, None]
        end = pixels.end[patch, position].astype(jnp.float32)[:, None]
        log_component = log_mass(middle, half, end, mean, log_width)
    else:
        log_component = log_density(middle, mean, log_width)
    return logsumexp(logit, axis=1) - logsumexp(logit + log_component, axis=1)


def _features(
    design: Architecture,
    statics: Statics,
    pixels: Pixels,
    patch: Any,
    position: Any,
    guess: Any,
    log_sigma: Any,
) -> Any:
    index = statics.table[position]
    inside = index >= 0
    seen = pixels.middle[patch[:, None], jnp.maximum(index, 0)]
    inside = inside.astype(jnp.float32)
    sigma = jnp.exp(log_sigma)
    from_guess = QUIET * jnp.arcsinh((seen - guess[:, None]) / sigma[:, None]) * inside
    from_mean = (seen - statics.centre) / statics.spread * inside
    columns = [from_guess, from_mean]
    if design.is_wide:
        columns.append(_log_coordinate(seen, statics) * inside)
        # overlapping objects add up in light, and light is the square of the stabilised value
        columns.append((jnp.square(seen) - statics.light_centre) / statics.light_spread * inside)
    columns += [
        statics.place[position],
        ((guess - statics.centre) / statics.spread)[:, None],
        log_sigma[:, None],
    ]
    return jnp.concatenate(columns, axis=1)


def _log_coordinate(seen: Any, statics: Statics) -> Any:
    """Logarithm of the distance from the darkest level, in noise units: spreads out the dim end."""
    return 0.5 * jnp.log1p(jnp.maximum(seen - statics.log_zero, 0.0)) - 1.0


class Schedule(NamedTuple):
    """AdamW's rate: linear warm-up, then a cosine to zero."""

    peak: Any
    steps: Any


def _optimizer() -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(b1=BETAS[0], b2=BETAS[1]),
        optax.add_decayed_weights(WEIGHT_DECAY),
    )


def initial_moments(parameters: Parameters) -> Any:
    """Return the optimizer's state before the first step."""
    return _optimizer().init(parameters)


@partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def train_steps(
    design: Architecture,
    parameters: Parameters,
    moments: Any,
    first_step: Any,
    schedule: Schedule,
    key: Any,
    statics: Statics,
    pixels: Pixels,
    patches: Any,
    n_patches: Any,
) -> tuple[Parameters, Any, Any]:
    """Take `design.steps_at_once` steps on the first `n_patches` of `patches`; return losses."""
    values = math.prod(design.shape)
    optimizer = _optimizer()

    def loss(p: Parameters, step_key: Any) -> Any:
        patch_key, position_key = jax.random.split(step_key)
        chosen = jax.random.randint(patch_key, (design.batch,), 0, n_patches)
        position = jax.random.randint(position_key, (design.batch,), 0, values)
        nats = negative_log_likelihood(p, design, statics, pixels, patches[chosen], position)
        return nats.mean()

    def step(carry: tuple[Parameters, Any], number: Any) -> tuple[tuple[Parameters, Any], Any]:
        p, state = carry
        value, gradient = jax.value_and_grad(loss)(p, jax.random.fold_in(key, number))
        update, state = optimizer.update(gradient, state, p)
        progress = number.astype(jnp.float32)
        cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(progress / schedule.steps, 1.0)))
        rate = schedule.peak * cosine * jnp.minimum(1.0, (progress + 1) / WARM_UP)
        p = jax.tree.map(lambda x, u: x - rate * u, p, update)
        return (p, state), value

    numbers = first_step + jnp.arange(design.steps_at_once)
    (parameters, moments), losses = jax.lax.scan(step, (parameters, moments), numbers)
    return parameters, moments, losses


@partial(jax.jit, static_argnums=0)
def score_pixels(
    design: Architecture,
    parameters: Parameters,
    statics: Statics,
    pixels: Pixels,
    patch: Any,
    position: Any,
) -> Any:
    """Compiled `negative_log_likelihood`."""
    return negative_log_likelihood(parameters, design, statics, pixels, patch, position)
