"""The four design problems: objects on disk, starts, targets and how errors are told.

Objects are written once and memory-mapped afterwards, so that loading does not raise the high-water
mark of a process whose memory is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivers.virtual.objects import beads, cells, colour_photographs
from drivers.virtual.twins import Colour, Lensless, PhaseContrast, Twin
from estimation import SensorNoise

Values = Mapping[str, Any]

CELL_FIELD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One bench, its noise, and what a decoder is asked for.

    Attributes
    ----------
    name
        Of the entry in the protocol.
    twin
        The bench; its own design is of no meaning.
    noise
        Of the sensor.
    target_side
        Pixels of a side of the middle part that decoders are asked for.
    metric
        `"psnr_db"` (better when larger) or `"nrmse"` (better when smaller).
    """

    name: str
    twin: Twin
    noise: SensorNoise
    target_side: int
    metric: str

    def target(self, objects: Any) -> np.ndarray:
        """Return what a decoder is asked for, (objects, values), float64."""
        asked = np.asarray(objects, np.float64)
        if isinstance(self.twin, PhaseContrast):
            asked = asked[:, 0] - asked[:, 0].mean(axis=(1, 2), keepdims=True)
        first = (asked.shape[-1] - self.target_side) // 2
        inside = slice(first, first + self.target_side)
        return asked[..., inside, inside].reshape(len(asked), -1)

    def quality(self, error: np.ndarray, target: np.ndarray) -> float:
        """Return PSNR in dB of a fixed peak, or the normalised root mean square error."""
        if self.metric == "psnr_db":
            peak = target.max(axis=1).mean()
            return float(10.0 * np.log10(peak**2 / np.mean(error**2)))
        return float(np.sqrt(np.mean(error**2) / np.mean(target**2)))

    def gain(self, quality: float) -> float:
        """Return a quality with a sign that makes larger better."""
        return quality if self.metric == "psnr_db" else -quality

    def start(self, name: str) -> dict[str, np.ndarray]:
        """Return the design a run begins with: `"random 3"`, or a hand-made one by its name."""
        hand_made = self.twin.hand_made()
        if name in hand_made:
            return {key: np.asarray(value) for key, value in hand_made[name].items()}
        seed = int(name.removeprefix("random "))
        rng = np.random.default_rng(seed)
        drawn = {
            key: rng.uniform(parameter.low, parameter.high, np.shape(self.twin.values()[key]))
            for key, parameter in self.twin.parameters.items()
        }
        return as_built(self.twin, drawn)


def problem(name: str, fixed: Mapping[str, Any], *, is_full_frame: bool = False) -> Problem:
    """Return a problem of the protocol, on patches or on frames for a large decoder."""
    chosen = fixed["problems"][name]
    size = chosen["full_frame"] if is_full_frame else chosen
    return Problem(
        name=name,
        twin=_twin(chosen["twin"], field=size["field"], side=size["side"]),
        noise=SensorNoise(**fixed["noise"]),
        target_side=size["target_side"],
        metric=chosen["metric"],
    )


def _twin(chosen: Mapping[str, Any], *, field: int, side: int) -> Twin:
    options = {key: value for key, value in chosen.items() if key != "kind"}
    match chosen["kind"]:
        case "lensless":
            places = np.zeros((options.pop("lenslets"), 2))
            return Lensless(places, field=field, side=side, **options)
        case "colour":
            return Colour(np.zeros((8, 8, 4)), side=side, **options)
        case "phase":
            return PhaseContrast(field=field, side=side, **options)
    raise ValueError(f"a twin of the kind {chosen['kind']!r} is not among these problems")


def write_objects(folder: Path, name: str, fixed: Mapping[str, Any]) -> None:
    """Draw the objects of a problem and leave them in `folder` as float32 arrays."""
    chosen, path = fixed["problems"][name], folder / name
    if (path / "full_frame.npy").exists():
        return
    path.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(("train", "test", "full_frame")):  # the last marks the end
        rng = np.random.default_rng([fixed["seeds"]["objects"], number])
        field = (chosen["full_frame"] if part == "full_frame" else chosen)["field"]
        drawn = _draw(chosen["objects"], fixed["objects"][part], field, part, rng)
        np.save(path / f"{part}.npy", drawn.astype(np.float32))


def read_objects(folder: Path, name: str, part: str) -> np.ndarray:
    """Return objects as a memory map, (objects, *object_shape), float32."""
    return np.load(folder / name / f"{part}.npy", mmap_mode="r", allow_pickle=False)


def as_built(twin: Twin, values: Values) -> dict[str, np.ndarray]:
    """Return the nearest values that can be built."""
    return {key: np.asarray(value) for key, value in hardened(twin, values).values().items()}


def hardened(twin: Twin, values: Values) -> Twin:
    """Return a twin under values as built: projected; a filter mosaic is made with progress 1."""
    return twin.with_values(values).projected()


def described(twin: Twin, values: Values) -> dict[str, Any]:
    """Return what a person would want to know of a design, in a line."""
    now = hardened(twin, values)
    if isinstance(now, Colour):
        counts = np.asarray(now.mask()).sum(axis=(0, 1)).astype(int)
        return {"filters_rgbw": counts.tolist()}
    if isinstance(now, Lensless):
        weights = np.asarray(now.weights)
        order = np.argsort(-weights)
        order = order[weights[order] > 0.02]
        return {
            "lenslets_above_2_percent": len(order),
            "shares": np.round(weights[order], 3).tolist(),
            "sigma_px": np.round(np.asarray(now.sigma_px)[order], 2).tolist(),
            "positions_px": np.round(np.asarray(now.positions_px)[order], 1).tolist(),
        }
    if isinstance(now, PhaseContrast):
        shares = np.asarray(now.sources)
        shares = shares / shares.sum(axis=1, keepdims=True)
        return {
            "leds_above_2_percent": (shares > 0.02).sum(axis=1).tolist(),
            "largest_share": np.round(shares.max(axis=1), 3).tolist(),
            "defocus_rad": round(float(now.defocus_rad), 3),
        }
    raise TypeError(f"{type(now).__name__} is no twin of these problems")


def _draw(
    kind: Mapping[str, Any], count: int, side: int, part: str, rng: np.random.Generator
) -> np.ndarray:
    options = {key: value for key, value in kind.items() if key != "kind"}
    match kind["kind"]:
        case "beads":
            return beads(count, side, rng=rng, **options)
        case "cells":
            # Sizes of cells follow the field's; a larger frame holds more cells of the same size.
            across = side // CELL_FIELD
            drawn = cells(count * across**2, CELL_FIELD, rng=rng)[0]
            tiles = drawn.reshape(count, across, across, 2, CELL_FIELD, CELL_FIELD)
            return tiles.transpose(0, 3, 1, 4, 2, 5).reshape(count, 2, side, side)
        case "colour_photographs":
            split = "test" if part == "test" else "train"
            return colour_photographs(count, side, rng=rng, split=split, **options)
    raise ValueError(f"objects of the kind {kind['kind']!r} are not among these problems")
