"""Properties as a person names them: all checked, then set in their order, then all read back.

The only place that knows when the text of a property is what was asked: the core prints numbers
with four decimals, and devices round numbers to steps of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.errors import LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager

PropertyValue = str | int | float
"""What a property is asked to be; a whole number is meant exactly."""

PRINTED = 5.1e-5
"""The core prints four decimals."""
ROUNDED = 1e-3
"""Share by which a device may round a number to a step of its own."""
SETTING_TIMEOUT_S = 10.0
_INTEGER, _FLOAT = "Integer", "Float"
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyFacts:
    """What a device says of one of its properties.

    Parameters
    ----------
    text
        Present value.
    kind
        `Integer`, `Float`, `String`, or `Undef` of a Python device that does not say.
    is_read_only, is_pre_init
        Whether it can never be set, or only before its device is initialised.
    limits
        Lowest and highest number, or None.
    allowed
        The only values there are; empty where any will do.
    """

    text: str
    kind: str
    is_read_only: bool
    is_pre_init: bool
    limits: tuple[float, float] | None
    allowed: tuple[str, ...]

    @property
    def is_number(self) -> bool:
        """Whether it holds a number."""
        return self.kind in {_INTEGER, _FLOAT}

    def refusal(self, asked: PropertyValue) -> str | None:
        """Say why `asked` would be refused, clipped or rounded; None if it is welcome."""
        if self.is_read_only:
            if same_value(self.text, asked):
                return None
            return f"it is {self.text!r} and can be read but not set"
        if self.allowed:
            if any(same_value(value, asked) for value in self.allowed):
                return None
            return f"it takes one of {', '.join(self.allowed)}"
        number = as_number(asked)
        if self.is_number and number is None:
            return f"it takes a number, {self.text} now"
        if number is None:
            return None
        if self.kind == _INTEGER and number != round(number):
            return "it takes whole numbers only"
        low, high = self.limits or (-math.inf, math.inf)
        return None if low <= number <= high else f"the device allows {low:g} to {high:g}"


def same_value(text: object, asked: PropertyValue, *, rounded: float = ROUNDED) -> bool:
    """Whether a property's text says what was asked: numbers as numbers, words to the letter.

    `rounded` is the share by which the device may have rounded a number that is not whole.
    """
    if str(text) == str(asked):
        return True
    there, wanted = as_number(str(text)), as_number(asked)
    if there is None or wanted is None:
        return False
    is_whole = isinstance(asked, int) or _WHOLE.fullmatch(str(asked).strip()) is not None
    return abs(there - wanted) <= (0.0 if is_whole else PRINTED + rounded * abs(wanted))


def as_number(value: PropertyValue) -> float | None:
    """Return the finite number that a value is, or None."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def property_facts(manager: MicroManager, label: str, name: str) -> PropertyFacts:
    """Ask a device about one of its properties; it must be there."""

    def read() -> PropertyFacts:
        core = manager.core
        limits = None
        if core.hasPropertyLimits(label, name):
            limits = (
                core.getPropertyLowerLimit(label, name),
                core.getPropertyUpperLimit(label, name),
            )
        return PropertyFacts(
            text=str(core.getProperty(label, name)),
            kind=core.getPropertyType(label, name).name,
            is_read_only=bool(core.isPropertyReadOnly(label, name)),
            is_pre_init=bool(core.isPropertyPreInit(label, name)),
            limits=limits,
            allowed=tuple(map(str, core.getAllowedPropertyValues(label, name))),
        )

    return manager.call(f"{label}.{name}: what it takes", read)


def check_properties(
    manager: MicroManager,
    label: str,
    wanted: Mapping[str, PropertyValue],
    *,
    is_initialised: bool = True,
) -> None:
    """See that a device would take every value, before the first is set.

    Parameters
    ----------
    manager
        Owner of the core.
    label
        Of the device.
    wanted
        Property name to value.
    is_initialised
        Whether what must be set before initialisation is too late.

    Raises
    ------
    ConnectionLost, LimitViolation
        No such device, or all that it would refuse, with what it allows. Nothing has been set.
    """
    names = manager.property_names(label)
    refused = []
    for name, asked in wanted.items():
        if name not in names:
            why: str | None = f"there is no such property; there is {', '.join(names) or 'none'}"
        else:
            facts = property_facts(manager, label, name)
            why = facts.refusal(asked)
            if is_initialised and facts.is_pre_init and not same_value(facts.text, asked):
                why = (
                    f"it is {facts.text!r} and can be set only before the device is initialised: "
                    "in the .cfg, or in micromanager.devices"
                )
        if why is not None:
            refused.append(f"{label}.{name}: {asked!r} asked; {why}")
    if refused:
        raise LimitViolation("; ".join(refused))


def set_properties(manager: MicroManager, label: str, wanted: Mapping[str, PropertyValue]) -> None:
    """Set properties in their order; one that says already what is asked is left alone."""
    for name, asked in wanted.items():
        text = repr(asked) if isinstance(asked, float) else str(asked)

        def put(name: str = name, text: str = text, asked: PropertyValue = asked) -> None:
            there = manager.core.getProperty(label, name)
            if not same_value(there, asked, rounded=0.0):  # a read-only one is as asked already
                manager.core.setProperty(label, name, text)

        manager.call(f"{label}.{name}: set to {text}", put)
        manager.wait(label, timeout_s=SETTING_TIMEOUT_S)


def verify_properties(
    manager: MicroManager, label: str, wanted: Mapping[str, PropertyValue]
) -> None:
    """Read properties back; raise `ProtocolError` with every one that says something else."""
    there = manager.call(
        f"{label}: read back",
        lambda: {name: str(manager.core.getProperty(label, name)) for name in wanted},
    )
    different = [
        f"{label}.{name}: {asked!r} asked, {there[name]!r} read back"
        for name, asked in wanted.items()
        if not same_value(there[name], asked)
    ]
    if different:
        raise ProtocolError(
            f"{'; '.join(different)}; write what the device takes, or look what changes it"
        )
