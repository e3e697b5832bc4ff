"""A stage: what its options are, how it is opened, and what it does."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict, Field

from acme_optics.controller import Controller, connect
from drivers import DeviceDescription, DeviceTimeout, LimitViolation, ProtocolError

POLL_S = 0.001


class StageOptions(BaseModel):
    """What may stand under `options` in the bench file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str
    travel_um: float = Field(default=1000.0, gt=0, allow_inf_nan=False)


class AcmeStage:
    """One axis in micrometres (`drivers.Stage`)."""

    def __init__(self, name: str, controller: Controller, travel_um: float):
        self.name = name
        self.limits_um = (-travel_um, travel_um)
        self._controller = controller
        self._identity = controller.ask("ID?")

    def describe(self) -> DeviceDescription:
        """Identity and travel."""
        return DeviceDescription(
            name=self.name,
            kind="stage",
            identity=self._identity,
            limits={"position_um": self.limits_um},
        )

    def check(self, target: float) -> None:
        """Refuse what is beyond the travel; moves nothing."""
        low, high = self.limits_um
        if not low <= target <= high:  # also refuses NaN
            raise LimitViolation(
                f"{self.name}: {target:g} um asked, the stage travels {low:g} to {high:g} um; "
                "correct limits_um in the bench file"
            )

    def start(self, target: float) -> None:
        """Start moving and return at once."""
        self.check(target)
        answer = self._controller.ask(f"MOVE {target:.4f}")
        if answer != "OK":
            raise ProtocolError(f"{self.name}: MOVE {target:.4f} was answered {answer!r}")

    def wait(self, *, timeout_s: float) -> None:
        """Wait until the stage stands still, at most `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while self._controller.ask("BUSY?") != "0":
            if time.monotonic() > deadline_s:
                raise DeviceTimeout(f"{self.name}: still moving after {timeout_s:g} s")
            time.sleep(POLL_S)  # the controller does not tell by itself

    def read_back(self) -> float:
        """Where it is now."""
        return float(self._controller.ask("POS?"))

    def make_safe(self) -> None:
        """Stay: a stage emits nothing."""

    def close(self) -> None:
        """Release the port; closing twice does no harm."""
        self._controller.close()


class StageDriver:
    """What the entry point `acme-stage` names."""

    options = StageOptions

    @staticmethod
    def open(name: str, options: StageOptions) -> AcmeStage:
        """Connect and identify; nothing moves."""
        return AcmeStage(name, connect(options.port), options.travel_um)
