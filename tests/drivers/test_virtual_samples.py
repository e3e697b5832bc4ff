"""Virtual samples: what each kind promises of its brightness."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.samples import SAMPLE_KINDS, sample_map, sample_of

SIDE = 256


def draw(kind, *, seed=0, side=SIDE, **options) -> np.ndarray:
    return sample_map(kind, side, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
def test_brightness_is_not_negative_and_one_in_the_mean(kind):
    brightness = draw(kind)
    assert brightness.shape == (SIDE, SIDE)
    assert brightness.dtype == np.float32
    assert brightness.min() >= 0
    assert brightness.mean(dtype=np.float64) == pytest.approx(1.0, abs=1e-5)
    assert brightness.std() > 0.1


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
def test_the_seed_fixes_the_sample(kind):
    np.testing.assert_array_equal(draw(kind, seed=3), draw(kind, seed=3))
    assert np.abs(draw(kind, seed=3) - draw(kind, seed=4)).max() > 0.1


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
def test_samples_are_periodic(kind):
    """The step across the edge is no larger than steps inside."""
    brightness = draw(kind)
    inside = np.abs(np.diff(brightness, axis=0)).mean(axis=1)
    edge = np.abs(brightness[0] - brightness[-1]).mean()
    assert edge < inside.max()


@pytest.mark.parametrize("fill", [0.005, 0.02, 0.1])
def test_beads_fill_the_fraction_asked_for(fill):
    """Undo the Gaussian of 0.8 pixels by its own transfer function; what is left are points."""
    side = 512
    brightness = draw("beads", side=side, fill=fill).astype(np.float64)
    frequency = np.fft.fftfreq(side)
    gaussian = np.exp(-2 * (np.pi * 0.8 * frequency) ** 2)
    transfer = gaussian[:, None] * gaussian[None, :]
    points = np.fft.ifft2(np.fft.fft2(brightness) / transfer).real
    standard_error = np.sqrt(fill * (1 - fill) / side**2)
    assert (points > 0.5 * points.max()).mean() == pytest.approx(fill, abs=5 * standard_error)


def test_a_texture_is_log_normal():
    logarithm = np.log(draw("texture").astype(np.float64))
    deviation = (logarithm - logarithm.mean()) / 0.5
    assert deviation.std() == pytest.approx(1.0, rel=1e-4)
    assert np.mean(deviation**3) == pytest.approx(0, abs=0.3)


def test_a_texture_has_more_contrast_at_low_frequencies():
    power = np.abs(np.fft.fft2(np.log(draw("texture")))) ** 2
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    slow = power[(radius > 0.04) & (radius < 0.06)].mean()
    fast = power[(radius > 0.16) & (radius < 0.24)].mean()
    assert slow / fast == pytest.approx(16, rel=0.25)  # 1/f amplitude: a factor of 4 in frequency


def test_an_unknown_kind_is_answered_with_the_kinds_there_are():
    with pytest.raises(ValueError, match="'tissue': choose one of texture, beads, cells"):
        draw("tissue")


@pytest.mark.parametrize("fill", [0.0, 1.0, -0.1, float("nan")])
def test_a_fill_that_is_no_fraction_is_refused(fill):
    with pytest.raises(ValueError, match="fraction of pixels with a bead"):
        draw("beads", fill=fill)


def test_the_sample_of_a_seed_is_drawn_once_and_cannot_be_changed():
    first = sample_of(3, "texture", 64, 0.02)
    assert sample_of(3, "texture", 64, 0.02) is first
    assert sample_of(4, "texture", 64, 0.02).tolist() != first.tolist()
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1.0
