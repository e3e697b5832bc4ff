"""The radio interferometer: which stations observe a black hole's shadow together.

    V(u, v) = sum_p I_p exp(-2 pi i (u x_p + v y_p))          [jansky]

at the baselines (u, v), in wavelengths, that the Earth's rotation draws; A. R. Thompson, J. M.
Moran and G. W. Swenson, Interferometry and Synthesis in Radio Astronomy (3rd ed., 2017), sections
4.1 and 6.2. The thermal noise of the real and of the imaginary part is

    sigma = sqrt(SEFD_a SEFD_b / (2 bandwidth time)) / efficiency

and visibilities are given in units of it: noise of standard deviation 1, no photo-electrons here.
Stations and their noise are those of the array file EHT2017 of the package eht-imaging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from drivers.virtual.twins.projection import onto_capped_simplex
from drivers.virtual.twins.twin import Parameter, Twin

STATIONS: Mapping[str, tuple[float, float, float, float]] = {
    "ALMA": (2225061.164, -5440057.37, -2481681.15, 90.0),
    "APEX": (2225039.53, -5441197.63, -2479303.36, 3500.0),
    "JCMT": (-5464584.68, -2493001.17, 2150653.98, 6000.0),
    "LMT": (-768713.9637, -5988541.7982, 2063275.9472, 600.0),
    "PV": (5088967.9, -301681.6, 3825015.8, 1400.0),
    "SMA": (-5464523.4, -2493147.08, 2150611.75, 4900.0),
    "SMT": (-1828796.2, -5054406.8, 3427865.2, 5000.0),
    "SPT": (0.01, 0.01, -6359609.7, 5000.0),
}
"""Geocentric x, y, z in metres, and system equivalent flux density in jansky."""

FREQUENCY_HZ = 230e9
BANDWIDTH_HZ = 4e9
SCAN_S = 120.0
SCANS = 24
EFFICIENCY = 0.88
LOWEST_ELEVATION_DEG = 10.0
FIELD_UAS = 128.0
M87_DECLINATION_DEG = 12.391
SPEED_OF_LIGHT_M_PER_S = 299_792_458.0
_UAS = np.pi / 180 / 3600 * 1e-6


class Interferometer(Twin):
    """An array that watches one source for a day; real and imaginary part are two shots.

    Parameters
    ----------
    stations
        1 for a station that observes, 0 for one that does not, (stations,). Between them a
        relaxation: the station's signal is that much weaker.
    count
        How many stations observe.
    names
        Of the stations that may be chosen; keys of `STATIONS`.
    side
        Pixels of a side of the image.
    declination_deg
        Of the source.
    """

    stations: Float[Array, " stations"]
    progress: Float[Array, ""]
    _u: Float[Array, " visibilities"]
    _v: Float[Array, " visibilities"]
    _sigma_jy: Float[Array, " visibilities"]
    _first: Array
    _second: Array
    count: int = eqx.field(static=True)
    side: int = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    declination_deg: float = eqx.field(static=True)

    def __init__(
        self,
        stations: Any = None,
        *,
        count: int = 4,
        names: Sequence[str] = tuple(STATIONS),
        side: int = 24,
        declination_deg: float = M87_DECLINATION_DEG,
        progress: float = 1.0,
    ):
        self.names, self.count, self.side = tuple(names), count, side
        self.declination_deg = declination_deg
        chosen = np.arange(len(self.names)) < count if stations is None else stations
        self.stations = jnp.asarray(chosen, float)
        self.progress = jnp.asarray(progress, float)
        first, second, u, v = baselines(self.names, declination_deg=declination_deg)
        sefd = np.array([STATIONS[name][3] for name in self.names])
        radiometer = np.sqrt(sefd[first] * sefd[second] / (2.0 * BANDWIDTH_HZ * SCAN_S))
        self._u, self._v = jnp.asarray(u, float), jnp.asarray(v, float)
        self._sigma_jy = jnp.asarray(radiometer / EFFICIENCY, float)
        self._first, self._second = jnp.asarray(first), jnp.asarray(second)

    @property
    def stations_of_visibilities(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of both stations of every visibility, each (visibilities,)."""
        return np.asarray(self._first), np.asarray(self._second)

    @property
    def object_shape(self) -> tuple[int, int]:
        """(side, side): flux, Jy a pixel."""
        return self.side, self.side

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Which stations observe."""
        return {"stations": Parameter(unit="1", low=0.0, high=1.0, meaning="1 where it observes")}

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Every choice of `count` stations, by their names: few enough to be listed."""
        designs = {}
        for chosen in combinations(range(len(self.names)), self.count):
            mask = np.zeros(len(self.names))
            mask[list(chosen)] = 1.0
            designs["+".join(self.names[i] for i in chosen)] = {"stations": mask}
        return designs

    def projected(self) -> Self:
        """As many stations as there are; shares between 0 and 1 while the choice is soft."""
        return self.with_values({
            "stations": onto_capped_simplex(self.stations, total=float(self.count))
        })

    def annealed(self, progress: Any) -> Self:
        """Return the twin at this share of an optimisation; at 1 a station observes or not."""
        return eqx.tree_at(lambda twin: twin.progress, self, jnp.asarray(progress, float))

    def observing(self) -> Float[Array, " stations"]:
        """Return how much each station takes part; 0 or 1 at the end."""
        rank = jnp.argsort(jnp.argsort(-self.stations))
        return jnp.where(self.progress >= 1.0, (rank < self.count).astype(float), self.stations)

    def with_stations_chosen(self, chosen: Sequence[str]) -> Interferometer:
        """Return the array of these stations alone, without the visibilities of others."""
        seen = [name for name in self.names if name in set(chosen)]
        return Interferometer(
            np.ones(len(seen)),
            count=len(seen),
            names=seen,
            side=self.side,
            declination_deg=self.declination_deg,
        )

    def visibilities_jy(
        self, objects: Float[Array, "objects rows columns"]
    ) -> Complex[Array, "objects visibilities"]:
        """Return the Fourier components of images (Jy a pixel) at all baselines."""
        pixel = FIELD_UAS * _UAS / self.side
        place = (np.arange(self.side) - (self.side - 1) / 2) * pixel
        down = jnp.exp(-2j * jnp.pi * self._v[:, None] * place)
        along = jnp.exp(-2j * jnp.pi * self._u[:, None] * place)
        return jnp.einsum("nyx,ky,kx->nk", objects, down, along)

    def __call__(
        self, objects: Float[Array, "objects rows columns"]
    ) -> Float[Array, "objects shots height width"]:
        """Return expected visibilities, (objects, 2, 1, visibilities), in noise deviations."""
        taking_part = self.observing()
        strength = taking_part[self._first] * taking_part[self._second] / self._sigma_jy
        whitened = self.visibilities_jy(objects) * strength
        return jnp.stack([whitened.real, whitened.imag], axis=1)[:, :, None, :]


