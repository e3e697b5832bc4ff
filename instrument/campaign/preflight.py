"""What a run will take of trials, frames, disk, time and light, and whether it may begin.

Nothing here moves a device or switches a light on. What needs light, the self-check with the black
level before it, is done by whoever has it to do anyway (a campaign before its first trial, a dry
run) and handed in. Every verdict `stop` is known without light, so a run that must not begin ends
before it touched anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from drivers import DeviceError
from estimation import CalibrationMismatch, EstimationError, SensorNoise
from instrument.bench.bench import Bench
from instrument.bench.camera_mode import temperature_c
from instrument.bench.interlocks import Interlock, InterlockTripped
from instrument.bench.limits import amount
from instrument.campaign.checks import Check, Preflight, Verdict
from instrument.campaign.disk import MB, batch_bytes, free_bytes, shown_mb
from instrument.campaign.dose import (
    META,
    Dose,
    LightDose,
    highest_power_mw,
    plan_of_light,
    shown_dose,
    units_of,
)
from instrument.campaign.drifting import most_visiting
from instrument.campaign.ledger import Ledger, TrialRow
from instrument.campaign.overlap import SLOW, trains_every_trial
from instrument.campaign.pace import TRAINING_S, Pace, calibration_s, pace_of
from instrument.campaign.plan import reserved_for_confirmation
from instrument.campaign.scoring import NOISE_FILE, calibrated_temperatures_c, load_noise
from instrument.campaign.trial import captured_at
from instrument.config import Config, DoseConfig, LightRole, NoiseCalibrate, NoiseFile
from instrument.grid import grid_positions

OLD_CALIBRATION_DAYS = 30.0
"""From this age on a calibration is worth a doubt: gain and defects drift over months."""

OK, WARN, STOP = Verdict.OK, Verdict.WARN, Verdict.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands that is to begin or to go on.

    Parameters
    ----------
    done
        Trials that are scored or failed.
    trial_s
        From the capture of one trial to that of the next, median; None if there are not two.
    dose
        What the ledger holds of the light given.
    is_settled
        Whether no batch is to come that a density is trained on: it was, or is of an old run.
    """

    done: int = 0
    trial_s: float | None = None
    dose: Mapping[str, Any] | None = None
    is_settled: bool = False

    @classmethod
    def of(cls, ledger: Ledger) -> Standing:
        """Return the standing of a recorded run."""
        rows = [row for row in ledger.trials() if row.state in ("scored", "failed")]
        trial_s = _capture_interval_s(rows)
        meta = ledger.meta()
        is_settled = "trained_density" in meta or trains_every_trial(ledger)
        return cls(done=len(rows), trial_s=trial_s, dose=meta.get(META), is_settled=is_settled)


def _capture_interval_s(rows: Sequence[TrialRow]) -> float | None:
    """Return the median time between captures: scores may be waited for, or overlap with them."""
    times = [taken for row in rows if (taken := captured_at(row)) is not None]
    starts = sorted(datetime.fromisoformat(start) for start, _ in times)
    between_s = [(b - a).total_seconds() for a, b in pairwise(starts)]
    return median(between_s) if between_s else None


def preflight(
    config: Config,
    bench: Bench,
    *,
    run_dir: Path,
    standing: Standing,
    look: Mapping[str, Any] | None = None,
) -> Preflight:
    """Look at everything that a run depends on.

    Parameters
    ----------
    config, bench
        Of the run; connected, dark, and left as it is.
    run_dir
        Where the run is, or will be, written.
    standing
        Of a new run, `Standing()`.
    look
        Record of the self-check (`instrument.campaign.self_check.check_noise`), if it was done.
    """
    pace = _pace(config, bench, standing, look)
    left = max(0, _most_trials(config) - standing.done)
    return Preflight((
        _devices(bench),
        _budget(config, standing),
        _frames(pace, left),
        _disk(config, bench, run_dir, left, training=_training(config, standing)),
        _time(config, pace, left, run_dir, training=_training(config, standing)),
        _dose(config, bench, pace, standing, run_dir, checks=1 if look else 2),
        _calibration(config, bench, run_dir),
        *_looked(config, run_dir, look),
        *(_interlock(interlock) for interlock in bench.interlocks),
    ))


