"""The demo's microscope under the twins' interface is the one on the virtual bench."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from drivers.virtual.pupil_microscope import PupilMicroscope
from drivers.virtual.twins import AdaptivePupil
from drivers.virtual.zernike import noll_modes


def test_it_is_the_microscope_of_the_virtual_bench():
    rng = np.random.default_rng(0)
    hidden, modes = rng.normal(0, 0.3, (2, 12))
    twin = AdaptivePupil(
        modes, 2.0, aberration_rad=hidden, electrons=7.0, background_e=3.0, side=16, margin=8
    )
    objects = rng.random((2, 32, 32))
    bench = PupilMicroscope(hidden, height=16, width=16, margin=8)(
        jnp.asarray(objects),
        modulator_rad=jnp.asarray(np.tensordot(modes, noll_modes(64), axes=1)),
        focus_um=jnp.asarray(2.0),
        electrons=7.0,
        background_e=3.0,
    )
    np.testing.assert_allclose(twin(objects), bench, rtol=1e-6)


def test_the_opposite_of_the_aberration_makes_it_sharp():
    hidden = np.linspace(-0.4, 0.4, 12)
    point = np.zeros((1, 32, 32))
    point[0, 16, 16] = 1.0
    aberrated = AdaptivePupil(aberration_rad=hidden, side=16, margin=8)
    perfect = AdaptivePupil(side=16, margin=8)
    np.testing.assert_allclose(
        aberrated.with_values({"modes_rad": -hidden})(point), perfect(point), rtol=1e-4
    )
    assert float(aberrated(point).max()) < 0.6 * float(perfect(point).max())
