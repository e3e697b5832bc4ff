"""What every driver promises, as checks that can be run on any device, virtual or real.

One function a capability; each returns one `CheckResult` a claim and raises nothing. The same
checks judge our own drivers in `tests/`, a third party's in theirs, and the devices of a bench in
`infoloop check --conformance`.

    results = check_stage(stage, scope=Scope.MOVE, limits_um=(-50, 50))
    assert [each for each in results if each.status == "failed"] == []
"""

from drivers.conformance._axes import (
    check_property,
    check_rotation,
    check_stage,
    check_xy_stage,
)
from drivers.conformance._camera import check_camera
from drivers.conformance._light import check_light, lowest_level
from drivers.conformance._meter import check_meter
from drivers.conformance._running import CheckResult, Scope
from drivers.conformance._selector import check_selector
from drivers.conformance._slm import check_slm

__all__ = [
    "CheckResult",
    "Scope",
    "check_camera",
    "check_light",
    "check_meter",
    "check_property",
    "check_rotation",
    "check_selector",
    "check_slm",
    "check_stage",
    "check_xy_stage",
    "lowest_level",
]
