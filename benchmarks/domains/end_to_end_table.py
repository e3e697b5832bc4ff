"""The committed results of `end_to_end` as the tables of docs/concepts/design-by-gradient.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
KINDS = ("best_from_random", "best_ascent_from_random", "best")
SURROGATES = {"gaussian": "Gaussian", "strata": "by contrast", "autoregressive": "autoregressive"}


def result(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"domain_{name}.json").read_text(encoding="utf-8"))


def quality_rows(document: Mapping[str, Any]) -> list[str]:
    """Return what the fresh decoder makes of the best design of each kind."""
    problems = document["summary"].values()
    methods = [m for m in SURROGATES if any(m in short["ideal"] for short in problems)]
    heads = [f"IDEAL, {SURROGATES[m]}" for m in methods]
    heads[0] += ": best from random / as the ascents ended / of all"
    rows = [
        "| problem | random starts, mean | hand-made, best | end-to-end, best | "
        f"{' | '.join(heads)} |",
        "|" + "---|" * (4 + len(methods)),
    ]
    for name, short in document["summary"].items():
        form, unit = ("{:.2f}", " dB") if short["metric"] == "psnr_db" else ("{:.4f}", " NRMSE")
        cells = [
            form.format(short["random_mean"]) + unit,
            f"{form.format(short['best']['hand_made'][1])} ({short['best']['hand_made'][0]})",
            form.format(short["best"]["end_to_end"][1]),
            *(
                " / ".join(form.format(short["ideal"][m][kind][1]) for kind in KINDS)
                if m in short["ideal"]
                else ""
                for m in methods
            ),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def cost_rows(document: Mapping[str, Any]) -> list[str]:
    """Return processor time and memory of one start on a quiet machine."""
    rows = [
        "| problem | end-to-end, small decoder | IDEAL, Gaussian | IDEAL, autoregressive | "
        "U-Net, batch: hours (extrapolated), memory | IDEAL, Gaussian / U-Net: time, memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in document["problems"].items():
        steps = found["steps_the_small_decoder_needed"]
        costs = [found["end_to_end"], *(found["ideal"][m] for m in ("gaussian", "autoregressive"))]
        cells = [f"{c['cost']['cpu_s']:.0f} s, {c['cost']['growth_mib']:.0f} MiB" for c in costs]
        cells.append(
            "; ".join(
                f"{batch.removeprefix('batch ')}: {one['step_cpu_s'] * steps / 3600:.1f} h, "
                f"{one['cost']['growth_mib']:.0f} MiB"
                for batch, one in found["unet"].items()
            )
        )
        cells.append(
            "; ".join(
                f"1/{1 / one['cpu_s']:.0f}, {one['growth_mib']:.2f}"
                for one in found["ideal"]["gaussian"]["over_unet"].values()
            )
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    again, costs = result("end_to_end_again"), result("end_to_end_costs")
    print("\n".join([*quality_rows(again), "", *cost_rows(costs)]))
