"""Claim: designed by information, the number of lenslets falls as beads get denser.

Nine lenslets that may stand anywhere, be of any size and have any share of the light, designed for
beads of three densities by the autoregressive surrogate, and by a Gaussian one, which is misled.
Two spots closer than the protocol says count as one lenslet.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, seconds
from benchmarks.record import save
from drivers.virtual.objects import beads
from drivers.virtual.twins import Lensless
from estimation import AutoregressiveMixture, SensorNoise
from estimation.ideal import AutoregressiveSurrogate, Candidate, maximise_information


def active_lenslets(design: dict[str, np.ndarray], *, share: float, apart_px: float) -> int:
    """Count spots with at least `share` of the light; one that is near a brighter one joins it."""
    order = np.argsort(-design["weights"])
    found: list[tuple[np.ndarray, float]] = []
    for place, weight in zip(design["positions_px"][order], design["weights"][order], strict=True):
        near = [k for k, (p, _) in enumerate(found) if np.hypot(*(p - place)) < apart_px]
        if near:
            found[near[0]] = (found[near[0]][0], found[near[0]][1] + weight)
        else:
            found.append((place, float(weight)))
    return int(sum(weight >= share for _, weight in found))


def table(document: Mapping[str, Any]) -> list[str]:
    """Return the committed result as the rows of docs/concepts/design-by-gradient.md."""
    lines = [
        "| fill | best hand-made | designed: lenslets | bits/pixel | by a Gaussian: lenslets |",
        "|---|---|---|---|---|",
    ]
    found = {(row["fill"], row["surrogate"]): row for row in document["designs"]}
    for fill in dict.fromkeys(fill for fill, _ in found):
        made, led = (found[fill, "autoregressive"][k] for k in ("best_hand_made", "best_designed"))
        misled = found[fill, "gaussian"]["best_designed"]
        lines.append(
            f"| {fill} | {made['name']}, {made['bits_per_pixel']:.3f} | {led['active_lenslets']} | "
            f"{led['bits_per_pixel']:.3f} +- {led['standard_error']:.3f} | "
            f"{misled['active_lenslets']} |"
        )
    return lines


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("lenslet_design", is_quick=quick)
    search, rows = fixed["search"], []
    count = 1000 if quick else fixed["objects"]["count"]
    if quick:
        search = search | {"steps": 20, "random_starts": 0, "hand_made_starts": 1}
    noise = SensorNoise(**fixed["noise"])
    for number, fill in enumerate(fixed["objects"]["fills"]):
        rng = np.random.default_rng([fixed["seeds"]["objects"], number])
        objects = beads(count, fixed["field"], fill=fill, rng=rng)
        reach = fixed["reach_px"]
        twin = Lensless(
            rng.uniform(-reach, reach, (fixed["lenslets"], 2)),
            electrons=fixed["mean_electrons"],
            background_e=fixed["background_e"],
            field=fixed["field"],
            side=fixed["side"],
            reach_px=reach,
        )
        hand_made = {name: twin.hand_made()[name] for name in fixed["hand_made"]}
        ways: dict[str, Any] = {
            "autoregressive": {
                "surrogate": AutoregressiveSurrogate(
                    family=AutoregressiveMixture(**fixed["surrogate_family"])
                ),
                "density": AutoregressiveMixture(**fixed["score_family"]),
            },
            "gaussian": {"surrogate": "gaussian", "density": "gaussian"},
        }
        for name, way in ways.items():
            with seconds() as taken:
                found = maximise_information(
                    twin,
                    objects,
                    noise,
                    seed=fixed["seeds"]["search"],
                    hand_made=hand_made,
                    patch=fixed["side"],
                    **way,
                    **search,
                )
            designs = [_plain(c, fixed["active"]) for c in found.candidates]
            led = [d for d in designs if d["origin"] == "gradient"]
            made = [d for d in designs if d["origin"] == "hand made"]
            rows.append({
                "fill": fill,
                "surrogate": name,
                "best_designed": led[0],
                "best_hand_made": made[0],
                "designs": designs,
                "taken": taken,
            })
            print(fill, name, taken, *designs, sep="\n", flush=True)
    if not quick:
        print(save("domain_lenslet_design", {"protocol": fixed, "designs": rows}))
    return 0


def _plain(candidate: Candidate, active: dict[str, float]) -> dict[str, Any]:
    """Return what a table says of a design; candidates come in the order of the choice."""
    values = {name: np.asarray(v) for name, v in candidate.values.items()}
    if candidate.estimate is None:
        raise RuntimeError(f"{candidate.name}: {candidate.refusal}")
    return {
        "name": candidate.name,
        "origin": candidate.origin,
        "active_lenslets": active_lenslets(values, **active),
        "effective_lenslets": float(1 / np.sum(np.square(values["weights"]))),
        "bits_per_pixel": candidate.estimate.bits_per_pixel,
        "standard_error": candidate.estimate.standard_error,
        "choice_bits_per_measurement": candidate.choice_bits,
        "values": {name: v.round(3).tolist() for name, v in values.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
