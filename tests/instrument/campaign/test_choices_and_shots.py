"""Campaigns over choices and over several shots: whole, killed and resumed, and in the report."""

import itertools

import pytest

from instrument.bench.acquisition import Verdict
from instrument.campaign import trial
from instrument.campaign.control import Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, FrameCaptured, TrialStarted
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.scoring import load_noise, score_batch
from instrument.config import parse_config
from instrument.faces.report import write_report
from tests.instrument.fakes import CONFIG, FakeSelector, make_bench

CHOICES = {
    "array": {"role": "stations", "choices": ["mirror", "green", "blue"]},
    "cells": {"role": "slm", "basis": "superpixel", "cells": [1, 2], "choices": [0, 128]},
}
SHOTS = {
    "leds": {"role": "slm", "basis": "superpixel", "cells": [2, 2], "per_shot": True},
    "focus": {"role": "focus", "bounds_um": [-10, 10]},
    "stop": {"role": "mask", "basis": "disc"},
}


class Killed(BaseException):
    """Stands for a kill -9: nothing may catch it."""


def config_of(tmp_path, design, **changes):
    roles = {**CONFIG["bench"]["roles"], "stations": {"device": "Wheel"}, "mask": {"device": "M"}}
    raw = {
        **CONFIG, "bench": {**CONFIG["bench"], "roles": roles}, "design": design,
        "safety": {"self_check_repeats": 0}, **changes,
    }  # fmt: skip
    roles["mask" if "stop" not in design else "stations"]["kind"] = "selector"
    return parse_config(raw, source="test", folder=tmp_path)


def run(config, ledger, observer=None):
    bus = EventBus()
    if observer is not None:
        bus.subscribe(observer, name="test")
    bench = make_bench(config)
    try:
        return Campaign(bench, ledger, bus, control=Control()).run(), bench
    finally:
        bus.close()


@pytest.fixture
def choices(tmp_path):
    return config_of(tmp_path, CHOICES, search={"trials": 15, "confirm": {"repeats": 1}})


@pytest.fixture
def shots(tmp_path):
    return config_of(
        tmp_path, SHOTS, shots=2, search={"engine": "tpe", "trials": 6, "confirm": {"repeats": 1}}
    )


def test_auto_tries_every_combination_once_then_confirms(choices, tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        outcome, bench = run(choices, ledger)
        rows = ledger.trials()
    searched = [row for row in rows if row.phase != "confirm"]
    tried = [(*row.design.values["array"], *row.design.values["cells"]) for row in searched]
    assert sorted(tried) == sorted(itertools.product(range(3), range(2), range(2)))
    assert rows[-1].phase == "confirm"
    assert outcome.trials <= 15
    asked = {value for name, what, value in bench.log.calls if (name, what) == ("Wheel", "start")}
    assert asked == {0, 2, 3}


def test_too_few_trials_for_all_combinations_are_for_tpe(tmp_path):
    config = config_of(tmp_path, CHOICES, search={"trials": 14, "confirm": {"repeats": 1}})
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger)
        searched = [row.design.to_json() for row in ledger.trials() if row.phase != "confirm"]
    assert len(searched) == 11
    assert len(set(searched)) < 11  # an estimator comes back to what was good


@pytest.mark.parametrize("call", [1, 7])
@pytest.mark.parametrize("which", ["choices", "shots"])
def test_a_killed_campaign_goes_on_with_the_same_designs(
    request, tmp_path, monkeypatch, which, call
):
    config = request.getfixturevalue(which)
    call = min(call, 3) if which == "shots" else call
    with Ledger.create(tmp_path / "whole", {}) as whole:
        run(config, whole)
        expected = [row.design for row in whole.trials()]
    with Ledger.create(tmp_path / "killed", {}) as ledger:
        original, calls = ledger.capture, iter(range(10**6))

        def deadly(*args, **keywords):
            if next(calls) == call:
                raise Killed
            return original(*args, **keywords)

        monkeypatch.setattr(ledger, "capture", deadly)
        with pytest.raises(Killed):
            run(config, ledger)
        acknowledged = [row for row in ledger.trials() if row.state == "scored"]
    with Ledger.open(tmp_path / "killed") as ledger:
        run(config, ledger)
        rows = ledger.trials()
    assert rows[: len(acknowledged)] == acknowledged
    assert [row.design for row in rows[: call + 1]] == expected[: call + 1]
    if which == "choices":  # the search's order depends on no score
        assert [r.design for r in rows if r.phase != "confirm"] == expected[:12]


