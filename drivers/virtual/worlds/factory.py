"""From options in a bench file to a world."""

from __future__ import annotations

from drivers.virtual.options import (
    ColourBench,
    InfraredBench,
    InterferometerBench,
    LenslessBench,
    PhaseBench,
    TomographyBench,
    TwinBenchOptions,
)
from drivers.virtual.worlds.colour import ColourWorld
from drivers.virtual.worlds.infrared import InfraredWorld
from drivers.virtual.worlds.interferometer import InterferometerWorld
from drivers.virtual.worlds.lensless import LenslessWorld
from drivers.virtual.worlds.phase import PhaseWorld
from drivers.virtual.worlds.tomography import TomographyWorld
from drivers.virtual.worlds.twin_world import TwinWorld


def make_twin_world(options: TwinBenchOptions) -> TwinWorld:
    """Return the world of a twin's bench, ready to be exposed.

    Raises
    ------
    ValueError
        For options of no bench.
    """
    seed = options.seed
    match options:
        case LenslessBench():
            world = LenslessWorld(options, seed=seed)
        case ColourBench():
            world = ColourWorld(options, seed=seed)
        case InfraredBench():
            world = InfraredWorld(options, seed=seed)
        case TomographyBench():
            world = TomographyWorld(options, seed=seed)
        case PhaseBench():
            world = PhaseWorld(options, seed=seed)
        case InterferometerBench():
            world = InterferometerWorld(options, seed=seed)
        case _:
            raise ValueError(f"{type(options).__name__}: no bench of a twin has these options")
    world.prepare()
    return world
