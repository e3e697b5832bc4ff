"""From a phase or grey level to what a modulator is sent: table, flatness, registration, on/off."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from instrument.bench.patterns import (
    FourierBasis,
    LookupTable,
    ModulatorFileError,
    Plane,
    RawBasis,
    Response,
    make_basis,
    make_response,
    plain_response,
    read_flatness,
    read_lookup_table,
    zernike_modes,
)
from instrument.config import ConfigError, Pupil, SlmRole, parse_config
from instrument.design import DesignError
from tests.instrument.fakes import make_bench, make_config

SHAPE = (6, 8)
GREY = np.arange(0, 256, 5)
TURN = 2 * math.pi


def bent(grey, span_rad):
    """A measured curve, as liquid crystals have: steep first, then flat."""
    return span_rad * np.sqrt(grey / 255)


def role_of(**keys):
    return SlmRole(device="SLM", **keys)


# ---- look-up table


@settings(deadline=None, derandomize=True)
@given(st.floats(-40, 40), st.sampled_from([TURN, 7.0, 9.5]), st.booleans())
def test_a_table_of_a_turn_shows_every_phase_within_half_its_coarsest_level(
    phase_rad, span_rad, falls
):
    phases = bent(GREY, span_rad) * (-1 if falls else 1)
    table = LookupTable(GREY, phases)
    level = table.levels(np.array([[phase_rad]]))[0, 0]
    shown = np.interp(level, GREY, phases)
    coarsest = np.abs(np.diff(phases)).max() / 5  # five grey levels between measured ones
    error = np.angle(np.exp(1j * (shown - phase_rad)))
    assert abs(error) <= coarsest / 2 + 1e-6


def test_a_phase_inside_the_measured_range_is_not_wrapped():
    table = LookupTable(np.array([0, 255]), np.array([0.0, 3 * math.pi]))
    np.testing.assert_array_equal(table.levels(np.array([[2.5 * math.pi]])), [[212]])  # 212.5
    np.testing.assert_array_equal(table.levels(np.array([[4.2 * math.pi]])), [[17]])


def test_a_table_of_256_even_levels_is_the_response_without_a_table():
    table = LookupTable(np.arange(256), np.arange(256) * (TURN / 256))
    phases = np.random.default_rng(3).uniform(-30, 30, SHAPE)
    np.testing.assert_array_equal(table.levels(phases), plain_response(SHAPE).of_phase(phases))


@pytest.mark.parametrize("turns", [-2, 1, 2])
def test_a_phase_just_below_a_whole_turn_is_the_level_of_zero(turns):
    step = TURN / 256
    table = LookupTable(np.arange(256), np.arange(256) * step)
    phases = turns * TURN + np.array([[-0.75, -0.25, 0.25]]) * step
    np.testing.assert_array_equal(table.levels(phases), [[255, 0, 0]])


def test_a_table_of_less_than_a_turn_refuses_what_lies_in_its_gap():
    table = LookupTable(GREY, bent(GREY, 5.0))
    assert not table.is_full_turn
    np.testing.assert_array_equal(table.levels(np.array([[5.0, 5.0 - TURN]])), [[255, 255]])
    for wrong in (5.5, -0.5, math.nan):
        with pytest.raises(DesignError, match=r"the look-up table goes from 0 to 5 rad"):
            table.levels(np.array([[0.0, wrong]]))


@pytest.mark.parametrize("bounds", [(-0.5, 4.0), (0.0, 6.0)])
def test_bounds_beyond_less_than_a_turn_are_refused_before_anything_is_drawn(tmp_path, bounds):
    response = Response(plane=Plane.of(SHAPE), lookup=LookupTable(GREY, bent(GREY, 5.0)))
    with pytest.raises(DesignError, match="0 to 5 rad, less than a turn, so that nothing can be"):
        make_basis(raw(tmp_path, bounds), response)
    make_basis(raw(tmp_path, (0.0, 5.0)), response)


def test_a_constant_in_the_flatness_map_makes_room_below_zero(tmp_path):
    table = LookupTable(GREY, bent(GREY, 5.0))
    constant = np.full(SHAPE, 2.5)
    response = Response(plane=Plane.of(SHAPE), lookup=table, flatness_rad=constant)
    basis = make_basis(raw(tmp_path, (-2.5, 2.5)), response)
    middle = basis.pattern([0.0] * 48)
    assert bent(middle, 5.0) == pytest.approx(2.5, abs=0.02)


def raw(tmp_path, bounds):
    config = make_config(tmp_path).model_dump(mode="json")
    pupil = {"role": "slm", "basis": "raw", "bounds_rad": bounds}
    return parse_config({**config, "design": {"pupil": pupil}}, source="t", folder=tmp_path).design[
        "pupil"
    ]


# ---- files of tables


def test_a_table_is_read_from_csv_and_from_npy_alike(tmp_path):
    table = np.stack([GREY, bent(GREY, TURN)], axis=1)
    np.save(tmp_path / "lut.npy", table)
    lines = [f"{grey},{phase!r}" for grey, phase in table.tolist()]
    (tmp_path / "lut.csv").write_text("\n".join(["# 633 nm, 24 degC", "grey,phase_rad", *lines]))
    phases = np.random.default_rng(0).uniform(0, TURN, SHAPE)
    first, second = (
        read_lookup_table(tmp_path / name, key="k").levels(phases)
        for name in ("lut.npy", "lut.csv")
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(bent(first, TURN), phases, atol=0.45)


BAD_TABLES = {
    "no numbers": ("grey,phase_rad\n0,zero\n", "could not convert string to float: 'zero'"),
    "ragged": ("0,0\n1\n", "two columns of numbers are needed, grey,phase_rad"),
    "three columns": ("0,0,0\n1,1,1\n", r"float64 of shape \(2, 3\); two columns"),
    "nothing": ("grey,phase_rad\n", "two columns of numbers are needed"),
    "one line": ("0,0\n", "1 levels; two at least"),
    "beyond 8 bit": ("0,0\n300,6\n", "whole numbers from 0 to 255, ascending"),
    "a fraction": ("0,0\n0.5,6\n", "whole numbers from 0 to 255, ascending"),
    "out of order": ("9,0\n3,6\n", "whole numbers from 0 to 255, ascending"),
    "not monotonic": ("0,0\n9,4\n20,3\n30,6\n", "from grey level 9 to 20 it goes the other way"),
    "flat": ("0,0\n9,0\n", "from grey level 0 to 9 it goes the other way or nowhere"),
    "nan": ("0,0\n9,nan\n", "the phase of grey level 9 is none"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_a_table_that_is_none_is_refused_by_name(tmp_path, text, sentence):
    path = tmp_path / "lut.csv"
    path.write_text(text)
    with pytest.raises(ModulatorFileError, match=sentence) as caught:
        read_lookup_table(path, key="bench.roles.slm.lut")
    assert str(caught.value).startswith(f"`bench.roles.slm.lut` = {path}: ")


def test_files_of_other_kinds_are_refused_and_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "lut.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ModulatorFileError, match="Object arrays cannot be loaded"):
        read_lookup_table(tmp_path / "lut.npy", key="k")
    with pytest.raises(ModulatorFileError, match=r"is a \.csv or \.npy file"):
        read_lookup_table(tmp_path / "lut.xlsx", key="k")
    with pytest.raises(ModulatorFileError, match="No such file"):
        read_lookup_table(tmp_path / "missing.npy", key="k")
    (tmp_path / "empty.npy").write_bytes(b"")
    with pytest.raises(ModulatorFileError, match="cannot be read"):
        read_lookup_table(tmp_path / "empty.npy", key="k")


# ---- flatness


def test_flatness_is_added_before_the_phase_is_wrapped(tmp_path):
    flatness = np.random.default_rng(0).uniform(-9, 9, SHAPE).astype(np.float32)
    np.save(tmp_path / "flat.npy", flatness)
    response = make_response("slm", role_of(flatness=tmp_path / "flat.npy"), SHAPE)
    levels = response.of_phase(np.full(SHAPE, 1.0))
    error = np.angle(np.exp(1j * (levels * TURN / 256 - 1.0 - flatness.astype(float))))
    assert np.abs(error).max() <= math.pi / 256 + 1e-6


@pytest.mark.parametrize(("mode", "levels"), [("L", 256), ("I;16", 65536)])
def test_a_picture_of_flatness_has_a_turn_in_its_levels(tmp_path, mode, levels):
    grey = np.arange(48).reshape(SHAPE) * (levels // 64)
    Image.fromarray(grey.astype(np.uint8 if mode == "L" else np.uint16)).save(tmp_path / "f.png")
    flatness = read_flatness(tmp_path / "f.png", shape=SHAPE, key="k")
    np.testing.assert_allclose(flatness, grey * TURN / levels)


def test_a_flatness_archive_holds_one_array(tmp_path):
    flatness = np.linspace(0, 1, 48).reshape(SHAPE)
    np.savez(tmp_path / "f.npz", flatness_rad=flatness)
    np.testing.assert_array_equal(read_flatness(tmp_path / "f.npz", shape=SHAPE, key="k"), flatness)
    np.savez(tmp_path / "f.npz", a=flatness, b=flatness)
    with pytest.raises(ModulatorFileError, match="holds a, b; one array is needed"):
        read_flatness(tmp_path / "f.npz", shape=SHAPE, key="k")


BAD_FLATNESS = {
    "shape": (np.zeros((8, 6)), r"shape \(8, 6\), the modulator has \(6, 8\) \(height, width\)"),
    "grey levels": (np.zeros(SHAPE, np.uint8), "uint8; a flatness map is a phase in rad"),
    "complex": (np.zeros(SHAPE, complex), "complex128; a flatness map is a phase in rad"),
    "nan": (np.full(SHAPE, np.nan), "no number at row 0, column 0"),
}


@pytest.mark.parametrize(("flatness", "sentence"), BAD_FLATNESS.values(), ids=BAD_FLATNESS.keys())
def test_a_flatness_map_of_another_shape_or_type_is_refused_by_name(tmp_path, flatness, sentence):
    np.save(tmp_path / "f.npy", flatness)
    with pytest.raises(ModulatorFileError, match=sentence) as caught:
        read_flatness(tmp_path / "f.npy", shape=SHAPE, key="bench.roles.slm.flatness")
    assert "`bench.roles.slm.flatness`" in str(caught.value)


def test_pictures_in_colour_and_other_files_are_refused(tmp_path):
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / "f.png")
    with pytest.raises(ModulatorFileError, match="kind RGB; save it as grey"):
        read_flatness(tmp_path / "f.png", shape=SHAPE, key="k")
    (tmp_path / "g.png").write_bytes(b"no picture")
    with pytest.raises(ModulatorFileError, match="cannot be read"):
        read_flatness(tmp_path / "g.png", shape=SHAPE, key="k")
    with pytest.raises(ModulatorFileError, match=r"\.npy, \.npz or \.png file"):
        read_flatness(tmp_path / "f.bmp", shape=SHAPE, key="k")


# ---- registration


def test_a_shift_moves_the_pattern_right_and_down(tmp_path):
    plane = Plane.of(SHAPE, [[1, 0, 2], [0, 1, 1]])  # x first: 2 to the right, 1 down
    values = np.arange(48.0).reshape(SHAPE)
    moved = RawBasis(plane).field(values.ravel())
    np.testing.assert_array_equal(moved[1:, 2:], values[:-1, :-2])
    assert not moved[0].any()
    assert not moved[:, :2].any()


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_quarter_turn_turns_every_basis_like_its_picture(quarter):
    cos, sin = round(math.cos(quarter * math.pi / 2)), round(math.sin(quarter * math.pi / 2))
    middle = 15.5
    shift = [middle - cos * middle + sin * middle, middle - sin * middle - cos * middle]
    plane = Plane.of((32, 32), [[cos, -sin, shift[0]], [sin, cos, shift[1]]])
    pupil = Pupil(x_px=12, y_px=18, radius_px=9)
    drawn = [
        (zernike_modes(2, 9, where, pupil=pupil).field(range(1, 9)),
         FourierBasis((2, 1), where).field(range(14)))
        for where in (Plane.of((32, 32)), plane)
    ]  # fmt: skip
    for plain, turned in zip(*drawn, strict=True):  # x right, y down: from x towards y
        np.testing.assert_allclose(turned, np.rot90(plain, -quarter), atol=1e-9)


def test_an_analytic_pattern_is_evaluated_between_pixels_not_interpolated():
    plane = Plane.of((8, 64), [[2.5, 0, 0.3], [0, 1, 0]])
    field = FourierBasis((0, 3), plane).field([0, 0, 0, 0, 1.0, 0])
    across = ((np.arange(64) - 0.3) / 2.5 + 0.5) / 64
    np.testing.assert_allclose(field[4], math.sqrt(2) * np.cos(2 * math.pi * 3 * across))


def test_a_raw_pattern_is_taken_from_the_nearest_pixel_or_interpolated_as_the_file_says():
    values = [0.0, 10.0, 20.0, 30.0]
    plane = Plane.of((1, 4), [[1, 0, 0.25], [0, 1, 0]])
    np.testing.assert_allclose(RawBasis(plane, order=0).field(values), [values])
    np.testing.assert_allclose(RawBasis(plane, order=1).field(values), [[0, 7.5, 17.5, 27.5]])


def test_a_registered_region_may_reach_over_the_edge_but_not_lie_beyond_it(tmp_path):
    response = make_response("slm", role_of(affine=[[1, 0, -4], [0, 1, 0]]), SHAPE)
    field = RawBasis(response.plane).field(range(48))
    np.testing.assert_array_equal(field[0], [4, 5, 6, 7, 0, 0, 0, 0])
    away = make_response("slm", role_of(affine=[[1, 0, 50], [0, 1, 0]]), SHAPE)
    with pytest.raises(DesignError, match="is not on the modulator of 6 x 8 pixels"):
        RawBasis(away.plane)


# ---- on and off


@pytest.mark.parametrize(("on", "off"), [(255, 0), (1, 0), (0, 255)])
def test_a_binary_device_is_on_above_half_of_full_scale(on, off):
    response = make_response("slm", role_of(on_value=on, off_value=off), (1, 4))
    levels = response.of_grey(np.array([[0.0, 127.5, 127.6, 255.0]]))
    np.testing.assert_array_equal(levels, [[off, off, on, on]])
    assert levels.dtype == np.uint8


def test_walsh_patterns_of_a_binary_device_are_half_on(tmp_path):
    config = config_of(
        tmp_path,
        {"on_value": 1},
        {"basis": "hadamard", "blocks": [2, 2], "modes": [1, 1], "bounds_grey": [-9, 9]},
    )
    bench = make_bench(config)
    space = bench.space()
    (setting,) = bench.check(space.from_vector([5.0]), space=space)
    assert (np.unique(setting["slm"]).tolist(), setting["slm"].mean()) == ([0, 1], 0.5)


# ---- the file


def config_of(tmp_path, slm, pupil):
    config = make_config(tmp_path).model_dump(mode="json")
    config["bench"]["roles"]["slm"].update(slm)
    design = {"pupil": {"role": "slm", **pupil}}
    return parse_config({**config, "design": design}, source="t", folder=tmp_path)


PHASE = {"basis": "raw", "bounds_rad": [0, 6], "region": {"height": 1, "width": 1}}
GREYS = {"basis": "raw", "bounds_grey": [0, 255], "region": {"height": 1, "width": 1}}
REFUSED = {
    "off without on": ({"off_value": 3}, GREYS, "off_value needs on_value"),
    "on is off": ({"on_value": 0}, GREYS, "on_value and off_value are both 0"),
    "on beyond 8 bit": ({"on_value": 256}, GREYS, "`bench.roles.slm.on_value` = 256"),
    "a table of a binary device": (
        {"on_value": 1, "lut": "a.csv"}, GREYS, "a binary device, and lut are for phases",
    ),
    "a line": ({"affine": [[1, 2, 0], [2, 4, 0]]}, PHASE, "maps the plane onto a line"),
    "a matrix of another shape": ({"affine": [[1, 0], [0, 1]]}, PHASE, "`bench.roles.slm.affine"),
    "a phase of a binary device": (
        {"on_value": 1}, PHASE, "`design.pupil` is a phase, and `bench.roles.slm.on_value`",
    ),
    "greys with a table": (
        {"lut": "a.csv", "flatness": "b.npy"}, GREYS,
        "`design.pupil` is in grey levels, which lut and flatness of `bench.roles.slm`",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("slm", "pupil", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_clear_sentence(tmp_path, slm, pupil, sentence):
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, slm, pupil)
    assert sentence in str(caught.value)


def test_paths_are_taken_from_the_folder_of_the_bench_file(tmp_path):
    config = config_of(tmp_path, {"lut": "slm/lut.csv"}, PHASE)
    assert config.bench.roles["slm"].lut == (tmp_path / "slm/lut.csv").resolve()
    again = parse_config(config.model_dump(mode="json"), source="run", folder=tmp_path)
    assert again == config
