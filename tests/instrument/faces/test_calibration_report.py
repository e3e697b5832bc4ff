"""The report of calibrations made by hand: what it says, what it shows, what it leaves out."""

import functools
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest

from estimation.calibration import (
    CalibrationWarning,
    Defect,
    Finding,
    Point,
    SensorCalibration,
)
from instrument.faces.calibration_report import summary, write_calibration_report
from instrument.faces.calibration_report.page import is_sample_in_view, with_error

HOSTILE = "<script>alert('$x^2$ & \"co\"')</script>"
SHAPE = (8, 16)


def point(signal, variance, *, label="light 1.0 at 0.01 s", is_dark=False):
    return Point(
        label=label, is_dark=is_dark, signal=signal, signal_spread2=0.0, variance=variance,
        freedom=8.0, frames=9, pixels=100,
    )  # fmt: skip


@functools.cache
def fitted():
    """Return any real result: what a test does not set comes from here."""
    rng = np.random.default_rng(0)
    calibration = SensorCalibration(bit_depth=12)

    def frames(mean_e, count):
        charge = rng.poisson(mean_e, (count, 32, 32)) + 2 * rng.normal(size=(count, 32, 32))
        return np.rint(100 + 2 * charge).astype(np.uint16)

    calibration.add(frames(0, 30), exposure_s=0.01, light=0.0)
    for power in (1, 2, 3, 4):
        calibration.add(frames(200 * power, 4), exposure_s=0.01, light=power)
    return calibration.fit()


def made(**changes):
    """Gain 2, offset 100, read noise 3 e-: variance = 2 x signal + 36, on a small sensor."""
    curve = (
        point(0.0, 36.0, label="dark at 0.01 s", is_dark=True),
        point(82.0, 200.0, label="light 1.0 at 0.01 s"),
        point(164.0, 364.0, label="light 2.0 at 0.01 s"),
        point(328.0, 692.0, label="light 4.0 at 0.01 s"),
    )
    values = {
        "gain": 2.0,
        "gain_se": 0.02,
        "offset": np.full(SHAPE, 100.0),
        "offset_se": np.full(SHAPE, 0.5),
        "read_noise": np.full(SHAPE, 3.0),
        "read_noise_se": np.full(SHAPE, 0.05),
        "responsivity": np.ones(SHAPE),
        "responsivity_se": np.full(SHAPE, 0.01),
        "dark_current": np.full(SHAPE, 4.0),
        "dark_current_se": np.full(SHAPE, 0.05),
        "defects": np.zeros(SHAPE, np.int32),
        "prnu": 0.02,
        "dsnu": 0.75,
        "linearity_error": 0.004,
        "saturation": 4000.0,
        "dynamic_range": 557.0,
        "correlation": 0.001,
        "curve": curve,
        "curve_residuals": np.zeros(len(curve)),
        "warnings": (),
    }
    return replace(fitted(), **{**values, **changes})


def unsupported():
    """Frames that support a gain and a read noise only."""
    named = {
        Finding.SATURATION_NOT_REACHED: "no level saturates; add one",
        Finding.DARK_CURRENT_UNKNOWN: "darks have one exposure",
        Finding.LINEARITY_UNKNOWN: "fewer than three doses",
    }
    return made(
        dark_current=None, dark_current_se=None, linearity_error=None, saturation=None,
        dynamic_range=None, correlation=None,
        warnings=tuple(CalibrationWarning(name, said) for name, said in named.items()),
    )  # fmt: skip


