"""Light dose: power times lit time over area, by closed forms; counted by the bench itself."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import DeviceError
from drivers.virtual.scpi_server import VirtualLed
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import connect
from instrument.bench.lit import Lit, LitTime
from instrument.bench.timing import Stopwatch
from instrument.campaign.dose import (
    MW_PER_UNIT,
    Energy,
    LightDose,
    LitPlan,
    dose_mj_cm2,
    highest_power_mw,
    power_mw,
    units_of,
)
from instrument.campaign.ledger import Ledger
from instrument.config import ConfigError
from tests.instrument.fakes import broken, make_bench, make_config

LIMITED = {"safety": {"dose": {"area_mm2": 0.01, "limit_mj_cm2": 1000}}}


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bench(tmp_path, clock):
    bench = make_bench(make_config(tmp_path, **LIMITED))
    bench.lighting.lit_time = LitTime(clock=clock)
    return bench


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        yield ledger


def light(bench, ledger, *, trial_s=(1.0, 1.0)):
    planned = {"trial": LitPlan(*trial_s), "self_check": LitPlan(0.0, 0.0)}
    return LightDose.of(bench, ledger, planned=planned)


# ---- units


def test_one_mw_for_a_second_on_a_square_millimetre_is_100_mj_per_square_centimetre():
    assert dose_mj_cm2(power_mw(1.0, "mW"), 1.0) == pytest.approx(100.0)


@given(st.floats(1e-6, 1e6), st.sampled_from(sorted(MW_PER_UNIT)))
def test_a_power_is_the_same_in_every_unit(watts, unit):
    per_watt = {"W": 1.0, "mW": 1e3, "nW": 1e9}.get(unit, 1e6)  # the three spellings of uW
    assert power_mw(watts * per_watt, unit) == pytest.approx(1e3 * watts, rel=1e-12)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(1e-4, 1e4))
def test_the_dose_is_proportional_to_power_and_time_and_inverse_to_area(power, seconds, area):
    expected_j_m2 = (power / 1e3) * seconds / (area / 1e6)
    assert dose_mj_cm2(power * seconds, area) == pytest.approx(expected_j_m2 / 10, rel=1e-9)


@pytest.mark.parametrize("unit", ["%", "1", "mA", "V", "mw", "MW", ""])
def test_what_is_no_power_gives_no_dose(unit):
    assert power_mw(10.0, unit) is None


@pytest.mark.parametrize("wrong", [{"area_mm2": 0, "limit_mj_cm2": 1}, {"limit_mj_cm2": 1}])
def test_a_limit_needs_an_area(tmp_path, wrong):
    with pytest.raises(ConfigError, match="area_mm2"):
        make_config(tmp_path, safety={"dose": wrong})


# ---- lit time


def test_light_counts_from_its_order_to_its_verified_darkness(bench, clock):
    log = bench.devices["light"]
    note = log.note

    def takes_a_second(what, value=None):
        note(what, value)
        clock.now_s += 1.0

    log.note = takes_a_second  # start, wait and make_safe
    with bench.illuminated(stopwatch=Stopwatch()):
        clock.now_s += 3.0
    # start and wait 2 s, the block 3 s, make_safe 1 s, all at 10 mW
    assert bench.lighting.lit_time.sums() == {("light", None): Lit(6.0, 60.0)}
    clock.now_s += 50.0
    assert bench.lighting.lit_time.sums() == {("light", None): Lit(6.0, 60.0)}


def test_light_that_could_not_be_switched_off_goes_on_counting(bench, clock):
    bench.devices["light"].fails_on = {"make_safe": broken()}
    with pytest.raises(DeviceError), bench.illuminated(stopwatch=Stopwatch()):
        clock.now_s += 1.0
    clock.now_s += 9.0
    assert bench.lighting.lit_time.sums() == {("light", None): Lit(10.0, 100.0)}


def test_a_change_of_level_counts_as_the_higher_one_until_it_is_made(clock):
    lit = LitTime(clock=clock)
    lit.bring("light", 10.0)
    lit.bring_from("light", 4.0)
    clock.now_s += 1.0
    lit.bring("light", 4.0)
    clock.now_s += 2.0
    lit.dark()
    assert lit.sums() == {("light", None): Lit(3.0, 10.0 + 2 * 4.0)}


def test_light_is_kept_by_the_place_that_the_sample_is_sent_to(bench, clock):
    with bench.illuminated(stopwatch=Stopwatch()):
        clock.now_s += 1.0
        bench.move_sample("sample", (10.0, 0.0), stopwatch=Stopwatch())
        clock.now_s += 2.0
        bench.move_sample("sample", (200.0, 0.0), stopwatch=Stopwatch())
        clock.now_s += 4.0
    seconds = {place: lit.seconds for (_, place), lit in bench.lighting.lit_time.sums().items()}
    assert seconds == {None: 1.0, (10.0, 0.0): 2.0, (200.0, 0.0): 4.0}


# ---- doses


def test_an_object_gets_the_light_of_places_closer_than_the_spot_is_wide():
    # a disc of 0.01 mm2 is 112.8 um wide
    energy = Energy(total=9.0, anywhere=1.0, places={(0, 0): 2.0, (112, 0): 3.0, (230, 0): 4.0})
    dose = energy.dose(0.01)
    assert dose.object_mj_cm2 == pytest.approx((1.0 + 2.0 + 3.0) / 1e-4)
    assert dose.sample_mj_cm2 == pytest.approx(9.0 / 1e-4)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), unique=True, max_size=30))
def test_no_object_gets_more_than_the_sample_and_one_large_spot_lights_all(places):
    each = dict.fromkeys(places, 1.0)
    energy = Energy(total=float(len(places)), places=each)
    assert energy.dose(1e-4).object_mj_cm2 <= energy.dose(1e-4).sample_mj_cm2
    wide_mm2 = math.pi * 0.1**2  # 200 um wide, all within 142 um
    whole = energy.dose(wide_mm2)
    assert whole.object_mj_cm2 == pytest.approx(whole.sample_mj_cm2)


def test_a_bench_of_one_10_mw_led_gives_power_times_time_over_area(bench, ledger, clock):
    counted = light(bench, ledger)
    with bench.illuminated(stopwatch=Stopwatch()):
        bench.move_sample("sample", (10.0, 0.0), stopwatch=Stopwatch())
        clock.now_s += 0.5
        bench.move_sample("sample", (490.0, 0.0), stopwatch=Stopwatch())
        clock.now_s += 0.25
    # 10 mW x 0.5 s / 1e-4 cm2
    assert counted.take() == pytest.approx({
        "object_mj_cm2": 5e4, "sample_mj_cm2": 7.5e4,
        "run_object_mj_cm2": 5e4, "run_sample_mj_cm2": 7.5e4,
    })  # fmt: skip
    with bench.illuminated(stopwatch=Stopwatch()):
        clock.now_s += 0.1
    later = counted.take()
    assert later["sample_mj_cm2"] == pytest.approx(1e4)
    assert later["run_object_mj_cm2"] == pytest.approx(5e4)
    assert later["run_sample_mj_cm2"] == pytest.approx(8.5e4)


def test_without_an_area_no_dose_is_claimed(tmp_path, ledger):
    counted = light(make_bench(make_config(tmp_path)), ledger)
    counted.begin("trial", 10.0)
    counted.settle()
    assert counted.given() is None
    assert counted.take() is None
    assert counted.why_not("trial", 1e9) is None
    assert "dose" not in ledger.meta()


def test_a_light_in_percent_gives_no_dose(tmp_path, ledger):
    bench = make_bench(make_config(tmp_path, **LIMITED))
    bench.devices["light"].unit = "%"
    assert units_of(bench) == {}
    assert light(bench, ledger).given() is None


def test_the_limit_is_said_before_it_would_be_exceeded(bench, ledger, clock):
    # 1000 mJ/cm2 on 1e-4 cm2 are 0.1 mJ: 10 ms of 10 mW
    counted = light(bench, ledger, trial_s=(0.004, 0.004))
    assert counted.why_not("trial", 10.0) is None
    with bench.illuminated(stopwatch=Stopwatch()):
        clock.now_s += 0.007
    why = counted.why_not("trial", 10.0)
    assert "700 mJ/cm2" in why
    assert "add 400" in why
    assert "safety.dose.limit_mj_cm2 is 1000" in why
    assert counted.why_not("trial", 5.0) is None  # half the power adds half


def test_a_longer_trial_than_planned_is_expected_of_the_next(bench, ledger, clock):
    counted = light(bench, ledger, trial_s=(0.001, 0.001))
    counted.begin("trial", 10.0)
    with bench.illuminated(stopwatch=Stopwatch()):
        clock.now_s += 0.006
    counted.end("trial", 10.0)
    assert "add 600" in counted.why_not("trial", 10.0)


def test_sessions_add_up_and_a_killed_one_counts_what_it_may_have_given(bench, ledger, clock):
    first = light(bench, ledger, trial_s=(0.002, 0.001))
    with bench.illuminated(stopwatch=Stopwatch()):
        bench.move_sample("sample", (10.0, 0.0), stopwatch=Stopwatch())
        clock.now_s += 0.001
    first.begin("trial", 10.0)  # and the process is killed
    bench.lighting.lit_time = LitTime(clock=clock)
    second = light(bench, ledger)
    given = second.given()
    assert given.sample_mj_cm2 == pytest.approx(100 + 200)
    assert given.object_mj_cm2 == pytest.approx(100 + 100)
    second.settle()
    assert light(bench, ledger).given() == given


def test_the_power_of_a_design_is_the_highest_level_of_any_shot(tmp_path):
    design = {"level": {"role": "light", "bounds": [1, 20], "start": 3, "per_shot": True}}
    bench = make_bench(make_config(tmp_path, design=design, shots=2, **LIMITED))
    space = bench.space()
    asked = space.from_vector([0.0, 0.0, 0.0, 0.0, 2.0, 7.0])
    assert highest_power_mw(bench, asked, space) == pytest.approx(7.0)
    assert highest_power_mw(bench, None, space) == pytest.approx(10.0)


def test_the_dose_of_the_virtual_led_is_never_below_what_it_gave(tmp_path, ledger, monkeypatch):
    """The simulator integrates its own optical power; the bench may count more, never less."""
    given = {"mj": 0.0, "since_s": 0.0, "mw": 0.0}
    execute = VirtualLed.execute

    def integrate(led, line):
        answer = execute(led, line)
        now_s = time.monotonic()
        given["mj"] += given["mw"] * (now_s - given["since_s"])
        given["since_s"], given["mw"] = now_s, led.optical_power_mw()
        return answer

    monkeypatch.setattr(VirtualLed, "execute", integrate)
    config = make_config(tmp_path, objects={"stage_grid": {"count": 4}}, **LIMITED)
    with connect(config) as bench:
        counted = light(bench, ledger)
        began_s = time.monotonic()
        bench.apply(bench.space().start, space=bench.space(), stopwatch=Stopwatch())
        capture_batch(
            bench, ((0.0, 0.0), (20.0, 0.0), (200.0, 0.0), (220.0, 0.0)),
            stopwatch=Stopwatch(), on_frame=lambda _index, _frame: None,
        )  # fmt: skip
        most_mj = 10.0 * (time.monotonic() - began_s)
        dose = counted.take()
    counted_mj = dose["sample_mj_cm2"] * 1e-4  # on 0.01 mm2
    assert 0 < given["mj"] <= counted_mj <= most_mj
    assert dose["object_mj_cm2"] < dose["sample_mj_cm2"]  # two pairs, farther apart than the spot
