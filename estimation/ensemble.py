"""From raw frames to what a density is fitted to: the only module that prepares counts.

An ensemble is the measurements of many objects under one design. Preparing it

1. dequantises counts: `counts + U(-1/2, 1/2)`, seeded, so that a continuous density of the result
   bounds the discrete entropy of the counts (reference/information.md, 1.5);
2. removes the fixed pattern: `(counts - offset) / scale`, an invertible map whose Jacobian
   `log2(scale)` is put back into the entropy (reference/noise.md, section 5, last line);
3. lays a grid of non-overlapping patches over the frame, the same for every design, so that two
   designs are compared on the same pixels.

Complex values become two real shots each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int

from estimation.errors import CalibrationMismatch, InvalidMeasurements, TooFewObjects
from estimation.noise import NoiseModel

MIN_OBJECTS = 4
"""Fewer objects carry no usable spread over objects."""

MAX_PATCH_VALUES = 2**26
"""Bound on patch values held at once (512 MiB of float64); larger stacks use every n-th patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Prepared measurements of one design, and where their patches lie.

    Attributes
    ----------
    values
        Dequantised values without fixed pattern, in units of one count.
    noise_variance
        Variance of the noise in each of `values`, dequantisation included.
    usable
        False where a pixel is defective.
    patch
        Height and width of a patch, pixels.
    origins
        Row and column of the first pixel of every patch; no patch holds a defective pixel.
    reals_per_sample
        2 for complex measurements, whose parts are separate shots here; else 1.
    counts
        The integers that `values` were made of by `(counts + dither - offset) / scale`; `None` for
        real values.
    offset, scale
        The fixed pattern of `values`.
    ceiling
        Counts at which pixels clip, ADU; `None` where nothing clips.
    """

    values: Float64[np.ndarray, "objects shots height width"]
    noise_variance: Float64[np.ndarray, "objects shots height width"]
    usable: Bool[np.ndarray, "height width"]
    patch: tuple[int, int]
    origins: Int[np.ndarray, "positions 2"]
    reals_per_sample: int = 1
    counts: Int[np.ndarray, "objects shots height width"] | None = None
    offset: Float64[np.ndarray, "height width"] | float = 0.0
    scale: Float64[np.ndarray, "height width"] | float = 1.0
    ceiling: Float64[np.ndarray, "#height #width"] | float | None = None

    @property
    def objects(self) -> int:
        """Number of objects."""
        return self.values.shape[0]

    @property
    def positions(self) -> int:
        """Number of patches in one frame."""
        return self.origins.shape[0]

    @property
    def patch_values(self) -> int:
        """Number of real values in one patch: shots x height x width."""
        return self.values.shape[1] * self.patch[0] * self.patch[1]

    def patches(self) -> Float64[np.ndarray, "objects positions patch_values"]:
        """Return all patches, flattened in the order shot, row, column."""
        return cut_patches(self.values, self.origins, self.patch)

    def centred_on(self, mean_image: Float64[np.ndarray, "shots height width"]) -> Ensemble:
        """Return the ensemble with `mean_image` subtracted from every object."""
        return replace(self, values=self.values - mean_image)

    def take(self, objects: np.ndarray) -> Ensemble:
        """Return the ensemble of some objects only: the way data are split, never by patch."""
        return replace(
            self,
            values=self.values[objects],
            noise_variance=self.noise_variance[objects],
            counts=None if self.counts is None else self.counts[objects],
        )


def prepare(
    measurements: np.ndarray, noise: NoiseModel, *, patch: int | tuple[int, int], seed: int
) -> Ensemble:
    """Return the ensemble of checked measurements (objects, shots, height, width)."""
    height, width = measurements.shape[-2:]
    pattern = noise.fixed_pattern(height, width)
    values, reals = as_real_shots(measurements)
    if noise.is_discrete:
        rng = np.random.default_rng([seed, 0])  # stream 0: dequantisation
        values = values + (rng.random(values.shape) - 0.5)
    values = (values - pattern.offset) / pattern.scale
    size = patch_size(patch, height, width)
    origins = patch_origins(size, pattern.usable)
    stride = -(
        -values.shape[0] * values.shape[1] * size[0] * size[1] * len(origins) // MAX_PATCH_VALUES
    )
    return Ensemble(
        values=values,
        noise_variance=noise.variance(as_real_shots(measurements)[0]) / np.square(pattern.scale),
        usable=pattern.usable,
        patch=size,
        origins=origins[:: max(1, stride)],
        reals_per_sample=reals,
        counts=measurements if noise.is_discrete else None,
        offset=pattern.offset,
        scale=pattern.scale,
        ceiling=clip_level(noise),
    )


def clip_level(noise: NoiseModel) -> np.ndarray | None:
    """Return the counts at which pixels clip (a number or a map), where the noise knows them."""
    level = getattr(noise, "clip_level_adu", None)
    return None if level is None else np.floor(np.asarray(level, dtype=np.float64))


def as_measurements(measurements: np.ndarray) -> np.ndarray:
    """Return (objects, shots, height, width), or raise with the shape that came."""
    stack = np.asarray(measurements)
    if stack.ndim not in (3, 4) or 0 in stack.shape:
        raise InvalidMeasurements(
            f"measurements of shape {stack.shape} came; (objects, height, width) or "
            "(objects, shots, height, width) is due, with no axis empty"
        )
    if stack.shape[0] < MIN_OBJECTS:
        raise TooFewObjects(
            f"{stack.shape[0]} objects came, at least {MIN_OBJECTS} are needed (32 or more give "
            "a useful "
            "error bar); capture more stage positions or scenes. Repeats of one object are no "
            "objects"
        )
    return stack[:, None] if stack.ndim == 3 else stack


def patch_size(patch: int | tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of a patch; larger than the frame means the whole frame."""
    asked = tuple(patch) if isinstance(patch, tuple | list) else (patch, patch)
    are_sizes = all(isinstance(a, int | np.integer) and not isinstance(a, bool) for a in asked)
    if not are_sizes or len(asked) != 2 or min(asked) < 1:
        raise InvalidMeasurements(
            f"patch {patch!r} came; a whole number of pixels, 1 or more, or (height, width), is due"
        )
    return min(int(asked[0]), height), min(int(asked[1]), width)


