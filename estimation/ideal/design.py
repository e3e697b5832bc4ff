"""From a twin to the design with the most information: starts, candidates, an independent score.

Objects are split three ways. The ascent sees the first part; which design of each ascent is kept,
and which candidate is chosen, is decided on the second; the scores reported are of the third. Both
choice and report use `estimate_information`, which shares no code with the surrogates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from estimation.errors import (
    EstimationError,
    InvalidMeasurements,
    NotFinite,
    TooFewObjects,
)
from estimation.ideal.ascent import Ascent, Climber, Guide, Progress, in_float64
from estimation.ideal.autoregressive import AutoregressiveSurrogate
from estimation.ideal.forward import built, check_real, expected_electrons
from estimation.ideal.protocol import DifferentiableTwin, RefittedSurrogate, Surrogate
from estimation.ideal.surrogates import GaussianSurrogate, StationarySurrogate
from estimation.information import InformationEstimate, estimate_information
from estimation.noise import SimulatedNoise

SHARES = (0.5, 0.2, 0.3)
"""Of the objects: for the ascent, for choices, for the report."""

_SURROGATES: Mapping[str, Callable[[], Surrogate | RefittedSurrogate]] = {
    "gaussian": GaussianSurrogate,
    "stationary": StationarySurrogate,
    "autoregressive": AutoregressiveSurrogate,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A design that was considered.

    Attributes
    ----------
    name
        Of the hand-made design, or of the start from which the gradient led here.
    origin
        `"given"`, `"hand made"` or `"gradient"`.
    values
        The parameters, as built.
    estimate
        Of objects that neither ascent nor choice have seen; `None` where it was refused.
    choice_bits
        Bits per measurement by which it was chosen, on objects of their own; minus infinity where
        it was refused.
    refusal
        Why it could not be scored (it saturates the sensor, say); empty if it could.
    ascent
        How it was reached; `None` for a design that was not.
    """

    name: str
    origin: str
    values: Mapping[str, np.ndarray]
    estimate: InformationEstimate | None
    choice_bits: float
    refusal: str = ""
    ascent: Ascent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealDesign:
    """The most informative candidate, and all others.

    Attributes
    ----------
    best
        The candidate with the highest `choice_bits`.
    candidates
        All, in falling order of `choice_bits`.
    twin
        Under the best design, as built.
    surrogate
        Name of the surrogate density of the ascents.
    """

    best: Candidate
    candidates: tuple[Candidate, ...]
    twin: Any
    surrogate: str


