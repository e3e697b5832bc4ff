"""Which sensor, in which mode, a calibration belongs to: the identity key and its comparison.

Keys are plain data (text, numbers, lists), because they travel through YAML, JSON and `.npz`. An
entry whose name ends in `_range` holds `[low, high]` and is compared with the batch's entry without
the suffix: `exposure_ms_range: [0.1, 100]` admits `exposure_ms: 10`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RANGE_SUFFIX = "_range"


def mismatches(calibrated: Mapping[str, Any], batch: Mapping[str, Any]) -> list[str]:
    """Return one sentence for every entry of the calibration that the batch does not meet."""
    found: list[str] = []
    for name, expected in calibrated.items():
        batch_name = name.removesuffix(RANGE_SUFFIX)
        if batch_name not in batch:
            found.append(f"{batch_name}: calibrated for {expected!r}, the batch does not say")
        elif not _meets(name, expected, batch[batch_name]):
            found.append(
                f"{batch_name}: calibrated for {expected!r}, the batch has {batch[batch_name]!r}"
            )
    return found


def _meets(name: str, expected: Any, actual: Any) -> bool:
    if name.endswith(RANGE_SUFFIX):
        low, high = expected
        return bool(low <= actual <= high)
    return _as_plain(expected) == _as_plain(actual)


def _as_plain(entry: Any) -> Any:
    """Make tuples lists: the same thing after a round trip through JSON."""
    return [_as_plain(item) for item in entry] if isinstance(entry, list | tuple) else entry
