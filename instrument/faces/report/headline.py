"""The first thing in the morning: what came out, can it be believed, is anything wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instrument.faces.page_style import as_sentence, duration
from instrument.faces.report.charts import stretches
from instrument.faces.report.dose import Dose
from instrument.faces.report.faults import Fault, kinds_of_faults
from instrument.faces.report.record import RunRecord
from instrument.faces.report.rejected import Rejected
from instrument.faces.report.summary import Gain, Measured
from instrument.faces.report.timing import Duty, whole_cycle

UNSAFE = "could NOT be made safe"
"""Words of `instrument.bench.safety.Unsafe`."""
_LEFT = {
    "best": "at its best design, light off",
    "start": "at its start design, light off",
    "safe": "safe, with no design on it",
}
_SIGMA = 2.0
"""Standard errors beyond which a gain counts where the campaign took no decision of its own."""


@dataclass(frozen=True, slots=True)
class Line:
    """A question, its answer, and whether it is `good`, an `alarm`, a `warning` or neither."""

    question: str
    answer: str
    tone: str = ""


def headline(
    record: RunRecord,
    *,
    first: Measured | None,
    best: Measured | None,
    gained: Gain | None,
    dose: Dose | None,
    found: Sequence[Fault],
    groups: Sequence[Rejected],
    sessions: Sequence[Duty],
) -> list[Line]:
    """Return what a tired person reads, most important first."""
    return [
        _outcome(best, first, gained),
        *_doubt(record, best, gained),
        _ending(record, groups),
        _alarms(record, best, dose),
        _survived(record, found),
        _time(record, sessions),
    ]


def alarms(record: RunRecord, dose: Dose | None) -> list[str]:
    """Return everything of which nobody must hear too late."""
    said = [str(text) for text in left_at(record).get("unsafe") or ()]
    said += [
        f"{entry.at:%m-%d %H:%M} UTC: {entry.text}"
        for entry in record.journal
        if UNSAFE in entry.text and entry.text not in said
    ]
    said += [
        f"the noise at the {check.get('when')} of the run is not the calibrated one"
        for check in record.meta.get("self_checks", [])
        if check.get("is_alarm")
    ]
    if dose is not None and dose.is_over:
        said.append(
            f"the light dose of {dose.total_mj_cm2:.3g} mJ/cm\N{SUPERSCRIPT TWO} is over its limit "
            f"of {dose.limit_mj_cm2:.3g}"
        )
    return said


def left_at(record: RunRecord) -> Mapping[str, Any]:
    """Return where the bench was left, as the last session wrote it down; empty if none did."""
    said = record.meta.get("left_at")
    return said if isinstance(said, dict) else {}


# ---- one line each


def _outcome(best: Measured | None, first: Measured | None, gained: Gain | None) -> Line:
    if best is None:
        return Line("What came out?", "Nothing: no trial has a score.", "alarm")
    is_start = first is not None and best.trial.design == first.trial.design
    if is_start and gained is not None:
        return Line("What came out?", "No design was better than the one it began with.", "warning")
    text = f"{best.bits_per_pixel:.3f} bits per pixel"
    if first is not None:
        ratio = best.bits_per_pixel / first.bits_per_pixel if first.bits_per_pixel > 0 else None
        times = "" if ratio is None else f", {ratio:.2f} times as much"
        text = f"From {first.bits_per_pixel:.3f} to {text}{times}"
    return Line("What came out?", as_sentence(text), "good")


def _doubt(record: RunRecord, best: Measured | None, gained: Gain | None) -> list[Line]:
    if best is None:
        return []
    question = "Is it beyond doubt?"
    if not best.is_confirmed:
        text = "Not yet: the best design was not captured again, so its score is the luckiest."
        return [Line(question, text, "warning")]
    decision = record.meta.get("decision") or {}
    is_sure = decision.get("is_significant")
    if gained is None or gained.standard_error is None:
        if is_sure is None:
            return [Line(question, "It was confirmed, and there is nothing to compare with.", "")]
        text = (
            f"Against the best of the search: {'beyond doubt' if is_sure else 'within the error'}."
        )
        return [Line(question, text, "good" if is_sure else "warning")]
    sigmas = gained.bits_per_pixel / gained.standard_error if gained.standard_error > 0 else None
    is_sure_of_gain = sigmas is None or sigmas > _SIGMA
    size = "" if sigmas is None else f" ({_sigmas(sigmas)} standard errors)"
    if gained.bits_per_pixel == 0:
        return []
    text = f"{'Yes' if is_sure_of_gain else 'No'}: {gained.bits_per_pixel:+.3f}"
    text += f" \N{PLUS-MINUS SIGN} {gained.standard_error:.3f} bits per pixel over the first{size}"
    return [Line(question, f"{text}.", "good" if is_sure_of_gain else "warning")]


def _ending(record: RunRecord, groups: Sequence[Rejected]) -> Line:
    status = str(record.meta.get("status", "unknown"))
    n_scored = sum(row.state == "scored" for row in record.trials)
    text = f"{as_sentence(status)[:-1]}, {n_scored} of {len(record.trials)} trials scored"
    if groups:
        n = sum(group.count for group in groups)
        text += f"; {n} rejected, mostly: {_short(groups[0].example)}"
    if what := _LEFT.get(str(left_at(record).get("what"))):
        text += f". The bench was left {what}"
    if why := record.meta.get("why"):
        text += f". {why}"
    tone = {"finished": "good", "failed": "alarm", "aborted": "warning"}.get(status, "")
    return Line("How did it end?", as_sentence(text), tone)


def _alarms(record: RunRecord, best: Measured | None, dose: Dose | None) -> Line:
    question = "Is anything alarming?"
    if said := alarms(record, dose):
        return Line(question, " ".join(as_sentence(text) for text in said), "alarm")
    if best is not None and best.trial.estimate.get("is_misspecified"):
        text = "The density fits these frames badly; the ranking of designs may be wrong."
        return Line(question, text, "warning")
    if record.meta.get("status") in {"failed", "aborted"} and not left_at(record):
        text = "The record does not say whether every device was made safe: look at the bench."
        return Line(question, text, "warning")
    return Line(question, "Nothing.", "good")


def _survived(record: RunRecord, found: Sequence[Fault]) -> Line:
    question = "What did it survive?"
    parts: list[str] = []
    if found:
        kinds = len(kinds_of_faults(found))
        parts.append(f"{_counted(len(found), 'fault')} of {_counted(kinds, 'kind')}")
    if len(record.sessions) > 1:
        parts.append(_counted(len(record.sessions) - 1, "restart"))
    pauses = [each for each in stretches(record) if each.kind == "paused"]
    if pauses:
        paused_s = sum(each.ended_s - each.began_s for each in pauses)
        parts.append(f"{_counted(len(pauses), 'pause')} of {duration(paused_s)} together")
    return Line(question, as_sentence(", ".join(parts) or "nothing happened"))


def _time(record: RunRecord, sessions: Sequence[Duty]) -> Line:
    if not sessions:
        return Line("How long?", "No trial was begun.")
    whole_s = (sessions[-1].session.ended - sessions[0].session.began).total_seconds()
    cycle = whole_cycle(sessions)
    seconds = record.meta.get("seconds")
    text = duration(whole_s if seconds is None else float(seconds))
    if len(sessions) > 1:
        text += f" within {duration(whole_s)} from the first start to the last end"
    if cycle is not None:
        text += f"; the instrument worked {100 * cycle:.0f} % of the time its trials took"
    return Line("How long?", f"{text}.")


def _sigmas(sigmas: float) -> str:
    return f"{sigmas:.1f}" if sigmas < 10 else f"{sigmas:.0f}" if sigmas < 100 else "over 100"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _short(text: str, most: int = 110) -> str:
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + "\N{HORIZONTAL ELLIPSIS}"
