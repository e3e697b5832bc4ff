"""When a trial was captured, by the campaign's own clock: seconds since its first trial began."""

from __future__ import annotations

from datetime import datetime


class CampaignClock:
    """Turns times of the record into seconds that a replay finds again.

    Attributes
    ----------
    at_s
        Of the last trial that was noted.
    """

    def __init__(self) -> None:
        self._began_at: datetime | None = None
        self.at_s = 0.0

    def note(self, captured: tuple[str, str] | None) -> float:
        """Return when a trial was captured, in seconds: the middle between start and end.

        Parameters
        ----------
        captured
            Start and end, ISO 8601. A trial without frames (None) has the time of the last that
            has some.
        """
        if captured is not None:
            start, end = (datetime.fromisoformat(text) for text in captured)
            self._began_at = self._began_at or start
            self.at_s = (start - self._began_at + (end - start) / 2).total_seconds()
        return self.at_s
