"""The whole of IDEAL on problems whose best design is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from drivers.virtual.objects import colour_photographs, white
from drivers.virtual.twins import Colour, Lensless
from estimation import (
    EstimationError,
    GaussianNoise,
    NotFinite,
    PoissonNoise,
    SensorNoise,
    TooFewObjects,
)
from estimation.ideal import DifferentiableTwin, maximise_information

FAST = {"steps": 60, "rate": 0.05, "random_starts": 1, "hand_made_starts": 1, "patch": 2}


@pytest.fixture(scope="module")
def balanced(balance, scalars):
    """Four equal pixels, so the light is best shared evenly: 4 x 1/2 log2(1 + 2.5^2) bits."""
    return maximise_information(balance, scalars, GaussianNoise(1.0), seed=0, **FAST)


def test_any_object_with_the_protocol_will_do(balance):
    assert isinstance(balance, DifferentiableTwin)


def test_light_is_shared_evenly_among_equal_pixels(balanced):
    np.testing.assert_allclose(
        balanced.best.values["shares"], 0.25, atol=0.04
    )  # flat within .001 bit
    assert balanced.best.origin == "gradient"
    estimate = balanced.best.estimate
    assert estimate.bits_per_pixel == pytest.approx(
        0.5 * np.log2(1 + 2.5**2), abs=5 * estimate.standard_error
    )


def test_hand_made_and_given_designs_are_among_the_candidates(balanced):
    found = {(c.name, c.origin) for c in balanced.candidates}
    assert {("given", "given"), ("all on one", "hand made")} <= found
    assert sum(origin == "gradient" for _, origin in found) == 3


def test_the_best_is_chosen_on_objects_of_its_own(balanced):
    chosen = [c.choice_bits for c in balanced.candidates]
    assert chosen == sorted(chosen, reverse=True)
    assert balanced.best.choice_bits != balanced.best.estimate.bits_per_measurement


def test_every_design_can_be_built(balanced):
    for candidate in balanced.candidates:
        shares = candidate.values["shares"]
        assert shares.min() >= 0
        assert shares.sum() == pytest.approx(1.0)


def test_an_ascent_without_gain_ends_early(balanced):
    ascents = [c.ascent for c in balanced.candidates if c.ascent]
    assert all(a.history[0].step == 0 for a in ascents)
    started_well = maximise_information(
        balanced.twin, np.random.default_rng(1).standard_normal((2000, 4)), GaussianNoise(1.0),
        seed=1, **FAST | {"steps": 500, "random_starts": 0, "hand_made_starts": 0},
    )  # fmt: skip
    ascent = next(c.ascent for c in started_well.candidates if c.ascent)
    assert ascent.is_stopped_early
    assert ascent.steps < 150


def test_the_same_seed_gives_the_same_design(balance, scalars, balanced):
    again = maximise_information(balance, scalars, GaussianNoise(1.0), seed=0, **FAST)
    np.testing.assert_array_equal(again.best.values["shares"], balanced.best.values["shares"])
    assert again.best.choice_bits == balanced.best.choice_bits


def test_whoever_watches_hears_of_every_start(balance, scalars):
    heard = []
    maximise_information(
        balance, scalars, GaussianNoise(1.0), seed=0, **FAST | {"steps": 10}, watch=heard.append
    )
    assert {p.start for p in heard} == {"given", "all on one", "random 0"}


def test_white_objects_and_full_readout_end_in_a_point():
    """The periodic Gaussian channel: any blur or second image costs information, a shift does not.

    A sharp point reaches 1/2 log2(1 + 100 / 4) = 2.35022 bits/pixel.
    """
    twin = Lensless(
        [[3.3, -2.0], [-1.0, 4.0]], sigma_px=2.0, electrons=1, background_e=0, field=16, side=16,
        smallest_sigma_px=0.0, reach_px=6.0, spot="band_limited",
    )  # fmt: skip
    objects = white(1500, 16, variance=100.0, rng=np.random.default_rng(0))
    found = maximise_information(
        twin, objects, GaussianNoise(2.0), seed=0, surrogate="stationary", hand_made={}, steps=120,
        rate=0.04, random_starts=1, density="stationary",
    )  # fmt: skip
    assert float(np.abs(np.asarray(found.twin.psf())).max()) > 0.98
    estimate = found.best.estimate
    assert estimate.bits_per_pixel == pytest.approx(2.35022, abs=0.01)


def test_blur_is_driven_to_zero():
    twin = Lensless(
        sigma_px=2.0, electrons=1, background_e=0, field=16, side=16, smallest_sigma_px=0.0,
        reach_px=0.5, spot="band_limited",
    )  # fmt: skip
    found = maximise_information(
        twin, white(600, 16, variance=100.0, rng=np.random.default_rng(1)), GaussianNoise(2.0),
        seed=0, surrogate="stationary", hand_made={}, steps=80, rate=0.03, random_starts=0,
        density="stationary",
    )  # fmt: skip
    assert float(found.twin.sigma_px[0]) < 0.05


def test_an_annealed_mosaic_ends_with_one_filter_a_pixel_and_above_its_start():
    scenes = colour_photographs(300, 8, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    twin = Colour(rng.uniform(-1, 1, (8, 8, 4)), electrons=1000.0, side=8)
    found = maximise_information(
        twin, scenes, PoissonNoise(), seed=0, steps=30,
        rate=0.05, random_starts=0, hand_made_starts=0, patch=4,
    )  # fmt: skip
    by_origin = {c.origin: c for c in found.candidates if c.name == "given"}
    assert set(np.unique(found.twin.mask())) == {0.0, 1.0}
    assert by_origin["gradient"].ascent.steps == 30
    assert by_origin["gradient"].choice_bits > by_origin["given"].choice_bits


def test_a_design_that_saturates_is_refused_with_a_reason(balance):
    """All light on one pixel is 4000 e-, and the converter ends at 2048."""
    scenes = np.random.default_rng(0).uniform(0.8, 1.2, (200, 4))
    bright = type(balance)(np.array([1.0, 0, 0, 0]), scale=4000.0)
    noise = SensorNoise(gain=2.0, offset=100.0, read_noise=50.0, bit_depth=12)
    found = maximise_information(
        bright, scenes, noise, seed=0, hand_made={"even": {"shares": np.full(4, 0.25)}}, patch=1,
        **{name: FAST[name] for name in ("rate", "random_starts")}, steps=1, hand_made_starts=0,
    )  # fmt: skip
    given = next(c for c in found.candidates if c.origin == "given")
    assert given.estimate is None
    assert "saturated" in given.refusal
    assert found.best.estimate is not None


@dataclass(frozen=True)
class Range:
    low: float
    high: float


class Exposure(eqx.Module):
    """One number scales all light: more is better until the converter clips."""

    time_ms: Any

    @property
    def parameters(self) -> Mapping[str, Range]:
        return {"time_ms": Range(0.1, 10.0)}

    def values(self) -> dict[str, Any]:
        return {"time_ms": jnp.asarray(self.time_ms)}

    def with_values(self, values: Mapping[str, Any]) -> Exposure:
        return Exposure(jnp.asarray(values["time_ms"]))

    def projected(self) -> Exposure:
        return Exposure(jnp.clip(jnp.asarray(self.time_ms), 0.1, 10.0))

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def __call__(self, objects: Any) -> Any:
        return (1000.0 * jnp.asarray(self.time_ms) * objects).reshape(-1, 1, 2, 2)


def test_an_ascent_brightens_up_to_saturation_and_no_further():
    scenes = np.random.default_rng(0).uniform(0.6, 1.0, (400, 4))
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=30.0, bit_depth=12)
    found = maximise_information(Exposure(1.0), scenes, noise, seed=0, **FAST)
    reached = float(found.twin.time_ms)
    assert found.best.origin == "gradient"
    assert 2.0 < reached < 3.995  # the brightest pixel of all clips at 3.995 ms


def test_twelve_objects_are_too_few(balance, scalars):
    with pytest.raises(TooFewObjects, match="12 objects came"):
        maximise_information(balance, scalars[:12], GaussianNoise(1.0), seed=0)


def test_an_unknown_surrogate_is_named(balance, scalars):
    with pytest.raises(EstimationError, match="surrogate 'magic' came; 'gaussian', 'stationary'"):
        maximise_information(balance, scalars, GaussianNoise(1.0), seed=0, surrogate="magic")


def test_a_twin_that_gives_nan_is_named_with_its_start(balance, scalars):
    scalars = np.where(np.arange(4) == 0, np.nan, scalars)
    with pytest.raises(NotFinite, match="start 'given' is nan at step 0"):
        maximise_information(
            balance, scalars, PoissonNoise(), seed=0, hand_made={}, random_starts=0, patch=2
        )
