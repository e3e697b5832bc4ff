"""A dry run: the preflight and nothing else, on the virtual bench and on fake devices."""

import json

import pytest
from typer.testing import CliRunner

from drivers import DeviceError
from instrument.bench.opening import ConnectError
from instrument.campaign import dry_run
from instrument.campaign.checks import Verdict
from instrument.campaign.ledger import Ledger
from instrument.campaign.preflight import Standing
from instrument.campaign.run import create_run
from instrument.faces import cli
from tests.instrument.fakes import broken, make_bench, make_config

VIRTUAL = ["--set", "noise={gain: 2.17, offset: 100, read_noise: 1.7}", "--set", "score.patch=8"]


def infoloop(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def dry(tmp_path, monkeypatch):
    """Do a dry run on fake devices; return what was found, what is unsafe, and the bench."""

    def dry(*, bench=None, standing=None, **changes):
        config = make_config(tmp_path, **changes)
        bench = bench or make_bench(config)
        monkeypatch.setattr(dry_run, "connect", lambda _config: bench)
        found, unsafe = dry_run.dry_run(
            config, run_dir=tmp_path / "run", standing=standing or Standing()
        )
        assert not (tmp_path / "run").exists()
        return {check.name: check for check in found.checks}, unsafe, bench

    return dry


def test_nothing_moves_and_the_light_is_on_for_the_repeats_only(dry):
    _, unsafe, bench = dry()
    names = bench.log.names()
    assert not {("Z", "start"), ("XY", "start"), ("SLM", "start")} & set(names)
    lit = names.index(("led", "start"))
    dark = names.index(("led", "make_safe"), lit)
    assert names[lit:dark].count(("Camera", "snap")) == 8
    assert bench.devices["camera"].lit_frames == 8
    assert not bench.devices["light"].is_on()
    assert unsafe == ()


def test_black_level_and_noise_are_those_measured_now(dry):
    found, _, _ = dry()
    # the fake's darks have a mean of 100 ADU and 1 ADU of noise: 2 x 256 pixels
    black_adu = float(found["black level"].value.split()[0])
    assert black_adu == pytest.approx(100.0, abs=5 / 512**0.5)
    assert found["self-check"].text.startswith("8 repeats of one scene")
    assert "as in the self-check" in found["time"].text


def test_no_light_comes_on_where_something_forbids_the_run(dry):
    limit = {"area_mm2": 1.0, "limit_mj_cm2": 1e-6}
    found, _, bench = dry(safety={"dose": limit})
    assert found["light dose"].verdict is Verdict.STOP
    assert bench.devices["camera"].lit_frames == 0


def test_no_light_comes_on_without_a_self_check(dry):
    found, _, bench = dry(safety={"self_check_repeats": 0})
    assert ("led", "start") not in bench.log.names()
    assert "self_check_repeats is 0" in found["self-check"].text


def test_a_bench_that_cannot_be_connected_is_a_check_that_says_stop(dry, monkeypatch, tmp_path):
    def refuse(_config):
        raise ConnectError(["`bench.roles.camera`: no device is labelled 'Cam'"])

    monkeypatch.setattr(dry_run, "connect", refuse)
    found, _ = dry_run.dry_run(make_config(tmp_path), run_dir=tmp_path, standing=Standing())
    assert found.verdict is Verdict.STOP
    assert "'Cam'" in found.checks[0].text


def test_a_fault_in_the_self_check_leaves_the_bench_dark_and_closed(dry, tmp_path):
    bench = make_bench(make_config(tmp_path))
    bench.devices["camera"].fails_on = {"snap": broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        dry(bench=bench)
    assert not bench.devices["light"].is_on()


# ---- the command


def test_a_dry_run_of_the_demo_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = infoloop("demo", "--dry-run", "--output", tmp_path / "run", *VIRTUAL)
    assert done.exit_code == 0, done.output
    assert done.output.count("preflight") == 1
    assert "the run may begin" in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_forbids_the_run_is_exit_code_1_and_in_the_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = infoloop(
        "run", "demo.yaml", "--dry-run", "--json", *VIRTUAL,
        "--set", "safety.least_free_disk_mb=1000000000000",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    document = json.loads(done.stdout)
    assert document["verdict"] == "stop"
    (stop,) = [check for check in document["checks"] if check["verdict"] == "stop"]
    assert stop["name"] == "disk"
    assert set(stop) == {"name", "value", "verdict", "text"}


def test_a_dry_run_of_a_resume_reads_the_record_and_writes_nothing(tmp_path, monkeypatch):
    config = make_config(tmp_path)
    with create_run(config, tmp_path / "run", name="bench") as ledger:
        ledger.set_meta("dose", {"total_mj": 1.0, "anywhere_mj": 1.0, "places_um_mj": []})
    monkeypatch.setattr(dry_run, "connect", lambda _config: make_bench(config))
    before = (tmp_path / "run" / "ledger.sqlite").read_bytes()
    done = infoloop("resume", tmp_path / "run", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "ledger.sqlite").read_bytes() == before
    with Ledger.open(tmp_path / "run") as ledger:
        assert ledger.meta()["status"] == "created"
        assert len(ledger.sessions()) == 2


def test_quiet_prints_nothing_but_the_exit_code_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = infoloop(
        "demo", "--dry-run", "--quiet", *VIRTUAL, "--set", "safety.least_free_disk_mb=1e12"
    )
    assert (done.exit_code, done.stdout) == (1, "")
