"""What a campaign uses up while it runs: room on the disk, and the light that its sample may get.

The disk is waited for. The light is not: once the next trial would exceed the limit, the campaign
has spent its budget, and ends as one that has spent its trials does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from instrument.bench.bench import Bench
from instrument.campaign.control import Control
from instrument.campaign.disk import MB, DiskRoom, batch_bytes
from instrument.campaign.dose import LightDose, Piece, highest_power_mw, plan_of_light
from instrument.campaign.events import EventBus, Notice
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.pace import pace_of
from instrument.design import Design, DesignSpace
from instrument.grid import Positions


class Supplies:
    """Looks after disk and light of one campaign.

    Parameters
    ----------
    bench, ledger, bus, control
        Of the campaign. The ledger's writes wait for room from now on.
    space, positions
        Of its designs and objects.
    """

    def __init__(
        self,
        bench: Bench,
        ledger: Ledger,
        bus: EventBus,
        control: Control,
        *,
        space: DesignSpace,
        positions: Positions,
    ):
        safety = bench.config.safety
        self._bench = bench
        self._space = space
        self._objects, self._captured = len(positions), 0
        self._batch_bytes = batch_bytes(bench.config, bench)
        self._room = DiskRoom(
            ledger.run_dir,
            reserve_bytes=int(safety.least_free_disk_mb * MB),
            control=control,
            say=lambda text: bus.emit(Notice(text=text)),
            record=lambda text, seconds: ledger.log("disk", text, seconds=seconds),
            longest_s=safety.longest_pause_s,
        )
        ledger.on_full = self._room.when_full
        area_mm2 = 1.0 if safety.dose is None else safety.dose.area_mm2
        repeats = safety.self_check_repeats
        planned = plan_of_light(
            pace_of(bench.config, bench), positions, repeats=repeats, area_mm2=area_mm2
        )
        self._light = LightDose.of(bench, ledger, planned=planned)
        self._last: Piece | None = "self_check" if repeats else None

    def why_spent(self, design: Design) -> str | None:
        """Say why the light does not suffice for a design and the last self-check, if so."""
        return self._light.why_not("trial", self._power_mw(design), then=self._last)

    def can_check(self, design: Design) -> bool:
        """Whether the light suffices for a self-check at a design."""
        return self._light.why_not("self_check", self._power_mw(design)) is None

    @contextmanager
    def used_by(self, piece: Piece, design: Design) -> Iterator[None]:
        """Wait for room, and count the light that the block gives to the sample.

        Raises
        ------
        LedgerFull, AbortAsked
            As `DiskRoom.before`.
        """
        self._room.before(self._batch_bytes)
        power_mw = self._power_mw(design)
        self._light.begin(piece, power_mw)
        self._light.take()
        self._captured = 0
        try:
            yield
        except BaseException:
            with suppress(LedgerError):  # what went wrong first is what counts
                self._light.settle()
            raise
        share = self._captured / self._objects if piece == "trial" else 1.0
        self._light.end(piece, power_mw, share=share)

    def dose(self, objects: int) -> dict[str, Any] | None:
        """Return the dose of a batch of so many objects that was just taken, for its record."""
        self._captured += objects
        return self._light.take()

    def settle(self) -> None:
        """Record what was used; nothing is under way any more."""
        self._light.settle()

    def _power_mw(self, design: Design) -> float:
        if self._bench.config.safety.dose is None:
            return 0.0
        return highest_power_mw(self._bench, design, self._space)
