"""A light: off is level zero, and every way out leads there."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from acme_optics.controller import Controller, connect
from drivers import DeviceDescription, DeviceError, DeviceTimeout, LimitViolation

TOLERANCE_MW = 0.001


class LedOptions(BaseModel):
    """What may stand under `options` in the bench file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str


class AcmeLed:
    """A light whose level is its power (`drivers.LightSource`)."""

    unit = "mW"
    limits = (0.0, 50.0)

    def __init__(self, name: str, controller: Controller):
        self.name = name
        self._controller = controller
        self._identity = controller.ask("ID?")
        self._asked_mw = 0.0

    def describe(self) -> DeviceDescription:
        """Identity and limits."""
        return DeviceDescription(
            name=self.name, kind="light", identity=self._identity, limits={"power_mw": self.limits}
        )

    def check(self, target: float) -> None:
        """Refuse what is beyond the limits; lights nothing."""
        low, high = self.limits
        if not low <= target <= high:  # also refuses NaN
            raise LimitViolation(
                f"{self.name}: {target:g} mW asked, {low:g} to {high:g} mW allowed; "
                "correct limits in the bench file"
            )

    def start(self, target: float) -> None:
        """Bring the light to a level."""
        self.check(target)
        self._asked_mw = target
        self._controller.ask(f"LED {target:.4f}")

    def wait(self, *, timeout_s: float) -> None:
        """Return at once: the LED follows within a microsecond, if it follows."""
        if abs(self.read_back() - self._asked_mw) > TOLERANCE_MW:
            raise DeviceTimeout(
                f"{self.name}: {self._asked_mw:g} mW asked, {self.read_back():g} mW read back "
                f"(waited 0 of {timeout_s:g} s); look at the LED's own interlock"
            )

    def read_back(self) -> float:
        """Level now, mW."""
        return float(self._controller.ask("LED?"))

    def is_on(self) -> bool:
        """Whether light can leave it."""
        return self.read_back() > 0

    def make_safe(self) -> None:
        """Off, and verified by reading back."""
        self.start(0.0)
        if self.is_on():
            raise DeviceError(f"{self.name} is still on after LED 0; switch it off by hand")

    def close(self) -> None:
        """Switch off and release the port; closing twice does no harm."""
        if self._controller.is_open:
            try:
                self.make_safe()
            finally:
                self._controller.close()


class LedDriver:
    """What the entry point `acme-led` names."""

    options = LedOptions

    @staticmethod
    def open(name: str, options: LedOptions) -> AcmeLed:
        """Connect and identify; the bench switches it off next."""
        return AcmeLed(name, connect(options.port))
