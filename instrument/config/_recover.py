"""`safety.recover`: how often a run takes itself up again after a fault of a device."""

from __future__ import annotations

from pydantic import Field

from instrument.config._section import Positive, Section


class RecoverConfig(Section):
    """What a run does about a device that failed: dark, everything closed, connected again.

    A trial is captured at most `captures` times; then it has no score and the next one follows.
    After `attempts` faults without a scored trial between them the run ends; 0 ends it at the
    first. Before every attempt it waits `wait_s`, twice as long each time, at most
    `longest_wait_s`.
    """

    attempts: int = Field(default=5, ge=0, le=100)
    captures: int = Field(default=3, ge=1, le=100)
    wait_s: Positive = 1.0
    longest_wait_s: Positive = 60.0
