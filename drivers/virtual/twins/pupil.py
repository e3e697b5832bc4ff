"""The programmable-pupil microscope of the demo, under the interface of all twins.

The optics are those of `drivers.virtual.pupil_microscope`, which the virtual bench uses too; the
parameters are what its actuators set: Zernike coefficients of the modulator, and the focus stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from drivers.virtual.pupil_microscope import PupilMicroscope
from drivers.virtual.twins.twin import Parameter, Twin
from drivers.virtual.zernike import FIRST_MODE, LAST_MODE, noll_modes

MODES = LAST_MODE - FIRST_MODE + 1


class AdaptivePupil(Twin):
    """A microscope with a hidden aberration, and a modulator to cancel it.

    Parameters
    ----------
    modes_rad
        Zernike coefficients 4 to 15 (Noll) on the modulator, rad rms, (12,).
    focus_um
        Position of the focus stage.
    aberration_rad
        The hidden aberration, in the same modes.
    electrons
        Expected photo-electrons of a pixel at object brightness 1.
    background_e
        Photo-electrons a pixel that carry no object.
    side, margin
        Pixels of a side of the field, and of the object beyond each edge of it.
    """

    modes_rad: Float[Array, " modes"]
    focus_um: Float[Array, ""]
    electrons: Float[Array, ""]
    background_e: Float[Array, ""]
    microscope: PupilMicroscope
    _basis: Float[Array, "modes rows columns"]

    def __init__(
        self,
        modes_rad: Any = None,
        focus_um: Any = 0.0,
        *,
        aberration_rad: Any = None,
        electrons: float = 400.0,
        background_e: float = 20.0,
        side: int = 32,
        margin: int = 16,
    ):
        flat = np.zeros(MODES)
        self.modes_rad = jnp.asarray(flat if modes_rad is None else modes_rad, float)
        self.focus_um = jnp.asarray(focus_um, float)
        self.electrons = jnp.asarray(electrons, float)
        self.background_e = jnp.asarray(background_e, float)
        hidden = np.asarray(flat if aberration_rad is None else aberration_rad, float)
        self.microscope = PupilMicroscope(hidden, height=side, width=side, margin=margin)
        self._basis = jnp.asarray(noll_modes(self.microscope.side), float)

    @property
    def object_shape(self) -> tuple[int, int]:
        """Field and margins: relative brightness."""
        return self.microscope.object_shape

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Modulator and focus."""
        return {
            "modes_rad": Parameter(unit="rad", low=-2.0, high=2.0, meaning="Zernike 4 to 15"),
            "focus_um": Parameter(unit="um", low=-10.0, high=10.0, meaning="focus stage"),
        }

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the flat modulator at focus zero."""
        return {"flat": {"modes_rad": np.zeros(MODES), "focus_um": 0.0}}

    def __call__(
        self, objects: Float[Array, "objects rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected photo-electrons of one shot an object, brightness with margins."""
        return self.microscope(
            objects,
            modulator_rad=jnp.tensordot(self.modes_rad, self._basis, axes=1),
            focus_um=self.focus_um,
            electrons=self.electrons,  # pyright: ignore[reportArgumentType] - a traced number
            background_e=self.background_e,  # pyright: ignore[reportArgumentType]
        )
