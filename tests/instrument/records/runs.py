"""Runs made by hand, and the command as a person runs it."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from instrument.design import Design
from instrument.faces.cli import app

ROOT = Path(__file__).parents[3]
OBJECTS = 12
SPACE = [
    {"name": "focus", "unit": "um", "lower": -5.0, "upper": 5.0, "labels": ["position"],
     "start": [0.0], "modal": False},
    {"name": "wheel", "unit": "1", "lower": 0.0, "upper": 1.0, "labels": ["position"],
     "start": [0.0], "modal": False, "choices": ["red, dark", "green"]},
]  # fmt: skip
CONFIG = {
    "score": {"density": "gaussian", "patch": 4, "objective": "bits_per_measurement"},
    "search": {"seed": 3},
    "noise": {"gain": 1.0, "offset": 100.0, "read_noise": 1.0, "bit_depth": 12},
}
KEY = {"camera": "fake:Camera", "shape": [16, 16], "binning": "1", "exposure_ms": 10.0}
META = {
    "config": CONFIG,
    "config_name": "by hand",
    "space": SPACE,
    "status": "finished",
    "best_trial": 4,
    "camera_mode": {"key": KEY, "bit_depth": 12, "temperature_c": None},
}


def frames(contrast, *, objects=OBJECTS, shots=1, seed=0):
    """Return the same textures at another contrast, with shot and read noise."""
    textures = np.random.default_rng(7).standard_normal((objects, 1, 16, 16))
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(400 * np.clip(1 + contrast * textures, 0, None).repeat(shots, axis=1))
    noisy = electrons + rng.standard_normal(electrons.shape)
    return np.rint(100 + noisy).clip(0, 4095).astype(np.uint16)


def record_of(counts, **changes):
    objects, shots = counts.shape[:2]
    return {
        "objects": objects,
        "shots": shots,
        "positions_um": [[10.0 * place, 0.0] for place in range(objects)],
        "exposure_ms": 10.0,
        "temperature_c": None,
        "black_level_adu": 0.1 + 0.2,
        "saturated_fraction": 0.0,
        "zero_fraction": 0.0,
        "captured_at": ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"],
        "warnings": ["a warning", "and another, with a comma"],
        "refused": None,
        **changes,
    }


def add(ledger, number, contrast, *, phase="search", score=None, refused=None, **batch):
    """Add a trial with frames; without a score it ends captured, or refused."""
    design = Design({"focus": (1 / 3 + number,), "wheel": (float(number % 2),)})
    if phase == "confirm":
        design = Design({"focus": (1 / 3 + batch.pop("of"),), "wheel": (0.0,)})
    ledger.ask(number=number, phase=phase, design=design)
    counts = frames(contrast, seed=number, **batch)
    ledger.capture(number, counts, record_of(counts, refused=refused))
    if refused:
        ledger.fail(number, why=refused, seconds=1.0)
    if score is not None:
        estimate = {
            "bits_per_pixel": score / 256, "standard_error": 0.01,
            "frame_noise_standard_error": 0.001, "density": "gaussian", "is_misspecified": False,
            "per_object_bits": [score / 256] * len(counts),
        }  # fmt: skip
        ledger.score(
            number, score=score, standard_error=0.1 + 0.2, estimate=estimate, seconds=1.1,
            timings={"exposure": 0.7},
        )  # fmt: skip


def infoloop(*arguments, code=0):
    """Run the command, and return what it says on standard output and standard error."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr
