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
            raise LimitViolation(
                f"{device} (role {role}): {value:g} {unit} asked, its soft limits are {low:g} to "
                f"{high:g} {unit}; correct the design's bounds, or {key or f'limits_{unit}'} in "
                "bench.roles"
            )
