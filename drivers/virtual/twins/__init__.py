"""Differentiable forward models of optical benches, one file a domain, all with one interface."""

from drivers.virtual.twins.colour import Colour
from drivers.virtual.twins.infrared import Infrared
from drivers.virtual.twins.interferometer import Interferometer
from drivers.virtual.twins.lensless import Lensless
from drivers.virtual.twins.phase import PhaseContrast
from drivers.virtual.twins.pupil import AdaptivePupil
from drivers.virtual.twins.tomography import Tomography
from drivers.virtual.twins.twin import Annealed, Parameter, Twin

__all__ = [
    "AdaptivePupil",
    "Annealed",
    "Colour",
    "Infrared",
    "Interferometer",
    "Lensless",
    "Parameter",
    "PhaseContrast",
    "Tomography",
    "Twin",
]
