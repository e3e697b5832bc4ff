"""The autoregressive surrogate: it is the scorer's density, its slopes, and what it prefers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from estimation import EstimationError, GaussianNoise, PoissonNoise, SensorNoise
from estimation.density import linear_predictor
from estimation.density.autoregressive import AutoregressiveMixture
from estimation.density.frozen import FrozenDensity
from estimation.ensemble import prepare
from estimation.ideal import AutoregressiveSurrogate, RefittedSurrogate, maximise_information

SMALL = AutoregressiveMixture(steps=100, hidden=16, layers=2, components=4, neighbours=8)
LEARNT = AutoregressiveMixture(
    steps=400, warm_steps=100, hidden=32, layers=2, components=6, neighbours=8
)
SENSOR = SensorNoise(
    gain=0.8,
    offset=50.0,
    read_noise=1.4,
    bit_depth=8,
    responsivity=np.linspace(0.8, 1.2, 64).reshape(8, 8),
)


def light(objects: int) -> np.ndarray:
    """Photo-electrons of smooth scenes, some of them beyond eight bits; (objects, 1, 8, 8)."""
    rng = np.random.default_rng(3)
    waves = np.fft.rfft2(rng.standard_normal((objects, 1, 8, 8)))
    smooth = np.fft.irfft2(waves / (1 + 20 * np.fft.rfftfreq(8) ** 2), s=(8, 8))
    return 80.0 * np.exp(smooth)


def fitted(noise, *, patch: int):
    """Return ensemble, fit and the same fit frozen."""
    measured = noise.sample(light(60), np.random.default_rng(4))
    ensemble = prepare(measured, noise, patch=patch, seed=0)
    fit = SMALL.fit(ensemble)
    return measured, ensemble, fit


@pytest.mark.parametrize("noise", [SENSOR, PoissonNoise(), GaussianNoise(2.0)])
@pytest.mark.parametrize("is_windowed", [False, True])
def test_it_is_the_density_that_scores(noise, is_windowed, monkeypatch):
    if is_windowed:
        monkeypatch.setattr(linear_predictor, "LARGEST_EXACT", 4)
    measured, ensemble, fit = fitted(noise, patch=4)
    wanted = fit.value_nats(ensemble)  # per unit of the values, whose scale is 1 on average
    pattern = noise.fixed_pattern(8, 8)
    rows = ensemble.patches().shape
    patches, values = rows[0] * rows[1], rows[2]

    def cut(frames):
        whole = np.broadcast_to(frames, (60, 1, 8, 8))
        blocks = whole.reshape(60, 1, 2, 4, 2, 4).transpose(0, 2, 4, 1, 3, 5)
        return jnp.asarray(blocks.reshape(patches, values), float)

    ceiling = getattr(noise, "clip_level_adu", None)
    with jax.enable_x64(True):
        found = FrozenDensity.of(fit).nats(
            cut(measured if noise.is_discrete else ensemble.values),
            offset=cut(pattern.offset if noise.is_discrete else 0.0),
            scale=cut(pattern.scale),
            ceiling=None if ceiling is None else cut(np.floor(ceiling)),
            patch=jnp.repeat(jnp.arange(patches), values),
            position=jnp.tile(jnp.arange(values), patches),
        )
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=2e-3)


def test_slopes_of_the_bound_agree_with_differences(balance, scalars):
    family = AutoregressiveSurrogate(family=SMALL)
    noise = GaussianNoise(1.0)
    start = np.array([0.4, 0.3, 0.2, 0.1])
    with jax.enable_x64(True):
        twin = balance.with_values({"shares": jnp.asarray(start)})
        fit = family.fitted(np.asarray(twin(scalars)), noise, patch=(2, 2), seed=[0])

        def nats(shares):
            return fit.surrogate.entropy_nats(
                balance.with_values({"shares": shares}), jnp.asarray(scalars), noise,
                patch=(2, 2), key=jax.random.key(1),
            )  # fmt: skip

        slope = jax.grad(nats)(jnp.asarray(start))
        step = 0.01  # the network is in single precision
        for k, along in enumerate(np.eye(4)):
            difference = (nats(start + step * along) - nats(start - step * along)) / (2 * step)
            assert slope[k] == pytest.approx(float(difference), abs=0.02 * float(abs(slope).max()))


def test_a_fit_goes_on_from_the_last_one(scalars):
    family = AutoregressiveSurrogate(family=SMALL)
    assert isinstance(family, RefittedSurrogate)
    electrons = 20.0 + 5.0 * scalars.reshape(-1, 1, 2, 2)
    noise = GaussianNoise(1.0)
    first = family.fitted(electrons, noise, patch=(2, 2), seed=[1])
    second = family.fitted(electrons, noise, patch=(2, 2), seed=[2], last=first)
    assert not first.fit.is_warm
    assert second.fit.is_warm


def sparse_and_dense(count: int) -> np.ndarray:
    """One pixel of rare bright beads, with most of the variance, and three of a Gaussian scene."""
    rng = np.random.default_rng(5)
    scene = rng.standard_normal((count, 4))
    scene[:, 0] = 12.0 * (rng.random(count) < 0.02)
    return scene


def true_bits(shares: np.ndarray) -> float:
    """Information of `sparse_and_dense` at noise 1 through `Balance`, bits a measurement."""
    bead = 10.0 * shares[0] * 12.0

    def density(y: float) -> float:
        peaks = 0.98 * np.exp(-0.5 * y**2) + 0.02 * np.exp(-0.5 * (y - bead) ** 2)
        return peaks / np.sqrt(2 * np.pi)

    def surprise(y: float) -> float:
        p = density(y)
        return -p * np.log2(p) if p > 0 else 0.0

    whole = quad(surprise, -9, bead + 9, points=[0.0, bead], limit=400)[0]
    sparse = whole - 0.5 * np.log2(2 * np.pi * np.e)
    return sparse + float(np.sum(0.5 * np.log2(1 + (10.0 * shares[1:]) ** 2)))


def test_it_is_not_misled_by_rare_bright_objects(balance):
    """A Gaussian takes the variance of the beads for bits and gives them the light."""
    scene = sparse_and_dense(2500)
    common = {"seed": 0, "steps": 120, "rate": 0.05, "patch": 2, "density": "gaussian"}
    ways = {"random_starts": 0, "hand_made_starts": 0, "hand_made": {}}
    reached = {}
    for surrogate in ("gaussian", AutoregressiveSurrogate(family=LEARNT, check_every=60)):
        found = maximise_information(
            balance, scene, GaussianNoise(1.0), surrogate=surrogate, **common, **ways
        )
        design = next(c for c in found.candidates if c.origin == "gradient")
        reached[found.surrogate] = true_bits(design.values["shares"])
    shares = np.linspace(0.0, 0.3, 61)
    best = max(true_bits(np.array([s, *[(1 - s) / 3] * 3])) for s in shares)
    assert reached["autoregressive"] > best - 0.3
    assert reached["gaussian"] < reached["autoregressive"] - 0.5


@pytest.mark.parametrize("name", ["every", "check_every", "objects", "values"])
def test_numbers_that_make_no_sense_are_named(name):
    with pytest.raises(EstimationError, match=f"{name}=0 came; 1 or more is due"):
        AutoregressiveSurrogate(**{name: 0})