def duration(seconds: float) -> str:
    """Say how long something will take: an estimate, of whose seconds nobody knows."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes:02d} min"


def _devices(bench: Bench) -> Check:
    try:
        told = bench.describe()
    except DeviceError as error:
        return Check("devices", "one does not answer", STOP, str(error))
    return Check("devices", f"all {len(told)} answer", OK, "")


def _most_trials(config: Config) -> int:
    return config.search.trials + most_visiting(config.drift, config.search.trials)


def _budget(config: Config, standing: Standing) -> Check:
    trials = config.search.trials
    confirming = reserved_for_confirmation(config.search)
    value = f"{trials} trials: {trials - confirming} search, {confirming} confirmation"
    visiting = _most_trials(config) - trials
    if visiting:
        value += f"; up to {visiting} of the reference beside them"
    if standing.done:
        value += f"; {standing.done} done"
    if not confirming:
        text = "no trial is left to confirm the best design; raise search.trials"
        return Check("budget", value, WARN, text)
    return Check("budget", value, OK, "")


def _frames(pace: Pace, left: int) -> Check:
    value = f"{pace.frames} a trial, {pace.frames * left} in all"
    shots = "1 shot" if pace.shots == 1 else f"{pace.shots} shots"
    return Check("frames", value, OK, f"{pace.objects} objects, {shots} of each")


def _training(config: Config, standing: Standing) -> int:
    """Batches to come that are of no trial: what a density is trained on."""
    return int(config.score.density in SLOW and not standing.is_settled)


def _disk(config: Config, bench: Bench, run_dir: Path, left: int, *, training: int) -> Check:
    batch, reserve = batch_bytes(config, bench), int(config.safety.least_free_disk_mb * MB)
    needed, free = batch * (left + training), free_bytes(run_dir)
    value = f"{shown_mb(needed)} needed, {shown_mb(free)} free"
    missing = needed + reserve - free
    if missing > 0 and left:
        fitting = max(0, (free - reserve) // batch - training)
        text = (
            f"room for {fitting} of {left} trials; free {shown_mb(missing)} on the disk of "
            f"{run_dir.absolute()}, choose another --output, or lower search.trials "
            f"({shown_mb(reserve)} stay free: safety.least_free_disk_mb)"
        )
        return Check("disk", value, STOP, text)
    return Check("disk", value, OK, f"{shown_mb(batch)} a trial")


def _pace(config: Config, bench: Bench, standing: Standing, look: Mapping[str, Any] | None) -> Pace:
    pace = pace_of(config, bench)
    frame_s = None if look is None else look.get("frame_s")
    if standing.trial_s is not None:
        source = "as the trials so far took"
        return pace.measured(frame_s=frame_s, trial_s=standing.trial_s, source=source)
    if frame_s is not None:
        return pace.measured(
            frame_s=frame_s, source="frames as in the self-check, the rest guessed"
        )
    return pace


def _time(config: Config, pace: Pace, left: int, run_dir: Path, *, training: int) -> Check:
    calibrating_s = 0.0 if (run_dir / NOISE_FILE).exists() else calibration_s(config)[0]
    training_s = training * TRAINING_S
    seconds = left * pace.whole_trial_s + calibrating_s + training_s
    until = (datetime.now().astimezone() + timedelta(seconds=seconds)).strftime("%a %H:%M")
    text = f"{duration(pace.whole_trial_s)} a trial, {pace.source}"
    if calibrating_s:
        text += f"; {duration(calibrating_s)} for the calibration"
    if training_s:
        text += f"; {duration(training_s)} to train the density"
    return Check("time", f"{duration(seconds)}, until {until}", OK, text)


def _dose(
    config: Config, bench: Bench, pace: Pace, standing: Standing, run_dir: Path, *, checks: int
) -> Check:
    name, limit = "light dose", config.safety.dose
    if not bench.lights():
        return Check(name, "no light of the bench's own", OK, "")
    if limit is None:
        text = "no area given; for a dose in mJ/cm2 add safety: {dose: {area_mm2, limit_mj_cm2}}"
        return Check(name, "not known", OK, text)
    known = units_of(bench)
    silent = ", ".join(
        f"{role} ({light.unit})"
        for role, light in bench.lights().items()
        if role not in known and isinstance(bench.roles[role], LightRole)
    )
    if not known:
        text = (
            f"safety.dose cannot be kept: the level of {silent or 'a shutter'} is no power; give a "
            "light in W, mW, uW or nW, or leave safety.dose out"
        )
        return Check(name, "not known", STOP, text)
    left = max(0, _most_trials(config) - standing.done)
    expected = _expected_doses(config, bench, pace, standing, run_dir, limit, checks=checks)
    training = _training(config, standing)
    whole, first, second = (expected(training + trials).per(limit.per) for trials in (left, 1, 2))
    planned = expected(training + left)
    value = (
        f"object {shown_dose(planned.object_mj_cm2)}, "
        f"sample {shown_dose(planned.sample_mj_cm2)} mJ/cm2; "
        f"limit {limit.limit_mj_cm2:g} per {limit.per}"
    )
    remedy = "lower the light's level or the exposure"
    if left and first > limit.limit_mj_cm2:
        return Check(name, value, STOP, f"not one trial fits the limit; {remedy}")
    if whole > limit.limit_mj_cm2:
        fitting = 1 + math.floor((limit.limit_mj_cm2 - first) / (second - first))
        text = f"the run will end after about {fitting} of {left} trials; {remedy} for more"
        return Check(name, value, WARN, text)
    if silent:
        return Check(name, value, WARN, f"without {silent}, whose level is no power")
    return Check(name, value, OK, "planned, at the file's light levels; counted while it is on")


def _expected_doses(
    config: Config,
    bench: Bench,
    pace: Pace,
    standing: Standing,
    run_dir: Path,
    limit: DoseConfig,
    *,
    checks: int,
) -> Callable[[int], Dose]:
    """Return the dose of the whole run by the number of trials to come."""
    grid, repeats = config.objects.stage_grid, config.safety.self_check_repeats
    positions = grid_positions(
        grid.count, spacing_um=grid.spacing_um, centre_um=grid.centre_um, order="snake", seed=0
    )
    planned = plan_of_light(pace, positions, repeats=repeats, area_mm2=limit.area_mm2)
    dose = LightDose(bench, planned=planned, recorded=standing.dose, record=lambda _state: None)
    power = highest_power_mw(bench, None, bench.space())
    calibrating_s = 0.0 if (run_dir / NOISE_FILE).exists() else calibration_s(config)[1]
    return lambda trials: dose.expected(power, trials=trials, checks=checks, more_s=calibrating_s)


def _calibration(config: Config, bench: Bench, run_dir: Path) -> Check:
    asked, file = config.noise, run_dir / NOISE_FILE
    if isinstance(asked, NoiseCalibrate) and not file.exists():
        text = f"measured before the first trial ({duration(calibration_s(config)[0])})"
        return Check("calibration", asked.calibrate, OK, text)
    if isinstance(asked, NoiseFile):
        file = asked.file
    is_measured = isinstance(asked, NoiseFile | NoiseCalibrate)
    value = file.name if is_measured else "numbers of the bench file"
    try:
        noise = load_noise(config, bench, run_dir)
        age = _age_days(file) if is_measured else None
    except CalibrationMismatch as error:
        return Check("calibration", value, STOP, str(error))
    except (EstimationError, OSError) as error:
        text = f"{file} cannot be used: {error}; run `infoloop calibrate`"
        return Check("calibration", value, STOP, text)
    if age is None:
        return Check("calibration", value, OK, "not measured here; the self-check compares them")
    said = f"{value}, {_age(age)}, fits this camera and mode"
    warm_c, span_c = temperature_c(bench), calibrated_temperatures_c(noise)
    if warm_c is not None and span_c is not None:
        said += f"; sensor {warm_c:.1f} degC, calibrated for {span_c[0]:g} to {span_c[1]:g}"
    if age > OLD_CALIBRATION_DAYS:
        text = f"older than {OLD_CALIBRATION_DAYS:g} days; run `infoloop calibrate` again"
        return Check("calibration", said, WARN, text)
    return Check("calibration", said, OK, "")


def _age_days(file: Path) -> float:
    """Age by the date that the file records, else by the file system's."""
    recorded = SensorNoise.recorded_date(file)
    if recorded is None:
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    else:
        written = datetime.fromisoformat(recorded)
    return max(0.0, (datetime.now(UTC) - written).total_seconds() / 86400)


