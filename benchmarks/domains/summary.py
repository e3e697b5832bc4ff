"""The rows of docs/concepts/what-information-predicts.md, from the committed results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
HEADING = (
    "| domain | designs | rank of | Spearman | Kendall |",
    "|---|---|---|---|---|",
)


def result(domain: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"domain_{domain}.json").read_text(encoding="utf-8"))


def rows() -> list[str]:
    """Return the table, heading included."""
    return [*HEADING, *(_row(*entry) for entry in _entries())]


def _entries() -> Iterator[tuple[str, str, dict[str, float]]]:
    sky = result("interferometer")["bits_against"]
    yield "radio arrays", "PSNR, Gaussian process", sky["psnr_gaussian_process_db"]
    yield "radio arrays", "PSNR, rings", sky["psnr_rings_db"]
    for exposure, table in result("phase")["exposures"].items():
        domain = f"phase contrast, {exposure.replace('_', ' ')}"
        for metric, name in {
            "nrmse_lmmse": "phase error, linear",
            "nrmse_neural": "phase error, network",
            "accuracy": "classification",
        }.items():
            yield domain, name, table["bits_against"][metric]
    for dose, table in result("tomography")["doses_e"].items():
        yield (
            f"tomography, {dose} photons",
            "PSNR, linear",
            table["bits_against"]["psnr_lmmse_db"],
        )
        per_pixel = table["bits_per_pixel_against_psnr_lmmse_db"]
        yield f"tomography, {dose} photons", "the same, by bits per *pixel*", per_pixel
    for focus, table in result("infrared")["tables"].items():
        against = table["against_rmse_k"]
        yield f"infrared, {focus}", "error in kelvin", against["bits_per_pixel"]
        if focus != "in focus":
            worst = against["worst_depth_bits_per_pixel"]
            yield f"infrared, {focus}", "the same, by bits of the worst depth", worst


def _row(domain: str, quality: str, ranks: dict[str, float]) -> str:
    return (
        f"| {domain} | {ranks['designs']} | {quality} | {ranks['spearman']:.2f} "
        f"| {ranks['kendall']:.2f} |"
    )


if __name__ == "__main__":
    print("\n".join(rows()))
    sys.exit(0)
