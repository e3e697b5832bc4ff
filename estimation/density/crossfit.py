"""Finite-sample correction for any density, by folds over objects.

With `n` objects the fit is better on its own objects than the best density of the family by about
`c/n` nats, and worse on fresh ones by about the same `c/n` (Takeuchi 1976); a fit to the share
`1 - 1/k` of the objects is worse by `c / (n (1 - 1/k))`. The two known errors have opposite signs,
so

    corrected = w in_sample + (1 - w) held_out,    w = r / (1 + r),  r = k / (k - 1)

has neither to first order, whatever `c` is: patches of one object may be as alike as they like,
because objects are what is left out. No data are lost to a test set.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from estimation.density.protocol import Density, DensityScore, FittedDensity
from estimation.ensemble import Ensemble

FOLDS = 8


def cross_fit(density: Density, ensemble: Ensemble, *, folds: int = FOLDS) -> DensityScore:
    """Score every object in sample and held out, and combine the two."""
    fitted = density.fit(ensemble)
    in_sample = fitted.negative_log_likelihood(ensemble)
    held_out = held_out_by_folds(
        ensemble, lambda train: density.fit(ensemble.take(train)), folds=folds
    )
    return combine(density.name, in_sample, held_out, folds=folds)


def held_out_by_folds(
    ensemble: Ensemble, fit: Callable[[np.ndarray], FittedDensity], *, folds: int = FOLDS
) -> np.ndarray:
    """Return the score of every object by a fit to the other folds, nats per value, in order.

    Folds are interleaved (object i is in fold i mod k), so that a drift over the batch is in all.
    """
    order = np.arange(ensemble.objects)
    fold_of = order % folds
    scores = np.empty(ensemble.objects)
    for fold in range(min(folds, ensemble.objects)):
        test = order[fold_of == fold]
        scores[test] = fit(order[fold_of != fold]).negative_log_likelihood(ensemble.take(test))
    return scores


def combine(
    name: str,
    in_sample: np.ndarray,
    held_out: np.ndarray,
    *,
    folds: int = FOLDS,
    precision: np.ndarray | None = None,
) -> DensityScore:
    """Return the corrected score of this module's docstring."""
    used = min(folds, len(in_sample))
    ratio = used / (used - 1)
    weight = ratio / (1 + ratio)
    return DensityScore(
        name=name,
        per_object_nats=weight * in_sample + (1 - weight) * held_out,
        held_out_nats=float(held_out.mean()),
        precision=precision,
        diagnostics={"fit_gap_nats": float(held_out.mean() - in_sample.mean())},
    )
