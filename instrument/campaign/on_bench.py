"""What a campaign has on one bench, and has anew on its successor after a fault."""

from __future__ import annotations

from typing import Any

import numpy as np

from instrument.bench.bench import Bench
from instrument.campaign.control import Control
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from instrument.campaign.pausing import Pauses
from instrument.campaign.scoring import load_noise
from instrument.campaign.self_check import When, check_noise, checked_event
from instrument.campaign.states import State
from instrument.campaign.supplies import Supplies
from instrument.campaign.trial import Measurement
from instrument.design import Design, DesignSpace
from instrument.grid import Positions


class OnBench:
    """Noise, supplies and measurement of a campaign on one bench, and the checks of its noise.

    Parameters
    ----------
    bench
        Connected.
    ledger, bus, control
        Of the campaign.
    space, positions
        Of its designs and objects, (x, y) in um.

    Attributes
    ----------
    is_ready
        Whether what comes before the first new trial on this bench has begun.

    Raises
    ------
    CalibrationMismatch
        Its camera is not the calibrated one.
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
        self.bench = bench
        self._ledger = ledger
        self._bus = bus
        self._control = control
        self._space = space
        self._positions = positions
        self.noise = load_noise(bench.config, bench, ledger.run_dir)
        self.supplies = Supplies(bench, ledger, bus, control, space=space, positions=positions)
        self.measurement = Measurement(
            bench,
            ledger,
            bus,
            space=space,
            positions=positions,
            noise=self.noise,
            control=control,
            dose=self.supplies.dose,
        )
        self.is_ready = False

    def pauses(self) -> Pauses:
        """Return what waits for interlocks and people during one piece of work."""
        return Pauses(self.bench, self._bus, control=self._control)

    def training_frames(self) -> tuple[np.ndarray, float]:
        """Capture what a density is trained on: light on the sample as any trial."""
        with self.supplies.used_by("trial", self._space.start):
            return self.measurement.training_frames()

    def check_noise(self, when: When, design: Design, *, trials: int) -> dict[str, Any] | None:
        """Compare repeats of one scene with the calibration: before the first new trial, and last.

        A resumed run is a new session on the bench, and checks again.

        Returns
        -------
        dict or None
            The record, as the ledger has it; None where no check is wanted.
        """
        if not self.bench.config.safety.self_check_repeats:
            return None
        self._control.enter(State.CALIBRATING, f"self-check at the {when} of the run")
        with self.supplies.used_by("self_check", design):
            record = self.pauses().again(
                lambda: check_noise(
                    self.bench,
                    self.noise,
                    design,
                    self._positions[0],
                    space=self._space,
                    when=when,
                    trials=trials,
                    checkpoint=self._control.checkpoint,
                )
            )
        self._control.enter(State.RUNNING)
        earlier = self._ledger.meta().get("self_checks", [])
        self._ledger.set_meta("self_checks", [*earlier, record])
        self._bus.emit(checked_event(record))
        return record