def maximise_information(
    twin: DifferentiableTwin,
    objects: np.ndarray,
    noise: SimulatedNoise,
    *,
    seed: int,
    surrogate: str | Surrogate | RefittedSurrogate = "gaussian",
    hand_made: Mapping[str, Mapping[str, Any]] | None = None,
    random_starts: int = 3,
    hand_made_starts: int = 2,
    steps: int = 200,
    rate: float = 0.02,
    optimizer: optax.GradientTransformation | None = None,
    batch: int = 256,
    check_every: int = 10,
    patience: int = 5,
    patch: int | tuple[int, int] = 16,
    density: Any = "auto-gaussian",
    watch: Callable[[Progress], None] | None = None,
) -> IdealDesign:
    """Find the design of a twin whose measurements say most about the objects.

    The gradient is of a surrogate's bound; a Gaussian one can prefer the wrong design where scenes
    are sparse. Hand-made designs are always among the candidates, so that the answer is never worse
    than they are by more than the error of the choice.

    Parameters
    ----------
    twin
        Under the design to start from; anything that keeps `DifferentiableTwin`.
    objects
        (objects, *object_shape); half of them lead the ascent, a fifth choose, the rest report.
    noise
        Of the sensor: its entropy at a known mean is exact here.
    seed
        Of splits, batches, starts and noise; the same seed gives the same design.
    surrogate
        `"gaussian"`, `"stationary"`, `"autoregressive"` (fitted anew as the design moves; the one
        for sparse scenes and for colour), or an object such as `LinearGaussian.of(objects)`.
    hand_made
        Designs by name; by default those that the twin knows.
    random_starts, hand_made_starts
        Ascents from random designs, and from the best hand-made ones, besides one from `twin`.
    steps, batch, check_every, patience
        Steps of an ascent at most, objects of a step, steps between validations, validations
        without gain after which it ends (an annealed twin always takes all its steps). A surrogate
        that is fitted brings its own `check_every`: each of its validations costs a fit.
    rate
        Step of Adam in shares of each parameter's range, falling to a tenth of it.
    optimizer
        Instead of Adam; its steps are in shares of each parameter's range.
    patch, density
        Of the final score, as in `estimate_information`; the surrogate uses the same patch.
    watch
        Called with each `Progress`.

    Raises
    ------
    InvalidMeasurements
        If the objects, or what the twin expects of them, are complex.
    TooFewObjects
        If a part of the objects is too small to be used.
    NotFinite
        If the information of a design is NaN or infinite, named with its start and step.
    EstimationError
        If every candidate was refused by the estimator, or a name is not known.

    References
    ----------
    Pinkard et al., arXiv 2405.20559 (IDEAL).
    """
    stack = np.asarray(objects)
    check_real(twin, stack)
    chosen = _surrogate(surrogate)
    parts = _split(stack, seed=seed)
    size = (patch, patch) if isinstance(patch, int | np.integer) else (patch[0], patch[1])
    schedule = optax.cosine_decay_schedule(rate, max(steps, 1), alpha=0.1)
    with jax.enable_x64(True):
        climber = Climber(
            twin=in_float64(twin),
            noise=noise,
            surrogate=chosen,
            patch=size,
            optimizer=optax.adam(schedule) if optimizer is None else optimizer,
            batch=batch,
            steps=steps,
            check_every=chosen.check_every
            if isinstance(chosen, RefittedSurrogate)
            else check_every,
            patience=patience,
        )
        found = _search(
            climber,
            train=parts[0],
            validation=jnp.asarray(parts[1], jnp.float64),
            hand_made=twin.hand_made() if hand_made is None else hand_made,
            random_starts=random_starts,
            hand_made_starts=hand_made_starts,
            seed=seed,
            watch=watch,
        )
        scorer = _Scorer(climber.twin, noise, parts[1:], patch=size, density=density, seed=seed)
        candidates = sorted((scorer.candidate(f) for f in found), key=lambda c: -c.choice_bits)
    best = candidates[0]
    if best.estimate is None:
        raise EstimationError(
            f"none of {len(candidates)} designs could be scored; the first refusal: {best.refusal}"
        )
    return IdealDesign(
        best=best,
        candidates=tuple(candidates),
        twin=built(twin, best.values),
        surrogate=climber.surrogate.name,
    )


def _search(
    climber: Climber,
    *,
    train: np.ndarray,
    validation: Any,
    hand_made: Mapping[str, Mapping[str, Any]],
    random_starts: int,
    hand_made_starts: int,
    seed: int,
    watch: Callable[[Progress], None] | None,
) -> list[_Found]:
    """All designs to be scored: given, hand made, and where the gradient led from each start."""
    twin, key = climber.twin, jax.random.key(seed)
    compiled = climber.compiled()
    found = [
        _Found("given", "given", twin.projected().values(), None),
        *(_Found(name, "hand made", values, None) for name, values in hand_made.items()),
    ]
    ranked = _best_first(found, climber, compiled, train=train, validation=validation, seed=seed)
    starts = ranked[: 1 + hand_made_starts]
    for number, start in enumerate([*starts, *_random_starts(twin, random_starts, seed=seed)]):
        ascent = climber.climb(
            start.values,
            name=start.name,
            train=train,
            validation=validation,
            key=jax.random.fold_in(key, number + 1),
            compiled=compiled,
            watch=watch,
        )
        found.append(_Found(start.name, "gradient", ascent.values, ascent))
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    origin: str
    values: Mapping[str, Any]
    ascent: Ascent | None


