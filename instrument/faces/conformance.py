"""Results of the conformance suite as tables and as a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from drivers.conformance import CheckResult, Scope

_STYLE = {"passed": "green", "failed": "bold red", "skipped": "dim"}
_SHOWN_SECONDS = 0.01


def conformance_tables(
    results: Mapping[str, Sequence[CheckResult]], *, scope: Scope
) -> Iterator[Table]:
    """Yield a table a role: claim, outcome, what was asked, what came, and how long it took.

    Parameters
    ----------
    results
        By role, in the order to show them.
    scope
        What was asked for; checks that go further are not shown.
    """
    for role, of_role in results.items():
        title = f"{role} ({of_role[0].device})" if of_role[0].device not in role else role
        table = Table(title=escape(title), title_justify="left")  # brackets are no markup
        for heading in ("check", "result", "asked", "came", "s"):
            table.add_column(heading, overflow="fold")
        for result in of_role:
            if result.scope <= scope:
                took = f"{result.seconds:.2f}" if result.seconds >= _SHOWN_SECONDS else ""
                words = (result.check, result.status, result.asked, result.came)
                table.add_row(*map(escape, words), took, style=_STYLE[result.status])
        yield table


def count_line(results: Mapping[str, Sequence[CheckResult]], *, scope: Scope) -> str:
    """Say how many checks passed, failed and did not apply, and how to ask for more."""
    all_results = [result for of_role in results.values() for result in of_role]
    count = Counter(result.status for result in all_results if result.scope <= scope)
    said = f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} do not apply"
    more = sum(scope < result.scope <= Scope.MOVE for result in all_results)
    return f"{said}; {more} more with --move" if more else said
