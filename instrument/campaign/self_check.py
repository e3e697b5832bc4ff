"""The loop's self-check: whether the noise of this bench, now, is what the scores stand on.

Repeats of one static scene, compared with the calibrated noise by `estimation.self_check`. The
ledger keeps every check; an alarm is said loudly and stops nothing, because the frames are still
good: a better calibration can score them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal

import numpy as np

from drivers import Position
from estimation import EstimationError, InfraredNoise, check_repeats
from instrument.bench.acquisition import black_level, capture_repeats
from instrument.bench.bench import Bench
from instrument.bench.holding import never
from instrument.bench.timing import Stopwatch
from instrument.campaign.events import NoiseChecked
from instrument.campaign.scoring import BenchNoise, expected_black_adu, noise_at
from instrument.design import Design, DesignSpace

When = Literal["start", "end"]
NOT_FOR_THERMAL = (
    "the noise was not checked: repeats of one scene cannot tell the pattern that two-point "
    "correction leaves from the scene"
)


def check_noise(
    bench: Bench,
    noise: BenchNoise,
    design: Design | None,
    position: Position | None,
    *,
    space: DesignSpace,
    when: When,
    trials: int,
    checkpoint: Callable[[], None] = never,
) -> dict[str, Any]:
    """Bring the bench to `design`, expose repeats of one object, and compare.

    Without design and position nothing moves, and what is in view is looked at. Before, in the
    dark, the black level is measured where there is a light to be off.

    Parameters
    ----------
    bench
        Connected.
    noise
        That the campaign's scores use.
    design, position, space
        What is looked at, or None to leave the bench as it is; the light is on only while it is.
    when, trials
        Where the campaign is; kept in the record, `trials` also as the seed of the dequantisation.
    checkpoint
        Called before every exposure; a `PauseAsked` of it ends the check, to be begun again.

    Returns
    -------
    dict
        For the ledger: `when`, `at`, `trials`, `text`, `is_alarm`, `black_level_adu` with the
        calibration's `expected_black_adu`, `frame_s`, which is how long a frame took, and the
        numbers of `estimation.SelfCheck` unless the frames did not allow a comparison.

    Raises
    ------
    DeviceError, InterlockTripped
        From the bench, as in a trial.
    """
    record: dict[str, Any] = {
        "when": when,
        "at": datetime.now(UTC).isoformat(),
        "trials": trials,
        "position_um": None if position is None else list(position),
        "is_alarm": False,
    }
    if isinstance(noise, InfraredNoise):
        return {**record, "text": NOT_FOR_THERMAL}
    stopwatch = Stopwatch()
    if design is not None:
        bench.apply(design, space=space, stopwatch=stopwatch)
    here = noise_at(noise, bench.exposure_ms)
    record["black_level_adu"] = black_level(bench, stopwatch=Stopwatch())
    record["expected_black_adu"] = expected_black_adu(here)
    repeats = bench.config.safety.self_check_repeats
    frame_s: list[float] = []
    counts = capture_repeats(
        bench,
        position,
        repeats,
        stopwatch=stopwatch,
        checkpoint=checkpoint,
        on_frame=frame_s.append,
    )
    record["frame_s"] = median(frame_s)  # the first may have to wait for what a driver sets up
    try:
        check = check_repeats(
            counts,
            here,  # pyright: ignore[reportArgumentType] - or alike
            rng=np.random.default_rng(trials),
        )
    except EstimationError as error:
        return {**record, "text": f"the noise could not be checked: {error}"}
    return {
        **record,
        **asdict(check),
        "difference_bits": check.difference_bits,
        "is_conclusive": check.is_conclusive,
        "is_alarm": check.is_alarm,
        "text": check.sentence,
    }


def checked_event(record: Mapping[str, Any]) -> NoiseChecked:
    """Return what observers are told of a check."""
    return NoiseChecked(
        when=record["when"], text=str(record["text"]), is_alarm=bool(record["is_alarm"])
    )
