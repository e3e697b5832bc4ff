"""Trials whose batch is captured in looks: what is told and recorded, and after a kill."""

import numpy as np
import pytest

from drivers import DeviceError
from estimation import SensorNoise, estimate_information
from instrument.campaign.control import Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, FrameCaptured, TrialScored
from instrument.campaign.ledger import Ledger
from tests.instrument.fakes import broken, make_bench, make_config

SIZES = (4, 8, 16)
VALUES = 16 * 16
NOISE = SensorNoise(gain=1.0, offset=100, read_noise=1.0, bit_depth=12)
TO_THE_END = {"standard_error_bits_per_pixel": 1e-9, "error_rate": 1e-99}


class Killed(BaseException):
    """Stands for a kill -9: nothing may catch it."""


def adaptive(tmp_path, **rules):
    return make_config(
        tmp_path, safety={"self_check_repeats": 0}, batch={"adaptive": {"start": 4, **rules}}
    )


def run(config, ledger, *, bench=None, observer=None):
    bus = EventBus()
    if observer is not None:
        bus.subscribe(observer, name="test")
    try:
        return Campaign(bench or make_bench(config), ledger, bus, control=Control()).run()
    finally:
        bus.close()


def bits_of(ledger, row, objects):
    """Per-object bits of a trial's first objects."""
    counts = ledger.load_batch(row)[:objects]
    return estimate_information(counts, NOISE, density="gaussian", patch=4).per_object_bits


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Ledger and events of one finished campaign, for tests that only look."""
    folder = tmp_path_factory.mktemp("adaptive")
    config, events = adaptive(folder), []
    with Ledger.create(folder / "run", {}) as ledger:
        outcome = run(config, ledger, observer=events.append)
        yield ledger, events, outcome


def test_only_the_search_is_adaptive(finished):
    ledger, _, _ = finished
    for row in ledger.trials():
        sampling = row.estimate.get("sampling")
        assert (sampling is not None) == (row.phase == "search")
        assert row.record["objects"] == (sampling["objects"] if sampling else 16)


def test_a_trial_that_is_clearly_worse_ends_at_its_first_look(finished):
    """The camera's contrast falls with distance from focus, so that most steps away are worse."""
    ledger, _, _ = finished
    worse = [r for r in ledger.trials() if r.estimate.get("sampling", {}).get("why") == "worse"]
    assert worse
    for row in worse:
        last = row.estimate["sampling"]["looks"][-1]
        assert last["incumbent_difference"] < -2 * last["difference_standard_error"]
        assert row.record["objects"] < 16


def test_each_look_is_a_durable_part(finished):
    ledger, _, _ = finished
    for row in ledger.trials():
        if row.phase == "search":
            looks = [look["objects"] for look in row.estimate["sampling"]["looks"]]
            assert tuple(looks) == SIZES[: len(looks)]
            assert list(np.cumsum([part.objects for part in row.parts])) == looks


def test_all_designs_see_the_same_objects_in_the_same_order(finished):
    ledger, _, _ = finished
    visited = [row.record["positions_um"] for row in ledger.trials()]
    for positions in visited:
        assert positions == visited[0][: len(positions)]


def test_what_is_told_is_the_incumbents_score_and_the_difference_on_the_same_objects(finished):
    ledger, _, _ = finished
    rows = ledger.trials()
    early = [row for row in rows if row.record["objects"] < 16]
    assert early
    for row in early:
        objects, last = row.record["objects"], row.estimate["sampling"]["looks"][-1]
        earlier = [r for r in rows[: row.number] if r.record["objects"] >= objects]
        incumbent = max(earlier, key=lambda r: r.score)
        assert last["incumbent"] == incumbent.number
        difference = bits_of(ledger, row, objects) - bits_of(ledger, incumbent, objects)
        assert row.score == pytest.approx(incumbent.score + VALUES * difference.mean())
        error = difference.std(ddof=1) / np.sqrt(objects) * np.sqrt(1 - objects / 32)
        assert row.standard_error == pytest.approx(VALUES * error)


def test_the_estimate_is_on_the_scale_of_a_full_batch(finished):
    ledger, _, _ = finished
    for row in ledger.trials():
        assert row.estimate["bits_per_pixel"] * VALUES == pytest.approx(row.score)
        low, high = row.estimate["interval"]
        assert low < row.estimate["bits_per_pixel"] < high


def test_events_and_outcome_tell_of_the_frames(finished):
    ledger, events, outcome = finished
    rows = ledger.trials()
    told = {e.trial: e.sampling for e in events if isinstance(e, TrialScored)}
    assert told == {row.number: row.estimate.get("sampling") for row in rows}
    assert outcome.frames == sum(row.record["objects"] for row in rows)
    assert outcome.frames_fixed == 16 * len(rows)
    assert outcome.frames < outcome.frames_fixed


def test_a_trial_that_is_never_known_well_enough_is_given_every_object(tmp_path):
    config = adaptive(tmp_path, **TO_THE_END)
    frames = []
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger, observer=frames.append)
        rows = [row for row in ledger.trials() if row.phase == "search"]
        assert {row.estimate["sampling"]["why"] for row in rows} == {"budget"}
        for row in rows:
            own = bits_of(ledger, row, 16).mean()
            assert row.estimate["bits_per_pixel"] == pytest.approx(own)
    live = [event for event in frames if isinstance(event, FrameCaptured)]
    assert all(0 <= event.index < event.of == 16 for event in live)


