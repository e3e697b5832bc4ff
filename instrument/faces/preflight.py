"""The preflight as one table, and as one JSON document."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from instrument.campaign.checks import Preflight, Verdict

_STYLE = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.STOP: "bold red"}


def preflight_table(preflight: Preflight) -> Table:
    """Return every check with what was found, its verdict, and what to do."""
    table = Table(title="preflight", title_justify="left")
    for heading in ("check", "found", "", "and so"):
        table.add_column(heading, overflow="fold")
    for check in preflight.checks:
        style = _STYLE[check.verdict]
        table.add_row(
            Text(check.name), Text(check.value), Text(check.verdict.value, style), Text(check.text)
        )
    return table


def verdict_line(preflight: Preflight, what: str) -> str:
    """Say in one line whether the run may begin."""
    stops = len(preflight.stops)
    warns = sum(check.verdict is Verdict.WARN for check in preflight.checks)
    if stops:
        return f"{what}: {stops} of {len(preflight.checks)} checks forbid the run; all safe"
    doubts = f", {warns} worth a look" if warns else ""
    return f"{what}: the run may begin{doubts}; all safe"
