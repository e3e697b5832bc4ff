"""The committed result of `end_to_end` as the two tables of docs/concepts/design-by-gradient.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parents[1] / "results" / "domain_end_to_end.json"
KINDS = ("best_from_random", "best_ascent_from_random", "best")


def quality_rows(document: Mapping[str, Any]) -> list[str]:
    """Return what the fresh decoder makes of the best design of each kind."""
    rows = [
        "| problem | random starts, mean | hand-made, best | end-to-end, best | IDEAL, Gaussian: "
        "best from random / as the ascents ended / of all | IDEAL, autoregressive: the same |",
        "|---|---|---|---|---|---|",
    ]
    for name, short in document["summary"].items():
        form, unit = ("{:.2f}", " dB") if short["metric"] == "psnr_db" else ("{:.4f}", " NRMSE")
        gaussian = short["ideal"]["gaussian"]
        other = short["ideal"].get("autoregressive")
        cells = [
            form.format(short["random_mean"]) + unit,
            f"{form.format(short['best']['hand_made'][1])} ({short['best']['hand_made'][0]})",
            form.format(short["best"]["end_to_end"][1]),
            *(
                " / ".join(form.format(one[kind][1]) for kind in KINDS) if one else "not run"
                for one in (gaussian, other)
            ),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def cost_rows(document: Mapping[str, Any]) -> list[str]:
    """Return processor time and memory of one start, medians."""
    rows = [
        "| problem | end-to-end, small decoder | IDEAL, Gaussian | IDEAL, autoregressive | "
        "U-Net, batch: hours (extrapolated), memory | IDEAL, Gaussian / U-Net: time, memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, short in document["summary"].items():
        gaussian = short["ideal"]["gaussian"]
        other = short["ideal"].get("autoregressive")
        costs = [short["end_to_end_cost"], gaussian["cost"], other["cost"] if other else None]
        large = gaussian["cost_over_unet"]
        cells = [
            f"{c['cpu_s']:.0f} s, {c['growth_mib']:.0f} MiB" if c else "not run" for c in costs
        ]
        cells.append(
            "; ".join(
                f"{batch.removeprefix('batch ')}: {one['unet_cpu_s_extrapolated'] / 3600:.1f} h, "
                f"{one['unet_growth_mib']:.0f} MiB"
                for batch, one in large.items()
            )
        )
        cells.append(
            "; ".join(
                f"1/{1 / one['cpu_s']:.0f}, {one['growth_mib']:.2f}" for one in large.values()
            )
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    print("\n".join([*quality_rows(found), "", *cost_rows(found)]))
