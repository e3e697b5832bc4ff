"""Seeded objects for twins: what may stand in front of each bench. Nothing is downloaded.

Every maker takes how many objects, their side in pixels and a NumPy `Generator`, and returns the
objects along the first axis. Makers from photographs and digits have a `split`: training objects
never share a photograph or a digit with test objects.
"""

from drivers.virtual.objects.astronomy import rings
from drivers.virtual.objects.cells import cells
from drivers.virtual.objects.patterns import bead_entropy_bits, beads, textures, white
from drivers.virtual.objects.phantoms import ellipses
from drivers.virtual.objects.pictures import Split, colour_photographs, digits, photographs
from drivers.virtual.objects.thermal import thermal_scenes

__all__ = [
    "Split",
    "bead_entropy_bits",
    "beads",
    "cells",
    "colour_photographs",
    "digits",
    "ellipses",
    "photographs",
    "rings",
    "textures",
    "thermal_scenes",
    "white",
]