def baselines(
    names: Sequence[str], *, declination_deg: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return both stations and (u, v) in wavelengths of every visibility of hourly scans.

    A scan counts where both stations see the source at least 10 degrees above the horizon.
    """
    place = np.array([STATIONS[name][:3] for name in names])
    upward = place / np.linalg.norm(place, axis=1, keepdims=True)
    declination = np.deg2rad(declination_deg)
    hour = 2.0 * np.pi * np.arange(SCANS) / SCANS
    source = np.stack(
        [
            np.cos(declination) * np.cos(hour),
            -np.cos(declination) * np.sin(hour),
            np.full(SCANS, np.sin(declination)),
        ],
        axis=1,
    )
    is_up: Bool[np.ndarray, "stations scans"] = upward @ source.T >= np.sin(
        np.deg2rad(LOWEST_ELEVATION_DEG)
    )
    east = np.stack([np.sin(hour), np.cos(hour), np.zeros(SCANS)], axis=1)
    north = np.stack(
        [
            -np.sin(declination) * np.cos(hour),
            np.sin(declination) * np.sin(hour),
            np.full(SCANS, np.cos(declination)),
        ],
        axis=1,
    )
    first, second = np.triu_indices(len(names), k=1)
    pair, scan = np.nonzero(is_up[first] & is_up[second])
    apart = (place[second] - place[first]) * FREQUENCY_HZ / SPEED_OF_LIGHT_M_PER_S
    u = np.einsum("ki,ki->k", apart[pair], east[scan])
    v = np.einsum("ki,ki->k", apart[pair], north[scan])
    return first[pair], second[pair], u, v
