"""`infoloop score` and `infoloop compare`: frames in files, bits in the terminal.

The only module that knows image files. One file is a stack of objects, (objects, height, width) or
(objects, shots, height, width), or one frame of one object; several files, or all of a folder, are
one batch in the order given (a folder: by name).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from instrument.faces.exit_codes import bad_input, say
from instrument.faces.stack_files import StackError, read_batch

if TYPE_CHECKING:
    from estimation import DesignComparison, InformationEstimate, SensorNoise

BIT_DEPTHS = (8, 10, 12, 14, 16)
PLOT_INCHES = (8.0, 3.6)

TOLD = (
    "entropy_bits",
    "is_converged",
    "remaining_gap_bits",
    "gaussian_excess_bits",
    "is_gaussian_misspecified",
)
"""Diagnostics in the JSON document; null where the density has none, or does not know."""

FramesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="FRAMES...",
        help="Raw counts: .npy, TIFF, OME-TIFF, OME-Zarr, or folders of them; together one batch.",
    ),
]
DesignsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="A B ...", help="One file or folder a design; same objects in all."),
]
NoiseOption = Annotated[
    Path | None, typer.Option("--noise", help="Calibration of the camera (.npz).")
]
GainOption = Annotated[float | None, typer.Option("--gain", help="ADU/e-, instead of --noise.")]
OffsetOption = Annotated[float | None, typer.Option("--offset", help="Black level, ADU.")]
ReadNoiseOption = Annotated[float | None, typer.Option("--read-noise", help="e- rms.")]
BitDepthOption = Annotated[
    int | None,
    typer.Option("--bit-depth", help="Of the converter; by default from the files."),
]
ExposureOption = Annotated[
    float | None, typer.Option("--exposure-ms", help="Of the frames, for a known dark current.")
]
DensityOption = Annotated[
    str, typer.Option("--density", help="auto, gaussian, stationary or autoregressive.")
]
PatchOption = Annotated[int, typer.Option("--patch", min=1, help="Side of a patch, pixels.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
ConfidenceOption = Annotated[float, typer.Option("--confidence", help="Of the intervals.")]
ObjectEntropyOption = Annotated[
    float | None,
    typer.Option("--object-entropy", help="Of the objects in view where known: caps the bits."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document, no table.")]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", help="Draw per-object information (.png, .svg, .pdf).")
]


def score(
    frames: FramesArgument,
    noise: NoiseOption = None,
    gain: GainOption = None,
    offset: OffsetOption = None,
    read_noise: ReadNoiseOption = None,
    bit_depth: BitDepthOption = None,
    exposure_ms: ExposureOption = None,
    density: DensityOption = "auto",
    patch: PatchOption = 16,
    seed: SeedOption = 0,
    confidence: ConfidenceOption = 0.95,
    object_entropy: ObjectEntropyOption = None,
    as_json: JsonOption = False,
    plot: PlotOption = None,
) -> None:
    """Bits per pixel that raw frames carry about their objects, with error bars."""
    with _one_sentence():
        from estimation import estimate_information

        counts = read_batch(frames)
        camera = _camera(
            noise, gain, offset, read_noise, bit_depth, exposure_ms, highest=_highest([counts])
        )
        estimate = estimate_information(
            counts,
            camera,
            density=density,  # pyright: ignore[reportArgumentType] - checked, with the choices
            patch=patch,
            seed=seed,
            confidence=confidence,
            object_entropy=object_entropy,
        )
        uncertainty = camera.calibration_uncertainty(counts)
        if plot is not None:
            draw_objects({_label(frames): estimate}, plot)
        if as_json:
            document = _as_plain(estimate, counts.shape, camera, uncertainty)
            typer.echo(json.dumps(document, allow_nan=False))
            return
        Console().print(_score_table(estimate, counts.shape, camera, uncertainty))
        _warn({_label(frames): estimate})


def compare(
    designs: DesignsArgument,
    noise: NoiseOption = None,
    gain: GainOption = None,
    offset: OffsetOption = None,
    read_noise: ReadNoiseOption = None,
    bit_depth: BitDepthOption = None,
    exposure_ms: ExposureOption = None,
    density: DensityOption = "auto",
    patch: PatchOption = 16,
    seed: SeedOption = 0,
    confidence: ConfidenceOption = 0.95,
    as_json: JsonOption = False,
    plot: PlotOption = None,
) -> None:
    """Which design says most about the same objects: paired differences with intervals."""
    with _one_sentence():
        from estimation import compare_designs

        names = _distinct_names(designs)
        batches = {name: read_batch([path]) for name, path in zip(names, designs, strict=True)}
        highest = _highest(list(batches.values()))
        camera = _camera(noise, gain, offset, read_noise, bit_depth, exposure_ms, highest=highest)
        comparison = compare_designs(
            batches, camera, density=density, patch=patch, seed=seed, confidence=confidence
        )
        if plot is not None:
            draw_objects(comparison.estimates, plot)
        if as_json:
            document = _comparison_as_plain(comparison, batches, camera)
            typer.echo(json.dumps(document, allow_nan=False))
            return
        Console().print(_comparison_table(comparison))
        _warn(comparison.estimates)


# ---- noise


def _camera(
    file: Path | None,
    gain: float | None,
    offset: float | None,
    read_noise: float | None,
    bit_depth: int | None,
    exposure_ms: float | None,
    *,
    highest: int | None,
) -> SensorNoise:
    """Return the calibrated noise that the options name; raise with the options that are due."""
    from estimation import SensorNoise

    numbers = {"--gain": gain, "--offset": offset, "--read-noise": read_noise}
    given = [
        name for name, number in {**numbers, "--bit-depth": bit_depth}.items() if number is not None
    ]
    if file is not None:
        if given:
            raise StackError(f"--noise and {given[0]} came; the calibration file says it all")
        try:
            camera = SensorNoise.load(file)
        except OSError as error:
            raise StackError(f"--noise {file}: {error.strerror or error}") from error
    else:
        missing = [name for name, number in numbers.items() if number is None]
        if missing:
            raise StackError(
                f"{', '.join(missing)} missing; bits need the noise of the camera: --noise "
                "camera.npz, or --gain (ADU/e-), --offset (ADU) and --read-noise (e- rms)"
            )
        camera = SensorNoise(
            gain=gain,
            offset=offset,
            read_noise=read_noise,
            bit_depth=_bit_depth(highest) if bit_depth is None else bit_depth,
        )
    return camera if exposure_ms is None else camera.at_exposure(exposure_ms)


def _bit_depth(highest: int | None) -> int:
    """Return the depth whose end the frames reach; where they reach none, all that files hold.

    A count of 4095 that nothing exceeds is the end of 12 bits, and saturation must not be missed.
    """
    return next((bits for bits in BIT_DEPTHS if highest == 2**bits - 1), 16)


def _highest(stacks: Sequence[np.ndarray]) -> int | None:
    """Return the highest count, or `None` where there are no integers to have one."""
    counts = [stack for stack in stacks if stack.dtype.kind in "ui" and stack.size]
    return max(int(stack.max()) for stack in counts) if counts else None


# ---- showing


def draw_objects(estimates: Mapping[str, InformationEstimate], file: Path) -> None:
    """Draw the information of every object, and each design's mean with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(PLOT_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for i, (name, estimate) in enumerate(estimates.items()):
        bits = estimate.per_object_bits
        axes.plot(np.arange(1, len(bits) + 1), bits, ".", color=f"C{i}", label=name)
        axes.axhline(estimate.bits_per_pixel, color=f"C{i}", linewidth=1.0)
        axes.axhspan(*estimate.interval, color=f"C{i}", alpha=0.15, linewidth=0)
    axes.set(xlabel="object", ylabel="bits per pixel")
    axes.legend(frameon=False)
    try:
        figure.savefig(file, dpi=150)
    except (OSError, ValueError) as error:
        raise StackError(f"--plot {file}: {error}") from error


