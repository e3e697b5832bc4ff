"""From components to grey levels: the bases, against what can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument.bench.patterns import (
    DISC_BOUNDS,
    DiscBasis,
    Plane,
    SuperpixelBasis,
    grey_patterns,
    make_basis,
    pattern_parameter,
    plain_response,
    render_patterns,
)
from instrument.config import SuperpixelParameter, parse_config
from instrument.design import Design, DesignError
from tests.instrument.fakes import make_config

SHAPE = (20, 30)
MODULATORS = {
    "leds": {"role": "slm", "basis": "superpixel", "cells": [2, 3]},
    "chosen": {"role": "slm", "basis": "superpixel", "cells": [2, 3], "choices": [0, 7, 255]},
    "phases": {
        "role": "slm", "basis": "superpixel", "cells": [2, 3], "bounds_rad": [-9, 9],
        "start_rad": 1,
    },
    "stop": {"role": "slm", "basis": "disc", "grey": 200},
    "pupil": {
        "role": "slm", "basis": "zernike", "modes": [2, 6], "bounds_rad": [-9, 9],
        "pupil": {"x_px": 3, "y_px": 4, "radius_px": 5},
    },
    "raw phase": {
        "role": "slm", "basis": "raw", "bounds_rad": [-7, 7], "region": {"height": 2, "width": 3},
    },
    "raw greys": {"role": "slm", "basis": "raw", "bounds_grey": [10, 200]},
    "waves": {"role": "slm", "basis": "fourier", "cycles": [1, 2], "bounds_rad": [-3, 3]},
    "walsh": {"role": "slm", "basis": "hadamard", "blocks": [2, 4], "bounds_grey": [-18, 18]},
}  # fmt: skip


def config_of(tmp_path, *, shots=1, **parameter):
    design = {"pupil": parameter, "focus": {"role": "focus", "bounds_um": [-10, 10]}}
    config = make_config(tmp_path).model_dump(mode="json")
    return parse_config({**config, "design": design, "shots": shots}, source="t", folder=tmp_path)


# ---- cells


def test_cells_lie_row_by_row_and_share_the_pixels_evenly():
    pattern = SuperpixelBasis((2, 3), plane=Plane.of((4, 7))).field([0, 1, 2, 3, 4, 255])
    np.testing.assert_array_equal(pattern[0], [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(pattern[:, 0], [0, 0, 3, 3])
    assert pattern[-1, -1] == 255


@settings(deadline=None, derandomize=True)
@given(pixels=st.integers(1, 200), data=st.data())
def test_the_shares_of_cells_differ_by_one_pixel_at_most(pixels, data):
    cells = data.draw(st.integers(1, pixels))
    levels = np.arange(cells) % 256
    pattern = SuperpixelBasis((1, cells), plane=Plane.of((1, pixels))).field(levels)[0]
    edges = np.flatnonzero(np.diff(pattern.astype(int))) + 1
    shares = np.diff([0, *edges, pixels])
    assert len(shares) == cells
    assert shares.max() - shares.min() <= 1


def test_tiles_repeat_the_cells():
    once = SuperpixelBasis((2, 2), plane=Plane.of((4, 4))).field([1, 2, 3, 4])
    tiled = SuperpixelBasis((2, 2), plane=Plane.of((8, 12)), tiles=(2, 3)).field([1, 2, 3, 4])
    np.testing.assert_array_equal(tiled, np.tile(once, (2, 3)))


def test_choices_are_grey_levels_by_index():
    basis = SuperpixelBasis((1, 3), plane=Plane.of((1, 3)), choices=(0, 7, 255))
    np.testing.assert_array_equal(basis.field([2, 0, 1]), [[255, 0, 7]])
    for wrong in ([3, 0, 0], [0.5, 0, 0], [-1, 0, 0]):
        with pytest.raises(DesignError, match="whole numbers of 3 grey levels"):
            basis.field(wrong)


@pytest.mark.parametrize("level", [-0.6, 256, 300, float("nan")])
def test_a_level_that_8_bits_do_not_hold_is_refused_not_wrapped(level):
    with pytest.raises(DesignError, match="0 to 255 due"):
        SuperpixelBasis((1, 2), plane=Plane.of((2, 2))).field([0, level])


def test_levels_are_rounded_to_the_nearest():
    pattern = SuperpixelBasis((1, 2), plane=Plane.of((1, 2))).field([127.6, 0.4])
    np.testing.assert_array_equal(pattern, [[128, 0]])


@pytest.mark.parametrize(("cells", "tiles"), [((21, 1), (1, 1)), ((5, 8), (1, 4))])
def test_a_modulator_with_fewer_pixels_than_cells_is_refused(cells, tiles):
    with pytest.raises(DesignError, match="modulator of 20 x 30 pixels; a cell needs a pixel"):
        SuperpixelBasis(cells, plane=Plane.of(SHAPE), tiles=tiles)


# ---- disc


def test_a_disc_covers_its_share_of_the_unit_square():
    """A circle of radius .8 in a square of side 2; the edge pixels are worth their number."""
    pattern = DiscBasis(plane=Plane.of((200, 200))).field([0, 0, 0.8])
    assert set(np.unique(pattern)) == {0, 255}
    assert np.mean(pattern > 0) == pytest.approx(np.pi * 0.8**2 / 4, abs=2 / 200)


def test_a_disc_lies_where_it_is_told_y_down_x_right():
    pattern = DiscBasis(plane=Plane.of(SHAPE), grey=9).field([0.5, -0.5, 0.2])
    rows, columns = np.nonzero(pattern == 9)
    assert rows.mean() == pytest.approx(0.75 * 20 - 0.5)
    assert columns.mean() == pytest.approx(0.25 * 30 - 0.5)


@settings(deadline=None, derandomize=True)
@given(*[st.floats(low, high) for low, high in DISC_BOUNDS])
def test_a_disc_always_lights_the_nearest_pixel(y, x, radius):
    pattern = DiscBasis(plane=Plane.of(SHAPE)).field([y, x, radius])
    row = min(int((y + 1) / 2 * 20), 19)
    column = min(int((x + 1) / 2 * 30), 29)
    assert pattern[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].any()


@pytest.mark.parametrize("wrong", [(1.1, 0, 0.5), (0, 0, 1.6), (0, 0, 0), (0, float("nan"), 1)])
def test_a_disc_out_of_bounds_is_refused(wrong):
    with pytest.raises(DesignError, match=r"of a disc is .*, allowed"):
        DiscBasis(plane=Plane.of(SHAPE)).field(wrong)


# ---- the family


@pytest.mark.parametrize("key", MODULATORS)
def test_every_basis_draws_its_own_start_and_bounds(tmp_path, key):
    config = config_of(tmp_path, **MODULATORS[key])
    parameter = pattern_parameter("pupil", config.design["pupil"], SHAPE)
    basis = make_basis(config.design["pupil"], plain_response(SHAPE))
    bounds = zip(*parameter.component_bounds, strict=True)
    for components in (parameter.start, *bounds):
        pattern = basis.pattern(components)
        assert (pattern.dtype, pattern.shape) == (np.uint8, SHAPE)


def test_the_parameter_of_cells_has_a_component_a_cell(tmp_path):
    config = config_of(tmp_path, **MODULATORS["leds"])
    parameter = pattern_parameter("pupil", config.design["pupil"], SHAPE)
    assert parameter.labels[:4] == ("cell 0,0", "cell 0,1", "cell 0,2", "cell 1,0")
    assert (parameter.lower, parameter.upper, parameter.start[0]) == (0, 255, 128)
    assert not parameter.is_categorical


def test_cells_of_phases_are_wrapped_and_start_in_rad(tmp_path):
    config = config_of(tmp_path, **MODULATORS["phases"])
    parameter = pattern_parameter("pupil", config.design["pupil"], SHAPE)
    assert (parameter.unit, parameter.start, parameter.lower) == ("rad", (1.0,) * 6, -9)
    basis = make_basis(config.design["pupil"], plain_response(SHAPE))
    corners = basis.pattern([0, 0, 0, 0, 0, 2 * np.pi + np.pi / 2])[[0, -1], [0, -1]]
    assert corners.tolist() == [0, 64]


def test_cells_with_choices_are_categories_that_start_at_the_asked_level(tmp_path):
    config = config_of(tmp_path, **MODULATORS["chosen"], start_grey=7)
    parameter = pattern_parameter("pupil", config.design["pupil"], SHAPE)
    assert parameter.choices == ("0", "7", "255")
    assert parameter.start == (1.0,) * 6


def test_a_record_is_drawn_as_it_was_shown_shot_by_shot(tmp_path):
    config = config_of(tmp_path, shots=2, per_shot=True, **MODULATORS["leds"])
    meta = {"config": config.model_dump(mode="json"), "slm_shapes": {"slm": list(SHAPE)}}
    shown = render_patterns(meta, Design({"pupil": (0.0,) * 6 + (255.0,) * 6, "focus": (0.0,)}))
    assert {name: int(p.mean()) for name, p in shown.items()} == {
        "slm, shot 1": 0, "slm, shot 2": 255,
    }  # fmt: skip
    assert grey_patterns(config) == ("slm, shot 1", "slm, shot 2")
    assert grey_patterns(make_config(tmp_path)) == ()


def test_the_model_of_cells_says_its_defaults():
    parameter = SuperpixelParameter(role="leds", basis="superpixel", cells=(5, 5))
    assert (parameter.tiles, parameter.bounds_grey, parameter.per_shot) == ((1, 1), (0, 255), False)