def page_of(result, tmp_path, **meta):
    path = write_calibration_report(result, tmp_path / "calibration.html", meta=meta)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory):
    return page_of(made(), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def plain_text(plain_page):
    return text_of(plain_page)


def text_of(page):
    """Return what a reader sees of a page, on one line."""

    class Reader(HTMLParser):
        seen = ""
        hidden = False

        def handle_starttag(self, tag, attributes):
            self.hidden = tag == "style"

        def handle_endtag(self, tag):
            self.hidden = False
            self.seen += " " if tag in {"td", "th", "dt", "dd", "title", "div", "span", "b"} else ""

        def handle_data(self, data):
            self.seen += "" if self.hidden else data

    reader = Reader()
    reader.feed(page)
    return " ".join(reader.seen.split())


def quantity(result, symbol, *, is_sample_in_view=False):
    table = summary.emva_table(result, is_sample_in_view=is_sample_in_view)
    return next(row for row in table if row.symbol == symbol)


# ---- what it says


def test_the_head_gives_the_gain_both_ways_with_errors(plain_text):
    assert "2.000 \N{PLUS-MINUS SIGN} 0.020 ADU/e" in plain_text
    # 1 / 2 = 0.5, its error 0.02 / 2^2 = 0.005
    assert "0.5000 \N{PLUS-MINUS SIGN} 0.0050 e" in plain_text


def test_the_head_gives_read_noise_offset_dark_current_and_range(plain_text):
    assert "read noise 3.00 e" in plain_text
    assert "offset 100.00 ADU" in plain_text
    assert "dark current 4.000 e" in plain_text
    assert "dynamic range 557 54.9 dB" in plain_text  # 20 log10(557) = 54.92


def test_the_read_noise_over_pixels_is_a_root_mean_square():
    noise = np.full(SHAPE, 1.0)
    noise[:, ::2] = 7.0  # rms of 1 and 7: sqrt((1 + 49) / 2) = 5
    assert quantity(made(read_noise=noise), "sigma_d").value == pytest.approx(5.0)


def test_the_error_of_a_mean_shrinks_with_pixels_but_not_the_gains_part():
    # 128 pixels of 3 +- 0.05 e-, of which 3 x 1 % = 0.03 is the gain's and 0.04 their own:
    # 0.04 / sqrt(128) = 0.0035355; with 0.03: 0.0302076
    assert quantity(made(), "sigma_d").se == pytest.approx(0.0302076, rel=1e-4)
    # 4 +- 0.05 e-/s: the gain's 0.04, own 0.03 / sqrt(128) = 0.0026517; together 0.0400878
    assert quantity(made(), "mu_I").se == pytest.approx(0.0400878, rel=1e-4)


def test_pixels_out_of_use_are_left_out_of_the_numbers():
    defects, offset = np.zeros(SHAPE, np.int32), np.full(SHAPE, 100.0)
    defects[3, 4], offset[3, 4] = Defect.STUCK, 4095.0
    assert quantity(made(defects=defects, offset=offset), "mu_d").value == pytest.approx(100.0)


def test_saturation_capacity_is_counted_from_the_offset_in_electrons():
    capacity = quantity(made(), "mu_e.sat")
    assert capacity.value == pytest.approx(1950.0)  # (4000 - 100) / 2
    assert capacity.se == pytest.approx(19.5)  # 1 %, as the gain


def test_the_sensitivity_threshold_is_dark_noise_and_half_an_electron():
    threshold = quantity(made(), "mu_e.min")
    assert threshold.value == pytest.approx(3.5)  # sqrt(36) / 2 + 1/2
    assert threshold.se == pytest.approx(0.03)  # 1 % of 3 e-; the half electron is exact


def test_the_error_of_a_root_is_half_as_large():
    ratio = quantity(made(), "SNR_max")
    assert ratio.value == pytest.approx(44.1588)  # sqrt(1950)
    assert ratio.se == pytest.approx(44.1588 * 0.005)


def test_the_error_of_the_dynamic_range_is_the_half_electrons_share():
    # d ln DR / d ln K = -0.5 / 3.5; 557 x 1 % / 7
    assert quantity(made(), "DR").se == pytest.approx(557 * 0.01 / 7)


def test_the_error_of_nonuniformity_counts_outliers():
    # half the pixels at 99, half at 101: fourth moment = variance^2, nothing uncertain but the gain
    offset = np.full(SHAPE, 99.0)
    offset[:, ::2] = 101.0
    assert quantity(made(offset=offset, dsnu=0.5), "DSNU").se == pytest.approx(0.5 * 0.01)
    # one of 128 at 1 + d, in e-: m2 = d^2 p q, m4 = d^4 p q (p^3 + q^3), p = 1/128; d = 8
    p = 1 / 128
    m2, m4 = 64 * p * (1 - p), 4096 * p * (1 - p) * (p**3 + (1 - p) ** 3)
    offset = np.full(SHAPE, 100.0)
    offset[0, 0] = 116.0
    expected = np.hypot(np.sqrt((m4 - m2**2) / 128) / (2 * 0.5), 0.5 * 0.01)
    assert quantity(made(offset=offset, dsnu=0.5), "DSNU").se == pytest.approx(expected)


def test_linearity_correlation_and_noise_of_lines_have_their_errors():
    result = made(
        linearity_error_se=0.001, correlation_se=0.0002, row_noise=0.3, row_noise_se=0.01,
        column_noise=None,
    )  # fmt: skip
    table = summary.emva_table(result, is_sample_in_view=False)
    written = {row.name: (row.value, row.se) for row in table}
    assert written["linearity error"] == pytest.approx((0.4, 0.1))
    assert written["neighbour correlation of the shot noise"] == pytest.approx((0.1, 0.02))
    assert written["temporal row noise"] == (0.3, 0.01)
    assert "temporal column noise" not in written


def test_a_gain_map_is_drawn_with_its_spread(tmp_path):
    plain = summary.emva_table(made(gain_map=None), is_sample_in_view=False)
    assert not any("spread of the gain" in row.name for row in plain)
    amplifiers = np.where(np.arange(SHAPE[1]) < 8, 1.9, 2.1) * np.ones(SHAPE)
    result = made(gain_map=amplifiers, gain_spread=0.1)
    assert "spread of the gain over pixels" in text_of(page_of(result, tmp_path))
    table = summary.emva_table(result, is_sample_in_view=False)
    (row,) = (row for row in table if "spread of the gain" in row.name)
    # two values: the fourth moment is the square of the variance, so the spread has no error
    assert (row.value, row.se) == (0.1, pytest.approx(0.0, abs=1e-6))


def test_what_is_missing_is_shown_with_the_reason(tmp_path):
    text = text_of(page_of(unsupported(), tmp_path))
    assert "dark current \N{EN DASH} Darks have one exposure." in text
    assert "dynamic range \N{EN DASH} No level saturates; add one." in text
    assert "Linearity Not measured: Fewer than three doses." in text
    assert "LE \N{EN DASH} % Fewer than three doses." in text
    assert "3 warnings" in text


def test_maps_that_are_missing_are_not_drawn(plain_page, tmp_path):
    assert plain_page.count('alt="map of ') == 4
    page = page_of(unsupported(), tmp_path)
    assert 'alt="map of dark current"' not in page
    assert page.count('alt="map of ') == 3


def test_what_is_wrong_comes_before_what_was_not_measured(tmp_path):
    warnings = (
        CalibrationWarning(Finding.SATURATION_NOT_REACHED, "no level saturates"),
        CalibrationWarning(Finding.LAMP_FLICKER, "flickers at level 1"),
        CalibrationWarning(Finding.LAMP_FLICKER, "flickers at level 2"),
    )
    text = text_of(page_of(made(warnings=warnings), tmp_path))
    assert "2 warnings" in text
    first = text.index("Lamp flicker")
    assert first < text.index("Flickers at level 1.Flickers at level 2.")
    assert first < text.index("Saturation not reached")
    assert text.index("Saturation not reached") < text.index("ADU/e")  # before the numbers


def test_a_calibration_without_warnings_says_so(plain_text):
    assert "no warnings" in plain_text


SAMPLE_NOTE = "The sample was in view: this map shows the sample"


def test_a_sample_in_view_is_told_beside_responsivity_and_prnu(plain_text, tmp_path):
    text = text_of(page_of(made(), tmp_path, **{"sample in view": "yes, beads"}))
    assert SAMPLE_NOTE in text
    assert "% holds the sample and the illumination: not the sensor's own" in text
    assert SAMPLE_NOTE not in plain_text
    assert "not the sensor's own" not in plain_text


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"sample in view": "yes"}, True),
        ({"sample_in_view": "beads"}, True),
        ({"scene": "Sample in view"}, True),
        ({"sample in view": "no"}, False),
        ({"scene": "no sample in view"}, False),
        ({}, False),
    ],
)
def test_meta_says_whether_the_sample_is_in_view(meta, expected):
    assert is_sample_in_view(meta) is expected