def patch_origins(
    patch: tuple[int, int], usable: Bool[np.ndarray, "height width"]
) -> Int[np.ndarray, "positions 2"]:
    """Return the corners of a centred grid of non-overlapping patches without defective pixels."""
    corners = [
        np.arange(whole // part) * part + (whole % part) // 2
        for whole, part in zip(usable.shape, patch, strict=True)
    ]
    origins = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, 2)
    good = cut_patches(usable[None, None], origins, patch).all(axis=(0, 2))
    if not good.any():
        raise CalibrationMismatch(
            f"every patch of {patch[0]} x {patch[1]} pixels holds a defective pixel; use a "
            "smaller patch"
        )
    return origins[good]


def cut_patches(
    frames: np.ndarray, origins: Int[np.ndarray, "positions 2"], patch: tuple[int, int]
) -> np.ndarray:
    """Cut (objects, shots, height, width) into (objects, positions, shots * rows * columns)."""
    windows = np.lib.stride_tricks.sliding_window_view(frames, patch, axis=(2, 3))
    chosen = windows[:, :, origins[:, 0], origins[:, 1]]
    return np.ascontiguousarray(np.moveaxis(chosen, 2, 1)).reshape(len(frames), len(origins), -1)


def as_real_shots(measurements: np.ndarray) -> tuple[np.ndarray, int]:
    """Return float64 with complex shots as two real ones, and how many reals a sample became."""
    if np.iscomplexobj(measurements):
        parts = [np.real(measurements), np.imag(measurements)]
        return np.concatenate(parts, axis=1).astype(np.float64), 2
    return measurements.astype(np.float64), 1
