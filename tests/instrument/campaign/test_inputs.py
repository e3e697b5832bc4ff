"""Calibration files of modulators are part of a run's record."""

import hashlib
import os

import numpy as np
import pytest

from estimation import SensorNoise
from instrument.bench.patterns import ModulatorFileError, render_patterns
from instrument.campaign.run import create_run, recorded_config
from instrument.config import ConfigError, parse_config
from instrument.design import Design
from tests.instrument.fakes import make_config

SHAPE = (4, 4)
DESIGN = Design({"pupil": (0.0, 0.0, 0.0), "focus": (0.0,)})
TABLE = "grey,phase_rad\n0,0\n100,6.4\n"


@pytest.fixture
def config(tmp_path):
    (tmp_path / "lut.csv").write_text(TABLE)
    np.save(tmp_path / "flat.npy", np.full(SHAPE, 3.2))
    raw = make_config(tmp_path).model_dump(mode="json")
    raw["bench"]["roles"]["slm"].update(lut="lut.csv", flatness="flat.npy")
    return parse_config(raw, source="t", folder=tmp_path)


@pytest.fixture
def ledger(config, tmp_path):
    with create_run(config, tmp_path / "run", name="t") as ledger:
        yield ledger


def drawn(ledger):
    meta = {**ledger.meta(), "slm_shapes": {"slm": list(SHAPE)}}
    return render_patterns(meta, DESIGN, folder=ledger.run_dir)["slm"]


def test_a_run_keeps_the_files_and_their_hashes(ledger, tmp_path):
    lut, flatness = ledger.meta()["inputs"]
    assert lut["key"] == "bench.roles.slm.lut"
    assert lut["file"] == str(tmp_path / "lut.csv")
    assert lut["sha256"] == hashlib.sha256(TABLE.encode()).hexdigest()
    assert (ledger.run_dir / lut["copy"]).read_text() == TABLE
    assert (ledger.run_dir / flatness["copy"]).read_bytes() == (tmp_path / "flat.npy").read_bytes()


def test_a_record_is_drawn_with_what_was_used_also_elsewhere(ledger, tmp_path):
    (tmp_path / "lut.csv").write_text("0,0\n200,6.4\n")  # measured again
    assert (drawn(ledger) == 50).all()
    roles = recorded_config(ledger).bench.roles
    assert roles["slm"].lut.parent == (ledger.run_dir / "inputs").resolve()


def test_a_run_does_not_go_on_with_another_table(ledger):
    lut = ledger.run_dir / ledger.meta()["inputs"][0]["copy"]
    lut.write_text(TABLE + "200,12.8\n")
    with pytest.raises(ConfigError, match=r"`bench\.roles\.slm\.lut` = .* is not the file"):
        recorded_config(ledger)
    lut.unlink()
    with pytest.raises(ConfigError, match=r"lut` = .*: is missing; restore it"):
        recorded_config(ledger)
    with pytest.raises(ModulatorFileError, match="No such file"):
        drawn(ledger)


def test_a_run_scores_with_the_calibration_that_it_began_with(tmp_path):
    file = tmp_path / "camera.npz"
    SensorNoise(gain=2.0, offset=100.0, read_noise=1.5, bit_depth=12).save(file)
    before_s = 1_700_000_000.0
    os.utime(file, (before_s, before_s))
    raw = make_config(tmp_path).model_dump(mode="json") | {"noise": {"file": "camera.npz"}}
    asked = parse_config(raw, source="t", folder=tmp_path)
    with create_run(asked, tmp_path / "run", name="t") as ledger:
        SensorNoise(gain=3.0, offset=90.0, read_noise=9.0, bit_depth=12).save(file)  # a new night
        kept = recorded_config(ledger).noise.file
        assert SensorNoise.load(kept).gain == 2.0
        (noise,) = ledger.meta()["inputs"]
        assert (noise["key"], noise["file"]) == ("noise.file", str(file))
        assert noise["copy"].startswith("inputs/camera-")
        assert kept.stat().st_mtime == pytest.approx(before_s)  # its age, where it records none
        kept.write_bytes(file.read_bytes())
        with pytest.raises(ConfigError, match=r"`noise\.file` = .* is not the file"):
            recorded_config(ledger)


def test_a_missing_file_is_named_before_a_run_begins(config, tmp_path):
    (tmp_path / "flat.npy").unlink()
    with pytest.raises(ConfigError, match=r"`bench\.roles\.slm\.flatness` = .*flat\.npy: cannot"):
        create_run(config, tmp_path / "run", name="t")
    assert not (tmp_path / "run").exists()
