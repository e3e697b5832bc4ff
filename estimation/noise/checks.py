"""Checks that every noise model shares: what a stack of frames must be before it is scored."""

from __future__ import annotations

import numpy as np

from estimation.errors import InvalidMeasurements, NotFinite


def check_counts(measurements: np.ndarray) -> None:
    """Raise unless `measurements` holds non-negative integers that are not all the same."""
    if measurements.dtype.kind not in "ui":
        raise InvalidMeasurements(
            f"frames of dtype {measurements.dtype} came where integer counts are due; pass the raw "
            "counts of the camera (uint16), not processed values; for real or complex values use "
            "GaussianNoise(sigma)"
        )
    check_not_empty(measurements)
    if measurements.dtype.kind == "i" and (lowest := int(measurements.min())) < 0:
        raise InvalidMeasurements(
            f"a negative count ({lowest}) came; raw counts are 0 or more: do not subtract the "
            "offset, "
            "give it to SensorNoise(offset=...)"
        )
    check_varies(measurements)


def check_values(measurements: np.ndarray) -> None:
    """Raise unless `measurements` holds finite numbers that are not all the same."""
    if measurements.dtype.kind not in "uifc":
        raise InvalidMeasurements(
            f"measurements of dtype {measurements.dtype} came; real or complex numbers are due"
        )
    check_not_empty(measurements)
    if not np.all(np.isfinite(measurements)):
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(measurements))[0])
        raise NotFinite(
            f"NaN or infinity at index {place} of the measurements; find where it was made "
            "(a division, a log, a lost frame) and leave that frame out"
        )
    check_varies(measurements)


def check_not_empty(measurements: np.ndarray) -> None:
    """Raise if there is no image in the stack."""
    if measurements.ndim < 2 or measurements.size == 0:
        raise InvalidMeasurements(
            f"measurements of shape {measurements.shape} came; at least one image (..., height, "
            "width) is due"
        )


def check_varies(measurements: np.ndarray) -> None:
    """Raise if every value of the stack is the same."""
    if measurements.size > 1 and np.all(measurements == measurements.flat[0]):
        raise InvalidMeasurements(
            f"every value of the stack is {measurements.flat[0]}: is the shutter closed, the "
            "light off, "
            "or the sensor saturated? Frames of a working camera vary"
        )
