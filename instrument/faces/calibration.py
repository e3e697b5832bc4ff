"""What `infoloop calibrate` does and shows: from bench or frames on disk to file and report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console

from estimation import SensorNoise
from estimation.calibration import CalibrationResult, SensorCalibration
from instrument.bench.safety import Unsafe
from instrument.campaign.calibrate import calibrate_bench
from instrument.config import Config, ConfigError
from instrument.faces.calibration_report import write_calibration_report
from instrument.faces.frames_on_disk import FramesOnDiskError, read_levels
from instrument.faces.terminal import LevelBar, calibration_table


def from_bench(
    config: Config, output: Path, *, protocol: str, progress: Console
) -> tuple[Unsafe, ...]:
    """Calibrate on the bench; return what could not be made safe."""
    bar = LevelBar(progress)
    try:
        done = calibrate_bench(config, output, protocol=protocol, on_level=bar)
    finally:
        bar.close()
    about = {
        "camera": str(done.noise.key.get("camera", "camera")),
        "protocol": protocol,
        "exposure": f"{done.noise.exposure_ms:g} ms",
        "sample in view": "yes",
    }
    _present(done.result, output, about, progress)
    return done.unsafe


def from_files(
    folder: Path, output: Path, *, bit_depth: int | None, progress: Console
) -> tuple[Unsafe, ...]:
    """Calibrate from frames on disk; there is nothing to make safe."""
    if bit_depth is None:
        raise ConfigError("calibrate", ["--from needs --bit-depth: that of the camera's converter"])
    sums = SensorCalibration(bit_depth=bit_depth)
    bar = LevelBar(progress)
    try:
        for done, level in enumerate(read_levels(folder)):
            sums.add(level.frames, exposure_s=level.exposure_s, light=level.light)
            bar(done + 1, done + 1, f"{level.light} at {level.exposure_s:g} s")
    except FramesOnDiskError as error:
        raise ConfigError("calibrate --from", [str(error)]) from error
    finally:
        bar.close()
    result = sums.fit()
    noise: SensorNoise = result.noise
    noise.save(output)
    frames = str(sum(sums.levels.values()))
    _present(result, output, {"camera": str(folder), "frames": frames}, progress)
    return ()


def _present(
    result: CalibrationResult, output: Path, about: Mapping[str, str], progress: Console
) -> None:
    meta = {
        **about,
        "created_at": datetime.now(UTC).isoformat(),
        "infoloop_version": metadata.version("infoloop"),
    }
    report = write_calibration_report(result, output.with_suffix(".html"), meta=meta)
    console = Console()
    console.print(calibration_table(result))
    for warning in result.warnings:
        progress.print(str(warning), style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{output}: use it with `noise: {output}` in a bench file\nreport: {report}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