def _score_table(
    estimate: InformationEstimate,
    shape: tuple[int, ...],
    camera: SensorNoise,
    uncertainty: Mapping[str, float],
) -> Table:
    low, high = estimate.interval
    table = Table(title="information", title_justify="left", show_header=False)
    table.add_row("bits/pixel", f"{estimate.bits_per_pixel:.4f} +- {estimate.standard_error:.4f}")
    table.add_row(f"{estimate.confidence:.0%} interval", f"{low:.4f} to {high:.4f}")
    table.add_row("bits/measurement", f"{estimate.bits_per_measurement:.1f}")
    table.add_row("H(Y), at most", f"{estimate.entropy:.4f} bits/pixel")
    table.add_row("H(Y|X)", f"{estimate.conditional_entropy:.4f} bits/pixel")
    for source, bits in uncertainty.items():
        table.add_row(f"error of {source}", f"{bits:.4f} bits/pixel")
    if estimate.is_capped:
        bound = estimate.diagnostics["uncapped_bits_per_pixel"]
        table.add_row("capped", f"by the entropy of the objects, from {bound:.4f} bits/pixel")
    table.add_row("density", estimate.density)
    for row in _training_rows(estimate):
        table.add_row(*row)
    table.add_row("patch", " x ".join(map(str, estimate.patch)))
    table.add_row("batch", f"{shape[0]} objects of {' x '.join(map(str, shape[1:]))}")
    table.add_row("bit depth", str(camera.bit_depth))
    return table


def _training_rows(estimate: InformationEstimate) -> list[tuple[str, str]]:
    """Return what is known of the bounds tried, and of how far training has come."""
    seen = estimate.diagnostics
    rows = [
        (f"H(Y) by {name}", f"{bits:.4f} bits/pixel")
        for name, bits in seen.get("entropy_bits", {}).items()
    ]
    if "gaussian_excess_bits" in seen:
        excess = f"{seen['gaussian_excess_bits']:.4f} bits/pixel above the network"
        rows.append(("best Gaussian", excess))
    if "is_converged" in seen:
        gap = seen.get("remaining_gap_bits")
        left = "unknown" if gap is None else f"{gap:.4f} bits/pixel"
        rows.append(("converged", f"{'yes' if seen['is_converged'] else 'no'}, gap left {left}"))
    return rows


