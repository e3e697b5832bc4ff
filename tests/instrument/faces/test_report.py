"""The report of runs made by hand: what it says, what it shows, and that it needs nothing else."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.design import Design
from instrument.faces.report import summary, write_report
from instrument.faces.report.figures import contrast_adu, frame_uri, pattern_uri

HOSTILE = "<script>alert('$x^2$ & \"co\"')</script>"

START = Design({"pupil": (0.0, 0.0), "focus": (0.0,)})
BETTER = Design({"pupil": (1.5, -0.5), "focus": (2.0,)})

META = {
    "config": {
        "bench": {
            "micromanager": {"virtual": "pupil_microscope"},
            "roles": {
                "camera": {"kind": "camera", "device": "Camera", "exposure_ms": 10.0},
                "slm": {"kind": "slm", "device": "SLM"},
                "sample": {"kind": "xy_stage", "device": "XY", "limits_um": [[-450, 450]] * 2},
                "focus": {"kind": "stage", "device": "Z", "limits_um": [-50, 50]},
            },
        },
        "objects": {"stage_grid": {"role": "sample", "count": 4, "spacing_um": 120}},
        "design": {
            "pupil": {
                "of": "slm", "role": "slm", "basis": "zernike", "modes": [4, 5],
                "bounds_rad": [-2, 2],
            },
            "focus": {"of": "stage", "role": "focus", "bounds_um": [-10, 10]},
        },
        "noise": {"gain": 2.17, "offset": 100.0, "read_noise": 1.7},
        "score": {"density": "gaussian", "patch": 8, "objective": "bits_per_measurement"},
    },
    "config_name": HOSTILE,
    "created_at": "2026-01-02T03:04:05.678+00:00",
    "infoloop_version": "0.1.0",
    "versions": {"numpy": "2.4.6"},
    "devices": [
        {
            "name": "Camera",
            "kind": "camera",
            "identity": HOSTILE,
            "limits": {"exposure_ms": [0.01, 1000.0]},
            "properties": {},
        }
    ],
    "space": [
        {
            "name": "pupil", "unit": "rad", "lower": -2, "upper": 2, "labels": ["Z4", HOSTILE],
            "start": [0.0, 0.0],
        },
        {
            "name": "focus", "unit": "um", "lower": -10, "upper": 10, "labels": ["position"],
            "start": [0.0],
        },
    ],
    "status": "finished",
    "seconds": 75.0,
    "slm_shapes": {"slm": [32, 32]},
    "truth": {"final_residual_rad": 0.1234},
}  # fmt: skip


def estimate(bits: float, per_object=(0.0, 0.0)) -> dict:
    return {
        "bits_per_pixel": bits,
        "standard_error": 0.05,
        "frame_noise_standard_error": 0.01,
        "bits_per_measurement": bits * 256,
        "entropy": bits + 6.0,
        "conditional_entropy": 6.0,
        "density": "gaussian",
        "patch": [8, 8],
        "is_misspecified": False,
        "per_object_bits": [bits + offset for offset in per_object],
    }


class Run:
    """A run directory that is filled trial by trial."""

    def __init__(self, folder, **changes):
        self.folder = folder
        self.ledger = Ledger.create(folder, {**META, **changes})
        self.number = 0

    def capture(self, design=START, phase="search", peak_adu=1000):
        self.ledger.ask(number=self.number, phase=phase, design=design)
        counts = np.full((4, 1, 16, 16), 100, np.uint16)
        counts[:, :, 8, 8] = peak_adu
        self.ledger.capture(self.number, counts, {"exposure_ms": 10.0, "objects": 4})

    def score(self, bits, design=START, phase="search", **details):
        self.capture(design, phase)
        self.ledger.score(
            self.number,
            score=bits * 256,
            standard_error=0.01 * 256,
            estimate=estimate(bits, **details),
            seconds=2.0,
            timings={"exposure": 0.5, "score": 1.25},
        )
        self.number += 1

    def fail(self, why):
        self.ledger.ask(number=self.number, phase="search", design=BETTER)
        self.ledger.fail(self.number, why=why, seconds=1.0)
        self.number += 1

    def report(self):
        self.ledger.close()
        return write_report(self.folder).read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    started = Run(tmp_path)
    yield started
    started.ledger.close()


def text_of(page):
    """Return what a reader sees of a page, on one line."""

    class Reader(HTMLParser):
        seen = ""
        hidden = False

        def handle_starttag(self, tag, attributes):
            self.hidden = tag == "style"

        def handle_endtag(self, tag):
            self.hidden = False
            self.seen += " " if tag in {"td", "th", "dt", "dd", "title", "div"} else ""

        def handle_data(self, data):
            self.seen += "" if self.hidden else data

    reader = Reader()
    reader.feed(page)
    return " ".join(reader.seen.split())


def pixels(uri):
    return imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), format="png")


def finish(run):
    run.score(2.0, phase="initial")
    run.score(3.2, BETTER)
    run.fail(HOSTILE)
    run.score(3.0, BETTER, phase="confirm")
    run.score(3.1, BETTER, phase="confirm")
    run.ledger.set_meta("best_trial", 3)
    return run.report()


def test_the_head_gives_first_and_best_gain_trials_and_time(run):
    text = text_of(finish(run))
    assert "2.000 \N{RIGHTWARDS ARROW} 3.050 \N{PLUS-MINUS SIGN} 0.050" in text
    assert "+1.050" in text
    assert "5 trials, 1 failed" in text
    assert "1 min 15 s" in text
    assert "512 bits under the first design and 781" in text  # 2.0 * 256; 3.05 * 256, rounded


def test_only_captures_after_the_choice_count_for_the_best(run):
    text = text_of(finish(run))
    assert "captured 2 more times after it was chosen" in text
    assert "biased" not in text


def test_a_best_that_was_not_captured_again_is_called_biased(run):
    run.score(2.0, phase="initial")
    run.score(3.2, BETTER)
    text = text_of(run.report())
    assert (
        "one with the highest of 2 scores and was not captured again: its score is biased upwards"
        in text
    )


def test_a_misspecified_density_is_told_beside_the_score(run):
    run.capture()
    wrong = {**estimate(2.0), "is_misspecified": True}
    run.ledger.score(0, score=1, standard_error=1, estimate=wrong, seconds=1, timings={})
    assert "does not fit them well" in text_of(run.report())


def self_check(**changes):
    return {
        "when": "start", "at": "2026-01-02T03:04:05+00:00", "trials": 0, "is_alarm": False,
        "repeats": 8, "pixels": 16384, "model_free_bits": 6.942, "calibrated_bits": 6.941,
        "difference_bits": 0.001, "standard_error": 0.003, "light_change": 0.0,
        "drift_ratio": 1.0, "is_conclusive": True, "text": "8 repeats agree", **changes,
    }  # fmt: skip


def test_an_alarm_of_the_self_check_heads_the_page_and_its_numbers_are_told(run):
    alarm = self_check(
        when="end", trials=4, is_alarm=True, model_free_bits=6.9, calibrated_bits=6.95,
        difference_bits=-0.05, text="the frames are quieter than calibrated. " + HOSTILE,
    )  # fmt: skip
    run.ledger.set_meta("self_checks", [self_check(light_change=0.012), alarm])
    page = finish(run)
    text = text_of(page)
    assert HOSTILE not in page
    head = text.index("the noise at the end of the run is not the calibrated one")
    assert head < text.index("Score history")
    assert "The frames are quieter than calibrated." in text
    assert re.search(r"start, 0 trials scored .* 6\.9420 6\.9410 \+0\.0010 ± 0\.0030 agrees", text)
    assert re.search(r"end, 4 trials scored .* 6\.9000 6\.9500 \N{MINUS SIGN}0\.0500.*alarm", text)
    assert "the light changed by 1.20 % rms" in text


def test_a_self_check_that_could_not_be_made_says_why(run):
    words = {"when": "start", "at": "2026-01-02T03:04:05+00:00", "trials": 0, "is_alarm": False}
    run.ledger.set_meta("self_checks", [{**words, "text": "all pixels are saturated"}])
    assert "All pixels are saturated." in text_of(finish(run))


def test_a_run_without_a_self_check_says_so(run):
    assert "The noise was not checked against repeats" in text_of(finish(run))


def test_the_page_needs_no_other_file_and_runs_nothing(run):
    page = finish(run)
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    assert not re.search(r"\bon\w+=", page)
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    carried = ("data:image/png;base64,", "data:application/yaml;base64", "#")
    assert all(source.startswith(carried) for source in sources)
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)


def test_hostile_text_is_shown_and_not_obeyed(run):
    page = finish(run)
    assert HOSTILE not in page
    assert text_of(page).count(HOSTILE) >= 4  # title, heading, device, failed trial, label


def test_devices_are_listed_with_their_roles_and_limits(run):
    assert re.search(r"camera Camera camera .* exposure_ms 0\.01 to 1000", text_of(finish(run)))


def test_time_that_nobody_measured_is_called_other(run):
    text = text_of(finish(run))
    assert "score 5.0 s 62.5 % exposure 2.0 s 25.0 % other 1.0 s 12.5 %" in text


def test_patterns_and_frames_of_both_designs_are_there(run):
    page = finish(run)
    for picture in (
        "pattern on slm",
        "frame of the first design",
        "frame of the best design",
    ):
        assert f'alt="{picture}"' in page
    patterns = re.findall(r'alt="pattern on slm" src="([^"]+)"', page)
    assert len(set(patterns)) == 2
    assert pixels(patterns[0]).shape[:2] == (32, 32)


def test_a_bench_without_a_modulator_has_no_pattern_and_its_own_design(tmp_path):
    config = {**META["config"], "design": {"focus": META["config"]["design"]["focus"]}}
    run = Run(tmp_path, config=config, slm_shapes={}, space=META["space"][1:])
    run.score(2.0, Design({"focus": (0.0,)}), phase="initial")
    page = run.report()
    assert "pattern on" not in page
    assert "focus" in text_of(page)


def test_patterns_whose_calibration_file_is_gone_are_not_drawn_and_the_page_says_so(tmp_path):
    kept = {"key": "bench.roles.slm.lut", "file": "a.csv", "copy": "inputs/lut.csv", "sha256": "0"}
    run = Run(tmp_path, inputs=[kept])
    run.score(2.0, phase="initial")
    page = run.report()
    assert "pattern on" not in page
    assert "The patterns cannot be drawn: " in text_of(page)
    assert "inputs/lut.csv: is missing; restore it" in text_of(page)


def test_a_run_with_no_trial_says_so(run):
    text = text_of(run.report())
    assert "no score yet" in text
    assert "No trial was begun." in text


def test_a_record_with_nothing_but_failures_says_why(tmp_path):
    run = Run(tmp_path, status="failed", why="camera (role camera): gone; plug it in")
    run.fail("frames lost")
    text = text_of(run.report())
    assert "camera (role camera): gone; plug it in" in text
    assert "failed 1 0 frames lost" in text.partition("Rejected trials")[2]


def test_an_unfinished_run_names_the_trial_to_go_on_from(tmp_path):
    run = Run(tmp_path, status="running")
    run.score(2.0, phase="initial")
    run.capture(BETTER)
    text = text_of(run.report())
    assert "Trial 1 was captured and not scored" in text
    assert "infoloop resume" in text


def test_a_run_that_died_before_the_bench_was_known_still_has_a_report(tmp_path):
    Ledger.create(tmp_path, {"status": "created"}).close()
    assert "created" in text_of(write_report(tmp_path).read_text(encoding="utf-8"))


def test_frames_that_are_gone_are_told_and_the_rest_is_shown(run):
    run.score(2.0, phase="initial")
    (run.folder / "batches" / "trial00000.npy").unlink()
    text = text_of(run.report())
    assert "cannot be read" in text
    assert "2.000" in text


def test_a_thousand_components_are_drawn_without_a_thousand_labels(tmp_path):
    labels = [f"p{number}" for number in range(1000)]
    space = [{**META["space"][1], "name": "raw", "labels": labels, "start": [0.0] * 1000}]
    run = Run(tmp_path, space=space, slm_shapes={})
    run.score(2.0, Design({"raw": tuple(np.linspace(-1, 1, 1000).tolist())}), phase="initial")
    page = run.report()
    assert "component, p0 to p999" in text_of(page)
    assert "p500" not in page


def test_the_same_ledger_gives_the_same_page(run):
    page = finish(run)
    assert write_report(run.folder).read_text(encoding="utf-8") == page


def test_the_users_own_plotting_style_neither_shows_nor_changes(run):
    with mpl.rc_context({"lines.linewidth": 17.0, "text.usetex": True}):
        page = finish(run)
        assert mpl.rcParams["lines.linewidth"] == 17.0
    assert "stroke-width: 17" not in page


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        write_report(tmp_path)


# ---- numbers


def row(bits, per_object):
    return TrialRow(
        number=0,
        phase="initial",
        state="scored",
        design=START,
        asked_at="",
        record={},
        score=bits,
        standard_error=0.1,
        estimate=estimate(bits, per_object),
        seconds=1.0,
        timings={},
        why=None,
    )


def test_gain_is_compared_object_by_object():
    # Objects differ by 4 bits, the gain between the designs by 1 +- 0.1 on every object.
    first = summary.first_design([row(2.0, (-2.0, 2.0))])
    best = summary.first_design([row(3.0, (-2.1, 2.1))])
    gained = summary.gain(first, best)
    assert gained.bits_per_pixel == pytest.approx(1.0)
    assert gained.standard_error == pytest.approx(0.1)  # of 0.9 and 1.1: std 0.1414 / sqrt(2)


def test_gain_over_other_objects_has_no_standard_error():
    first = summary.first_design([row(2.0, (0.0, 0.0))])
    best = summary.first_design([row(3.0, (0.0, 0.0, 0.0))])
    assert summary.gain(first, best).standard_error is None


def test_frames_are_compared_in_one_contrast():
    dark, bright = np.full((4, 4), 100, np.uint16), np.full((4, 4), 300, np.uint16)
    low, high = contrast_adu([dark, bright])
    assert (low, high) == (100, 300)
    shown = [pixels(frame_uri(f, low_adu=low, high_adu=high)) for f in (dark, bright)]
    assert [float(p[0, 0, 0]) for p in shown] == [0.0, 1.0]


def test_a_large_frame_is_binned_to_its_mean():
    frame = np.zeros((2000, 1000), np.uint16)
    frame[::3] = 300  # three rows are binned to one
    shown = pixels(frame_uri(frame, low_adu=0, high_adu=200))
    assert shown.shape[:2] == (666, 333)
    assert np.allclose(shown[..., 0], 0.5, atol=1 / 255)


def test_phase_is_shown_in_cyclic_colours():
    first, last = pixels(pattern_uri(np.array([[0, 255]], np.uint8)))[0, :, :3]
    np.testing.assert_allclose(first, last, atol=0.02)
