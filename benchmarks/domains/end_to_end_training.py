"""End-to-end design: optics and neural decoder trained together on the squared error.

The gradient reaches the design through the noise by the reparameterised Gaussian approximation
`y = mean + sqrt(variance) z`, mean and variance exact under the design (also those of shot noise).
Steps of the design are shares of each parameter's range and are followed by the same projection
and annealing as those of `estimation.ideal`; V. Sitzmann et al., ACM Trans. Graph. 37, 114 (2018),
A. Chakrabarti, NeurIPS 2016.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from benchmarks.domains.end_to_end_problems import Problem, Values
from drivers.virtual.twins.twin import Annealed

Decoder = Callable[[Float[Array, "batch shots height width"]], Float[Array, "batch values"]]


class SmallDecoder(eqx.Module):
    """A linear decoder plus a perceptron of two hidden layers, on standardised pixels.

    Of the same form as the fresh decoder that judges designs: a linear part and a correction.
    """

    linear: eqx.nn.Linear
    correction: eqx.nn.MLP
    standard: tuple[Array, Array]
    """Mean and spread of pixels, as the last solution had them."""
    is_solved: bool = eqx.field(static=True)
    """Whether the linear part comes from solutions; else pixels are standardised by batches."""

    def __init__(
        self, values: int, outputs: int, *, hidden: int, key: Any, is_solved: bool = False
    ):
        self.is_solved = is_solved
        self.standard = (jnp.zeros(values), jnp.ones(values))
        linear_key, correction_key = jax.random.split(key)
        self.linear = eqx.nn.Linear(values, outputs, key=linear_key)
        self.correction = eqx.nn.MLP(
            values, outputs, hidden, 2, activation=jax.nn.gelu, key=correction_key
        )

    def __call__(
        self, y: Float[Array, "batch shots height width"]
    ) -> Float[Array, "batch outputs"]:
        """Return targets in units of their standard deviation."""
        rows = y.reshape(len(y), -1)
        if not self.is_solved:
            # The light on a pixel changes while the optics do: standardise by what the batch shows.
            rows = (rows - rows.mean(axis=0)) / jnp.sqrt(rows.var(axis=0) + 1e-6)
        else:
            centre, spread = jax.lax.stop_gradient(self.standard)
            rows = (rows - centre) / spread
        return jax.vmap(self.linear)(rows) + jax.vmap(self.correction)(rows)

    def solved(
        self,
        mean: Float[np.ndarray, "objects pixels"],
        variance: Float[np.ndarray, "objects pixels"],
        wanted: Float[np.ndarray, "objects outputs"],
    ) -> SmallDecoder:
        """Return the decoder with its linear part as the least squares have it, in closed form.

        Adam needs thousands of steps for what one solve knows: the covariance of pixels is
        ill-conditioned (S. M. Kay, Estimation Theory (1993), section 12.3). The noise makes it
        definite; `mean` and `variance` are of the counts of each object.
        """
        centre = mean.mean(axis=0, dtype=float)
        centred = mean - centre
        covariance = centred.T @ centred / len(mean) + np.diag(variance.mean(axis=0, dtype=float))
        spread = np.sqrt(np.diag(covariance) + 1e-6)
        cross = centred.T @ (wanted - wanted.mean(axis=0)) / len(mean)
        weights = np.linalg.solve(covariance, cross).T * spread
        linear = eqx.tree_at(
            lambda layer: (layer.weight, layer.bias),
            self.linear,
            (jnp.asarray(weights, jnp.float32), jnp.asarray(wanted.mean(axis=0), jnp.float32)),
        )
        standard = jnp.asarray(centre, jnp.float32), jnp.asarray(spread, jnp.float32)
        return eqx.tree_at(
            lambda decoder: (decoder.linear, decoder.standard),
            self,
            (linear, standard),
        )

    def without_correction(self) -> SmallDecoder:
        """Return the decoder with a correction that begins at zero."""
        silent = jax.tree.map(jnp.zeros_like, self.correction.layers[-1])
        return eqx.tree_at(lambda decoder: decoder.correction.layers[-1], self, silent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """What a joint training reached.

    Attributes
    ----------
    values
        The design as built with the smallest error on validation objects.
    curve
        (step, mean squared error of standardised targets on validation objects as built,
        processor seconds since the beginning), one row a check.
    step_cpu_s
        Processor seconds of a step, median over all but the first, which compiles.
    """

    values: dict[str, np.ndarray]
    curve: list[tuple[int, float, float]]
    step_cpu_s: float


def train_jointly(
    problem: Problem,
    decoder: Decoder,
    start: Values,
    *,
    objects: np.ndarray,
    settings: Mapping[str, Any],
    steps: int,
    seed: int,
) -> Joint:
    """Train a decoder and a design from `start`; `objects` may stay on the disk.

    Parameters
    ----------
    problem, decoder, start
        What is trained.
    objects
        (objects, *object_shape); the last `settings["validation"]` of them are not trained on.
    settings
        `batch`, `validation`, `design_rate` (share of range), `decoder_rate`, `check_every`; of the
        small decoder also `solve_every`: steps between closed-form solutions of its linear part,
        of which the first comes before any step.
    steps
        Of both optimizers; their rates fall to a tenth along a cosine.
    seed
        Of batches and noise.
    """
    twin, noise = problem.twin, problem.noise
    rng = np.random.default_rng(seed)
    trained = len(objects) - settings["validation"]
    ranges = {n: p.high - p.low for n, p in twin.parameters.items()}
    sample = problem.target(objects[: min(1000, trained)])
    centre, spread = sample.mean(axis=0), float(sample.std())
    rates = {
        name: optax.adam(optax.cosine_decay_schedule(settings[f"{name}_rate"], steps, alpha=0.1))
        for name in ("design", "decoder")
    }
    values = twin.with_values(start).projected().values()

    def error(both: Any, scenes: Any, wanted: Any, progress: Any, key: Any) -> Any:
        design, network = both
        now = twin.with_values(design)
        if isinstance(now, Annealed):
            now = now.annealed(progress)
        mean, variance = noise.moments_at(now(scenes))
        y = mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape)
        return jnp.mean((network(y) - wanted) ** 2)

    @eqx.filter_jit
    def take_step(
        values: Any, network: Any, states: Any, scenes: Any, wanted: Any, progress: Any, key: Any
    ) -> Any:
        design_slopes, slopes = eqx.filter_grad(error)(
            (values, network), scenes, wanted, progress, key
        )
        uphill = {name: ranges[name] * slope for name, slope in design_slopes.items()}
        moves: Any
        moves, design_state = rates["design"].update(uphill, states["design"])
        moved = {name: values[name] + ranges[name] * moves[name] for name in values}
        updates, decoder_state = rates["decoder"].update(slopes, states["decoder"])
        return (
            twin.with_values(moved).projected().values(),
            eqx.apply_updates(network, updates),
            {"design": design_state, "decoder": decoder_state},
        )

    judge = eqx.filter_jit(error)

    @eqx.filter_jit
    def moments(values: Any, scenes: Any, progress: Any) -> Any:
        now = twin.with_values(values)
        if isinstance(now, Annealed):
            now = now.annealed(progress)
        return noise.moments_at(now(scenes))

    solve_every = settings.get("solve_every")

    def solved(decoder: Any, values: Any, progress: Any) -> Any:
        pieces = [batch(part) for part in np.array_split(np.arange(trained), trained // 200)]
        seen = [moments(values, scenes, progress) for scenes, _ in pieces]
        mean, variance = (np.concatenate([np.asarray(s[k]) for s in seen]) for k in (0, 1))
        rows = len(mean), -1
        wanted = np.concatenate([np.asarray(w) for _, w in pieces])
        return decoder.solved(mean.reshape(rows), variance.reshape(rows), wanted)

    def batch(chosen: np.ndarray) -> tuple[Any, Any]:
        scenes = np.asarray(objects[np.sort(chosen)], np.float32)
        wanted = (problem.target(scenes) - centre) / spread
        return jnp.asarray(scenes), jnp.asarray(wanted, jnp.float32)

    held_out = np.array_split(
        np.arange(trained, len(objects)), max(1, settings["validation"] // settings["batch"])
    )
    began, key = time.process_time(), jax.random.key(seed)
    must_finish = isinstance(twin, Annealed)
    curve: list[tuple[int, float, float]] = []
    taken_s: list[float] = []
    best, least = values, np.inf
    if isinstance(decoder, SmallDecoder) and solve_every:
        decoder = solved(decoder.without_correction(), values, jnp.asarray(0.0))
    states = {
        "design": rates["design"].init(values),
        "decoder": rates["decoder"].init(eqx.filter(decoder, eqx.is_inexact_array)),
    }
    for step in range(steps + 1):
        if solve_every and step and step % solve_every == 0:
            # At the end of an annealed design: for what is built, as it is judged.
            decoder = solved(decoder, values, jnp.asarray(step / steps))
        if step % settings["check_every"] == 0 or step == steps:
            built = jnp.asarray(1.0)
            errors = [
                float(judge((values, decoder), *batch(part), built, jax.random.fold_in(key, k)))
                for k, part in enumerate(held_out)
            ]
            curve.append((step, float(np.mean(errors)), time.process_time() - began))
            # Before the end an annealed design is judged by a decoder of its soft form.
            if curve[-1][1] < least and (not must_finish or step == steps):
                best, least = values, curve[-1][1]
        if step == steps:
            break
        scenes, wanted = batch(rng.choice(trained, size=settings["batch"], replace=False))
        before_s = time.process_time()
        values, decoder, states = take_step(
            values,
            decoder,
            states,
            scenes,
            wanted,
            jnp.asarray(step / steps),
            jax.random.fold_in(key, len(held_out) + step),
        )
        jax.block_until_ready(values)
        taken_s.append(time.process_time() - before_s)
    return Joint(
        values={n: np.asarray(v) for n, v in best.items()},
        curve=curve,
        step_cpu_s=float(np.median(taken_s[1:])),
    )
