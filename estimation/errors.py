"""What can go wrong between frames and bits: one tree, one `except EstimationError` for all.

Every message says what came, what is allowed, and what to do. Nothing here is returned as a NaN.
"""

from __future__ import annotations


class EstimationError(ValueError):
    """Root of everything `estimation` raises on purpose."""


class InvalidMeasurements(EstimationError):  # noqa: N818 - reads as what it reports
    """Frames that no sensor delivers: wrong type, shape or range, constant, repeated."""


class NotFinite(InvalidMeasurements):
    """NaN or infinity in the input, or about to appear in a result."""


class SaturatedMeasurements(InvalidMeasurements):
    """Too many pixels at the top (or the bottom) of the range for the noise model to be true."""


class TooFewObjects(EstimationError):  # noqa: N818
    """Fewer objects (or patches) than the chosen density needs."""


class CalibrationMismatch(EstimationError):  # noqa: N818
    """The calibration does not belong to these frames: shape, identity or exposure differ."""


class InvalidCalibration(EstimationError):  # noqa: N818
    """A noise parameter out of its physical range, or a calibration file that cannot be read."""
