"""What the report says of a run that met faults, restarts, pauses, drift, dose and refusals."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
import yaml

from instrument.campaign.ledger import Ledger
from instrument.faces.report import write_report
from instrument.faces.report.contenders import contenders
from instrument.faces.report.record import read_record
from instrument.faces.report.summary import best_design
from instrument.faces.report.timeline import best_so_far

from . import troubled

TRIALS = 66  # sessions of 22; faults in 7, 27, 47; refused 5, 38; the pause before 33


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return troubled.Night(tmp_path_factory.mktemp("night") / "run", trials=TRIALS).write()


@pytest.fixture(scope="module")
def page(night):
    return write_report(night).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record(night):
    with Ledger.read(night) as ledger:
        return read_record(ledger)


class Tables(HTMLParser):
    """Rows of all tables of a page, and the links of its anchors."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.links, self._cell = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self._cell = ""
        if tag == "a":
            self.links.append(dict(attributes))

    def handle_endtag(self, tag):
        if tag in {"td", "th"} and self._cell is not None:
            self.rows[-1].append(" ".join(self._cell.split()))
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def row(self, first, *, cells=None):
        rows = [row for row in self.rows if row and row[0] == first]
        return next(row for row in rows if cells in {None, len(row)})


@pytest.fixture(scope="module")
def tables(page):
    return Tables(page)


def test_the_morning_lines_say_what_was_survived_and_how_long_it_took(tables):
    _, survived = tables.row("What did it survive?")
    assert survived == "3 faults of 3 kinds, 2 restarts, 1 pause of 15 min 0 s together."
    _, how_long = tables.row("How long?")
    assert how_long.startswith("8 min 48 s within 2 h 24 min from the first start")  # 66 * 8 s
    assert tables.row("Is anything alarming?")[1] == "Nothing."


def test_the_morning_lines_say_whether_it_can_be_believed_and_what_was_rejected(tables):
    assert tables.row("Is it beyond doubt?")[1].startswith("Yes: +0.")
    _, ended = tables.row("How did it end?")
    assert "Finished; 64 of 66 trials scored; 2 rejected, mostly: 0.5% of" in ended
    assert "The bench was left at its best design" in ended


def test_what_came_out_is_told_with_and_without_the_drift(tables):
    said = tables.row("What came out?")[1]
    # Without drift and noise a design of (0.8, 0.5) carries 2 + 1.2 bits, the start 2.49.
    measured, removed = re.findall(r"[Ff]rom (\d\.\d+) to (\d\.\d+)", said)
    assert float(removed[1]) == pytest.approx(3.2, abs=5 * 0.004)
    assert float(measured[1]) < float(removed[1]) - 0.05  # 1 % an hour, after two hours


def test_every_kind_of_fault_is_counted_with_what_was_done(tables):
    _, times, _, words, done = tables.row("device timeout (camera)")
    assert (times, words) == ("1", "Camera (role camera): no frame within 2 s.")
    assert done == "the bench is connected again"
    assert tables.row("instrument reported (light)")[4] == "nothing recorded"


def test_trials_refused_for_one_reason_are_one_line(tables):
    assert tables.row("refused") == [
        "refused", "2", "5, 38", "0.5% of the counts are saturated, 0.10% allowed",
    ]  # fmt: skip


def test_frames_that_were_set_aside_are_told_with_the_reason(tables):
    assert ["1", "7", "The line was cut in the middle."] in tables.rows


def test_drift_is_told_per_hour(tables):
    # 2 % of 900 ADU an hour; the black level rises by 1 ADU, the sensor by 0.1 degC
    assert tables.row("mean counts, ADU: reference")[3].startswith("\N{MINUS SIGN}18 ")
    assert tables.row("black level, ADU", cells=5)[3].startswith("+1 ")
    assert tables.row("sensor, \N{DEGREE SIGN}C")[3].startswith("+0.1 ")


def test_the_reference_score_and_the_focus_compensation_are_drawn(page, tables):
    # trials 10, 30, 50 are of the reference itself; 20 and 40 are steps to its sides
    assert tables.row("reference, bits per pixel: as measured")[4] == "3"
    removed = tables.row("reference, bits per pixel: drift removed")
    measured = tables.row("reference, bits per pixel: as measured")
    # corrections of 5 and 25 bits to a score of 500
    assert float(removed[1]) / float(measured[1]) == pytest.approx(1.01, abs=1e-5)
    assert float(removed[2]) / float(measured[2]) == pytest.approx(1.05, abs=1e-5)
    assert tables.row("focus, compensated by")[4] == str(TRIALS)
    assert ">drift removed</text>" in page


