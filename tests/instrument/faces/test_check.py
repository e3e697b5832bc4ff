"""`infoloop check`: every limit, interlock and safe state on one page, and nothing moves."""

import re

import pytest
from typer.testing import CliRunner

from drivers.micromanager import (
    MicroManagerProperty,
    MicroManagerRotation,
    MicroManagerSelector,
    MicroManagerXYStage,
)
from instrument.bench.interlocks import Interlock
from instrument.faces import cli
from instrument.faces.check import limits_table
from instrument.faces.exit_codes import BAD_INPUT, FAILED
from tests.instrument.bench.test_compiled_adapters import parsed
from tests.instrument.fakes import FakeMeter, Log, make_bench, make_config

INTERLOCKS = [
    {"role": "sample.x", "below": 400, "hysteresis": 5, "action": "pause", "longest_pause_s": 30},
    {"role": "camera.CCDTemperature", "unit": "degC", "below": 40},
]
SLEW = {"roles": {"angle": {"slew": {"most": 10, "per": "s"}}}}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Run the command on the compiled adapters; give exit code and the page, tables unruled."""
    moves = []
    for kind in (
        MicroManagerProperty, MicroManagerRotation, MicroManagerSelector, MicroManagerXYStage,
    ):  # fmt: skip
        monkeypatch.setattr(kind, "start", lambda device, target: moves.append(device.name))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*options, interlocks=INTERLOCKS):
        config = parsed(tmp_path, {"bench": {"interlocks": interlocks, **SLEW}})
        monkeypatch.setattr(
            cli, "load_config",
            lambda _file, *, overrides, seed: config.model_copy(
                update={"search": config.search.model_copy(update={"seed": seed or 0})}
            ),
        )  # fmt: skip
        result = CliRunner().invoke(cli.app, ["check", "bench.yaml", *options])
        assert moves == []
        return result.exit_code, re.sub(r"[ │]+", " ", result.output)

    return run


def test_the_page_shows_what_is_in_force(check):
    code, page = check()
    assert code == 0, page
    for words in (
        "camera exposure 0 to 1000 ms",  # the device's 10 s, but no longer than an interlock's
        "x -500 to 500 um", "interlock sample.x: below 400 um (again 5 um inside)",
        "angle 0 to 180 deg 10 deg per second, farther in steps stays",
        "iris 0.5 to 4 - stays", "stations 0 State-0, 1 State-1, 2 green",
        "sample.x 0 um below 400 um (again 5 um inside) light off, wait 30 s at most",
        "camera.CCDTemperature 0 degC below 40 degC light off, the run ends",
    ):  # fmt: skip
        assert words in page, (words, page)


def test_a_dry_run_says_what_each_role_would_be_asked_for_and_where_it_is(check):
    _, page = check()
    assert "dry run of the start design: nothing moves" in page
    for words in (
        "stations Wheel 0 (State-0) 0 (State-0)", "angle Rotation 0 deg 15 deg",
        "iris Lens.StripeWidth 1 2", "camera Camera 2 ms 3 ms",
    ):  # fmt: skip
        assert words in page, (words, page)


def test_a_random_dry_run_is_the_seeds_and_shows_every_shot(check):
    _, once = check("--dry-run", "random", "--seed", "4")
    _, again = check("--dry-run", "random", "--seed", "4")
    _, other = check("--dry-run", "random", "--seed", "0")
    assert once == again != other
    assert "stations Wheel 0 (State-0) shot 1: 5 (State-5)" in once
    assert "shot 2: 2 (green)" in once


def test_an_open_interlock_is_on_the_page_and_ends_with_its_sentence(check):
    code, page = check(interlocks=[{"role": "angle", "above": 3}, *INTERLOCKS])
    assert code == BAD_INPUT  # the design's bounds reach to where it is open
    code, page = check(interlocks=[{"role": "camera.CCDTemperature", "above": 3}])
    assert code == FAILED
    assert "camera.CCDTemperature 0 OPEN above 3 light off, the run ends" in page
    assert "dry run of the start design" in page
    assert "interlock camera.CCDTemperature: 0, must be above 3" in page


def test_a_modulator_that_brings_the_shots_by_itself_is_on_the_page(tmp_path):
    """Then an exposure may take a share of the time that an interlock may go unread."""
    interlock = {"role": "focus", "below": 40.0}
    config = make_config(
        tmp_path,
        bench={"roles": {"slm": {"trigger": "camera"}}, "interlocks": [interlock]},
        design={"pupil": {"per_shot": True}},
        shots=4,
    )
    focus = Interlock(name="focus", meter=FakeMeter("Z", Log(), [0.0]), is_behind_core=True)
    table = limits_table(make_bench(config, interlocks=[focus]))
    limits = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    assert limits["slm"] == "16 x 16 pixels, grey 0 to 255\nbrings the 4 shots by itself (trigger)"
    assert limits["camera"] == "exposure 0.1 to 250 ms"
