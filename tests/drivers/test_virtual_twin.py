"""The twin's optics against closed forms; J. W. Goodman, Introduction to Fourier Optics, ch. 6."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drivers.virtual.pupil_microscope import PupilMicroscope
from instrument.bench.patterns import noll_mode

SIDE = 64
WAVELENGTH_UM, NUMERICAL_APERTURE = 0.53, 0.25
EDGE_DEFOCUS_RAD_PER_UM = math.pi * NUMERICAL_APERTURE**2 / WAVELENGTH_UM
MODES = 12  # 4 to 15
FLAT = np.zeros((SIDE, SIDE), np.float32)


_twin = eqx.filter_jit(PupilMicroscope.__call__)  # one compilation instead of fifty


def make_twin(aberration_rad=(), **shape) -> PupilMicroscope:
    coefficients = np.zeros(MODES)
    coefficients[: len(aberration_rad)] = aberration_rad
    return PupilMicroscope(coefficients, **shape)


def zernike(number: int) -> np.ndarray:
    """One mode by the general formula, not the twin's own table."""
    axis = (np.arange(SIDE) - 31.5) / 32
    return noll_mode(number, axis[None, :], axis[:, None])


def form_image(twin, objects, *, modulator_rad=FLAT, focus_um=0.0) -> np.ndarray:
    """Image of one object under one state, one electron a unit of brightness."""
    electrons = _twin(
        twin,
        jnp.asarray(objects, jnp.float32)[None],
        modulator_rad=jnp.asarray(modulator_rad, jnp.float32),
        focus_um=jnp.float32(focus_um),
    )
    return np.asarray(electrons[0, 0], np.float64)


@pytest.fixture(scope="module")
def beads() -> np.ndarray:
    """Sparse object for a field of 64 pixels with all its margins."""
    return (np.random.default_rng(1).random((192, 192)) < 0.02).astype(np.float32)


@pytest.fixture(scope="module")
def whole() -> PupilMicroscope:
    """Unaberrated, and with margins so wide that no light of the grid is cut off."""
    return make_twin(height=64, width=64, margin=64)


# ---- diffraction


@pytest.mark.parametrize(
    ("shape", "tolerance"),
    [
        # a disc of 64 pixels has a ragged edge
        pytest.param({"height": 64, "width": 64, "margin": 64}, 0.004, id="all light in view"),
        # 2 / (pi v) = 1.3 % of an Airy pattern lies beyond v = 50, the 32 pixels of the margin
        pytest.param({}, 0.013, id="cut at the margin"),
    ],
)
def test_the_unaberrated_transfer_is_that_of_a_circular_aperture(shape, tolerance):
    """Goodman equation 6-31: (2 / pi)(acos s - s sqrt(1 - s^2)), s = frequency / cut-off."""
    twin = make_twin(**shape)
    transfer = np.asarray(twin.transfer(jnp.asarray(FLAT), jnp.float32(0)))
    rows, columns = twin.object_shape
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    s = np.minimum(frequency / 0.5, 1)  # the cut-off 2 NA / wavelength is Nyquist's
    closed_form = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2))
    np.testing.assert_allclose(transfer, closed_form, atol=tolerance)


def test_aberrations_never_raise_contrast():
    sharp = make_twin().transfer(jnp.asarray(FLAT), jnp.float32(0))
    blurred = make_twin([0.5, 0.3, -0.4, 0.2]).transfer(jnp.asarray(FLAT), jnp.float32(0))
    assert (np.abs(blurred) <= np.abs(sharp) + 2e-3).all()  # the margin's cut, again
    assert np.abs(blurred).sum() < 0.9 * np.abs(sharp).sum()


STATES = [
    pytest.param([], 0.0, id="unaberrated"),
    pytest.param([0.5, -0.7, 0.3, 0.9, -0.2], 8.0, id="aberrated and defocused"),
]


