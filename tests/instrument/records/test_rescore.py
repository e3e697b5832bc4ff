"""Frames scored again: what is recorded, what is compared, and what is left alone."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from estimation import CalibrationMismatch, SensorNoise, estimate_information
from instrument.campaign import rescore as rescore_module
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.new_file import OutputError
from instrument.campaign.rescore import RescoreError, rescore
from instrument.campaign.rescored import write_rescored
from instrument.campaign.trial_choice import TrialChoiceError
from instrument.design import Design

from .runs import KEY, META, ROOT, frames, infoloop, record_of


def by_number(rescored):
    return {trial.number: trial for trial in rescored.trials}


def hashes(folder):
    return {
        file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.endswith(("-wal", "-shm"))
    }


def calibration(folder, **key):
    file = folder / "camera.npz"
    SensorNoise(gain=2.0, offset=100.0, read_noise=1.0, bit_depth=12, key={**KEY, **key}).save(file)
    return file


def test_a_run_scored_again_as_it_was_scores_the_same(virtual_run):
    rescored = rescore(virtual_run)
    assert len(rescored.trials) == 6
    for trial in rescored.trials:
        assert trial.new.score == pytest.approx(trial.old.score, rel=1e-12)
        assert trial.new.standard_error == pytest.approx(trial.old.standard_error, rel=1e-9)
    assert rescored.rank_correlation == pytest.approx(1.0)
    assert rescored.settings["density"] == "gaussian"


def test_the_record_of_the_run_is_not_touched(hand_made):
    before = hashes(hand_made)
    write_rescored(rescore(hand_made, patch=8), hand_made / "rescored" / "a.json")
    after = hashes(hand_made)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 2


def test_trials_that_the_run_could_not_score_are_scored_where_their_frames_allow(hand_made):
    trials = by_number(rescore(hand_made))
    assert trials[3].old is None
    assert trials[3].new.bits_per_pixel > 0
    assert trials[1].new is not None
    assert trials[1].refused == "0.5 % of the pixels are saturated"
    assert (trials[2].new, trials[6].new) == (None, None)
    assert "objects" in trials[2].why
    assert "has no frames" in trials[6].why


def test_a_new_score_is_that_of_the_estimator_on_the_frames(hand_made):
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=1.0, bit_depth=12)
    truth = estimate_information(frames(0.30, seed=0), noise, density="stationary", patch=8, seed=3)
    trial = by_number(rescore(hand_made, density="stationary", patch=8, trials="0"))[0]
    assert trial.new.bits_per_pixel == truth.bits_per_pixel
    assert trial.new.score == truth.bits_per_measurement


def test_the_best_is_told_with_its_difference_paired_by_objects(hand_made):
    rescored = rescore(hand_made)
    assert rescored.chosen.trials == (4,)
    assert rescored.best_confirmed.trials == (5,)
    trials = by_number(rescored)
    ours = np.array(trials[4].new.per_object_bits)
    theirs = np.array(trials[5].new.per_object_bits)
    assert rescored.best_confirmed.difference == pytest.approx((theirs - ours).mean())
    assert rescored.best_confirmed.standard_error == pytest.approx(
        (theirs - ours).std(ddof=1) / np.sqrt(12)
    )
    assert rescored.best_confirmed.difference > 5 * rescored.best_confirmed.standard_error
    # old 300, 400, 200 against new orders 0 or 5 first: ranks (2, 3, 1) and (2 or 3, 1, 3 or 2)
    assert rescored.rank_correlation in (pytest.approx(-0.5), pytest.approx(-1.0))


def test_frames_that_the_run_refused_are_never_the_best(hand_made):
    rescored = rescore(hand_made)
    scores = {trial.number: trial.new.score for trial in rescored.trials if trial.new}
    assert max(scores, key=scores.__getitem__) == 1
    assert set(rescored.best_observed.trials) <= {0, 5}


def test_a_run_is_scored_while_it_goes_on(hand_made):
    with Ledger.open(hand_made):
        assert rescore(hand_made, trials="0").trials[0].new is not None


def test_a_run_that_does_not_say_its_camera_needs_a_calibration(tmp_path):
    counts = frames(0.3)
    said = {key: value for key, value in META.items() if key != "camera_mode"}
    with Ledger.create(tmp_path / "run", said) as ledger:
        ledger.ask(number=0, phase="search", design=Design({"focus": (0.0,)}))
        ledger.capture(0, counts, record_of(counts))
    with pytest.raises(RescoreError, match=r"does not say which camera .*--noise"):
        rescore(tmp_path / "run")
    file = calibration(tmp_path)
    assert rescore(tmp_path / "run", noise=file, other_camera=True).trials[0].new is not None


def test_trials_of_other_objects_are_paired_by_where_they_lie(tmp_path):
    with Ledger.create(tmp_path / "run", {**META, "best_trial": 0}) as ledger:
        for number, contrast in enumerate((0.2, 0.3)):
            ledger.ask(number=number, phase="search", design=Design({"focus": (number,)}))
            counts = frames(contrast, seed=number)
            record = record_of(counts)
            if number == 1:  # the last eight of the same objects, the other way round
                places = record["positions_um"][:3:-1]
                counts, record = counts[:3:-1], record_of(counts[:3:-1], positions_um=places)
            ledger.capture(number, np.ascontiguousarray(counts), record)
    rescored = rescore(tmp_path / "run")
    first, second = (np.array(trial.new.per_object_bits) for trial in rescored.trials)
    gains = second[::-1] - first[4:]
    assert rescored.best_observed.trials == (1,)
    assert rescored.best_observed.difference == pytest.approx(gains.mean())
    assert rescored.best_observed.standard_error == pytest.approx(gains.std(ddof=1) / np.sqrt(8))


def test_auto_settles_on_one_density(hand_made, mocker):
    asked = mocker.spy(rescore_module, "score_counts")
    rescored = rescore(hand_made, density="auto-gaussian")
    settled = rescored.settings["density"]
    assert settled in {"gaussian", "stationary"}
    densities = [call.kwargs["density"] for call in asked.call_args_list]
    assert densities == ["auto-gaussian"] + [settled] * (len(densities) - 1)
    assert len(densities) > 3
    assert rescored.settings["density_asked"] == "auto-gaussian"


def test_processes_score_as_one_does(hand_made):
    seen = []
    alone = rescore(hand_made, density="auto-gaussian")
    shared = rescore(hand_made, density="auto-gaussian", workers=2, on_trial=seen.append)
    assert [trial.number for trial in shared.trials] == [0, 1, 2, 3, 4, 5, 6]
    assert list(shared.trials) == seen
    for one, other in zip(alone.trials, shared.trials, strict=True):
        assert one.why == other.why
        if one.new:
            assert one.new.score == pytest.approx(other.new.score, rel=1e-9)


def test_another_calibration_gives_other_bits(hand_made, tmp_path):
    file = calibration(tmp_path)
    rescored = rescore(hand_made, noise=file, trials="0,4")
    assert all(trial.new.score != trial.old.score for trial in rescored.trials)
    assert rescored.settings["noise"] == {
        "of": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "other_camera": False,
    }


def test_the_calibration_of_another_camera_is_refused_unless_it_is_wanted(hand_made, tmp_path):
    file = calibration(tmp_path, camera="fake:Other")
    with pytest.raises(CalibrationMismatch, match=r"camera: .*'fake:Other'.*--other-camera"):
        rescore(hand_made, noise=file)
    rescored = rescore(hand_made, noise=file, trials="0", other_camera=True)
    assert rescored.trials[0].new is not None
    assert rescored.settings["noise"]["other_camera"] is True


def test_a_trial_at_an_exposure_that_the_calibration_does_not_cover_fails_alone(
    hand_made, tmp_path
):
    file = tmp_path / "short.npz"
    key = {**KEY, "exposure_ms_range": [1.0, 5.0]}
    del key["exposure_ms"]
    SensorNoise(gain=1.0, offset=100.0, read_noise=1.0, bit_depth=12, key=key).save(file)
    rescored = rescore(hand_made, noise=file, trials="0")
    assert rescored.trials[0].new is None
    assert "exposure_ms: calibrated for [1.0, 5.0], the batch has 10.0" in rescored.trials[0].why


def test_frames_that_are_not_what_was_acknowledged_are_not_scored(hand_made):
    file = hand_made / "batches" / "trial00000.npy"
    np.save(file, frames(0.5))
    trials = by_number(rescore(hand_made, trials="0,4"))
    assert trials[0].new is None
    assert "SHA-256 differs" in trials[0].why
    assert trials[4].new is not None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"density": "gauss"}, RescoreError, "gaussian, stationary"),
        ({"trials": "0-9"}, TrialChoiceError, "no trial 9, the run has 0 to 6"),
        ({"trials": "5-3"}, TrialChoiceError, "such as 0-10,15"),
        ({"trials": "best, 3"}, TrialChoiceError, "such as 0-10,15"),
    ],
)
def test_what_cannot_be_asked_for_is_said(hand_made, options, error, words):
    with pytest.raises(error, match=words):
        rescore(hand_made, **options)


def test_a_run_whose_calibration_is_gone_says_so(virtual_run, tmp_path):
    run_dir = tmp_path / "copy"
    shutil.copytree(virtual_run, run_dir)
    with Ledger.open(run_dir) as ledger:
        config = ledger.meta()["config"]
        ledger.set_meta("config", {**config, "noise": {"calibrate": "quick"}})
    with pytest.raises(RescoreError, match=r"noise\.npz: No such file.* restore it, or .*--noise"):
        rescore(run_dir)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        rescore(tmp_path)


def test_the_table_and_the_document_say_the_same_and_are_not_overwritten(hand_made, tmp_path):
    rescored = rescore(hand_made)
    file = write_rescored(rescored, tmp_path / "again.json")
    said = json.loads(file.read_text(encoding="utf-8"))
    with file.with_suffix(".csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    for row, trial in zip(rows, said["trials"], strict=True):
        new = trial["new"]
        assert row["new_score"] == ("" if new is None else repr(new["score"]))
        assert row["batch_sha256"] == " ".join(trial["batch_sha256"])
    assert said["settings"]["versions"].keys() >= {"infoloop", "numpy", "python"}
    with pytest.raises(OutputError, match="is there already and stays as it is"):
        write_rescored(rescored, tmp_path / "again.json")
    assert json.loads(file.read_text(encoding="utf-8")) == said


def test_no_driver_and_no_vendor_library_is_loaded(virtual_run):
    code = (
        "import sys; from pathlib import Path; from instrument.campaign.rescore import rescore; "
        "assert rescore(Path(sys.argv[1]), trials='0').trials[0].new; "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(virtual_run)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "estimation.information" in loaded
    hardware = ("pymmcore", "pyvisa", "drivers.micromanager", "drivers.virtual.bench",
                "drivers.slmsuite", "drivers.display", "instrument.bench.connect")  # fmt: skip
    assert [name for name in loaded if name.startswith(hardware)] == []


def test_the_command_shows_a_table_and_names_its_file(hand_made):
    said, complaints = infoloop("rescore", hand_made, "--density", "stationary")
    assert "5 of 7 trials scored again; rank correlation with the run's scores -" in said
    assert "best of the confirmed now: " in said
    assert (hand_made / "rescored" / "stationary-patch4.json").is_file()
    assert "trial 6: has no frames: " in complaints
    infoloop("rescore", hand_made, "--density", "stationary")
    assert (hand_made / "rescored" / "stationary-patch4-2.json").is_file()


def test_the_command_gives_one_document(hand_made):
    said, _ = infoloop("rescore", hand_made, "--trials", "best", "--json")
    document = json.loads(said)
    assert [trial["number"] for trial in document["trials"]] == [4]
    assert document["file"].endswith("gaussian-patch4.json")


def test_the_command_fails_where_no_trial_is_scored(hand_made):
    infoloop("rescore", hand_made, "--trials", "6", code=1)
    _, complaint = infoloop("rescore", hand_made, "--trials", "7", code=2)
    assert "no trial 7" in complaint
