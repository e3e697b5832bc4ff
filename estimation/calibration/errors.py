"""Why a calibration is refused: each class is one cause, each message ends with the remedy."""

from __future__ import annotations

from estimation.errors import EstimationError


class CalibrationRefused(EstimationError):  # noqa: N818 - reads as what it reports
    """The frames do not allow a gain or a read noise that could be trusted."""


class NoDarks(CalibrationRefused):
    """No dark level with two frames or more: no offset, no read noise."""


class NoUsableLevels(CalibrationRefused):
    """No lit level with two frames below saturation: no photon-transfer curve."""


class OffsetTooLow(CalibrationRefused):
    """Dark counts are clipped at 0: offset and read noise would both be wrong."""


class CodesMissing(CalibrationRefused):
    """Counts come in steps above 1 ADU (left-shifted data): every entropy would be wrong."""


class AutomaticGain(CalibrationRefused):
    """The signal does not follow the light: auto-gain or auto-exposure is on."""


class GainNotFound(CalibrationRefused):
    """The variance does not grow with the mean as shot noise does."""
