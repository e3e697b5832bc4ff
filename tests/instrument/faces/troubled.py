"""A night that went wrong, written through the ledger: faults, restarts, pauses, drift, dose.

Times are those of a clock that is set, not of the computer's. Nothing here is measured: scores,
doses and temperatures follow formulas that tests can compare with.
"""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from instrument.campaign.ledger import Ledger
from instrument.design import Design

BEGAN = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)
TRIAL_S = 8.0
OBJECTS = 16
DOSE_A_TRIAL = 0.004
DOSE_LIMIT = 5.0
REFERENCE_EVERY = 10
FAULT_EVERY = 20
PAUSE_S = 900.0
AWAY_S = 3600.0

CONFIG = {
    "bench": {
        "micromanager": {"virtual": "pupil_microscope"},
        "roles": {
            "camera": {"kind": "camera", "device": "Camera", "exposure_ms": 10.0},
            "slm": {"kind": "slm", "device": "SLM"},
            "sample": {"kind": "xy_stage", "device": "XY", "limits_um": [[-450, 450]] * 2},
            "focus": {"kind": "stage", "device": "Z", "limits_um": [-50, 50]},
        },
    },
    "objects": {"stage_grid": {"role": "sample", "count": OBJECTS, "spacing_um": 120}},
    "design": {
        "pupil": {
            "of": "slm", "role": "slm", "basis": "zernike", "modes": [4, 5], "bounds_rad": [-2, 2],
        },
        "focus": {"of": "stage", "role": "focus", "bounds_um": [-10, 10]},
    },
    "noise": {"gain": 2.17, "offset": 100.0, "read_noise": 1.7},
    "score": {"density": "gaussian", "patch": 8, "objective": "bits_per_measurement"},
    "search": {"seed": 11},
    "safety": {"dose": {"area_mm2": 1.0, "limit_mj_cm2": DOSE_LIMIT, "per": "object"}},
}  # fmt: skip
SPACE = [
    {
        "name": "pupil", "unit": "rad", "lower": -2, "upper": 2, "labels": ["Z4", "Z5"],
        "start": [0.0, 0.0],
    },
    {
        "name": "focus", "unit": "um", "lower": -10, "upper": 10, "labels": ["position"],
        "start": [0.0],
    },
]  # fmt: skip
FAULTS = [
    ("DeviceTimeout", "Camera (role camera): no frame within 2 s", "the bench is connected again"),
    ("ConnectionLost", "led (role light): the line was cut", "the bench is connected again"),
    ("InstrumentReported", "led (role light): -350 queue overflow", None),
]
START = Design({"pupil": (0.0, 0.0), "focus": (0.0,)})


class Clock:
    """The time that the ledger is told."""

    def __init__(self):
        self.now = BEGAN

    def __call__(self):
        return self.now.isoformat()

    def go(self, seconds):
        self.now += timedelta(seconds=seconds)