def _age(days: float) -> str:
    return f"{days:.0f} days old" if days >= 2 else f"{24 * days:.0f} h old"


def can_look(config: Config, run_dir: Path) -> bool:
    """Whether there is a self-check, and a calibration that it could compare with."""
    is_calibrated = not isinstance(config.noise, NoiseCalibrate) or (run_dir / NOISE_FILE).exists()
    return bool(config.safety.self_check_repeats) and is_calibrated


def _looked(config: Config, run_dir: Path, look: Mapping[str, Any] | None) -> Iterator[Check]:
    if look is None:
        if not config.safety.self_check_repeats:
            why = "safety.self_check_repeats is 0"
        elif can_look(config, run_dir):
            why = "it needs light, and none is left or the run must not begin"
        else:
            why = "it needs the calibration, which comes first"
        yield Check("self-check", "not done", OK, why)
        return
    black, expected = look.get("black_level_adu"), look.get("expected_black_adu")
    if black is not None and expected is not None:
        value = f"{black:.2f} ADU, {expected:.2f} by the calibration"
        if abs(black - expected) > config.safety.black_level_tolerance_adu:
            text = "look for stray light, or calibrate again"
            yield Check("black level", value, WARN, text)
        else:
            yield Check("black level", value, OK, "")
    difference = look.get("difference_bits")
    value = "not compared" if difference is None else f"{difference:+.3f} bits/px"
    verdict = WARN if look["is_alarm"] or difference is None else OK
    yield Check("self-check", value, verdict, str(look["text"]))


def _interlock(interlock: Interlock) -> Check:
    name = f"interlock {interlock.name}"
    try:
        reading = interlock.check()
    except InterlockTripped as tripped:
        value = "no answer" if tripped.reading is None else (
            amount(tripped.reading, interlock.meter.unit)
        )  # fmt: skip
        if interlock.action == "pause":
            longest_s = interlock.longest_pause_s
            text = f"{tripped}; the run would wait for it, {longest_s:g} s at most"
            return Check(name, value, WARN, text)
        return Check(name, value, STOP, f"{tripped}; the light stays off until it holds")
    return Check(name, amount(reading, interlock.meter.unit), OK, interlock.bounds_shown())
