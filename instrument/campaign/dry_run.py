"""A run that stops after its preflight: no folder, no move, light for the self-check only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from instrument.bench.bench import Bench
from instrument.bench.connect import connect
from instrument.bench.opening import ConnectError
from instrument.bench.safety import Unsafe, signals_raise
from instrument.campaign.checks import Check, Preflight, Verdict
from instrument.campaign.preflight import Standing, preflight
from instrument.campaign.scoring import NOISE_FILE, load_noise
from instrument.campaign.self_check import check_noise
from instrument.config import Config, NoiseCalibrate


def dry_run(
    config: Config, *, run_dir: Path, standing: Standing
) -> tuple[Preflight, tuple[Unsafe, ...]]:
    """Connect, look at everything, close; return what was found and what is not safe.

    The light is on only for the repeats of the self-check, on what is in view, and only where
    nothing forbids the run: not before a calibration that is still to come, and not with
    `safety.self_check_repeats: 0`.

    Parameters
    ----------
    config
        Of the run.
    run_dir
        Where it is, or would be, written; nothing is written there.
    standing
        Of a new run, `Standing()`.

    Raises
    ------
    DeviceError, InterlockTripped, Interrupted
        The bench gave way in the self-check; it is safe and closed.
    UnsafeBench
        Something could not be made safe.
    """
    with signals_raise(), threadpool_limits(limits=1, user_api="blas"):
        try:
            bench = connect(config)
        except ConnectError as error:
            return Preflight((Check("devices", "not connected", Verdict.STOP, str(error)),)), ()
        try:
            found = preflight(config, bench, run_dir=run_dir, standing=standing)
            if not found.stops and can_look(config, run_dir):
                look = _look(config, bench, run_dir, standing)
                found = preflight(config, bench, run_dir=run_dir, standing=standing, look=look)
        except BaseException:
            bench.close_or_say_so()
            raise
        return found, bench.close()


def can_look(config: Config, run_dir: Path) -> bool:
    """Whether there is a self-check, and a calibration that it could compare with."""
    is_calibrated = not isinstance(config.noise, NoiseCalibrate) or (run_dir / NOISE_FILE).exists()
    return bool(config.safety.self_check_repeats) and is_calibrated


def _look(config: Config, bench: Bench, run_dir: Path, standing: Standing) -> Mapping[str, Any]:
    noise = load_noise(config, bench, run_dir)
    return check_noise(
        bench, noise, None, None, space=bench.space(), when="start", trials=standing.done
    )
