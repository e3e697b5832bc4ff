"""From options to twins and objects: every domain, every kind."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from drivers.virtual.twin_options import DOMAINS, KINDS_OF_OBJECTS, ObjectOptions, TwinOptions
from drivers.virtual.twins import Twin
from drivers.virtual.twins.factory import make_objects, make_twin

OBJECTS_OF = {
    "lensless": "beads",
    "colour": "colour_photographs",
    "infrared": "thermal_scenes",
    "tomography": "ellipses",
    "phase": "cells",
    "interferometer": "rings",
    "pupil_microscope": "textures",
}


def objects_options(kind):
    return TypeAdapter(ObjectOptions).validate_python({"kind": kind, "count": 20})


def twin_of(domain) -> Twin:
    options = TypeAdapter(TwinOptions).validate_python({"domain": domain})
    return make_twin(options, rng=np.random.default_rng(0))


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_a_twin_and_objects(domain):
    twin = twin_of(domain)
    objects = make_objects(objects_options(OBJECTS_OF[domain]), twin, rng=np.random.default_rng(1))
    assert objects.shape == (20, *twin.object_shape)


@pytest.mark.parametrize("kind", KINDS_OF_OBJECTS)
def test_every_kind_is_made_for_some_domain(kind):
    shapes = {twin_of(domain).object_shape for domain in ("lensless", "colour", "phase")}
    made = []
    for domain in ("lensless", "colour", "phase"):
        try:
            made.append(
                make_objects(objects_options(kind), twin_of(domain), rng=np.random.default_rng(1))
            )
        except ValueError:
            continue
    assert {objects.shape[1:] for objects in made} <= shapes
    assert made


def test_objects_that_a_twin_cannot_look_at_are_refused():
    with pytest.raises(ValueError, match=r"cells have the shape \(2, 48, 48\)"):
        make_objects(objects_options("cells"), twin_of("lensless"), rng=np.random.default_rng(0))


def test_the_hidden_aberration_has_the_size_asked_for():
    options = TypeAdapter(TwinOptions).validate_python({
        "domain": "pupil_microscope",
        "aberration_rms_rad": 0.7,
    })
    twin = make_twin(options, rng=np.random.default_rng(0))
    assert np.linalg.norm(twin.microscope.aberration_rad) == pytest.approx(0.7, rel=1e-5)