@pytest.mark.parametrize(("aberration_rad", "focus_um"), STATES)
def test_all_light_of_a_point_arrives(aberration_rad, focus_um):
    twin = make_twin(aberration_rad)
    point = np.zeros(twin.object_shape)
    point[96, 96] = 1.0
    image = form_image(twin, point, focus_um=focus_um)
    assert image.sum() == pytest.approx(1.0, abs=1e-4)
    assert image.min() >= 0


@pytest.mark.parametrize(("aberration_rad", "focus_um"), STATES)
def test_a_uniform_object_stays_as_bright(aberration_rad, focus_um):
    twin = make_twin(aberration_rad)
    image = form_image(twin, np.full(twin.object_shape, 3.0), focus_um=focus_um)
    np.testing.assert_allclose(image, 3.0, rtol=1e-5)


def test_electrons_scale_the_image_and_background_adds(whole, beads):
    state = {"modulator_rad": jnp.asarray(FLAT), "focus_um": jnp.float32(0)}
    electrons = whole(jnp.asarray(beads)[None], **state, electrons=50.0, background_e=7.0)
    np.testing.assert_allclose(electrons[0, 0], 50 * form_image(whole, beads) + 7, rtol=1e-5)


def test_shots_have_an_axis_of_their_own(whole, beads):
    images = whole(
        jnp.asarray([beads, beads]), modulator_rad=jnp.asarray(FLAT), focus_um=jnp.float32(0)
    )
    assert images.shape == (2, 1, 64, 64)


# ---- the modulator moves and shapes the point spread function


@pytest.mark.parametrize("shift", [(0, 3), (-2, 0), (5, -4)], ids=str)
def test_a_phase_ramp_shifts_the_image(whole, beads, shift):
    """Shift theorem: 2 pi a / 128 rad a pupil pixel is a pixels (128 is twice the pupil)."""
    dy, dx = shift
    row, column = np.mgrid[:SIDE, :SIDE]
    ramp = 2 * np.pi * (dy * row + dx * column) / (2 * SIDE)
    shifted = form_image(whole, beads, modulator_rad=ramp)
    straight = form_image(whole, beads)
    inner = slice(8, -8)
    expected = np.roll(straight, shift, axis=(0, 1))[inner, inner]
    np.testing.assert_allclose(shifted[inner, inner], expected, atol=1e-3 * straight.max())


def test_a_modulator_wrapped_at_two_pi_does_the_same(whole, beads):
    phase = 4 * zernike(7) + 3 * zernike(11)
    np.testing.assert_allclose(
        form_image(whole, beads, modulator_rad=np.mod(phase, 2 * np.pi)),
        form_image(whole, beads, modulator_rad=phase),
        atol=1e-5,
    )


def test_the_modulator_cancels_the_hidden_aberration(whole, beads):
    coefficients = np.random.default_rng(2).normal(0, 0.4, MODES)
    aberrated = make_twin(coefficients, height=64, width=64, margin=64)
    phase = sum(c * zernike(j) for j, c in enumerate(coefficients, start=4))
    straight = form_image(whole, beads)
    assert np.abs(form_image(aberrated, beads) - straight).max() > 0.1 * straight.max()
    np.testing.assert_allclose(
        form_image(aberrated, beads, modulator_rad=-phase), straight, atol=1e-4 * straight.max()
    )


# ---- focus


@pytest.mark.parametrize("focus_um", [-7.0, 0.5, 10.0])
def test_defocus_is_the_paraxial_quadratic_phase(whole, focus_um):
    """Goodman section 6.4.4: pi NA^2 z / wavelength at the pupil's edge, times rho squared."""
    axis = (np.arange(SIDE) - 31.5) / 32
    rho2 = axis[:, None] ** 2 + axis[None, :] ** 2
    expected = np.where(rho2 <= 1, EDGE_DEFOCUS_RAD_PER_UM * focus_um * rho2, 0)
    wavefront = whole.wavefront_rad(jnp.asarray(FLAT), jnp.float32(focus_um))
    np.testing.assert_allclose(wavefront, expected, rtol=1e-5, atol=1e-6)