def test_what_was_captured_is_shown_as_it_was_told(tmp_path):
    text = text_of(page_of(made(), tmp_path, protocol="quick", darks="100 at 10 ms"))
    assert "protocol quick darks 100 at 10 ms" in text
    assert "light 4.0 at 0.01 s 9 328.00 164.00 692.00" in text  # 328 ADU / 2


@pytest.mark.parametrize(
    ("value", "se", "expected"),
    [
        (2.16629, 0.00286, ("2.1663", "0.0029")),
        (20.468, 3.78, ("20.5", "3.8")),
        (15508.3, 127.0, ("15,508", "127")),
        (-0.5, 0.25, ("\N{MINUS SIGN}0.50", "0.25")),
        (4096.0, None, ("4,096", None)),
        (0.046147, None, ("0.046", None)),
    ],
)
def test_values_are_written_to_the_second_digit_of_their_error(value, se, expected):
    assert with_error(value, se) == expected


# ---- what it computes for its figures


def test_the_line_drawn_is_the_one_the_residuals_were_taken_from():
    # model 2 x + 36; the measured variances lie 10 % above and 20 % below it
    curve = (point(0.0, 36.0, is_dark=True), point(32.0, 110.0), point(82.0, 160.0))
    result = made(curve=curve, curve_residuals=np.array([0.0, 0.1, -0.2]), gain=2.2)
    assert summary.curve_line(result) == pytest.approx((2.0, 36.0))


