"""Gradient ascent on the information of one twin from one start; the only module with a step.

Steps are taken in shares of each parameter's range, so that one rate serves metres and radians.
After every step the design is projected onto what can be built. Objects are drawn afresh each
step; what counts is the information of other objects, of the design as it would be built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from estimation.errors import NotFinite
from estimation.ideal.forward import built, expected_electrons
from estimation.ideal.protocol import (
    AnnealedTwin,
    DifferentiableTwin,
    Patch,
    RefittedSurrogate,
    Surrogate,
)
from estimation.ideal.surrogates import cut
from estimation.noise import SimulatedNoise

Values = Mapping[str, Any]

CLEAR_OF_SATURATION = 6.0
"""Noise standard deviations that a pixel's mean should keep from where it clips."""

SATURATION_COST_BITS = 20.0
"""What a pixel costs at the clip level, bits; more than any pixel can carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an ascent is: told to whoever watches, every `check_every` steps.

    Attributes
    ----------
    start
        Name of the start.
    step
        Steps taken.
    bits_per_pixel
        Surrogate information of the design, as it would be built, on validation objects.
    """

    start: str
    step: int
    bits_per_pixel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """What one ascent reached.

    Attributes
    ----------
    values
        The best design, as built, by the validation objects.
    bits_per_pixel
        Its surrogate information on them.
    steps
        Taken before it ended.
    is_stopped_early
        Whether it ended because the validation objects saw no more gain.
    history
        One `Progress` a check, the start included.
    """

    values: dict[str, np.ndarray]
    bits_per_pixel: float
    steps: int
    is_stopped_early: bool
    history: tuple[Progress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Climber:
    """An objective with its optimizer, compiled once and used from many starts.

    Parameters
    ----------
    twin, noise, surrogate, patch
        What is maximised; see `maximise_information`.
    optimizer
        Takes gradients of the loss per share of range.
    batch, steps, check_every, patience
        Objects a step; steps at most; steps between validations; validations without gain.
    smallest_gain
        Bits per pixel that count as a gain.
    """

    twin: DifferentiableTwin
    noise: SimulatedNoise
    surrogate: Surrogate | RefittedSurrogate
    patch: Patch
    optimizer: optax.GradientTransformation
    batch: int
    steps: int
    check_every: int
    patience: int
    smallest_gain: float = 1e-4

    def bits_per_pixel(
        self, values: Values, surrogate: Surrogate, objects: Any, *, progress: Any, key: Any
    ) -> Array:
        """Return the surrogate information of a design at this share of the annealing."""
        twin = self.twin.with_values(values)
        if isinstance(twin, AnnealedTwin):
            twin = twin.annealed(progress)
        entropy_nats = surrogate.entropy_nats(twin, objects, self.noise, patch=self.patch, key=key)
        electrons = twin(objects)
        noise_bits = cut(self.noise.entropy_at(electrons), self.patch).mean()
        return entropy_nats / np.log(2.0) - noise_bits - saturation_cost_bits(self.noise, electrons)

    def compiled(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return a step and a validation, both jitted.

        The surrogate is an argument: closed over, the arrays of one that has some would be
        constants that the compiler folds for many seconds, and those of a fit would never change.
        """
        ranges = {n: p.high - p.low for n, p in self.twin.parameters.items()}

        @eqx.filter_jit
        def take_step(
            surrogate: Any, values: Any, state: Any, objects: Any, progress: Any, key: Any
        ) -> Any:
            bits, slopes = jax.value_and_grad(self.bits_per_pixel)(
                values, surrogate, objects, progress=progress, key=key
            )
            uphill = {name: -ranges[name] * slope for name, slope in slopes.items()}
            shares = {name: value / ranges[name] for name, value in values.items()}
            updates, state = self.optimizer.update(uphill, state, shares)
            moved = {name: values[name] + ranges[name] * updates[name] for name in values}  # type: ignore[index]
            return bits, self.twin.with_values(moved).projected().values(), state

        @eqx.filter_jit
        def validate(surrogate: Any, values: Any, objects: Any, key: Any) -> Any:
            progress = jnp.asarray(1.0)
            return self.bits_per_pixel(values, surrogate, objects, progress=progress, key=key)

        return take_step, validate

    def climb(
        self,
        start: Values,
        *,
        name: str,
        train: Any,
        validation: Any,
        key: Any,
        compiled: tuple[Callable[..., Any], Callable[..., Any]],
        watch: Callable[[Progress], None] | None,
    ) -> Ascent:
        """Follow the gradient from `start` until the steps, or the patience, are spent."""
        take_step, validate = compiled
        values = self.twin.with_values(start).projected().values()
        state = self.optimizer.init(values)
        draw_key, noise_key, check_key = jax.random.split(key, 3)
        seed = np.asarray(jax.random.key_data(draw_key)).tolist()
        rng = np.random.default_rng(seed)
        guide = Guide(climber=self, train=train, seed=seed)
        must_finish = isinstance(self.twin, AnnealedTwin)
        history: list[Progress] = []
        best, best_step, best_bits = values, 0, -np.inf
        step = 0
        for step in range(self.steps + 1):
            if step % self.check_every == 0 or step == self.steps:
                bits = float(
                    validate(guide.judge(values, step=step), values, validation, check_key)
                )
                _check_finite(bits, name, step)
                history.append(Progress(start=name, step=step, bits_per_pixel=bits))
                if watch is not None:
                    watch(history[-1])
                if bits > best_bits + (self.smallest_gain if history[1:] else 0.0):
                    best, best_step, best_bits = values, step, bits
                waited = (step - best_step) // self.check_every
                if waited >= self.patience and not must_finish:
                    break
            if step == self.steps:
                break
            size = min(self.batch, len(train))
            chosen = np.sort(rng.choice(len(train), size=size, replace=False))
            progress = step / self.steps
            bits, values, state = take_step(
                guide.leader(values, step=step, progress=progress),
                values,
                state,
                jnp.asarray(train[chosen], jnp.float64),
                jnp.asarray(progress),
                jax.random.fold_in(noise_key, step),
            )
            _check_finite(float(bits), name, step)
        return Ascent(
            values={n: np.asarray(v) for n, v in best.items()},
            bits_per_pixel=best_bits,
            steps=step,
            is_stopped_early=step < self.steps,
            history=tuple(history),
        )


@dataclass(slots=True, kw_only=True)
class Guide:
    """The surrogate of the design that an ascent is at: fitted as it moves, if it has to be.

    The one that leads goes on from its last fit. The one that judges is always fitted from the
    start, to what would be built: a density that has learnt longer says fewer bits of the same
    design, and a design must not be thought worse for that.
    """

    climber: Climber
    train: np.ndarray
    seed: list[int]
    _led: Any = None
    _led_at: int = -1

    def leader(self, values: Values, *, step: int, progress: float) -> Surrogate:
        """Return the surrogate to follow from a design, at this share of its annealing."""
        family = self.climber.surrogate
        if not isinstance(family, RefittedSurrogate):
            return family
        if self._led is None or (step % family.every == 0 and step != self._led_at):
            twin = self.climber.twin.with_values(values)
            if isinstance(twin, AnnealedTwin):
                twin = twin.annealed(progress)
            self._led, self._led_at = self._fitted(family, twin, step=step, last=self._led), step
        return self._led.surrogate

    def judge(self, values: Values, *, step: int) -> Surrogate:
        """Return the surrogate to judge a design by, as it would be built."""
        family = self.climber.surrogate
        if not isinstance(family, RefittedSurrogate):
            return family
        fit = self._fitted(family, built(self.climber.twin, values), step=step, last=None)
        if not isinstance(self.climber.twin, AnnealedTwin):
            self._led, self._led_at = fit, step
        return fit.surrogate

    def _fitted(self, family: RefittedSurrogate, twin: Any, *, step: int, last: Any) -> Any:
        seed = [*self.seed, step, last is None]
        order = np.random.default_rng(seed).permutation(len(self.train))
        objects = self.train[np.sort(order[: family.objects])]
        return family.fitted(
            expected_electrons(twin, objects),
            self.climber.noise,
            patch=self.climber.patch,
            seed=seed,
            last=last,
        )


def saturation_cost_bits(noise: SimulatedNoise, electrons: Any) -> Any:
    """Return a barrier before saturation, bits per pixel; 0 for noise that knows no clip level.

    A clipped pixel has no noise, which a Gaussian surrogate takes for information: without a
    barrier it climbs to where the estimator refuses the frames.
    """
    level = getattr(noise, "clip_level_adu", None)
    if level is None:
        return 0.0
    mean, variance = noise.moments_at(electrons)
    room = (jnp.floor(jnp.asarray(level, mean.dtype)) - mean) / jnp.sqrt(variance)
    return SATURATION_COST_BITS * jnp.square(jax.nn.relu(1.0 - room / CLEAR_OF_SATURATION)).mean()


def in_float64(twin: Any) -> Any:
    """Return a twin whose arrays are float64: small eigenvalues carry the bits."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf, twin
    )


def _check_finite(bits: float, name: str, step: int) -> None:
    if not np.isfinite(bits):
        raise NotFinite(
            f"the information of start {name!r} is {bits} at step {step}; look at the twin's "
            "expected electrons under that design"
        )
