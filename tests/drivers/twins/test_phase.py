"""Weak-phase transfer functions against symmetry, cut-off and full wave optics."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.twins import PhaseContrast
from drivers.virtual.twins.phase import led_positions

EMPTY = np.zeros((1, 2, 16, 16))
SMALL = {"field": 16, "side": 16}


def source(*leds):
    drive = np.zeros((1, len(led_positions())))
    drive[0, list(leds)] = 1.0 / len(leds)
    return drive


def pupil(y, x, defocus_rad):
    squared = y**2 + x**2
    edge = 1 / (1 + np.exp(-(1 - squared) / 0.1))
    return edge * np.exp(1j * defocus_rad * squared)


@pytest.mark.parametrize(
    "design", [{}, {"defocus_rad": 1.3}, {"sources": source(75), "defocus_rad": -0.8}], ids=str
)
def test_the_transfer_is_the_slope_of_full_wave_optics(design):
    """Abbe's sum over LEDs of |IFFT(object x pupil shifted)|^2, differentiated at a clear slide."""
    twin = PhaseContrast(**design, **SMALL, dose_e=1.0)
    objects = np.random.default_rng(0).normal(size=(2, 16, 16))
    fy, fx = (f / 0.2 for f in np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16), indexing="ij"))
    drives = np.asarray(twin.sources)[0]
    defocus = float(twin.defocus_rad)

    def intensity(strength):
        wave = np.fft.fft2(np.exp(strength * (1j * objects[0] - objects[1])))
        light = np.zeros((16, 16))
        for (y, x), drive in zip(led_positions(), drives, strict=True):
            light += drive * np.abs(np.fft.ifft2(wave * pupil(y + fy, x + fx, defocus))) ** 2
        return light

    slope = (intensity(1e-5) - intensity(-1e-5)) / 2e-5 / intensity(0.0).mean()
    step = 1e-5
    seen = np.asarray(twin(np.stack([step * objects, -step * objects])))[:, 0]
    ours = (seen[0] - seen[1]) / (2 * step)
    # an FFT of even size cannot hold the sign of its highest frequency
    for image in (slope, ours):
        waves = np.fft.fft2(image)
        waves[8] = waves[:, 8] = 0
        image[:] = np.fft.ifft2(waves).real
    np.testing.assert_allclose(ours, slope, atol=2e-5 * np.abs(slope).max())


def test_a_symmetric_source_in_focus_shows_no_phase():
    _, on_phase = PhaseContrast(**SMALL).transfer()
    assert np.abs(np.asarray(on_phase)).max() < 1e-12


def test_half_a_source_shows_phase_as_a_slope():
    twin = PhaseContrast(**SMALL)
    half = twin.with_values(twin.hand_made()["half"])
    on_absorption, on_phase = (np.asarray(h)[0] for h in half.transfer())
    assert np.abs(on_phase.real).max() < 1e-12
    assert np.abs(on_phase.imag).max() > 0.5
    np.testing.assert_allclose(on_phase[:8, 0], 0, atol=1e-12)  # only along the split
    assert on_absorption[0, 0] == pytest.approx(-2)


def test_nothing_is_seen_beyond_twice_the_aperture():
    frequency = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.rfftfreq(16)) / 0.2
    for transfer in PhaseContrast(defocus_rad=1.0, **SMALL).transfer():
        assert np.abs(np.asarray(transfer)[0][frequency > 2.4]).max() < 1e-3


def test_shots_share_the_dose():
    np.testing.assert_allclose(PhaseContrast(shots=4, dose_e=800, **SMALL)(EMPTY), 200.0)


def test_at_equal_time_one_led_gives_a_hundred_and_fiftieth_of_the_light():
    centre = int(np.argmin(np.hypot(*led_positions().T)))
    twin = PhaseContrast(
        149 * source(centre).clip(0, 1 / 149), exposure="equal_time", dose_e=1000, **SMALL
    )
    light = np.abs(pupil(*led_positions().T, 0.0)) ** 2
    np.testing.assert_allclose(twin(EMPTY), 1000 * light[centre] / light.sum())
    full = PhaseContrast(exposure="equal_time", dose_e=1000, **SMALL)
    np.testing.assert_allclose(full(EMPTY), 1000.0)


def test_at_equal_dose_only_ratios_of_drives_count():
    drives = np.random.default_rng(1).uniform(0, 0.5, (1, 149))
    objects = 0.1 * np.random.default_rng(2).random((1, 2, 16, 16))
    np.testing.assert_allclose(
        PhaseContrast(drives, **SMALL)(objects), PhaseContrast(2 * drives, **SMALL)(objects)
    )
