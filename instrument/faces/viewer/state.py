"""What the window knows of the run: messages in, words and numbers out. No Qt, no drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instrument.campaign.states import State
from instrument.faces.viewer.messages import Message

_NOT_A_TRIAL = {State.CALIBRATING, State.PAUSED, State.SUSPENDED}
_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One trial of the history; `bits_per_pixel` is None for a failed one."""

    trial: int
    phase: str
    bits_per_pixel: float | None
    standard_error: float
    objects: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """A number a person reads from across the room, and the small print under it."""

    value: str
    caption: str


class RunState:
    """A run as far as its messages have told it."""

    def __init__(self) -> None:
        self.run_dir = ""
        self.trials = 0
        self.done = 0
        self.trial: int | None = None
        self.phase = ""
        self.state = State.CONNECTING
        self.scores: list[Score] = []
        self.best_trial: int | None = None
        self.best_bits_per_pixel: float | None = None
        self.notice = "Waiting for the bench"
        self.status: str | None = None

    def take(self, message: Message) -> None:
        """Learn from one message; one of an unknown kind changes nothing."""
        learn = getattr(self, f"_take_{message.kind}", None)
        if learn is not None:
            learn(message.fields)

    def end(self) -> None:
        """Learn that the stream is over, with a last word or without one."""
        if self.status is None:
            self.status = "lost"
            self.notice = (
                "The run is gone without a word; `infoloop resume` continues it. "
                "This window stays until you close it."
            )

    def readouts(self) -> list[Readout]:
        """Return the trial, the last score and the best one."""
        return [self._progress(), self._last(), self._best()]

    def _take_started(self, fields: dict[str, Any]) -> None:
        self.run_dir, self.trials, self.done = fields["run_dir"], fields["trials"], fields["done"]
        begun = f"Continued after {self.done} trials" if self.done else "Started"
        self.notice = f"{begun}; the record is in {self.run_dir}"

    def _take_trial(self, fields: dict[str, Any]) -> None:
        self.trial, self.phase = fields["trial"], fields["phase"]

    def _take_scored(self, fields: dict[str, Any]) -> None:
        score = Score(
            trial=fields["trial"],
            phase=fields["phase"],
            bits_per_pixel=fields["bits_per_pixel"],
            standard_error=fields["standard_error"] or 0.0,
            objects=fields.get("objects"),
        )
        self.scores.append(score)
        self.best_trial = fields["best_trial"]
        self.best_bits_per_pixel = fields["best_bits_per_pixel"]
        if score.bits_per_pixel is None:
            self.notice = f"Trial {score.trial} failed: {fields['why']}"

    def _take_state(self, fields: dict[str, Any]) -> None:
        before, self.state = self.state, State(fields["now"])
        if self.state == State.PAUSED:
            self.notice = f"Paused, light off ({fields['why']})"
        elif before == State.PAUSED and not self.state.has_ended:
            self.notice = "Going on"

    def _take_notice(self, fields: dict[str, Any]) -> None:
        self.notice = fields["text"]

    def _take_ended(self, fields: dict[str, Any]) -> None:
        self.status = fields["status"]
        text = fields["text"].strip().rstrip(".") or self.status
        self.notice = f"{text}. This window stays until you close it."

    def _progress(self) -> Readout:
        if self.trial is None:
            return Readout(value=_NOTHING, caption=self.status or self.state)
        doing = self.state if self.state in _NOT_A_TRIAL else self.phase
        caption = f"{self.trial + 1} of {self.trials}, {self.status or doing}"
        return Readout(value=f"Trial {self.trial}", caption=caption)

    def _last(self) -> Readout:
        if not self.scores:
            return Readout(value=_NOTHING, caption="bits per pixel, last trial")
        last = self.scores[-1]
        value = "failed" if last.bits_per_pixel is None else _with_error(last)
        given = "" if last.objects is None else f", {last.objects} objects"
        return Readout(value=value, caption=f"bits per pixel, trial {last.trial}{given}")

    def _best(self) -> Readout:
        if self.best_trial is None or self.best_bits_per_pixel is None:
            return Readout(value=_NOTHING, caption="bits per pixel, best")
        seen = [score for score in self.scores if score.trial == self.best_trial]
        value = _with_error(seen[-1]) if seen else f"{self.best_bits_per_pixel:.3f}"
        return Readout(value=value, caption=f"bits per pixel, best (trial {self.best_trial})")


def _with_error(score: Score) -> str:
    return f"{score.bits_per_pixel:.3f} \N{PLUS-MINUS SIGN} {score.standard_error:.3f}"