def test_the_dose_is_compared_with_its_limit(page):
    assert "The object that took most had 0.264 mJ/cm" in page  # 66 trials of 0.004
    assert "5 % of the limit of 5 for an object" in page


def test_a_dose_over_its_limit_is_an_alarm(tmp_path, monkeypatch):
    monkeypatch.setattr(troubled, "DOSE_A_TRIAL", 1.0)
    folder = troubled.Night(tmp_path / "run", trials=9).write()
    said = Tables(write_report(folder).read_text(encoding="utf-8"))
    assert said.row("Is anything alarming?")[1].startswith("The light dose of 9 mJ/cm")


def test_frames_saved_by_adaptive_batches_are_counted_against_fixed_ones(page, tables):
    # 64 scored; 23 of the searched ones have 4 objects instead of 16
    assert "748 frames instead of 1,024 with fixed batches: 27 % saved" in page
    assert tables.row("clearly worse than the best so far")[1:3] == ["23", "4.0"]


def test_the_duty_cycle_is_told_by_session_and_how_each_ended(tables):
    sessions = [row for row in tables.rows if row and re.match(r"[123] ?\S*$", row[0])]
    sessions = [row for row in sessions if len(row) == 8]
    assert [row[2] for row in sessions] == ["killed", "failed", "finished"]
    # 21 scored trials work 6 s each; 22 trials of 8 s and a fault of 5 s
    assert sessions[0][5] == f"{100 * 126 / 181:.1f} %"
    assert [row[7] for row in sessions] == ["0.0 s", "15 min 0 s", "0.0 s"]


def test_the_bench_file_can_be_taken_from_the_page(page, tables, record):
    (link,) = tables.links
    assert link["download"] == "night-resolved.yaml"
    content = base64.b64decode(link["href"].partition("base64,")[2])
    assert yaml.safe_load(content) == record.config
    assert hashlib.sha256(content).hexdigest() in page


def test_the_command_seed_and_hashes_to_repeat_it_are_there(page):
    assert "infoloop run night-resolved.yaml" in page
    assert "infoloop run night.yaml --seed 11" in page
    assert re.search(r"<dt>seed</dt><dd>11</dd>", page)
    assert "files and hashes of the frames, 66 pairs as JSON" in page


def test_reference_trials_compete_with_nobody(record):
    references = {row.number for row in record.trials if row.phase == "reference"}
    assert len(references) == 5
    scored = [row for row in record.trials if row.state == "scored"]
    assert not references & {row.number for row in best_so_far(scored)}
    best = best_design(record.trials, None)
    rivals = contenders(record, best)
    assert not references & {row.number for each in rivals for row in each.measured.rows}


def test_the_confirmed_designs_come_before_lucky_ones_of_the_search(record):
    best = best_design(record.trials, record.meta["best_trial"])
    names = [each.name for each in contenders(record, best)]
    assert names[0] == "recommender"
    assert set(names[1:3]) == {"engine", "best observed"}
    assert all(name.startswith("trial ") for name in names[3:])
    assert len(names) == 6


def test_only_the_frames_that_are_shown_are_read(night, monkeypatch):
    read = []
    load_batch = Ledger.load_batch
    monkeypatch.setattr(
        Ledger, "load_batch", lambda self, row: read.append(row.number) or load_batch(self, row)
    )
    write_report(night)
    assert len(read) == 7  # the first design and six of the best
    assert len(set(read)) == 7


def test_the_page_of_a_night_asks_for_nothing_outside(page):
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"""(?:src|href|url\()=?["']?\s*(?:https?:)?//""", page)


def test_the_same_record_gives_the_same_page(night, page, tmp_path):
    again = write_report(night, tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == page


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_of_two_thousand_trials_gives_a_page_below_five_megabytes(tmp_path):
    folder = troubled.Night(tmp_path / "run", trials=2000).write()
    file = write_report(folder)
    assert file.stat().st_size < 5e6
    text = file.read_text(encoding="utf-8")
    assert "of phase search have a mark; the shaded envelope spans all of them" in text
    assert (
        len(re.findall(r"<tr><td>\d+</td><td>(?:initial|search|confirm|reference)<", text)) == 2000
    )
