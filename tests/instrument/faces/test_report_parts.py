"""The parts of the report: what each makes of rows, and where and when a report can be written."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.config import load_config
from instrument.design import Design
from instrument.faces.command_line import command_line
from instrument.faces.report import charts, faults, timeline, write_report
from instrument.faces.report.headline import alarms
from instrument.faces.report.record import Entry, RunRecord, Session, read_record
from instrument.faces.report.rejected import in_ranges, without_numbers
from instrument.faces.report.repeat import repeat

BEGAN = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)
HOSTILE = "<script>alert('$x^2$ & \"co\"')</script>"


def at(seconds):
    return BEGAN + timedelta(seconds=seconds)


def entry(seconds, kind, text="", **data):
    return Entry(at=at(seconds), kind=kind, text=text, data=data)


def record_of(*, journal=(), trials=(), sessions=(), meta=None):
    return RunRecord(
        run_dir=Path("run"), meta=meta or {}, trials=trials, journal=journal, sessions=sessions
    )


def session(number, began_s, ended_s):
    return Session(number=number, began=at(began_s), ended=at(ended_s), status="closed")


def trial(number, *, pauses=(), timings=None, score=1.0, phase="search"):
    return TrialRow(
        number=number,
        phase=phase,
        state="scored",
        design=Design({"focus": (float(number),)}),
        asked_at=at(10 * number).isoformat(),
        record={
            "captured_at": [at(10 * number).isoformat(), at(10 * number + 9).isoformat()],
            "pauses": list(pauses),
        },
        score=score,
        standard_error=0.1,
        estimate={"bits_per_pixel": score, "standard_error": 0.1},
        seconds=10.0,
        timings=timings or {},
        why=None,
        session=0,
    )


# ---- times in which nothing went on


def test_a_pause_lasts_from_one_change_of_state_to_the_next():
    record = record_of(
        sessions=[session(0, 0, 500)],
        journal=[
            entry(100, "state", now="suspended"),
            entry(110, "state", now="paused"),
            entry(160, "state", now="running"),
        ],
    )
    assert charts.stretches(record) == [charts.Stretch(100.0, 160.0, "paused")]


def test_a_pause_that_only_a_batch_recorded_is_told_too():
    row = trial(0, pauses=[{"at": at(2).isoformat(), "why": "hot"}], timings={"pause": 4.0})
    record = record_of(sessions=[session(0, 0, 10)], trials=[row])
    assert charts.stretches(record) == [charts.Stretch(2.0, 6.0, "paused")]


def test_between_two_sessions_nothing_ran():
    record = record_of(sessions=[session(0, 0, 50), session(1, 80, 90)], trials=[trial(0)])
    assert charts.stretches(record) == [charts.Stretch(50.0, 80.0, "not running")]


# ---- faults


def test_what_was_done_is_the_recovery_before_the_next_fault():
    record = record_of(
        journal=[
            entry(0, "fault", "lost"),
            entry(1, "state", now="connecting"),
            entry(2, "recovery", "opened again"),
            entry(3, "fault", "lost"),
            entry(4, "fault", "lost"),
            entry(5, "state", "gave up", now="failed"),
        ]
    )
    done = [each.done for each in faults.faults(record)]
    assert done == ["opened again", None, "gave up"]


def test_of_several_steps_of_a_recovery_the_last_is_told():
    record = record_of(
        journal=[
            entry(0, "fault", "ConnectionLost: led (role light): cut"),
            entry(1, "recovery", "attempt 1 of 3"),
            entry(2, "recovery", "connected again"),
        ]
    )
    (kind,) = faults.kinds_of_faults(faults.faults(record))
    assert (kind.name, kind.done) == ("connection lost (light)", (("connected again", 1),))


def test_a_dropped_observer_is_told_among_the_faults():
    record = record_of(journal=[entry(0, "observer", "viewer raised", observer="viewer")])
    (kind,) = faults.kinds_of_faults(faults.faults(record))
    assert kind.name == "observer"
    assert kind.done == (("the run went on without it", 1),)


def test_what_could_not_be_made_safe_is_an_alarm_for_ever():
    unsafe = "light (led) could NOT be made safe: no answer"
    record = record_of(journal=[entry(0, "fault", unsafe), entry(9, "recovery", "connected again")])
    assert alarms(record, None) == [f"03-04 20:00 UTC: {unsafe}"]


def test_a_wait_much_later_is_no_answer_to_a_fault():
    record = record_of(
        journal=[entry(0, "fault", "lost"), entry(3600, "state", "hot", now="suspended")]
    )
    assert faults.faults(record)[0].done is None


def test_faults_of_one_kind_differ_in_numbers_only_and_the_newest_kind_is_first():
    record = record_of(
        journal=[
            entry(0, "fault", "frame 3 of 48 lost"),
            entry(1, "fault", "the line was cut"),
            entry(2, "fault", "frame 17 of 48 lost"),
        ]
    )
    kinds = faults.kinds_of_faults(faults.faults(record))
    assert [(kind.count, kind.latest.entry.text) for kind in kinds] == [
        (2, "frame 17 of 48 lost"),
        (1, "the line was cut"),
    ]


def test_a_long_journal_says_how_many_lines_are_left_out():
    record = record_of(journal=[entry(k, "state", str(k)) for k in range(faults.MOST_LINES + 5)])
    lines, older = faults.journal_lines(record)
    assert (len(lines), older) == (faults.MOST_LINES, 5)
    assert lines[0].text == str(faults.MOST_LINES + 4)


# ---- words and numbers


def test_a_message_without_its_numbers():
    assert without_numbers("0.33% of 1,024 at 1.5e-3 s") == "#% of # at # s"


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        ([4], "4"),
        ([1, 2, 3, 7, 9, 10], "1\N{EN DASH}3, 7, 9\N{EN DASH}10"),
        (list(range(0, 30, 2)), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and 3 more"),
    ],
)
def test_trials_are_written_in_ranges(numbers, written):
    assert in_ranges(numbers) == written


def test_a_slope_is_that_of_the_line_and_knows_its_error():
    hours = np.array([0.0, 1.0, 2.0, 3.0])
    slope, error = charts.slope_per_hour(hours, 2 * hours + np.array([1.0, -1.0, -1.0, 1.0]))
    assert slope == pytest.approx(2.0)
    # residuals +-1 around the mean line: sqrt(4 / 2 / 5), with sum (x - mean)^2 = 5
    assert error == pytest.approx(np.sqrt(4 / 2 / 5))


def test_seconds_say_nothing_of_an_hour():
    assert charts.slope_per_hour(np.array([0.0, 0.001, 0.002]), np.array([1.0, 2.0, 1.0])) is None


def test_the_envelope_spans_every_value_and_no_gap():
    places = np.concatenate([np.arange(500.0), 5000 + np.arange(500.0)])
    values = np.sin(places)
    pieces = charts.envelopes(places, values, bins=20)
    assert [(piece[0].min() < 500, piece[0].max() < 500) for piece in pieces] == [
        (True, True),
        (False, False),
    ]
    assert min(piece[1].min() for piece in pieces) == values.min()
    assert max(piece[2].max() for piece in pieces) == values.max()


def test_marks_that_are_left_out_are_counted():
    assert timeline.marks_left_out([trial(k) for k in range(charts.MOST_MARKS)]) is None
    said = timeline.marks_left_out([trial(k) for k in range(charts.MOST_MARKS + 1)])
    assert said.startswith(f"{charts.MOST_MARKS} of {charts.MOST_MARKS + 1} trials")


def test_the_best_so_far_only_rises():
    rows = [trial(k, score=score) for k, score in enumerate([1.0, 0.5, 2.0, 1.5, 3.0])]
    assert [row.number for row in timeline.best_so_far(rows)] == [0, 2, 4]


def test_the_command_can_be_given_to_a_shell_again():
    said = command_line("run", Path("my bench.yaml"), ["search={trials: 3}"], seed=7)
    assert said == "infoloop run 'my bench.yaml' --set 'search={trials: 3}' --seed 7"


def test_the_bench_file_of_the_page_is_the_one_that_ran(tmp_path):
    ran = load_config(Path("demo.yaml"), overrides=["search.trials=7"], seed=5)
    done = repeat(record_of(meta={"config": ran.model_dump(mode="json"), "config_name": "demo"}))
    file = tmp_path / done.file_name
    file.write_bytes(base64.b64decode(done.uri.partition("base64,")[2]))
    assert load_config(file) == ran
    assert done.seed == 5


# ---- where and when


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {"status": "running"}) as ledger:
        yield ledger


def test_a_report_is_written_while_the_run_goes_on(ledger):
    ledger.log("fault", HOSTILE, error=HOSTILE)
    page = write_report(ledger.run_dir).read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    ledger.log("recovery", "still the one writer")


def test_the_process_that_ends_a_run_says_so_in_its_session(ledger):
    ledger.log("state", "begins")
    assert read_record(ledger).sessions[0].status == "open"
    ledger.set_meta("status", "finished")
    assert read_record(ledger).sessions[0].status == "finished"


def test_a_run_that_has_not_ended_is_not_called_ended(ledger):
    page = write_report(ledger.run_dir).read_text(encoding="utf-8")
    assert "It had not when this was written: it runs, or was killed; 0 of 0 trials" in page


def test_a_report_can_be_written_elsewhere_and_the_run_is_left_alone(ledger, tmp_path):
    file = write_report(ledger.run_dir, tmp_path / "elsewhere.html")
    assert file == tmp_path / "elsewhere.html"
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert not (ledger.run_dir / "report.html").exists()


def test_where_it_cannot_be_written_the_error_says_what_to_do(ledger, tmp_path):
    with pytest.raises(LedgerError, match=r"cannot be written there .* --output FILE"):
        write_report(ledger.run_dir, tmp_path / "no such folder" / "report.html")


def test_an_old_report_outlives_a_failed_one(ledger, monkeypatch):
    file = write_report(ledger.run_dir)
    before = file.read_bytes()

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(LedgerError, match="Permission denied"):
        write_report(ledger.run_dir)
    assert file.read_bytes() == before
    assert sorted(path.name for path in ledger.run_dir.glob("report*")) == ["report.html"]


def test_what_there_is_nothing_of_is_said_in_a_sentence(ledger):
    page = write_report(ledger.run_dir).read_text(encoding="utf-8")
    for sentence in (
        "No fault is recorded.",
        "No trial was rejected.",
        "Nothing was recorded that could drift",
        "The dose is not known",
        "batches were of fixed size",
    ):
        assert sentence in page
