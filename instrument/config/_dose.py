"""The light that a sample may get: `safety.dose`."""

from __future__ import annotations

from typing import Literal

from instrument.config._section import Positive, Section


class DoseConfig(Section):
    """Limit of the light dose, in mJ/cm2, over a whole run with all its sessions.

    Dose is power times lit time over `area_mm2`, the area that the light falls on at the sample,
    with the power that the light's role gives (in W, mW, uW or nW; another unit gives no dose).
    `per: object` holds for the object that gets most, `per: sample` for all light of the run
    together, as though it fell on one place.
    """

    area_mm2: Positive
    limit_mj_cm2: Positive
    per: Literal["object", "sample"] = "object"
