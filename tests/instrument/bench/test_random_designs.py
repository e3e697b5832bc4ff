"""No random design puts a device outside its limits, or moves anything when one value is wrong."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.instrument.random_designs import Case, cases, is_allowed, judge, spied_bench

ROOT = Path(__file__).parents[3]
QUICK, FULL = 150, 2000


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return spied_bench(tmp_path_factory.mktemp("bench"))


def no_violation(bench, case):
    assert judge(bench, case).violations == ()


@settings(
    max_examples=QUICK, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(case=cases())
def test_random_designs_stay_within_every_limit(bench, case):
    no_violation(bench, case)


@pytest.mark.slow
@settings(
    max_examples=FULL, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(case=cases())
def test_two_thousand_random_designs_stay_within_every_limit(bench, case):
    no_violation(bench, case)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_judge_sees_a_device_that_is_told_too_much(bench, data):
    """Without the bench's check of soft limits the judge must have something to say."""
    case = data.draw(cases().filter(lambda c: is_allowed(c.design, bench.devices["iris"].at)))
    far = Case(case.design, ())
    original, bench._motion.check = bench._motion.check, lambda role, target: None
    knob = bench._knobs["focus"]
    try:
        bench._knobs["focus"] = type(knob)(parameter=knob.parameter, target=lambda _c: -60.0)
        assert any("Z told" in violation for violation in judge(bench, far).violations)
    finally:
        bench._motion.check, bench._knobs["focus"] = original, knob
        bench.devices["focus"].at = 0.0


def test_the_page_says_what_the_benchmark_found():
    result = json.loads((ROOT / "benchmarks/results/random_designs.json").read_text())
    page = (ROOT / "docs/concepts/safety.md").read_text(encoding="utf-8")
    assert (result["designs"], result["violations"]) == (FULL, 0)
    assert f"{result['invalid']} of them were not allowed" in page
    assert f"{result['commands']} commands" in page