def test_the_wavefront_ends_with_the_pupil(whole):
    wavefront = whole.wavefront_rad(jnp.full((SIDE, SIDE), 0.7, jnp.float32), jnp.float32(0))
    np.testing.assert_allclose(wavefront, np.where(zernike(4) == 0, 0, 0.7), rtol=1e-6)


def test_z4_on_the_modulator_cancels_defocus(whole, beads):
    """rho^2 = (Z4 / sqrt 3 + 1) / 2, so a displacement z is pi NA^2 z / (2 sqrt 3 lambda) of Z4."""
    focus_um = 6.0
    z4_rad = EDGE_DEFOCUS_RAD_PER_UM * focus_um / (2 * math.sqrt(3))
    straight = form_image(whole, beads)
    defocused = form_image(whole, beads, focus_um=focus_um)
    corrected = form_image(whole, beads, focus_um=focus_um, modulator_rad=-z4_rad * zernike(4))
    assert np.abs(defocused - straight).max() > 0.1 * straight.max()
    np.testing.assert_allclose(corrected, straight, atol=1e-4 * straight.max())


# ---- gradients


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def loss(float64, beads):
    """A number of phase and focus that weighs every pixel differently, in float64."""
    twin = make_twin([0.3, -0.4, 0.2, 0.5], height=64, width=64, margin=64)
    twin = jax.tree.map(lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a, twin)
    weights = np.random.default_rng(3).standard_normal((64, 64))
    objects = jnp.asarray(beads, jnp.float64)[None]

    def loss(modulator_rad, focus_um):
        images = twin(objects, modulator_rad=modulator_rad, focus_um=focus_um)
        return jnp.sum(weights * images)

    return jax.jit(loss)


def test_the_gradient_in_focus_is_the_slope(loss):
    phase, step_um = jnp.zeros((SIDE, SIDE)), 1e-4
    slope = (loss(phase, 2.0 + step_um) - loss(phase, 2.0 - step_um)) / (2 * step_um)
    assert jax.jit(jax.grad(loss, argnums=1))(phase, 2.0) == pytest.approx(float(slope), rel=1e-6)


def test_the_gradient_in_modulator_phase_is_the_slope_in_any_direction(loss):
    rng = np.random.default_rng(4)
    phase, step_rad = jnp.asarray(rng.normal(0, 0.5, (SIDE, SIDE))), 1e-5
    gradient = jax.jit(jax.grad(loss))(phase, 2.0)
    for direction in rng.standard_normal((3, SIDE, SIDE)):
        ahead, behind = (loss(phase + step * direction, 2.0) for step in (step_rad, -step_rad))
        slope = float(ahead - behind) / (2 * step_rad)
        assert jnp.vdot(gradient, direction) == pytest.approx(slope, rel=1e-5)


def test_the_gradient_is_finite_where_the_field_is_zero(whole, beads):
    """A perfect pupil has zeros in its point spread function; a root would give NaN there."""
    objects = jnp.asarray(beads)[None]

    def peak(modulator_rad, focus_um):
        return whole(objects, modulator_rad=modulator_rad, focus_um=focus_um).max()

    by_phase, by_focus = jax.jit(jax.grad(peak, argnums=(0, 1)))(jnp.asarray(FLAT), jnp.float32(0))
    assert jnp.isfinite(by_phase).all()
    assert jnp.isfinite(by_focus)


def test_pixels_outside_the_pupil_have_no_say(whole, beads):
    outside = zernike(4) == 0
    slope = jax.jit(jax.grad(lambda p: whole.transfer(p, jnp.float32(1)).real.sum()))
    gradient = slope(jnp.asarray(FLAT))
    assert not np.asarray(gradient)[outside].any()
    assert np.asarray(gradient)[~outside].any()


def test_twelve_coefficients_are_needed():
    with pytest.raises(ValueError, match="3 aberration coefficients, modes 4 to 15 needed"):
        PupilMicroscope(np.zeros(3))
