"""Training the autoregressive mixture: split by object, warm start, early stopping, convergence."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from estimation.density import mixture_network as network
from estimation.density.autoregressive import (
    CHUNK_PIXELS,
    LOG_CHANNEL_FROM,
    VALIDATION_PIXELS,
    VALIDATION_SHARE,
    AutoregressiveMixture,
    FittedAutoregressive,
    Rows,
    residual_mixture,
)
from estimation.density.geometry import Neighbourhood
from estimation.density.linear_predictor import fit_linear

if TYPE_CHECKING:
    from estimation.density.autoregressive import _Prepared

STEPS_AT_ONCE = 100

BLIND_HIDDEN, BLIND_STEPS = 16, 600
"""Width and steps where there are no earlier pixels to learn from (frames of one pixel)."""

REMAINING_OVER_LAST = 2.0
"""What training would still gain, over what the second half of the steps gained.

Of fits four times as long: photographs gained 1 x what the second half of 800 steps had gained,
beads through one lens more than 1.3 x and still falling, frames of sparse beads (earlier network,
seven times as long) 2 x.
"""

SMALL_GAIN_NATS = 2e-4
"""A smaller gain does not count against patience."""


def train(
    family: AutoregressiveMixture, prepared: _Prepared, objects: np.ndarray, *, stream: int
) -> tuple[FittedAutoregressive, np.ndarray]:
    """Fit to `objects`; return the fit and the out-of-fold guesses for them."""
    began_s = time.perf_counter()
    key = jax.random.fold_in(jax.random.key(family.seed), stream)
    own = prepared.rows.take(objects)
    earlier = _earlier_fit(family, prepared, stream)
    around = (
        earlier.around
        if earlier is not None
        else Neighbourhood.of(
            own.middle,
            prepared.shape,
            neighbours=family.neighbours,
            reach=family.reach,
            geometry=family.geometry,
        )
    )
    rounding = float(np.mean(np.square(own.half_width))) / 3.0
    predictor, guesses = fit_linear(
        own.middle,
        prepared.shape,
        around,
        rounding_variance=rounding + 1e-6,
        like=None if earlier is None else earlier.predictor,
    )
    log_sigma = predictor.log_sigma
    centre, spread = float(own.middle.mean()), float(own.middle.std()) + 1e-6
    dark = float(np.quantile(own.middle[:, :1], 0.01))
    sees = around.table.shape[1] > 0
    is_wide = prepared.is_counts and float(np.ptp(own.middle)) > LOG_CHANNEL_FROM
    light = np.square(own.middle)
    design = network.Architecture(
        shape=prepared.shape,
        features=network.feature_count(
            around.table.shape[1], around.place.shape[1], is_wide=is_wide
        ),
        components=family.components,
        hidden=family.hidden if sees else BLIND_HIDDEN,
        layers=family.layers if sees else 1,
        is_counts=prepared.is_counts,
        is_wide=is_wide,
        batch=family.batch,
        steps_at_once=STEPS_AT_ONCE,
    )
    statics = network.Statics(
        table=around.table,
        place=around.place,
        log_sigma=log_sigma.astype(np.float32),
        centre=np.float32(centre),
        spread=np.float32(spread),
        log_zero=np.float32(dark - 1.0),
        light_centre=np.float32(light.mean()),
        light_spread=np.float32(light.std() + 1e-6),
    )
    residuals = ((own.middle - guesses) * np.exp(-log_sigma)).ravel()
    warm = False
    if earlier is not None and earlier.design == design:
        warm = True
        parameters = jax.tree.map(jnp.asarray, earlier.parameters)
    else:
        rng = np.random.default_rng([family.seed, stream, 2])
        sample = rng.choice(residuals, size=min(len(residuals), 2**14), replace=False)
        parameters = network.initial_parameters(
            key, design, residual_mixture(sample, family.components)
        )

    positions, values = own.middle.shape[1:]
    n_validation = max(1, round(VALIDATION_SHARE * len(objects)))
    order = np.random.default_rng([family.seed, stream, 1]).permutation(len(objects))
    validation, training = np.sort(order[:n_validation]), np.sort(order[n_validation:])
    used = validation[: max(1, VALIDATION_PIXELS // (positions * values))]
    judge = _Scorer(design, statics, own.take(used), guesses[used])

    all_patches = math.prod(prepared.rows.middle.shape[:2])
    patches = np.zeros(all_patches, np.int32)
    chosen = (training[:, None] * positions + np.arange(positions)).ravel()
    patches[: len(chosen)] = chosen
    pixels = _padded(own, guesses, all_patches)
    steps = family.warm_steps if warm else family.steps
    steps = steps if sees else min(steps, BLIND_STEPS)
    schedule = network.Schedule(np.float32(family.rate * (0.5 if warm else 1.0)), np.float32(steps))
    moments = network.initial_moments(parameters)
    best_nats, best, since = judge(parameters), _to_host(parameters), 0
    curve = [(0, best_nats, time.perf_counter() - began_s)]
    taken = 0
    while taken < steps and since < family.patience:
        parameters, moments, _ = network.train_steps(
            design,
            parameters,
            moments,
            np.int32(taken),
            schedule,
            key,
            statics,
            pixels,
            patches,
            np.int32(len(chosen)),
        )
        taken += STEPS_AT_ONCE
        nats = judge(parameters)
        curve.append((taken, nats, time.perf_counter() - began_s))
        since = 0 if nats < best_nats - SMALL_GAIN_NATS else since + 1
        if nats < best_nats:
            best_nats, best = nats, _to_host(parameters)
    fitted = FittedAutoregressive(
        stabiliser=prepared.stabiliser,
        predictor=predictor,
        around=around,
        design=design,
        statics=statics,
        parameters=best,
        curve=tuple(curve),
        remaining_gap_nats=_remaining_gap(curve),
        steps=taken,
    )
    return fitted, guesses


def score_rows(
    fitted: FittedAutoregressive, rows: Rows, guesses: np.ndarray
) -> Float64[np.ndarray, " objects"]:
    """Return nats per value of each object."""
    return value_nats(fitted, rows, guesses).mean(axis=(1, 2))


def value_nats(
    fitted: FittedAutoregressive, rows: Rows, guesses: np.ndarray
) -> Float64[np.ndarray, "objects positions patch_values"]:
    """Return nats of each value, given the earlier ones."""
    return _Scorer(fitted.design, fitted.statics, rows, guesses).per_value(fitted.parameters)


class _Scorer:
    """Scores the same patches again and again, a chunk of one shape at a time: one compilation."""

    def __init__(
        self,
        design: network.Architecture,
        statics: network.Statics,
        rows: Rows,
        guesses: np.ndarray,
    ) -> None:
        self._design, self._statics = design, statics
        self._objects, self._positions, values = rows.middle.shape
        self._values = values
        self._chunk = max(1, CHUNK_PIXELS // values)
        self._pixels = _flat(rows, guesses)
        self._patch = np.repeat(np.arange(self._chunk, dtype=np.int32), values)
        self._position = np.tile(np.arange(values, dtype=np.int32), self._chunk)

    def per_value(self, parameters: Any) -> Float64[np.ndarray, "objects positions patch_values"]:
        patches = self._objects * self._positions
        nats = np.empty((patches, self._values))
        for start in range(0, patches, self._chunk):
            piece = network.Pixels(*(p[start : start + self._chunk] for p in self._pixels))
            short = self._chunk - len(piece.middle)
            if short:
                piece = network.Pixels(*(np.pad(p, ((0, short), (0, 0))) for p in piece))
            values = network.score_pixels(
                self._design, parameters, self._statics, piece, self._patch, self._position
            )
            each = np.asarray(values, np.float64).reshape(self._chunk, self._values)
            nats[start : start + self._chunk] = each[: self._chunk - short]
        return nats.reshape(self._objects, self._positions, self._values)

    def __call__(self, parameters: Any) -> float:
        return float(self.per_value(parameters).mean())


def _flat(rows: Rows, guesses: np.ndarray) -> network.Pixels:
    values = rows.middle.shape[-1]

    def flat(values_of: np.ndarray, dtype: Any) -> np.ndarray:
        return np.ascontiguousarray(values_of.reshape(-1, values), dtype=dtype)

    return network.Pixels(
        flat(rows.middle, np.float32),
        flat(rows.half_width, np.float32),
        flat(rows.end, np.int8),
        flat(guesses, np.float32),
    )


def _padded(rows: Rows, guesses: np.ndarray, patches: int) -> network.Pixels:
    """One shape for both halves of the objects, so that the second fit compiles nothing."""
    half = -(-patches // 2) if len(rows.middle) * rows.middle.shape[1] <= -(-patches // 2) else 0
    size = max(half + rows.middle.shape[1], len(rows.middle) * rows.middle.shape[1])
    flat = _flat(rows, guesses)
    return network.Pixels(*(jnp.asarray(np.pad(p, ((0, size - len(p)), (0, 0)))) for p in flat))


def _earlier_fit(
    family: AutoregressiveMixture, prepared: _Prepared, stream: int
) -> FittedAutoregressive | None:
    """Return the fit to start from: that of the same half, if shapes agree."""
    start = family.start
    if start is None:
        return None
    fits = start if isinstance(start, tuple | list) else (start, start)
    earlier = fits[stream % len(fits)]
    return earlier if earlier.design.shape == prepared.shape else None


def _remaining_gap(curve: list[tuple[int, float, float]]) -> float:
    """Extrapolate what further training would gain from what its second half gained."""
    steps = np.array([c[0] for c in curve])
    best = np.minimum.accumulate([c[1] for c in curve])
    half, end = np.interp([0.5 * steps[-1], steps[-1]], steps, best)
    return REMAINING_OVER_LAST * float(half - end)


def _to_host(parameters: Any) -> Any:
    return jax.tree.map(np.array, parameters)
