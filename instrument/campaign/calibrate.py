"""`infoloop calibrate`: the bench on its own, from connecting to a calibration file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from estimation import SensorNoise
from estimation.calibration import CalibrationResult
from instrument.bench.calibration import PROTOCOLS, OnLevel, as_noise, calibrate, forget
from instrument.bench.connect import connect
from instrument.bench.safety import Unsafe, signals_raise
from instrument.config import Config


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate_bench` came to: the fit, the noise it wrote, what could not be made safe."""

    result: CalibrationResult
    noise: SensorNoise
    unsafe: tuple[Unsafe, ...]


def calibrate_bench(
    config: Config, output: Path, *, protocol: str, on_level: OnLevel
) -> Calibration:
    """Calibrate the camera of a bench and write `output` (`.npz`).

    Parameters
    ----------
    config
        The bench file.
    output
        Calibration file; beside it, `OUTPUT.frames.npz` holds the sums of the frames, from which an
        interrupted calibration goes on.
    protocol
        `quick` or `full`.
    on_level
        Called after every level.

    Raises
    ------
    ConnectError, DeviceError, InterlockTripped, Interrupted
        From the bench; the light is off.
    UnsafeBench
        Something could not be made safe.
    estimation.calibration.CalibrationRefused
        The frames do not support a calibration.
    """
    chosen = PROTOCOLS[protocol]
    state = output.with_suffix(".frames.npz")
    output.parent.mkdir(parents=True, exist_ok=True)
    with signals_raise(), threadpool_limits(limits=1, user_api="blas"):
        bench = connect(config)
        try:
            result = calibrate(bench, chosen, state=state, on_level=on_level)
            noise = as_noise(result, bench, chosen)
        except BaseException:
            bench.close_or_say_so()
            raise
        unsafe = bench.close()
    noise.save(output, measured_at=datetime.now(UTC).isoformat())
    forget(state)
    return Calibration(result, noise, unsafe)
