"""The autoregressive mixture: each pixel given the earlier ones, a mixture of discretised normals.

    p(patch) = prod_i p(y_i | earlier pixels of the patch and of earlier shots)

It starts at the linear predictor (`linear_predictor`), which alone is the Gaussian density in
stabilised units (`stabilise`), and improves on it by a small network (`mixture_network`). Counts
get the exact probability of their integer, so nothing is dequantised, and clipped counts get the
probability of everything beyond the clip.

The score is cross-fitted: each half of the objects is scored by a network that has seen the other
half only (early stopping included: its validation objects are of its own half). To first order a
fit is worse on fresh objects by what it is better on its own (Takeuchi 1976), so half the gap
between the two is taken away; a fit stopped early has a bias besides, which stays, on the safe
side. The corrected Gaussian densities are members of the family, so the lowest of the three bounds
is its bound: training can fail, but not make the score worse than a Gaussian's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from scipy.special import softmax

from estimation.density.clipping import MAX_CLIPPED_FRACTION, clipped_fraction
from estimation.density.gaussian import FullGaussian
from estimation.density.geometry import Geometry, Neighbourhood
from estimation.density.linear_predictor import LinearPredictor
from estimation.density.protocol import DensityScore, lowest
from estimation.density.stabilise import Stabiliser, Targets
from estimation.density.stationary import StationaryGaussian
from estimation.ensemble import Ensemble, cut_patches
from estimation.errors import EstimationError, TooFewObjects

if TYPE_CHECKING:  # JAX is loaded by the first fit, not by the import
    from estimation.density import mixture_network as network

MIN_OBJECTS = 12
VALIDATION_SHARE = 0.12
VALIDATION_PIXELS = 2**16
CHUNK_PIXELS = 2**13

LOG_CHANNEL_FROM = 12.0
"""Range of values, in noise sigmas, from which the network also sees logarithms."""

EM_STEPS, EM_VALUES = 40, 2**14
SMALLEST_SIGMA = 0.05
CONVERGED_BITS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoregressiveMixture:
    """The family, and how long it is trained.

    Parameters
    ----------
    steps
        Optimizer steps of one fit at most; it stops earlier when the validation objects say so.
    components
        Of the mixture.
    neighbours
        Earlier pixels that the network sees (the linear predictor sees all of them).
    reach
        Largest distance of a neighbour, pixels.
    hidden, layers
        Width and depth of the residual network.
    batch
        Pixels of one step.
    rate
        Peak learning rate.
    patience
        Validations (every 100 steps) without improvement after which a fit stops.
    seed
        Of weights, batches and validation objects.
    refits
        Fits from fresh weights and batches that a score averages; of two and more, the diagnostics
        give `fit_standard_error_bits`, the part of the error that comes from training.
    geometry
        What is known of the order of values in a patch: the mosaic, or neighbours that no window
        finds.
    start
        Fits of an earlier score (`DensityScore.fitted`) on the same objects in the same order; for
        `fit`, one fit. Used where sizes and windows agree, else the fit is cold (`is_warm`). A warm
        start takes `warm_steps` steps; with 0 the weights stay what they are, and only the linear
        predictor is of the new frames.
    sample
        Values of each object that the network scores; the mean over all of them is estimated with
        the linear predictor as control variate (`estimation.density.sampled`). All by default.

    Raises
    ------
    EstimationError
        If a number is not positive.
    """

    steps: int = 1200
    components: int = 10
    neighbours: int = 60
    reach: int = 20
    hidden: int = 128
    layers: int = 3
    batch: int = 2048
    rate: float = 4e-3
    patience: int = 5
    seed: int = 0
    refits: int = 1
    geometry: Geometry | None = None
    start: Any = None
    warm_steps: int = 200
    sample: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "components", "hidden", "layers", "batch", "refits", "rate"):
            if not getattr(self, name) > 0:
                raise EstimationError(
                    f"density 'autoregressive': {name}={getattr(self, name)!r} came; more than 0 "
                    "is due"
                )

    @property
    def name(self) -> str:
        """The word under which estimates report it."""
        return "autoregressive"

    def fit(self, ensemble: Ensemble) -> FittedAutoregressive:
        """Fit to all objects, some of which tell when to stop."""
        prepared = _Prepared.of(ensemble)
        return self._fit(prepared, np.arange(ensemble.objects), stream=0)[0]

    def score(self, ensemble: Ensemble) -> DensityScore:
        """Return the cross-fitted bound, or the one of a Gaussian member where that is lower.

        Raises
        ------
        TooFewObjects
            For fewer than 12 objects.
        EstimationError
            If `start` is not what an earlier score left.
        """
        self._check_start()
        prepared = _Prepared.of(ensemble)
        runs = [self._cross_fit(prepared, ensemble, refit=k) for k in range(self.refits)]
        gap = max(0.0, float(np.mean([run.gap_nats for run in runs])))
        held_out = np.mean([run.held_out_nats for run in runs], axis=0) + prepared.nats_to_values
        fits = [fit for run in runs for fit in run.fits]
        to_bits = ensemble.reals_per_sample / np.log(2)
        gaps = [f.remaining_gap_nats for f in fits]
        known = [g for g in gaps if g is not None]
        remaining = float(np.mean(known)) * to_bits if len(known) == len(gaps) else None
        diagnostics: dict[str, Any] = {
            "fit_gap_nats": gap,
            "remaining_gap_bits": remaining,
            "is_converged": remaining is not None and remaining < CONVERGED_BITS,
            "is_warm": all(f.is_warm for f in fits),
            "steps": [f.steps for f in fits],
            "member": "network",
        }
        if self.refits > 1:
            bounds = [run.held_out_nats.mean() - 0.5 * run.gap_nats for run in runs]
            error = float(np.std(bounds, ddof=1)) / np.sqrt(self.refits)
            diagnostics["fit_standard_error_bits"] = error * to_bits
        own_score = DensityScore(
            name=self.name,
            per_object_nats=held_out - 0.5 * gap,
            held_out_nats=float(held_out.mean()),
            diagnostics=diagnostics,
            fitted=tuple(fits),
        )
        return self._lowest(own_score, ensemble)

    def _check_start(self) -> None:
        fits = self.start
        if fits is not None and not (
            isinstance(fits, tuple | list) and len(fits) in (2, 2 * self.refits)
        ):
            raise EstimationError(
                "start: the fits of an earlier score on the same objects are due "
                "(`estimate.fitted`, two a refit); a single fit has seen the objects that a score "
                "must hold out"
            )

    def _cross_fit(self, prepared: _Prepared, ensemble: Ensemble, *, refit: int) -> _CrossFit:
        """Score each half of the objects by a fit to the other half."""
        objects = np.arange(ensemble.objects)
        nats = np.empty(ensemble.objects)
        in_sample = np.full(ensemble.objects, np.nan)
        fits = []
        for half in (0, 1):
            own, other = objects[objects % 2 == half], objects[objects % 2 != half]
            fitted, guesses = self._fit(prepared, own, stream=2 * refit + half)
            seen = _some(own, ensemble, seed=[self.seed, half])
            at = np.searchsorted(own, seen)
            in_sample[seen] = self._nats(fitted, prepared, seen, guesses[at])
            nats[other] = self._nats(fitted, prepared, other)
            fits.append(fitted)
        # on the same objects: the gap is far smaller than what objects differ by
        gap = float(np.nanmean(nats - in_sample))
        return _CrossFit(nats, gap, tuple(fits))

    def _nats(
        self,
        fitted: FittedAutoregressive,
        prepared: _Prepared,
        objects: np.ndarray,
        guesses: np.ndarray | None = None,
    ) -> np.ndarray:
        """Score some objects, by a sample of their values where that is asked for."""
        rows = prepared.rows.take(objects)
        guesses = fitted.predictor.predict(rows.middle) if guesses is None else guesses
        each = rows.middle[0].size
        if self.sample is None or self.sample >= each:
            return fitted.nats(rows, guesses)
        from estimation.density.sampled import sampled_nats, sampled_places  # loads JAX

        total = len(prepared.rows.middle)
        places = sampled_places(total, each, sample=self.sample, seed=self.seed)
        return sampled_nats(fitted, rows, guesses, places[objects])

    def _lowest(self, own_score: DensityScore, ensemble: Ensemble) -> DensityScore:
        """Return the score of the member of the family with the lowest bound."""
        members = [own_score, *gaussian_scores(ensemble)]
        best = lowest(members)
        diagnostics = {
            **own_score.diagnostics,
            **best.diagnostics,
            "member_nats": {s.name: s.entropy_nats for s in members[1:]},
            "network_nats": own_score.entropy_nats,
        }
        if best.name != own_score.name:
            diagnostics |= {"member": best.name, "is_converged": True, "remaining_gap_bits": 0.0}
        return replace(best, name=self.name, diagnostics=diagnostics, fitted=own_score.fitted)

    def _fit(
        self, prepared: _Prepared, objects: np.ndarray, *, stream: int
    ) -> tuple[FittedAutoregressive, np.ndarray]:
        """Fit to some objects; return also the guesses made for them out of fold."""
        if len(objects) < MIN_OBJECTS // 2:
            raise TooFewObjects(
                f"density 'autoregressive': {prepared.rows.middle.shape[0]} objects came, at least "
                f"{MIN_OBJECTS} are needed; capture more objects, or use density='stationary'"
            )
        from estimation.density.training import train  # loads JAX

        return train(self, prepared, objects, stream=stream)


@dataclass(frozen=True, slots=True)
class _CrossFit:
    """Two fits, each scored on the objects of the other; `gap_nats`: how much better on its own."""

    held_out_nats: Float64[np.ndarray, " objects"]
    gap_nats: float
    fits: tuple[FittedAutoregressive, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Patches in stabilised units."""

    middle: Float64[np.ndarray, "objects positions patch_values"]
    half_width: Float64[np.ndarray, "objects positions patch_values"]
    end: Float64[np.ndarray, "objects positions patch_values"]

    @classmethod
    def of(cls, targets: Targets, ensemble: Ensemble) -> Rows:
        """Cut the patches."""

        def cut(frames: np.ndarray) -> np.ndarray:
            return cut_patches(frames, ensemble.origins, ensemble.patch)

        if ensemble.counts is None:
            middle = cut(targets.middle)
            nothing = np.broadcast_to(np.float32(0), middle.shape)
            return cls(middle, nothing, nothing)
        end = targets.is_highest.astype(np.float32) - targets.is_lowest
        return cls(cut(targets.middle), cut(targets.half_width.astype(np.float32)), cut(end))

    def take(self, objects: np.ndarray) -> Rows:
        """Return the patches of some objects."""
        return Rows(self.middle[objects], self.half_width[objects], self.end[objects])


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An ensemble as the network takes it."""

    rows: Rows
    stabiliser: Stabiliser
    shape: tuple[int, int, int]
    is_counts: bool
    nats_to_values: float

    @classmethod
    def of(cls, ensemble: Ensemble, stabiliser: Stabiliser | None = None) -> _Prepared:
        stabiliser = stabiliser or Stabiliser.of(ensemble)
        targets = stabiliser.targets(ensemble)
        jacobian = np.broadcast_to(targets.nats_to_values, (1, 1, *ensemble.values.shape[-2:]))
        return cls(
            rows=Rows.of(targets, ensemble),
            stabiliser=stabiliser,
            shape=(ensemble.values.shape[1], *ensemble.patch),
            is_counts=ensemble.counts is not None,
            nats_to_values=float(cut_patches(jacobian, ensemble.origins, ensemble.patch).mean()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedAutoregressive:
    """A trained network and the linear predictor it stands on.

    Attributes
    ----------
    curve
        (step, nats per value of the validation objects, seconds since the fit began).
    remaining_gap_nats
        What further training would still gain, extrapolated; `None` where too few data gave no
        gain at all.
    is_warm
        Whether it went on from an earlier fit.
    """

    stabiliser: Stabiliser
    predictor: LinearPredictor
    around: Neighbourhood
    design: network.Architecture
    statics: network.Statics
    parameters: Any
    curve: Sequence[tuple[int, float, float]]
    remaining_gap_nats: float | None
    steps: int
    is_warm: bool = False
    chunk: int = field(default=CHUNK_PIXELS)

    @property
    def remaining_gap_bits(self) -> float | None:
        """`remaining_gap_nats` in bits."""
        return None if self.remaining_gap_nats is None else self.remaining_gap_nats / np.log(2)

    def negative_log_likelihood(self, ensemble: Ensemble) -> Float64[np.ndarray, " objects"]:
        """Return nats per patch value of each object, in the measure of `Ensemble.values`."""
        prepared = _Prepared.of(ensemble, self.stabiliser)
        return self.nats(prepared.rows) + prepared.nats_to_values

    def value_nats(
        self, ensemble: Ensemble
    ) -> Float64[np.ndarray, "objects positions patch_values"]:
        """Return nats of each value given the earlier ones: where in the frames the bits are."""
        from estimation.density.training import value_nats  # loads JAX

        prepared = _Prepared.of(ensemble, self.stabiliser)
        guesses = self.predictor.predict(prepared.rows.middle)
        return value_nats(self, prepared.rows, guesses) + prepared.nats_to_values

    def nats(
        self, rows: Rows, guesses: np.ndarray | None = None
    ) -> Float64[np.ndarray, " objects"]:
        """Return nats per patch value of each object, in stabilised units."""
        from estimation.density.training import score_rows  # loads JAX

        guesses = self.predictor.predict(rows.middle) if guesses is None else guesses
        return score_rows(self, rows, guesses)


def gaussian_scores(ensemble: Ensemble) -> list[DensityScore]:
    """Return the scores of the Gaussian densities that the data suffice for and admit."""
    if clipped_fraction(ensemble) > MAX_CLIPPED_FRACTION:
        return []
    scores = []
    for member in (FullGaussian(), StationaryGaussian()):
        with contextlib.suppress(TooFewObjects):
            scores.append(member.score(ensemble))
    return scores


def residual_mixture(
    residuals: Float64[np.ndarray, " values"], components: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits, means and ln sigmas of a mixture fitted to residuals by EM.

    It starts from spread quantiles and one component of the residuals' own mean and spread, so it
    is never worse than the Gaussian.
    """
    step = max(1, len(residuals) // EM_VALUES)
    z = residuals[::step]
    sigma = max(float(z.std()), SMALLEST_SIGMA)
    quantiles = np.quantile(z, (np.arange(components - 1) + 0.5) / max(1, components - 1))
    mean = np.concatenate([[z.mean()], quantiles])
    log_sigma = np.log(np.concatenate([[sigma], np.full(components - 1, 0.5 * sigma)]))
    logit = np.log(np.concatenate([[0.5], np.full(components - 1, 0.5 / max(1, components - 1))]))
    for _ in range(EM_STEPS):
        deviation = z[:, None] - mean
        terms = logit - log_sigma - 0.5 * np.square(deviation * np.exp(-log_sigma))
        share = softmax(terms, axis=1)
        weight = share.sum(axis=0) + 1e-3
        mean = (share * z[:, None]).sum(axis=0) / weight
        spread = (share * np.square(z[:, None] - mean)).sum(axis=0) / weight
        log_sigma = 0.5 * np.log(np.maximum(spread, (SMALLEST_SIGMA * sigma) ** 2))
        logit = np.log(weight / weight.sum())
    return logit, mean, log_sigma


def _some(objects: np.ndarray, ensemble: Ensemble, *, seed: list[int]) -> np.ndarray:
    """Choose objects enough to know the in-sample score."""
    per_object = ensemble.positions * ensemble.patch_values
    number = min(len(objects), max(8, 2 * VALIDATION_PIXELS // per_object))
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(objects, size=number, replace=False))
