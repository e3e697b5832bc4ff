"""The report: one self-contained HTML file a run, from its ledger alone."""

from instrument.faces.report.page import write_report

__all__ = ["write_report"]
