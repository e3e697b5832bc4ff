"""Training the autoregressive mixture: split by object, warm start, early stopping, convergence."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
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

ATTEMPTS, SLOWER = 3, 0.2
"""How often a fit that was best at once is tried again, and at which share of the rate.

Independent {4, 20} photons, 100 objects of 16 x 16: at the usual rate the validation score only
rises, from 3.3 to 33 nats.
"""

VALUES_PER_WEIGHT = 4
WARM_RATE = 0.5

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
    around = _around(family, prepared, own, earlier)
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
    if earlier is not None:
        is_wide = earlier.design.is_wide  # other channels would need other weights
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
    is_warm = earlier is not None and earlier.design == design and _is_same(earlier.around, around)
    if earlier is not None and is_warm:
        parameters = jax.tree.map(jnp.asarray, earlier.parameters)
    else:
        rng = np.random.default_rng([family.seed, stream, 2])
        sample = rng.choice(residuals, size=min(len(residuals), 2**14), replace=False)
        parameters = network.initial_parameters(
            key, design, residual_mixture(sample, family.components)
        )

    if earlier is not None and is_warm and family.warm_steps == 0:
        kept = replace(
            earlier, stabiliser=prepared.stabiliser, predictor=predictor, statics=statics,
            curve=(), steps=0, is_warm=True,
        )  # fmt: skip
        return kept, guesses
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
    steps = family.warm_steps if is_warm else family.steps
    steps = steps if sees else min(steps, BLIND_STEPS)
    descent = _Descent(design, statics, key, pixels, patches, len(chosen), judge, began_s)
    rate = family.rate * (WARM_RATE if is_warm else 1.0)
    best, curve, is_lost = descent.run(parameters, rate=rate, steps=steps, patience=family.patience)
    for attempt in range(1, ATTEMPTS):
        if not is_lost and (_best_of(curve)[0] > STEPS_AT_ONCE or len(curve) <= 2):
            break
        # few data, or too steep: the first hundred steps have already gone too far
        slower = rate * SLOWER**attempt
        again = descent.run(parameters, rate=slower, steps=steps, patience=family.patience)
        if _best_of(again[1])[1] < _best_of(curve)[1]:
            best, curve, is_lost = again
    weights = sum(w.size for w in jax.tree.leaves(best))
    remaining = _remaining_gap(curve, has_many=len(chosen) * values >= VALUES_PER_WEIGHT * weights)
    if is_lost:
        remaining = None  # what it would have learnt is not known
    elif earlier is not None and is_warm:
        remaining = _inherited_gap(remaining, earlier.remaining_gap_nats, curve)
    fitted = FittedAutoregressive(
        stabiliser=prepared.stabiliser,
        predictor=predictor,
        around=around,
        design=design,
        statics=statics,
        parameters=best,
        curve=tuple(curve),
        remaining_gap_nats=remaining,
        steps=curve[-1][0],
        is_warm=is_warm,
    )
    return fitted, guesses


@dataclass(frozen=True, slots=True)
class _Descent:
    """Training on fixed data: what is the same for every rate it is tried at."""

    design: network.Architecture
    statics: network.Statics
    key: Any
    pixels: network.Pixels
    patches: np.ndarray
    n_patches: int
    judge: _Scorer
    began_s: float

    def run(
        self, start: Any, *, rate: float, steps: int, patience: int
    ) -> tuple[Any, list[tuple[int, float, float]], bool]:
        """Return the parameters best on the validation objects, and the curve of their score.

        Also whether the descent was lost: a score came that is no number, and it ended there.
        """
        schedule = network.Schedule(np.float32(rate), np.float32(steps))
        parameters = jax.tree.map(jnp.array, start)  # a copy: steps overwrite what they are given
        moments = network.initial_moments(parameters)
        best_nats, best, since = self.judge(parameters), _to_host(parameters), 0
        curve = [(0, best_nats, time.perf_counter() - self.began_s)]
        while curve[-1][0] < steps and since < patience:
            parameters, moments, _ = network.train_steps(
                self.design,
                parameters,
                moments,
                np.int32(curve[-1][0]),
                schedule,
                self.key,
                self.statics,
                self.pixels,
                self.patches,
                np.int32(self.n_patches),
            )
            nats = self.judge(parameters)
            if not math.isfinite(nats):
                return best, curve, True
            curve.append((curve[-1][0] + STEPS_AT_ONCE, nats, time.perf_counter() - self.began_s))
            since = 0 if nats < best_nats - SMALL_GAIN_NATS else since + 1
            if nats < best_nats:
                best_nats, best = nats, _to_host(parameters)
        return best, curve, False


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


def values_at(
    fitted: FittedAutoregressive, rows: Rows, guesses: np.ndarray, places: np.ndarray
) -> Float64[np.ndarray, "objects sample"]:
    """Return nats of the values at some places (objects, sample) of each object, in its order."""
    objects, positions, values = rows.middle.shape
    patches = np.arange(objects)[:, None] * positions + places // values
    patch, position = patches.ravel(), (places % values).ravel()
    pixels = network.Pixels(*(jnp.asarray(p) for p in _flat(rows, guesses)))
    nats = np.empty(patch.size)
    for start in range(0, patch.size, CHUNK_PIXELS):
        piece = slice(start, start + CHUNK_PIXELS)
        short = CHUNK_PIXELS - len(patch[piece])
        index = [np.pad(each[piece], (0, short)).astype(np.int32) for each in (patch, position)]
        scored = network.score_pixels(
            fitted.design, fitted.parameters, fitted.statics, pixels, *index
        )
        nats[piece] = np.asarray(scored, np.float64)[: CHUNK_PIXELS - short]
    return nats.reshape(places.shape)


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
    """Return the fit to start from: that of the same half of the objects, if shapes agree."""
    start = family.start
    if start is None:
        return None
    fits = start if isinstance(start, tuple | list) else (start,)
    earlier = fits[stream % len(fits)]
    return earlier if earlier.design.shape == prepared.shape else None


def _around(
    family: AutoregressiveMixture,
    prepared: _Prepared,
    own: Rows,
    earlier: FittedAutoregressive | None,
) -> Neighbourhood:
    """Return the window: an earlier one if the same was asked for, as only that one fits."""
    asked = (family.neighbours, family.reach)
    if earlier is not None and family.geometry is None and earlier.around.asked == asked:
        return earlier.around
    return Neighbourhood.of(
        own.middle,
        prepared.shape,
        neighbours=family.neighbours,
        reach=family.reach,
        geometry=family.geometry,
    )


def _is_same(one: Neighbourhood, other: Neighbourhood) -> bool:
    return np.array_equal(one.table, other.table) and np.array_equal(one.place, other.place)


def _best_of(curve: list[tuple[int, float, float]]) -> tuple[int, float, float]:
    return min(curve, key=lambda point: point[1])


def _remaining_gap(curve: list[tuple[int, float, float]], *, has_many: bool) -> float | None:
    """Extrapolate what further training would gain from what its second half gained.

    Where nothing was ever gained, many data mean that nothing is to be learnt; of few it is not
    known.
    """
    steps = np.array([c[0] for c in curve])
    best = np.minimum.accumulate([c[1] for c in curve])
    if best[-1] == best[0]:
        return 0.0 if has_many else None
    half, end = np.interp([0.5 * steps[-1], steps[-1]], steps, best)
    return REMAINING_OVER_LAST * float(half - end)


def _inherited_gap(
    own: float | None, earlier: float | None, curve: list[tuple[int, float, float]]
) -> float | None:
    """Of a warm start: no less than the earlier gap less what was gained since."""
    if earlier is None:
        return own or None  # a gain shows that there was something to gain
    return max(own or 0.0, earlier - (curve[0][1] - _best_of(curve)[1]))


def _to_host(parameters: Any) -> Any:
    return jax.tree.map(np.array, parameters)