def test_the_error_of_a_residual_is_that_of_a_counted_variance():
    # at signal 82: v = 200; (2 x 200^2 / 8 + 2^2 x 164 / 9) / 100 pixels = 100.729; root / 200
    assert summary.residual_errors(made())[1] == pytest.approx(0.0501819, rel=1e-5)


def test_levels_of_known_dose_are_one_series_and_labels_another():
    curve = (
        point(10.0, 1.0, label="light 1.0 at 0.01 s"),
        point(20.0, 1.0, label="light 1.0 at 0.02 s"),
        point(40.0, 1.0, label="light 2.0 at 0.02 s"),
        point(7.0, 1.0, label="light green at 3 at 0.1 s"),
        point(14.0, 1.0, label="light green at 3 at 0.2 s"),
        point(28.0, 1.0, label="light green at 3 at 0.4 s"),
        point(5.0, 1.0, label="dark at 9 s", is_dark=True),
        point(5.0, 1.0, label="light blue at 1 s"),
    )
    doses, labelled = summary.linearity_series(curve)
    assert doses.dose == pytest.approx([0.01, 0.02, 0.04])
    assert labelled.name == "exposure, green at 3"
    assert labelled.signal == pytest.approx([7, 14, 28])
    assert np.abs(doses.deviation).max() < 1e-12


def test_labels_are_those_the_calibration_writes():
    (series,) = summary.linearity_series(fitted().curve)
    assert series.dose == pytest.approx([0.01, 0.02, 0.03, 0.04])


def test_a_deviation_is_relative_to_the_line_of_least_relative_residuals():
    curve = tuple(
        point(signal, 1.0, label=f"light {dose}.0 at 1 s")
        for dose, signal in ((1, 100.0), (2, 200.0), (3, 300.0), (4, 440.0))
    )
    (series,) = summary.linearity_series(curve)
    # the normal equations with weights 1 / signal^2
    dose, signal = np.array([1, 2, 3, 4]), np.array([100, 200, 300, 440])
    w = 1 / signal**2
    s, sx, sy = w.sum(), w @ dose, w @ signal
    slope = (s * (w @ (dose * signal)) - sx * sy) / (s * (w @ dose**2) - sx**2)
    model = (sy - slope * sx) / s + slope * dose
    assert series.deviation == pytest.approx(signal / model - 1)


def test_the_spectrum_of_white_pixels_is_their_variance():
    image = np.random.default_rng(0).normal(5.0, 3.0, (400, 256))
    for axis in (0, 1):
        frequency, power = summary.mean_power(image, np.ones(image.shape, bool), axis=axis)
        # a mean of 400 x 128 or 256 x 200 exponential values
        assert power.mean() == pytest.approx(9.0, rel=5 / np.sqrt(256 * 128))
        assert (frequency[0], frequency[-1]) == (1 / image.shape[axis], 0.5)


def test_stripes_are_a_peak_along_the_axis_they_alternate_on():
    image = np.zeros((8, 16))
    image[:, ::2], image[:, 1::2] = 1.0, -1.0
    used = np.ones(image.shape, bool)
    along_rows = summary.mean_power(image, used, axis=1)[1]
    assert along_rows == pytest.approx([0] * 7 + [16.0])  # all of 16 pixels' power in one line
    assert summary.mean_power(image, used, axis=0)[1] == pytest.approx([0] * 4)