@dataclass(frozen=True, slots=True)
class _Scorer:
    """Scores designs on the same objects with the same seed of noise."""

    twin: DifferentiableTwin
    noise: SimulatedNoise
    parts: tuple[np.ndarray, ...]
    patch: tuple[int, int]
    density: Any
    seed: int

    def candidate(self, found: _Found) -> Candidate:
        twin = built(self.twin, found.values)
        values = {name: np.asarray(value) for name, value in twin.values().items()}
        try:
            choice, report = (self._estimate(twin, part, k) for k, part in enumerate(self.parts))
        except NotFinite:
            raise
        except (InvalidMeasurements, TooFewObjects) as refusal:
            return Candidate(
                name=found.name,
                origin=found.origin,
                values=values,
                estimate=None,
                choice_bits=-np.inf,
                refusal=str(refusal),
                ascent=found.ascent,
            )
        return Candidate(
            name=found.name,
            origin=found.origin,
            values=values,
            estimate=report,
            choice_bits=choice.bits_per_measurement,
            ascent=found.ascent,
        )

    def _estimate(self, twin: Any, objects: np.ndarray, part: int) -> InformationEstimate:
        expected = expected_electrons(twin, objects)
        values = self.noise.sample(expected, np.random.default_rng([self.seed, 7, part]))
        return estimate_information(
            values,
            self.noise,
            density=self.density,
            patch=self.patch,
            seed=self.seed,
            expected=expected,
        )


def _split(objects: np.ndarray, *, seed: int) -> tuple[np.ndarray, ...]:
    order = np.random.default_rng([seed, 3]).permutation(len(objects))
    ends = np.round(np.cumsum(SHARES) * len(objects)).astype(int)
    parts = tuple(objects[np.sort(part)] for part in np.split(order, ends[:-1]))
    if min(map(len, parts)) < 4:
        raise TooFewObjects(
            f"{len(objects)} objects came; they are split into {', '.join(map(str, SHARES))} for "
            "ascent, choice and report, and 4 are needed in each: give 20 or more, better 1000"
        )
    return parts


def _surrogate(given: str | Surrogate | RefittedSurrogate) -> Surrogate | RefittedSurrogate:
    if not isinstance(given, str):
        return given
    if given not in _SURROGATES:
        raise EstimationError(
            f"surrogate {given!r} came; {', '.join(map(repr, _SURROGATES))} or a Surrogate is due"
        )
    return _SURROGATES[given]()


def _best_first(
    found: list[_Found],
    climber: Climber,
    compiled: tuple[Any, Any],
    *,
    train: np.ndarray,
    validation: Any,
    seed: int,
) -> list[_Found]:
    """Return the given design, then the hand-made ones, the most informative first."""
    key = jax.random.key(seed)

    def bits(design: _Found) -> float:
        values = {n: jnp.asarray(v, jnp.float64) for n, v in design.values.items()}
        judge = Guide(climber=climber, train=train, seed=[seed, 11]).judge(values, step=0)
        return float(compiled[1](judge, values, validation, key))

    given, *others = found
    return [given, *sorted(others, key=lambda design: -bits(design))]


def _random_starts(twin: DifferentiableTwin, count: int, *, seed: int) -> list[_Found]:
    """Designs drawn evenly within the bounds, then projected."""
    starts = []
    for number in range(count):
        rng = np.random.default_rng([seed, 5, number])
        drawn = {
            name: rng.uniform(parameter.low, parameter.high, np.shape(twin.values()[name]))
            for name, parameter in twin.parameters.items()
        }
        values = twin.with_values(drawn).projected().values()
        starts.append(_Found(f"random {number}", "gradient", values, None))
    return starts