class Night:
    """A run of so many trials in three sessions: killed after a third, closed after two."""

    def __init__(self, folder, *, trials, side_px=16):
        self.folder, self.trials, self.side_px = folder, trials, side_px
        self.clock = Clock()
        self.elapsed_dose = 0.0
        self.generator = np.random.default_rng(0)

    def write(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("instrument.campaign.ledger.ledger._now", self.clock)
            self._write()
        return self.folder

    def _write(self):
        ledger = Ledger.create(
            self.folder,
            {
                "config": {**CONFIG, "safety": dict(CONFIG["safety"])},
                "config_name": "night", "created_at": BEGAN.isoformat(), "space": SPACE,
                "slm_shapes": {"slm": [32, 32]}, "status": "running", "infoloop_version": "0.1.0",
                "versions": {"numpy": "2.4.6"}, "command": "infoloop run night.yaml --seed 11",
            },
        )  # fmt: skip
        for number in range(self.trials):
            if number in (self.trials // 3, 2 * self.trials // 3):
                ledger = self._restart(ledger, is_killed=number == self.trials // 3)
            if number == self.trials // 2:
                self._pause(ledger)
            self._trial(ledger, number)
        self._end(ledger)

    def _restart(self, ledger, *, is_killed):
        if is_killed:
            ledger._connection.close()
            ledger._lock.release()
        else:
            ledger.describe_session(status="failed")
            ledger.close()
        self.clock.go(AWAY_S)
        return Ledger.open(self.folder)

    def _pause(self, ledger):
        ledger.log("state", "suspended: led.temperature_c", before="running", now="suspended")
        self.clock.go(PAUSE_S)
        ledger.log("state", "running again", before="suspended", now="running")

    def _trial(self, ledger, number):
        phase = self._phase(number)
        design = self._design(number, phase)
        began = self.clock.now
        hours = (began - BEGAN).total_seconds() / 3600
        ledger.ask(
            number=number, phase=phase, design=design, plan={"offsets": {"focus": [0.3 * hours]}}
        )
        if number % FAULT_EVERY == 7:
            self._fault(ledger, number)
        self.clock.go(TRIAL_S * 0.75)
        objects = OBJECTS if phase != "search" or number % 2 else OBJECTS // 4
        self.elapsed_dose += DOSE_A_TRIAL
        record = {
            "objects": objects, "shots": 1, "exposure_ms": 10.0, "black_level_adu": 100 + hours,
            "temperature_c": -10 + 0.1 * hours, "mean_adu": 900 * (1 - 0.02 * hours),
            "captured_at": [began.isoformat(), self.clock()], "pauses": [], "refused": None,
            "positions_um": [[120.0 * k, 0.0] for k in range(objects)], "warnings": [],
            "read_back": [{"focus": [0.0]}],
            "dose": {
                "object_mj_cm2": DOSE_A_TRIAL, "sample_mj_cm2": 3 * DOSE_A_TRIAL,
                "run_object_mj_cm2": self.elapsed_dose,
                "run_sample_mj_cm2": 3 * self.elapsed_dose,
            },
        }  # fmt: skip
        is_refused = number % 33 == 5 and phase == "search"
        if is_refused:
            record["refused"] = f"0.{number}% of the counts are saturated, 0.10% allowed"
        ledger.capture(number, self._counts(objects, design), record)
        if number % (3 * FAULT_EVERY) == 7:
            ledger.set_aside(number, why="the line was cut in the middle")
            ledger.capture(number, self._counts(objects, design), record)
        self.clock.go(TRIAL_S * 0.25)
        if is_refused:
            ledger.fail(number, why=record["refused"], seconds=TRIAL_S)
            return
        bits = self._bits(design) * (1 - 0.01 * hours) + 0.004 * self.generator.standard_normal()
        why = "target" if objects == OBJECTS else "worse"
        ledger.score(
            number,
            score=bits * 256,
            standard_error=0.004 * 256,
            estimate={
                "bits_per_pixel": bits, "standard_error": 0.02, "entropy": bits + 6.0,
                "conditional_entropy": 6.0, "frame_noise_standard_error": 0.004,
                "bits_per_measurement": bits * 256, "density": "gaussian", "patch": [8, 8],
                "is_misspecified": False,
                "per_object_bits": [round(bits + 0.01 * math.sin(k), 6) for k in range(objects)],
                "sampling": {"objects": objects, "why": why, "looks": [objects]},
            },
            seconds=TRIAL_S,
            timings={
                "exposure": 4.0, "travel": 1.5, "settle": 0.5, "score": 1.0, "ledger": 0.05,
                "propose": 0.1, "command": 0.1, "read back": 0.05, "light": 0.1, "checks": 0.05,
            },
        )  # fmt: skip

    def _phase(self, number):
        if number == 0:
            return "initial"
        if number >= self.trials - 6:
            return "confirm"
        return "reference" if number % REFERENCE_EVERY == 0 else "search"

    def _design(self, number, phase):
        if phase in {"initial", "reference"}:
            return START
        if phase == "confirm":
            return Design({"pupil": (0.8 + 0.1 * (number % 3), 0.5), "focus": (1.0,)})
        spread = 1.5 / math.sqrt(number)
        first, second = (0.8, 0.5) + spread * self.generator.standard_normal(2)
        return Design({"pupil": (float(first), float(second)), "focus": (1.0,)})

    def _bits(self, design):
        first, second = design.values["pupil"]
        return 2.0 + 1.2 * math.exp(-((first - 0.8) ** 2 + (second - 0.5) ** 2))

    def _counts(self, objects, design):
        shape = (objects, 1, self.side_px, self.side_px)
        return self.generator.poisson(100 + 300 * self._bits(design), shape).astype(np.uint16)

    def _fault(self, ledger, number):
        name, text, done = FAULTS[number // FAULT_EVERY % len(FAULTS)]
        ledger.log("fault", f"{name}: {text}")
        self.clock.go(5.0)
        if done is not None:
            ledger.log("recovery", f"attempt 1 of {number}: connecting again")
            ledger.log("recovery", done)

    def _end(self, ledger):
        drift = [
            {
                "at_s": 60.0 * number, "trial": number, "reference": 0, "score": 500.0,
                "correction_bits": 0.5 * number, "offsets": {"focus": [0.0]},
            }
            for number in range(REFERENCE_EVERY, self.trials - 6, 2 * REFERENCE_EVERY)
        ]  # fmt: skip
        ledger.set_meta("drift", drift)
        contenders = {"engine": 1, "recommender": 0, "best observed": 2}
        ledger.set_meta(
            "contenders",
            {
                name: Design({"pupil": (0.8 + 0.1 * k, 0.5), "focus": (1.0,)}).to_json()
                for name, k in contenders.items()
            },
        )
        best = next(
            number
            for number in range(self.trials - 6, self.trials)
            if number % 3 == 0
        )  # fmt: skip
        ledger.set_meta("best_trial", best)
        ledger.set_meta("decision", {"winner": "recommender", "is_significant": True})
        ledger.set_meta("seconds", TRIAL_S * self.trials)
        ledger.set_meta("status", "finished")
        ledger.set_meta("left_at", {"what": "best", "is_confirmed": True, "unsafe": []})
        ledger.describe_session(status="finished")
        ledger.close()
