"""Raw, Fourier, Hadamard and Zernike patterns: orthogonal, in order, where the file puts them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument.bench.patterns import (
    FourierBasis,
    Plane,
    RawBasis,
    fourier_labels,
    grey_patterns,
    hadamard_labels,
    hadamard_modes,
    make_basis,
    pattern_parameter,
    plain_response,
    walsh_functions,
    zernike_modes,
)
from instrument.config import ConfigError, Pupil, Region, parse_config
from instrument.design import DesignError
from tests.instrument.fakes import make_bench, make_config, merged

REGION = Region(top=3, left=2, height=8, width=16)
PUPIL = Pupil(x_px=20.5, y_px=14, radius_px=12)


def parameter_of(tmp_path, **keys):
    config = make_config(tmp_path).model_dump(mode="json")
    design = {"pupil": {"role": "slm", **keys}}
    return parse_config({**config, "design": design}, source="t", folder=tmp_path).design["pupil"]


def drawn(tmp_path, components, shape=(16, 32), **keys):
    basis = make_basis(parameter_of(tmp_path, **keys), plain_response(shape))
    return basis.pattern(components)


def stacked(modes, count):
    """Each mode alone, one a row."""
    return np.stack([modes.field(unit).ravel() for unit in np.eye(count)])


# ---- orthogonality


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(7, 20), st.integers(7, 20))
def test_fourier_modes_are_orthonormal_in_the_mean_square(down, across, height, width):
    count = (2 * down + 1) * (2 * across + 1) - 1
    if count == 0:
        return
    modes = stacked(FourierBasis((down, across), Plane.of((height, width))), count)
    assert len(fourier_labels((down, across))) == count
    np.testing.assert_allclose(modes @ modes.T / modes.shape[1], np.eye(count), atol=1e-12)
    np.testing.assert_allclose(modes.mean(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("blocks", [(1, 2), (4, 8), (8, 4), (16, 16)])
def test_hadamard_modes_are_all_there_is_and_orthogonal(blocks):
    count = blocks[0] * blocks[1]
    modes = stacked(hadamard_modes(blocks, 0, count - 1, Plane.of((16, 32))), count)
    assert set(np.unique(modes)) == {-1.0, 1.0}
    np.testing.assert_array_equal(modes @ modes.T, 16 * 32 * np.eye(count))


@pytest.mark.parametrize("pupil", [None, PUPIL], ids=["largest disc", "stated"])
def test_zernike_modes_have_unit_rms_on_their_pupil(pupil):
    plane = Plane.of((96, 128))
    disc = pupil or Pupil(x_px=63.5, y_px=47.5, radius_px=48)
    inside = np.hypot(plane.x - disc.x_px, plane.y - disc.y_px) <= disc.radius_px
    modes = stacked(zernike_modes(2, 10, plane, pupil=pupil), 9)[:, inside.ravel()]
    pixels = inside.sum()
    # The rim of a disc of r pixels is known to a pixel in r: 1/48 and 1/12 of the mean square.
    np.testing.assert_allclose(modes @ modes.T / pixels, np.eye(9), atol=3 / disc.radius_px)


# ---- order and place


@pytest.mark.parametrize("count", [1, 2, 8, 64])
def test_walsh_function_s_changes_sign_s_times(count):
    changes = (np.diff(walsh_functions(count)) != 0).sum(axis=1)
    np.testing.assert_array_equal(changes, np.arange(count))


def test_hadamard_modes_come_coarse_first():
    labels = hadamard_labels((4, 4), 0, 15)
    assert labels[:4] == ("H 0,0", "H 0,1", "H 1,0", "H 0,2")
    assert labels[-1] == "H 3,3"
    modes = stacked(hadamard_modes((4, 4), 1, 15, Plane.of((4, 4))), 15).reshape(15, 4, 4)
    np.testing.assert_array_equal(modes[0], np.tile([1, 1, -1, -1], (4, 1)))
    np.testing.assert_array_equal(modes[1], np.tile([1, 1, -1, -1], (4, 1)).T)


def test_fourier_modes_come_slow_first_and_have_the_periods_of_their_name():
    labels = fourier_labels((2, 2))
    assert labels[:6] == ("cos 0,1", "sin 0,1", "cos 1,0", "sin 1,0", "cos 1,-1", "sin 1,-1")
    field = FourierBasis((2, 2), Plane.of((32, 24))).field(np.eye(24)[labels.index("sin 1,-2")])
    strength = np.abs(np.fft.fft2(field))
    assert {tuple(i) for i in np.argwhere(strength > 1e-6)} == {(1, 22), (31, 2)}


def test_a_sine_rises_from_the_edge_of_the_region():
    sine = FourierBasis((0, 1), Plane.of((1, 8))).field([0.0, 1.0])[0]
    expected = math.sqrt(2) * np.sin(math.tau * (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(sine, expected)


@pytest.mark.parametrize(
    ("basis", "count"),
    [
        (FourierBasis((1, 1), Plane.of((20, 30)), region=REGION), 8),
        (hadamard_modes((2, 4), 1, 7, Plane.of((20, 30)), region=REGION), 7),
        (RawBasis(Plane.of((20, 30)), region=REGION), 128),
    ],
    ids=["fourier", "hadamard", "raw"],
)
def test_a_region_holds_the_pattern_and_nothing_else_does(basis, count):
    field = basis.field(np.random.default_rng(1).uniform(1, 2, count))
    rows, columns = np.nonzero(field)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 10, 2, 17)


def test_a_zernike_pupil_lies_where_it_is_told():
    field = zernike_modes(1, 1, Plane.of((40, 50)), pupil=PUPIL).field([1.0])  # piston
    rows, columns = np.nonzero(field)
    assert (rows.mean(), columns.mean()) == pytest.approx((14, 20.5))
    assert np.count_nonzero(field) == pytest.approx(math.pi * 12**2, rel=0.03)


def test_raw_values_stay_pixel_by_pixel():
    values = np.arange(6.0)
    field = RawBasis(Plane.of((2, 3))).field(values)
    np.testing.assert_array_equal(field, values.reshape(2, 3))


# ---- levels: wrapped where a phase, refused where a grey


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6))
def test_a_raw_phase_is_shown_modulo_one_turn_within_half_a_level(phases):
    response = plain_response((2, 3))
    levels = response.of_phase(RawBasis(response.plane).field(phases))
    error = np.exp(1j * (levels * (2 * np.pi / 256) - np.reshape(phases, (2, 3))))
    assert np.abs(np.angle(error)).max() <= np.pi / 256 + 1e-9


@pytest.mark.parametrize("level", [-0.6, 255.6, 300, math.nan])
def test_a_grey_level_is_never_wrapped(level):
    response = plain_response((1, 2))
    with pytest.raises(DesignError, match=r"grey levels .* came, 0 to 255 due"):
        response.of_grey(np.array([[0.0, level]]))


def test_greys_of_modes_lie_around_their_mean(tmp_path):
    greys = {"basis": "hadamard", "blocks": [1, 2], "bounds_grey": [-50, 50], "mean_grey": 100}
    levels = drawn(tmp_path, [20], **greys)
    assert set(np.unique(levels)) == {80, 120}
    assert levels[0, 0] == 120


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ({"basis": "hadamard", "blocks": [2, 2]}, "-42.5 to 42.5"),  # 3 modes on 127.5
        ({"basis": "hadamard", "blocks": [2, 2], "mean_grey": 60}, "-20 to 20"),
        ({"basis": "fourier", "cycles": [0, 1]}, "-63.75 to 63.75"),  # sqrt 2 (|cos| + |sin|) <= 2
    ],
)
def test_bounds_that_allow_greys_that_there_are_not_are_refused(tmp_path, keys, allowed):
    with pytest.raises(DesignError, match=rf"0 to 255; {allowed} fit whatever the design"):
        drawn(tmp_path, [0, 0, 0], (16, 4), bounds_grey=[-128, 128], **keys)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.floats(-42.5, 42.5), min_size=3, max_size=3))
def test_within_the_allowed_bounds_no_grey_is_refused(tmp_path_factory, coefficients):
    keys = {"basis": "hadamard", "blocks": [2, 2], "bounds_grey": [-42.5, 42.5]}
    levels = drawn(tmp_path_factory.getbasetemp(), coefficients, **keys)
    assert levels.dtype == np.uint8


# ---- what the search sees


def test_parameters_of_every_basis_say_unit_bounds_and_start(tmp_path):
    def described(**keys):
        return pattern_parameter("pupil", parameter_of(tmp_path, **keys), (3, 4))

    raw = described(basis="raw", bounds_grey=[130, 255])
    assert (raw.size, raw.unit, raw.start[0], raw.modal) == (12, "grey", 130, False)
    assert raw.labels[:5] == ("pixel 0,0", "pixel 0,1", "pixel 0,2", "pixel 0,3", "pixel 1,0")
    waves = described(basis="fourier", cycles=[1, 1], bounds_rad=[-2, 3], start_rad=0.5)
    assert (waves.size, waves.unit, waves.lower, waves.upper) == (8, "rad", -2, 3)
    assert (waves.start[0], waves.modal) == (0.5, True)
    walsh = described(basis="hadamard", blocks=[8, 8], modes=[1, 9], bounds_grey=[-5, 5])
    assert (walsh.size, walsh.labels[0], walsh.modal) == (9, "H 0,1", False)


def test_a_raw_pattern_of_too_many_pixels_is_refused_before_it_is_made(tmp_path):
    parameter = parameter_of(tmp_path, basis="raw", bounds_rad=[0, 6])
    with pytest.raises(DesignError, match="name a smaller region, or let superpixels"):
        pattern_parameter("pupil", parameter, (1080, 1920))


def test_levels_of_a_phase_are_not_called_brightness(tmp_path):
    for unit, named in (("rad", ()), ("grey", ("slm",))):
        keys = {"basis": "raw", f"bounds_{unit}": [0, 6]}
        design = {"pupil": {"role": "slm", **keys}}
        config = merged(make_config(tmp_path).model_dump(mode="json"), {})
        config = parse_config({**config, "design": design}, source="t", folder=tmp_path)
        assert grey_patterns(config) == named


def test_a_bench_draws_what_the_design_says(tmp_path):
    pupil = {"basis": "fourier", "cycles": [0, 1], "bounds_rad": [-3, 3], "modes": None}
    config = make_config(tmp_path).model_dump(mode="json")
    pupil = {"role": "slm", **{k: v for k, v in pupil.items() if v is not None}}
    bench = make_bench(parse_config({**config, "design": {"pupil": pupil}}, source="t",
                                    folder=tmp_path))  # fmt: skip
    space = bench.space()
    (setting,) = bench.check(space.from_vector([1.0, 0.0]), space=space)
    across = (np.arange(16) + 0.5) / 16
    phase = math.sqrt(2) * np.cos(2 * math.pi * across)
    np.testing.assert_array_equal(setting["slm"][5], np.rint(phase / math.tau * 256) % 256)


# ---- what is refused


REFUSED = {
    "no unit": ({"basis": "raw"}, "give bounds_rad for a phase or bounds_grey for grey levels"),
    "two units": (
        {"basis": "raw", "bounds_rad": [0, 6], "bounds_grey": [0, 9]}, "one of the two",
    ),
    "start in another unit": (
        {"basis": "raw", "bounds_rad": [0, 6], "start_grey": 3}, "write start_rad",
    ),
    "start out of bounds": (
        {"basis": "raw", "bounds_rad": [0, 6], "start_rad": 7},
        "`design.pupil.start_rad` = 7 is outside its own bounds [0.0, 6.0]",
    ),
    "greys there are not": ({"basis": "raw", "bounds_grey": [0, 300]}, "there are 0 to 255"),
    "no cycles": ({"basis": "fourier", "cycles": [0, 0], "bounds_rad": [-1, 1]}, "one cycle"),
    "mean of a phase": (
        {"basis": "fourier", "cycles": [0, 1], "bounds_rad": [-1, 1], "mean_grey": 3},
        "mean_grey is for grey levels",
    ),
    "no power of two": (
        {"basis": "hadamard", "blocks": [3, 4], "bounds_rad": [-1, 1]}, "powers of two (1, 2, 4",
    ),
    "one block": ({"basis": "hadamard", "blocks": [1, 1], "bounds_rad": [-1, 1]}, "two blocks"),
    "modes there are not": (
        {"basis": "hadamard", "blocks": [2, 2], "modes": [1, 4], "bounds_rad": [-1, 1]},
        "modes 1 to 4: 0 to 3, in order",
    ),
    "a region of nothing": (
        {"basis": "raw", "bounds_rad": [0, 6], "region": {"height": 0, "width": 3}},
        "`design.pupil.region.height` = 0",
    ),
    "a pupil without size": (
        {"basis": "zernike", "modes": [4, 5], "bounds_rad": [0, 6],
         "pupil": {"x_px": 0, "y_px": 0, "radius_px": 0}},
        "`design.pupil.pupil.radius_px` = 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_clear_sentence(tmp_path, keys, sentence):
    with pytest.raises(ConfigError) as caught:
        parameter_of(tmp_path, **keys)
    assert sentence in str(caught.value)
    assert len(caught.value.problems) == 1


BEYOND = {
    "region": ({"basis": "raw", "bounds_rad": [0, 6], "region": {"height": 17, "width": 3}},
               "region of rows 0 to 16 and columns 0 to 2 is not on the modulator of 16 x 32"),
    "cycles": ({"basis": "fourier", "cycles": [8, 1], "bounds_rad": [-1, 1]}, "8 cycles on 16"),
    "blocks": ({"basis": "hadamard", "blocks": [32, 2], "bounds_rad": [-1, 1]}, "32 x 2 blocks"),
    "pupil": ({"basis": "zernike", "modes": [4, 5], "bounds_rad": [0, 6],
               "pupil": {"x_px": -40, "y_px": 0, "radius_px": 9}}, "is not on the modulator"),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "sentence"), BEYOND.values(), ids=BEYOND.keys())
def test_what_does_not_fit_the_modulator_is_refused(tmp_path, keys, sentence):
    with pytest.raises(DesignError, match=sentence):
        drawn(tmp_path, [0.0], **keys)


def test_another_number_of_components_is_refused(tmp_path):
    for keys in (
        {"basis": "fourier", "cycles": [0, 1], "bounds_rad": [-1, 1]},
        {"basis": "raw", "bounds_rad": [-1, 1]},
    ):
        with pytest.raises(DesignError, match=r"3 (coefficients|values) came"):
            drawn(tmp_path, [0.0, 0.0, 0.0], **keys)