def test_a_loose_target_ends_a_trial_that_is_not_worse(tmp_path):
    config = adaptive(tmp_path, standard_error_bits_per_pixel=10.0, error_rate=1e-99)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger)
        samplings = [r.estimate["sampling"] for r in ledger.trials() if r.phase == "search"]
    assert {(s["objects"], s["why"]) for s in samplings} == {(4, "target")}


def test_a_saturated_part_refuses_the_trial_and_keeps_its_frames(tmp_path):
    config = adaptive(tmp_path, **TO_THE_END)
    bench = make_bench(config)
    camera = bench.devices["camera"]
    snap, frames = camera.snap, iter(range(10**6))

    def saturates_in_the_second_look_of_trial_1(*, timeout_s):
        camera.saturates = 18 + 6 <= next(frames) < 18 + 12  # two dark frames before every part
        return snap(timeout_s=timeout_s)

    camera.snap = saturates_in_the_second_look_of_trial_1
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger, bench=bench)
        failed = ledger.trials()[1]
    assert failed.state == "failed"
    assert "saturated" in failed.why
    assert [part.objects for part in failed.parts] == [4, 4]


def test_without_a_first_score_the_search_takes_every_object(tmp_path):
    config = adaptive(tmp_path)
    bench = make_bench(config)
    camera = bench.devices["camera"]
    snap, frames = camera.snap, iter(range(10**6))

    def saturates_in_trial_0(*, timeout_s):
        camera.saturates = next(frames) < 18
        return snap(timeout_s=timeout_s)

    camera.snap = saturates_in_trial_0
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger, bench=bench)
        first, second = ledger.trials()[:2]
    assert first.state == "failed"
    assert second.estimate["sampling"]["why"] == "budget"


def killed_at(ledger, monkeypatch, method, call):
    """Let the `call`-th use of a ledger's method kill the process, before it does anything."""
    original, calls = getattr(ledger, method), iter(range(10**6))

    def deadly(*args, **keywords):
        if next(calls) == call:
            raise Killed
        return original(*args, **keywords)

    monkeypatch.setattr(ledger, method, deadly)


@pytest.mark.parametrize("call", [2, 3, 6])
def test_a_trial_killed_between_two_looks_goes_on_with_the_next(tmp_path, monkeypatch, call):
    config = adaptive(tmp_path, **TO_THE_END)  # parts: 1 of trial 0, then 3 of every trial
    with Ledger.create(tmp_path / "run", {}) as ledger:
        killed_at(ledger, monkeypatch, "capture", call)
        with pytest.raises(Killed):
            run(config, ledger)
        before = ledger.trials()[-1]
    assert before.state == "captured"
    with Ledger.open(tmp_path / "run") as ledger:
        run(config, ledger)
        after = ledger.trials()[before.number]
    assert [p.sha256 for p in after.parts[: len(before.parts)]] == [p.sha256 for p in before.parts]
    assert [part.objects for part in after.parts] == [4, 4, 8]
    assert after.state == "scored"


def test_a_device_that_fails_in_the_second_look_costs_that_look_only(tmp_path):
    config = adaptive(tmp_path, **TO_THE_END)
    bench = make_bench(config)
    camera = bench.devices["camera"]
    snap, frames = camera.snap, iter(range(10**6))

    def fails_in_the_second_look_of_trial_1(*, timeout_s):
        if next(frames) == 18 + 6 + 3:  # two dark frames before every part
            raise broken()
        return snap(timeout_s=timeout_s)

    camera.snap = fails_in_the_second_look_of_trial_1
    with Ledger.create(tmp_path / "run", {}) as ledger:
        campaign = Campaign(bench, ledger, EventBus(), control=Control())
        with pytest.raises(DeviceError, match="cable pulled"):
            campaign.run()
        (before,) = ledger.trials()[1].parts
        campaign.use(make_bench(config))
        campaign.run()
        after = ledger.trials()[1]
    assert after.parts[0] == before
    assert [part.objects for part in after.parts] == [4, 4, 8]


@pytest.mark.parametrize("call", [1, 5, 8])
def test_a_trial_killed_before_its_score_decides_as_it_had(tmp_path, monkeypatch, call):
    config = adaptive(tmp_path)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        said = []
        monkeypatch.setattr(ledger, "score", lambda n, **k: recorded(ledger, said, call, n, k))
        with pytest.raises(Killed):
            run(config, ledger)
        parts = ledger.trials()[-1].parts
    with Ledger.open(tmp_path / "run") as ledger:
        run(config, ledger)
        after = ledger.trials()[call]
    assert after.parts == parts
    assert {**said[-1]["estimate"]} == after.estimate
    assert said[-1]["score"] == after.score


def recorded(ledger, said, call, number, values):
    """Note what would be acknowledged; kill at the `call`-th time."""
    said.append(values)
    if len(said) > call:
        raise Killed
    Ledger.score(ledger, number, **values)
