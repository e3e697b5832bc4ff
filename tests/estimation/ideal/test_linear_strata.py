"""Objects sorted by contrast: a tighter bound than one Gaussian, and never below the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from drivers.virtual.objects import colour_photographs
from drivers.virtual.twins import Colour
from estimation import GaussianNoise, SensorNoise
from estimation.errors import EstimationError
from estimation.ideal import LinearGaussian, LinearStrata
from estimation.ideal.linear_strata import contrast_classes

SIDE, OBJECTS = 4, 4000
SCALES = (0.5, 20.0)


pytestmark = pytest.mark.usefixtures("float64")


def identity(objects):
    return objects[:, None]


def two_scales(seed):
    """White scenes of two contrasts, half of each: the law of frames is known in closed form."""
    rng = np.random.default_rng(seed)
    scale = np.repeat(SCALES, OBJECTS // 2)
    return scale[:, None, None] * rng.standard_normal((OBJECTS, SIDE, SIDE))


def exact_nats(noise_sigma):
    """Entropy of the mixture of two Gaussians by Monte Carlo on the true density, nats a value."""
    d = SIDE**2
    sigmas = np.hypot(SCALES, noise_sigma)
    rng = np.random.default_rng(1)
    y = rng.choice(sigmas, size=20000)[:, None] * rng.standard_normal((20000, d))
    squared = (y**2).sum(axis=1)[:, None] / sigmas**2
    log_density = logsumexp(
        -0.5 * squared - d * np.log(sigmas) - 0.5 * d * np.log(2 * np.pi) + np.log(0.5), axis=1
    )
    return float(-log_density.mean() / d)


def bound(surrogate, forward, noise, side=SIDE):
    return float(surrogate.entropy_nats(forward, None, noise, patch=(side, side), key=None))


def test_two_contrasts_are_bounded_closely_where_one_gaussian_is_far_off():
    noise, objects = GaussianNoise(1.0), two_scales(0)
    truth = exact_nats(1.0)
    sorted_by_contrast = bound(LinearStrata.of(objects, strata=2, rank=SIDE**2), identity, noise)
    whole = LinearGaussian.of(objects)
    together = float(
        whole.entropy_nats(identity, jnp.asarray(objects[:8]), noise, patch=(SIDE, SIDE), key=None)
    )
    assert sorted_by_contrast == pytest.approx(truth, abs=0.01)
    assert together > truth + 0.8


def test_a_single_class_is_one_gaussian():
    noise, objects = GaussianNoise(2.0), two_scales(2)
    strata = LinearStrata.of(objects, strata=1, rank=SIDE**2)
    whole = LinearGaussian.of(objects, rank=SIDE**2)
    expected = float(
        whole.entropy_nats(identity, jnp.asarray(objects[:8]), noise, patch=(SIDE, SIDE), key=None)
    )
    assert bound(strata, identity, noise) == pytest.approx(expected, rel=1e-9)


def test_photographs_do_not_rank_a_sensor_without_colour_first():
    objects = colour_photographs(2400, 8, rng=np.random.default_rng(3)).astype(float)
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=1.5, bit_depth=16)
    twin = Colour(side=8, electrons=1000.0)
    designs = twin.hand_made()

    def rank(surrogate):
        bits = {
            name: float(
                surrogate.entropy_nats(
                    now := twin.with_values(values),
                    jnp.asarray(objects[:200]),
                    noise,
                    patch=(8, 8),
                    key=None,
                )
            )
            - 0.5 * float(jnp.log(noise.moments_at(now(jnp.asarray(objects[:200])))[1]).mean())
            for name, values in designs.items()
        }
        return sorted(bits, key=lambda name: -bits[name])

    order = rank(LinearStrata.of(objects, strata=4, rank=100))
    assert order[0] == "rgbw"
    assert order.index("all white") >= 2


def test_the_gradient_agrees_with_central_differences():
    rng = np.random.default_rng(4)
    objects = colour_photographs(600, 8, rng=rng).astype(float)
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=1.5, bit_depth=16)
    surrogate = LinearStrata.of(objects, strata=3, rank=40)
    twin = Colour(rng.uniform(-1, 1, (8, 8, 4)), side=8, electrons=300.0).annealed(0.1)

    def nats(preference):
        now = twin.with_values({"preference": preference})
        return surrogate.entropy_nats(now, None, noise, patch=(8, 8), key=None)

    start = jnp.asarray(twin.values()["preference"], jnp.float64)
    direction = jnp.asarray(rng.standard_normal(start.shape))
    slope = float((jax.grad(nats)(start) * direction).sum())
    step = 1e-5
    difference = float((nats(start + step * direction) - nats(start - step * direction)) / 2 / step)
    assert slope == pytest.approx(difference, rel=1e-3)


def test_classes_are_equal_and_in_order_of_contrast_even_with_ties():
    objects = np.zeros((10, 2, 2))
    objects[3, 0, 0], objects[7, 0, 0] = 5.0, 9.0
    classes = contrast_classes(objects, 5)
    assert np.bincount(classes).tolist() == [2] * 5
    assert classes[3] == classes[7] == 4


def test_too_few_objects_for_the_rank_are_refused_with_what_to_do():
    with pytest.raises(EstimationError, match="fewer classes"):
        LinearStrata.of(two_scales(5)[:60], strata=4, rank=16)