def test_pixels_out_of_use_leave_no_trace_in_the_spectrum():
    image, used = np.full((8, 16), 7.0), np.ones((8, 16), bool)
    image[2, 3], used[2, 3] = 4095.0, False
    assert summary.mean_power(image, used, axis=1)[1] == pytest.approx([0] * 8)


def test_one_bad_pixel_does_not_set_the_range():
    values = np.linspace(0, 1, 1001)
    values[-1] = 1e6
    low, high = summary.robust_range(values, 1.0)
    assert (low, high) == pytest.approx((0.01, 0.99))


def test_a_flat_map_has_a_range_too():
    low, high = summary.robust_range(np.full(9, 3.0), 1.0)
    assert low < 3.0 < high


def test_defects_are_counted_by_class_and_a_pixel_may_have_two():
    defects = np.zeros(SHAPE, np.int32)
    defects[0, 0], defects[0, 1] = Defect.HOT, Defect.HOT | Defect.NOISY
    counts = dict(summary.defect_counts(defects))
    assert counts == {
        Defect.HOT: 2, Defect.DEAD: 0, Defect.NOISY: 1, Defect.TELEGRAPH: 0, Defect.STUCK: 0
    }  # fmt: skip


def test_pixels_out_of_use_head_the_worst_then_the_furthest_away(tmp_path):
    rng = np.random.default_rng(0)
    defects, noise = np.zeros(SHAPE, np.int32), rng.normal(3.0, 0.1, SHAPE)
    for (row, column), kind, read_noise in (
        ((1, 2), Defect.NOISY, 12.0),
        ((3, 4), Defect.NOISY, 20.0),
        ((5, 6), Defect.STUCK, 3.0),
    ):
        defects[row, column], noise[row, column] = kind, read_noise
    result = made(defects=defects, read_noise=noise)
    worst = summary.worst_pixels(result, 20)
    assert [(pixel.row, pixel.column) for pixel in worst] == [(5, 6), (3, 4), (1, 2)]
    text = text_of(page_of(result, tmp_path))
    assert "3 of 128 pixels are unlike the others; 1 is left out of scores" in text
    assert "3 4 noisy 100.0 20.00 4.0 1.000" in text


def test_only_the_worst_are_listed(tmp_path):
    text = text_of(page_of(made(defects=np.full(SHAPE, Defect.HOT, np.int32)), tmp_path))
    assert "108 more are in the calibration" in text  # 128 - 20


# ---- one file, safe, and the same again


def test_the_page_needs_nothing_but_itself(plain_page):
    references = re.findall(r"""(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import""", plain_page)
    outside = [
        "".join(found)
        for found in references
        if not "".join(found).strip("\"'").startswith(("data:image/png;base64,", "#"))
    ]
    assert outside == []
    assert "http-equiv" in plain_page
    assert "<script" not in plain_page


def test_hostile_words_stay_words(tmp_path):
    curve = (
        *made().curve[:1],
        *(point(s, 2 * s + 36, label=f"light {HOSTILE} at {s} s") for s in (10.0, 20.0, 40.0)),
    )
    result = made(curve=curve, warnings=(CalibrationWarning(Finding.MISFIT, HOSTILE),))
    page = page_of(result, tmp_path, camera=HOSTILE, lens=HOSTILE)
    assert "<script" not in page
    # heading, title, warning, meta; a level's label three times; the axis of both drawings
    assert text_of(page).count(HOSTILE) == 4 + 3 + 2


def test_colours_follow_the_scheme_of_the_page(plain_page):
    drawn = "".join(re.findall(r"<svg.*?</svg>", plain_page, flags=re.DOTALL))
    assert "var(--search)" in drawn
    assert not re.search(r"#0[1-7]0[2-8]0[3-9]", drawn)
    assert "prefers-color-scheme: dark" in plain_page
    assert "@media print" in plain_page


def test_decades_are_labelled_as_people_write_them(plain_page):
    assert "mathdefault" not in plain_page
    assert ">100</text>" in plain_page


def test_the_same_result_gives_the_same_page(plain_page, tmp_path):
    before = dict(mpl.rcParams)
    assert page_of(made(), tmp_path) == plain_page
    assert dict(mpl.rcParams) == before