def _comparison_table(comparison: DesignComparison) -> Table:
    """List the designs, best first, each with its difference from the best."""
    table = Table(title="designs, best first", title_justify="left")
    behind = f"minus best, {comparison.confidence:.0%}"
    for heading in ("design", "bits/pixel", "bits/measurement", behind, "P(best)"):
        table.add_column(heading, justify="left" if heading == "design" else "right")
    order = np.argsort(-comparison.bits_per_measurement)
    best = order[0]
    for i in order:
        name = comparison.names[i]
        low, high = comparison.low[i, best], comparison.high[i, best]
        difference = f"{comparison.difference[i, best]:.1f} ({low:.1f} to {high:.1f})"
        if i != best and not comparison.is_better[best, i]:
            difference += ", not ranked"
        table.add_row(
            name,
            f"{comparison.estimates[name].bits_per_pixel:.4f}",
            f"{comparison.bits_per_measurement[i]:.1f}",
            "-" if i == best else difference,
            f"{comparison.probability_best[i]:.2f}",
        )
    return table


def _as_plain(
    estimate: InformationEstimate,
    shape: tuple[int, ...],
    camera: SensorNoise,
    uncertainty: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "bits_per_pixel": estimate.bits_per_pixel,
        "standard_error": estimate.standard_error,
        "interval": list(estimate.interval),
        "confidence": estimate.confidence,
        "bits_per_measurement": estimate.bits_per_measurement,
        "entropy": estimate.entropy,
        "conditional_entropy": estimate.conditional_entropy,
        "calibration_uncertainty": dict(uncertainty),
        "is_capped": estimate.is_capped,
        "uncapped_bits_per_pixel": _plain(
            estimate.diagnostics.get("uncapped_bits_per_pixel", estimate.bits_per_pixel)
        ),
        "density": estimate.density,
        **{name: _plain(estimate.diagnostics.get(name)) for name in TOLD},
        "patch": list(estimate.patch),
        "shape": list(shape),
        "bit_depth": int(camera.bit_depth),
        "warnings": _warnings(estimate),
        "per_object_bits": [round(float(bits), 6) for bits in estimate.per_object_bits],
    }


def _plain(found: Any) -> Any:
    """Return what JSON takes; `None` for what is unknown."""
    if isinstance(found, Mapping):
        return {str(name): _plain(part) for name, part in found.items()}
    if found is None or isinstance(found, bool | np.bool_):
        return None if found is None else bool(found)
    return float(found) if np.isfinite(found) else None


def _comparison_as_plain(
    comparison: DesignComparison, batches: Mapping[str, np.ndarray], camera: SensorNoise
) -> dict[str, Any]:
    return {
        "designs": {
            name: _as_plain(
                comparison.estimates[name],
                batches[name].shape,
                camera,
                camera.calibration_uncertainty(batches[name]),
            )
            for name in comparison.names
        },
        "best": comparison.best,
        "order": list(comparison.names),
        "difference": comparison.difference.tolist(),
        "standard_error": comparison.standard_error.tolist(),
        "low": comparison.low.tolist(),
        "high": comparison.high.tolist(),
        "is_better": comparison.is_better.tolist(),
        "probability_best": comparison.probability_best.tolist(),
        "confidence": comparison.confidence,
    }


def _warnings(estimate: InformationEstimate) -> list[str]:
    """Return what to know before believing the number."""
    seen = estimate.diagnostics
    found: list[str] = []
    if seen.get("is_undersampled"):
        found.append("too few objects for this density: the bits are too high")
    if seen.get("is_misspecified"):
        found.append(
            "the frames are not what the density expects: the bits are an upper bound only"
        )
    if seen.get("is_gaussian_misspecified"):
        found.append(
            f"a Gaussian density would say {seen['gaussian_excess_bits']:.2f} bits/pixel more: "
            "compare designs by the autoregressive one only"
        )
    if seen.get("is_saturated"):
        found.append(f"{seen['saturated_fraction']:.1%} of the values are saturated")
    if seen.get("is_converged") is False:
        found.append("the density was still improving: the bits would fall with more training")
    return found


def _warn(estimates: Mapping[str, InformationEstimate]) -> None:
    for name, estimate in estimates.items():
        for sentence in _warnings(estimate):
            say(f"{name}: {sentence}")


def _label(paths: Sequence[Path]) -> str:
    return paths[0].stem if len(paths) == 1 else f"{paths[0].stem} and {len(paths) - 1} more"


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return a short name of every design, the whole path where short ones are alike."""
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise StackError("the same file came twice; one file or folder a design is due")
    return names


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn bad input into one sentence on standard error and an exit code."""
    from estimation import EstimationError

    with bad_input(StackError, EstimationError):
        yield
