"""Soft limits of the bench file: narrower than the device's own, and checked before them."""

from __future__ import annotations

from collections.abc import Sequence

from drivers import LimitViolation


def check_within(
    role: str,
    device: str,
    target: Sequence[float],
    limits: Sequence[tuple[float, float]],
    unit: str,
    *,
    key: str | None = None,
) -> None:
    """Raise `LimitViolation` unless every value lies within its limits; refuses NaN.

    Parameters
    ----------
    role, device
        Whose limits they are, for the message.
    target, limits, unit
        One value and one (low, high) an axis.
    key
        Where the limits stand in the role, for the message; `limits_UNIT` by default.
    """
    for value, (low, high) in zip(target, limits, strict=True):
        if not low <= value <= high:  # also catches NaN
            where = f"limits_{unit}" if key is None else key
            raise LimitViolation(
                f"{device} (role {role}): {amount(value, unit)} asked, its soft limits are {low:g} "
                f"to {amount(high, unit)}; correct the design's bounds, or {where} in bench.roles"
            )


def amount(value: float, unit: str) -> str:
    """Write a value with its unit; `1` is the unit of a plain number."""
    number = f"{value + 0.0:g}"  # a stage at -0.0 is at 0
    return number if unit == "1" else f"{number} {unit}"


def span(limits: tuple[float, float], unit: str = "1") -> str:
    """Write a range with its unit."""
    return f"{limits[0]:g} to {amount(limits[1], unit)}"
