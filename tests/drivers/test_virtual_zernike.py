"""Two implementations of the Zernike modes, typed table and general formula, against each other."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.worlds.pupil import wavefront_rms_rad
from drivers.virtual.zernike import aperture, noll_modes, pupil_grid
from instrument.bench.patterns import noll_mode


@pytest.mark.parametrize("number", range(4, 16))
def test_table_and_formula_agree(number):
    x, y = pupil_grid(96)
    np.testing.assert_allclose(noll_modes(96)[number - 4], noll_mode(number, x, y), atol=1e-12)


def test_x_runs_along_columns_and_y_along_rows():
    x, y = pupil_grid(4)
    assert x[0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert y[:, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_the_aperture_is_the_unit_disc():
    assert aperture(512).mean() == pytest.approx(np.pi / 4, rel=1e-3)
    assert not noll_modes(64)[:, ~aperture(64)].any()


@pytest.mark.parametrize(("side", "tolerance"), [(64, 0.03), (512, 1e-3)])
def test_modes_are_orthonormal_over_the_disc(side, tolerance):
    """Tolerance: the ragged edge of a disc of pixels; it shrinks faster than the pixels do."""
    modes = noll_modes(side)[:, aperture(side)]
    gram = modes @ modes.T / modes.shape[1]
    np.testing.assert_allclose(gram, np.eye(12), atol=tolerance)


def test_modes_have_no_piston():
    np.testing.assert_allclose(noll_modes(512)[:, aperture(512)].mean(axis=1), 0, atol=1e-3)


# ---- rms of a wavefront that is known modulo two pi


def wavefront(coefficients: np.ndarray) -> np.ndarray:
    return np.tensordot(coefficients, noll_modes(64), axes=1)


@pytest.fixture(params=[0.1, 1.0, 2.0], ids=lambda rms: f"{rms} rad")
def coefficients(request) -> np.ndarray:
    drawn = np.random.default_rng(5).standard_normal(12)
    return request.param * drawn / np.linalg.norm(drawn)


def test_the_rms_is_the_length_of_the_coefficients(coefficients):
    expected = np.linalg.norm(coefficients)
    assert wavefront_rms_rad(wavefront(coefficients)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("number", range(4, 16))
def test_a_single_mode_has_its_own_coefficient_as_rms(number):
    phase = 1.5 * noll_modes(64)[number - 4]
    assert wavefront_rms_rad(np.mod(phase, 2 * np.pi)) == pytest.approx(1.5, rel=0.03)


def test_wrapping_changes_nothing(coefficients):
    phase = wavefront(coefficients)
    expected = pytest.approx(wavefront_rms_rad(phase), rel=1e-9)
    assert wavefront_rms_rad(np.mod(phase, 2 * np.pi)) == expected
    assert wavefront_rms_rad(np.angle(np.exp(1j * phase))) == expected


@pytest.mark.parametrize(
    ("piston", "tilt_x", "tilt_y"), [(2, 0, 0), (0, 3, 0), (0, 0, -4), (1, -20, 15)]
)
def test_piston_and_tilts_do_not_count(coefficients, piston, tilt_x, tilt_y):
    x, y = pupil_grid(64)
    phase = wavefront(coefficients)
    tilted = phase + piston + tilt_x * x + tilt_y * y
    expected = pytest.approx(wavefront_rms_rad(phase), rel=1e-9)
    assert wavefront_rms_rad(np.mod(tilted, 2 * np.pi)) == expected


def test_a_plane_has_no_rms():
    x, y = pupil_grid(64)
    assert wavefront_rms_rad(7 * x - 2 * y + 1) == pytest.approx(0, abs=1e-9)
