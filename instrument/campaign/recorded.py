"""What a resumed run remembers of its earlier sessions: trials, space and contenders.

A plan that is told the same proposes the same. Its proposals are compared with the recorded ones
all the same: another version or library may choose otherwise, and scores of one design would then
be taken for those of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.campaign.plan import Proposal
from instrument.design import Design, DesignSpace, Parameter

SAME_DESIGN = 1e-4
"""Fraction of a range by which a proposal may differ from the recorded one after a resume."""


class Recorded:
    """What the ledger knew of a campaign when it was opened, or read again after a fault.

    Parameters
    ----------
    ledger
        Of the campaign; the space is added to that of a new one.
    here
        Design space of the bench as it is now.

    Raises
    ------
    LedgerError
        A device has other labels than when the run began.
    """

    def __init__(self, ledger: Ledger, here: DesignSpace):
        self._ledger = ledger
        self.space = self._space_of_first_start(here)
        """Space of the run's first start, so that a resumed run starts from the same point."""
        self._has_contenders = "contenders" in ledger.meta()
        rows = ledger.trials()  # once, and not kept: thousands of records are many megabytes
        self.done = sum(row.state in ("scored", "failed") for row in rows)
        """Number of trials that had an outcome."""
        self.bits_per_pixel = {
            row.number: float(row.estimate["bits_per_pixel"])
            for row in rows
            if row.state == "scored"
        }
        """Scores of the trials that had one."""
        self._known = len(rows)

    def read_again(self) -> None:
        """Take the trials as the ledger has them now."""
        self._known = self._ledger.n_trials

    def trial(self, number: int) -> TrialRow | None:
        """Return what is known of a trial; None of one that is new."""
        return self._ledger.trial(number) if number < self._known else None

    def check_same(self, row: TrialRow, proposal: Proposal) -> None:
        """Raise `LedgerError` unless the plan proposed what is recorded."""
        recorded = self.space.to_vector(row.design)
        proposed = self.space.to_vector(proposal.design)
        tolerance = SAME_DESIGN * (self.space.upper - self.space.lower)
        if np.any(np.abs(recorded - proposed) > tolerance):
            raise LedgerError(
                f"trial {row.number} of {self._ledger.run_dir} is not what this infoloop would "
                "have proposed; resume with the version and libraries named in its report"
            )

    def contenders(self) -> dict[str, Design] | None:
        """Return what the confirmation repeats; None where that was not chosen yet."""
        recorded = self._ledger.meta().get("contenders")
        if recorded is None:
            return None
        return {name: Design.from_json(design) for name, design in recorded.items()}

    def keep_contenders(self, chosen: Mapping[str, Design] | None) -> None:
        """Keep what the confirmation repeats, once, before the first repeat."""
        if chosen is not None and not self._has_contenders:
            self._ledger.set_meta("contenders", {n: d.to_json() for n, d in chosen.items()})
            self._has_contenders = True

    def _space_of_first_start(self, here: DesignSpace) -> DesignSpace:
        recorded = self._ledger.meta().get("space")
        if recorded is None:
            self._ledger.set_meta("space", [asdict(p) for p in here.parameters])
            return here
        space = DesignSpace(tuple(Parameter.from_plain(entry) for entry in recorded))
        choices = {p.name: p.choices for p in here.parameters}
        for p in space.parameters:
            now = choices.get(p.name, ())
            if p.choices != now:  # a recorded number would be another position
                raise LedgerError(
                    f"design.{p.name} of {self._ledger.run_dir} chose among "
                    f"{', '.join(p.choices)}, its device now has {', '.join(now)}; "
                    "set its labels as they were, or start a new run"
                )
        return space
