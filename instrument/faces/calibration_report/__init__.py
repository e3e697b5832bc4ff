"""The report of a calibration: one self-contained HTML file from its result alone."""

from instrument.faces.calibration_report.page import write_calibration_report

__all__ = ["write_calibration_report"]