def test_every_shot_is_in_ledger_score_and_report(shots, tmp_path):
    meta = {
        "config": shots.model_dump(mode="json"),
        "slm_shapes": {"slm": [16, 16], "mask": [16, 16]},
    }
    started, frames = [], []

    def listen(event):
        if isinstance(event, TrialStarted):
            started.append(event)
        if isinstance(event, FrameCaptured):
            frames.append(event)

    with Ledger.create(tmp_path / "run", meta) as ledger:
        run(shots, ledger, listen)
        row = ledger.trials()[0]
        counts = ledger.load_batch(row)
        assert counts.shape == (16, 2, 16, 16)
        noise = load_noise(shots, make_bench(shots), tmp_path)
        again = score_batch(counts, noise, shots, density="gaussian")
        assert row.score == pytest.approx(again.estimate.bits_per_pixel * 2 * 16 * 16)
    assert set(started[0].patterns) == {"slm, shot 1", "slm, shot 2", "mask"}
    assert set(started[0].greys) == set(started[0].patterns)
    assert {event.of for event in frames} == {32}
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    for words in ("pattern on slm, shot 2", "pattern on mask", "shot 1 of 2", "shot 2 cell 1,1"):
        assert words in page, words
    assert "phase: 0" not in page


def test_choices_are_named_in_the_report(choices, tmp_path):
    meta = {"config": choices.model_dump(mode="json"), "slm_shapes": {"slm": [16, 16]}}
    with Ledger.create(tmp_path / "run", meta) as ledger:
        run(choices, ledger)
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "green" in page.split("<pre")[0]


def test_a_finished_campaign_leaves_the_first_shot_of_the_best_design(shots, tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        outcome, bench = run(shots, ledger)
    from instrument.bench.timing import Stopwatch

    bench.apply(outcome.best_design, space=bench.space(), stopwatch=Stopwatch())
    bench.keep_design()
    bench.safe()
    first = outcome.best_design.values["leds"][0]
    assert bench.shot == 0
    assert bench.devices["slm"].shown[0, 0] == round(first)


def test_a_wheel_with_other_labels_ends_a_resumed_campaign(tmp_path, monkeypatch):
    """What the ledger calls 2 would be another filter."""
    design = {"array": {"role": "stations", "choices": "all"}}
    config = config_of(tmp_path, design, search={"trials": 2})
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger)
    monkeypatch.setattr(FakeSelector, "labels", ("blue", "mirror", "green", "red"))
    with (
        Ledger.open(tmp_path / "run") as ledger,
        pytest.raises(LedgerError, match="chose among mirror, red, green, blue"),
    ):
        run(config, ledger)


def test_a_batch_refused_in_the_moment_of_a_kill_is_refused_after_it(shots, tmp_path, monkeypatch):
    def refuse(_batch, _bench, *, expected_black_adu, **_temperatures):
        return Verdict([f"black at {expected_black_adu:g} ADU"], "too bright")

    monkeypatch.setattr(trial, "check_batch", refuse)
    with Ledger.create(tmp_path / "run", {}) as ledger:

        def deadly(*_args, **_keywords):
            raise Killed

        monkeypatch.setattr(ledger, "fail", deadly)
        with pytest.raises(Killed):
            run(shots, ledger)
        assert ledger.trials()[0].state == "captured"
    with Ledger.open(tmp_path / "run") as ledger:
        run(shots, ledger)
        first = ledger.trials()[0]
    assert (first.state, first.why) == ("failed", "too bright")
