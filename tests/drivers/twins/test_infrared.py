"""The thermal camera against radiometry and diffraction; Goodman, section 6.3."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.twins import Infrared

FLAT = np.zeros((1, 32, 32))


def frequencies():
    return np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None, :])


def pixel_sinc():
    return np.sinc(np.fft.fftfreq(32))[:, None] * np.sinc(np.fft.rfftfreq(32))[None, :]


@pytest.mark.parametrize("f_number", [1.0, 2.0, 4.0])
def test_the_transfer_is_that_of_a_circular_aperture(f_number):
    """Goodman equation 6-31, with the cut-off at 15 um / (10 um F) cycles a pixel."""
    s = np.minimum(frequencies() * f_number / 1.5, 1.0)
    closed_form = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2)) * pixel_sinc()
    np.testing.assert_allclose(Infrared(f_number).transfer(), closed_form, atol=1e-4)


def test_nothing_passes_beyond_the_cut_off():
    transfer = np.abs(np.asarray(Infrared(6.0).transfer()))
    assert transfer[frequencies() > 1.5 / 6].max() == 0


def test_light_goes_with_the_solid_angle_of_the_lens():
    electrons = [
        float(np.asarray(Infrared(f, 1.0)(FLAT)).mean()) - 1e6  # without dark current
        for f in (1.0, 2.0, 4.0)
    ]
    assert electrons[0] / electrons[1] == pytest.approx(17 / 5)
    assert electrons[2] / electrons[1] == pytest.approx(17 / 65)


def test_a_warm_scene_adds_its_contrast_and_the_lens_its_glow():
    one_kelvin = float(np.asarray(Infrared(2.0, 0.5)(FLAT + 1.0)).mean())
    none = float(np.asarray(Infrared(2.0, 0.5)(FLAT)).mean())
    assert one_kelvin - none == pytest.approx(0.5 * 1e7 * 0.85 * 0.017, rel=1e-4)
    assert none == pytest.approx(0.5 * (1e7 * (0.85 + 0.15 * 1.1) + 1e6))


@pytest.mark.parametrize("wavefront", [{"focus_waves": 1.0}, {"cubic_waves": 1.0}], ids=str)
def test_a_wavefront_never_raises_contrast(wavefront):
    flat = np.abs(np.asarray(Infrared(1.4).transfer()))
    bent = np.abs(np.asarray(Infrared(1.4, **wavefront).transfer()))
    assert (bent <= flat + 1e-9).all()
    assert bent.sum() < 0.8 * flat.sum()


def test_a_cubic_wavefront_makes_focus_matter_less():
    """Dowski and Cathey 1995: the transfer function barely changes with defocus."""

    def change(cubic):
        sharp, blurred = (
            np.abs(np.asarray(Infrared(1.4, cubic_waves=cubic, focus_waves=w).transfer()))
            for w in (0.0, 1.0)
        )
        return np.abs(sharp - blurred).sum() / sharp.sum()

    assert change(3.0) < 0.35 * change(0.0)


def test_hand_made_times_fill_half_of_the_well():
    twin = Infrared()
    electrons = twin.with_values(twin.hand_made()["F/1"])(FLAT)
    assert float(np.asarray(electrons).mean()) == pytest.approx(9e6, rel=0.03)
