"""What the runs of `end_to_end` come to: qualities side by side, costs, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Runs = Mapping[str, Mapping[str, Any]]
QUALITY = "test"


def summary(found: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the short table of one problem.

    "best" is the best start by the fresh neural decoder on test objects; "chosen" is the one that a
    method would hand over: end-to-end by its own error, IDEAL by its own bits, hand-made designs
    included. Of an ascent IDEAL hands over its end or its start, whichever has more bits;
    "best_ascent" is of the ends alone.
    """
    sign = 1.0 if found["metric"] == "psnr_db" else -1.0
    acceptance = fixed["acceptance"]
    best_hand_made = _best(found["hand_made"], sign)
    end_to_end = found["end_to_end"]
    rivals = {"end_to_end": _best(end_to_end, sign), "hand_made": best_hand_made}
    short: dict[str, Any] = {
        "metric": found["metric"],
        "best": {name: list(best) for name, best in rivals.items()},
        "random_mean": round(float(np.mean([r[QUALITY] for r in found["random"].values()])), 4),
        "end_to_end_chosen": min(end_to_end, key=lambda s: end_to_end[s]["curve"][-1][1]),
        "end_to_end_cost": _cost(end_to_end),
        "end_to_end_own_error_over_fresh": [
            run["own_error_over_fresh"] for run in end_to_end.values()
        ],
        "ideal": {},
    }
    tolerance = acceptance["psnr_db" if sign > 0 else "nrmse_share"]
    for method, runs in found["ideal"].items():
        best = _best(runs, sign)
        candidates = {**runs, **{f"hand made {h}": r for h, r in found["hand_made"].items()}}
        bits = {start: _choice_bits(run) for start, run in runs.items()}
        known = found["ideal_scores_of_hand_made"].get(method, {})
        bits |= {f"hand made {h}": known[h] for h in known}
        chosen = max(bits, key=lambda name, bits=bits: bits[name])
        margins = {name: _margin(best[1], rival[1], sign) for name, rival in rivals.items()}
        random = {s: r for s, r in runs.items() if s.startswith("random ")}
        from_random = _best(random, sign)
        ends = {s: run.get("ascended", run) for s, run in random.items()}
        cost = _cost(runs)
        short["ideal"][method] = {
            "best": list(best),
            "best_from_random": list(from_random),
            "best_ascent_from_random": list(_best(ends, sign)),
            "starts_preferred_to_ascents": sum("ascended" in run for run in runs.values()),
            "chosen": [chosen, candidates[chosen][QUALITY]],
            "cost": cost,
            "margin_of_best": margins,
            "margin_of_chosen": {
                name: _margin(candidates[chosen][QUALITY], rival[1], sign)
                for name, rival in rivals.items()
            },
            "margin_from_random_alone": _margin(from_random[1], rivals["end_to_end"][1], sign),
            "is_level_with_end_to_end": margins["end_to_end"] >= -tolerance,
            "is_level_with_hand_made": margins["hand_made"] >= -tolerance,
            "cost_over_end_to_end": {
                key: round(cost[key] / short["end_to_end_cost"][key], 3)
                for key in ("cpu_s", "growth_mib", "peak_mib")
            },
            "cost_over_unet": _over_unet(found, cost),
        }
    return short


def converged_step(curve: list[list[float]], *, share: float = 0.01) -> int:
    """Return the first step from which an error stays within a share of its least value, or all."""
    least = min(row[1] for row in curve)
    late = [row[0] for row in curve if row[1] > least * (1 + share)]
    stays = (row[0] for row in curve if row[0] > max(late, default=-1))
    return int(min(stays, default=curve[-1][0]))


def _over_unet(found: Mapping[str, Any], cost: Mapping[str, float]) -> dict[str, Any]:
    """Time: a step of the large decoder times the steps the small one needed (extrapolated)."""
    runs = list(found["end_to_end"].values())
    steps = float(np.median([converged_step(run["curve"]) for run in runs]))
    return {
        batch: {
            "steps": steps,
            "unet_cpu_s_extrapolated": round(run["step_cpu_s"] * steps, 1),
            "unet_growth_mib": run["cost"]["growth_mib"],
            "cpu_s": round(cost["cpu_s"] / (run["step_cpu_s"] * steps), 5),
            "growth_mib": round(cost["growth_mib"] / run["cost"]["growth_mib"], 3),
            "peak_mib": round(cost["peak_mib"] / run["cost"]["peak_mib"], 3),
        }
        for batch, run in found["unet"].items()
    }


def _cost(runs: Runs) -> dict[str, float]:
    """Medians over starts."""
    return {
        key: round(float(np.median([run["cost"][key] for run in runs.values()])), 2)
        for key in ("cpu_s", "wall_s", "growth_mib", "peak_mib")
    } | {"load_average": round(float(np.mean([r["load_average"] for r in runs.values()])), 1)}


def _best(rows: Runs, sign: float) -> tuple[str, float]:
    name = max(rows, key=lambda n: sign * rows[n][QUALITY])
    return name, rows[name][QUALITY]


def _choice_bits(run: Mapping[str, Any]) -> float:
    bits = [c["choice_bits"] for c in run["candidates"].values() if c["choice_bits"] is not None]
    return max(bits, default=-np.inf)


def _margin(quality: float, rival: float, sign: float) -> float:
    """Return dB in favour, or the share by which an error is smaller; negative is worse."""
    return round(quality - rival if sign > 0 else 1.0 - quality / rival, 4)
