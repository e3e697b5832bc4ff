"""Frames as one OME-Zarr 0.5 image with the axes (trial, shot, object, y, x).

One image, not one a trial: a viewer then has a slider for the trial and one for the object, so that
one object is seen under every design, however many trials there are. A chunk is one frame, for the
viewer reads one at a time; a shard (one file) is one trial, for a run has 100 000 frames. Trials
with fewer objects than others end early: what was never captured has no chunk and reads as 0, which
no camera with an offset delivers; how many objects each trial has stands in the attributes.

OME-Zarr knows five kinds of axes at most: the trial is its time, the shot its channel, and the
object its third axis of space, because objects are places on a sample.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from instrument.campaign.export.table import Cell, Column
from instrument.campaign.ledger import TrialRow
from instrument.campaign.new_file import OutputError

ARRAY = "0"
AXES = ("trial", "shot", "object", "y", "x")
PERCENTILES = (0.5, 99.9)
SAMPLE = 1_000_000
"""Pixels of a batch that the contrast is taken from."""

LoadBatch = Callable[[TrialRow], UInt16[np.ndarray, "objects shots height width"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What is written.

    Parameters
    ----------
    name
        Of the image.
    trials
        One a place of the first axis; those without frames stay empty.
    with_frames
        Those of them that have frames.
    columns
        The table of `trials`.
    about
        What there is to say of the run.
    pixel_um
        Side of a pixel in the sample, um; None where it is not known.
    """

    name: str
    trials: Sequence[TrialRow]
    with_frames: Sequence[TrialRow]
    columns: Sequence[Column]
    about: Mapping[str, Any]
    pixel_um: float | None


def write_ome_zarr(
    images: Images, folder: Path, *, load_batch: LoadBatch, on_trial: Callable[[int], None]
) -> None:
    """Write the frames of trials; one batch at a time is in memory.

    Parameters
    ----------
    images
        What is written.
    folder
        That is made.
    load_batch
        Gives the checked frames of a trial.
    on_trial
        Told the number of each trial that is written.

    Raises
    ------
    OutputError
        Nothing to write, or the disk refuses.
    """
    store: Any = None
    shots = 0
    place = {row.number: index for index, row in enumerate(images.trials)}
    low_adu, high_adu = math.inf, -math.inf
    for row in images.with_frames:
        counts = load_batch(row)
        try:
            if store is None:
                shots = counts.shape[1]
                store = _create(folder / ARRAY, images, counts.shape[1:])
            store[place[row.number], :, : len(counts)] = counts.swapaxes(0, 1)
        except ValueError as error:  # as tensorstore reports what a disk refuses
            raise OutputError(f"{folder}: trial {row.number} is not written ({error})") from error
        sample = counts.reshape(-1)[:: max(1, counts.size // SAMPLE)]
        low, high = np.percentile(sample, PERCENTILES)
        del counts, sample  # before the next one comes
        low_adu, high_adu = min(low_adu, float(low)), max(high_adu, float(high))
        on_trial(row.number)
    document = _group(images, shots=shots, low_adu=low_adu, high_adu=high_adu)
    (folder / "zarr.json").write_text(document, encoding="utf-8")


def _create(path: Path, images: Images, frame: tuple[int, ...]) -> Any:
    """Create the array: chunks of one frame in files of one trial."""
    import tensorstore

    shots, height, width = frame
    objects = max(sum(part.objects for part in row.parts) for row in images.with_frames)
    metadata = {
        "shape": [len(images.trials), shots, objects, height, width],
        "data_type": "uint16",
        "dimension_names": AXES,
        "fill_value": 0,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [1, shots, objects, height, width]},
        },
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [1, 1, 1, height, width],
                    "codecs": [
                        {"name": "bytes", "configuration": {"endian": "little"}},
                        {
                            "name": "blosc",
                            "configuration": {
                                "cname": "zstd", "clevel": 3, "shuffle": "shuffle", "typesize": 2,
                                "blocksize": 0,
                            },
                        },
                    ],
                    "index_codecs": [
                        {"name": "bytes", "configuration": {"endian": "little"}},
                        {"name": "crc32c"},
                    ],
                },
            }
        ],
        "attributes": {"infoloop": {"trials": _trials(images)}},
    }  # fmt: skip
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path)},
        "metadata": metadata,
        "create": True,
    }
    return tensorstore.open(spec).result()


def _trials(images: Images) -> list[dict[str, Any]]:
    """Return what belongs to each place of the first axis: a row of the table, and the objects."""
    shared = _shared_positions(images)
    found: list[dict[str, Any]] = []
    for index, row in enumerate(images.trials):
        said: dict[str, Any] = {c.name: _finite(c.cells[index]) for c in images.columns}
        positions = row.record.get("positions_um", [])
        if positions != shared[: len(positions)]:
            said["positions_um"] = positions
        found.append(said)
    return found


def _shared_positions(images: Images) -> list[list[float]]:
    """Return the objects of the largest trial: those of all others, unless they say so."""
    all_positions = (row.record.get("positions_um", []) for row in images.with_frames)
    return max(all_positions, key=len)


def _finite(cell: Cell) -> Cell:
    """JSON knows no NaN."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _group(images: Images, *, shots: int, low_adu: float, high_adu: float) -> str:
    """Return the document of the image: axes, scale, and the contrast to look at it in."""
    from yaozarrs import v05

    side = 1.0 if images.pixel_um is None else images.pixel_um
    unit = None if images.pixel_um is None else "micrometer"
    image = v05.Image(
        multiscales=[
            v05.Multiscale(
                name=images.name,
                axes=[
                    v05.TimeAxis(name="trial"),
                    v05.ChannelAxis(name="shot"),
                    v05.SpaceAxis(name="object"),
                    v05.SpaceAxis(name="y", unit=unit),
                    v05.SpaceAxis(name="x", unit=unit),
                ],
                datasets=[
                    v05.Dataset(
                        path=ARRAY,
                        coordinateTransformations=[
                            v05.ScaleTransformation(scale=[1.0, 1.0, 1.0, side, side])
                        ],
                    )
                ],
            )
        ],
        omero=v05.Omero(
            channels=[
                v05.OmeroChannel(
                    label="frames" if shots == 1 else f"shot {shot}",
                    color="FFFFFF",
                    active=shot == 0,  # all at once would be added up
                    window=v05.OmeroWindow(
                        min=0, max=2**16 - 1, start=low_adu, end=max(high_adu, low_adu + 1)
                    ),
                )
                for shot in range(shots)
            ]
        ),
    )
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {
            "ome": image.model_dump(mode="json", exclude_none=True),
            "infoloop": {**images.about, "positions_um": _shared_positions(images)},
        },
    }
    return json.dumps(document, indent=1, allow_nan=False)
