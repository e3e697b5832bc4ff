"""All twins in double precision, each with a design inside its bounds and objects to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from drivers.virtual.twins import (
    AdaptivePupil,
    Colour,
    Infrared,
    Interferometer,
    Lensless,
    PhaseContrast,
    Tomography,
    Twin,
)


@dataclass(frozen=True)
class Case:
    """How to make a twin, what it should look at, and whether it gives photo-electrons."""

    make: Callable[[], Twin]
    brightness: float
    gives_photons: bool = True


CASES = {
    "lensless": Case(
        lambda: Lensless(
            [[0.3, -1.2], [2.4, 3.1]], [0.6, 0.4], [1.0, 1.3], field=16, side=8, reach_px=6.0
        ),
        1.0,
    ),
    "lensless, band limited": Case(
        lambda: Lensless([[0.3, -1.2]], field=16, side=16, spot="band_limited"), 0.5
    ),
    "colour": Case(
        lambda: Colour(
            np.random.default_rng(1).uniform(-0.9, 0.9, (8, 8, 4)), side=12, progress=0.2
        ),
        0.3,
    ),
    "infrared": Case(lambda: Infrared(1.7, 0.4, 0.6, 0.3, field=12, side=8), 3.0),
    "tomography": Case(
        lambda: Tomography([0.1, 0.9, 1.7, 2.6], [0.4, 0.3, 0.2, 0.1], side=10),
        0.1,
    ),
    "phase": Case(
        lambda: PhaseContrast(
            np.random.default_rng(2).uniform(0.1, 0.9, (2, 149)), 0.4, field=16, side=8
        ),
        0.1,
    ),
    "phase at equal time": Case(
        lambda: PhaseContrast(
            np.random.default_rng(3).uniform(0.1, 0.9, (1, 149)),
            -0.7,
            field=16,
            side=8,
            exposure="equal_time",
        ),
        0.1,
    ),
    "interferometer": Case(
        lambda: Interferometer(np.linspace(0.2, 0.8, 8), side=12, progress=0.5),
        1.0 / 144,
        gives_photons=False,
    ),
    "pupil microscope": Case(
        lambda: AdaptivePupil(
            np.linspace(-0.5, 0.4, 12), 1.5, aberration_rad=np.full(12, 0.2), side=12, margin=6
        ),
        1.0,
    ),
}


VARIANTS = ("lensless, band limited", "phase at equal time")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def twin_cases() -> dict[str, Case]:
    return CASES


def pytest_generate_tests(metafunc):
    if "one_case_a_twin" in metafunc.fixturenames:  # compilation is what these tests cost
        cases = {name: case for name, case in CASES.items() if name not in VARIANTS}
        metafunc.parametrize("one_case_a_twin", cases.values(), ids=cases.keys())
    if "twin_case" in metafunc.fixturenames:
        metafunc.parametrize("twin_case", CASES.values(), ids=CASES.keys())
