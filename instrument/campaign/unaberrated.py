"""What the same estimator gives on the virtual bench without its aberration: the bar to reach."""

from __future__ import annotations

from pathlib import Path

from drivers.virtual.options import PupilMicroscopeOptions
from estimation.density import Density
from estimation.information import DensityName
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import connect
from instrument.bench.timing import Stopwatch
from instrument.campaign.scoring import load_noise, noise_at, score_batch
from instrument.config import Config
from instrument.grid import grid_positions


def unaberrated_bits_per_pixel(
    config: Config, run_dir: Path, *, density: DensityName | Density
) -> float:
    """Score one batch of a second virtual bench: same sample, sensor, light; no aberration.

    Parameters
    ----------
    config
        Of the campaign.
    run_dir
        Of the campaign: its calibration is used.
    density
        That the campaign was scored with.

    Raises
    ------
    ValueError
        If the bench of `config` is not the virtual pupil microscope.
    """
    block = config.bench.micromanager
    if not isinstance(block, PupilMicroscopeOptions):
        raise ValueError("only the virtual pupil microscope can be had without its aberration")
    perfect = block.model_copy(update={"aberration_rms_rad": 0.0, "led": None, "drift": None})
    visa = {
        name: instrument.model_copy(update={"address": "virtual"})
        for name, instrument in config.bench.visa.items()
    }
    bench_config = config.bench.model_copy(update={"micromanager": perfect, "visa": visa})
    with connect(config.model_copy(update={"bench": bench_config})) as bench:
        bench.apply(bench.space().start, space=bench.space(), stopwatch=Stopwatch())
        grid = config.objects.stage_grid
        positions = grid_positions(
            grid.count,
            spacing_um=grid.spacing_um,
            centre_um=grid.centre_um,
            order=grid.order,
            seed=config.search.seed,
        )
        batch = capture_batch(
            bench, positions, stopwatch=Stopwatch(), on_frame=lambda _index, _frame: None
        )
        noise = noise_at(load_noise(config, bench, run_dir), batch.exposure_ms)
    return score_batch(batch.counts, noise, config, density=density).estimate.bits_per_pixel
