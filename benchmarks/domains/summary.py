"""The tables of docs/concepts/what-information-predicts.md, from the committed results.

`python -m benchmarks.domains.summary` writes them into the page, between its markers.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "what-information-predicts.md"

Rank = dict[str, float]


def result(domain: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"domain_{domain}.json").read_text(encoding="utf-8"))


def recorded(*domains: str) -> list[str]:
    """Return those that have been run to their end."""
    return [name for name in domains if (RESULTS / f"domain_{name}.json").exists()]


def rows() -> list[str]:
    """Return the table of ranks, heading included."""
    lines = [_row(*entry) for source in SOURCES for entry in source()]
    heading = "| domain | designs | rank of | Spearman | Kendall |"
    return [heading, "|---|---|---|---|---|", *lines]


def _radio() -> Iterator[tuple[str, str, Rank]]:
    sky = result("interferometer")["bits_against"]
    yield "radio arrays", "PSNR, Gaussian process", sky["psnr_gaussian_process_db"]
    yield "radio arrays", "PSNR, rings", sky["psnr_rings_db"]


PHASE = {
    "nrmse_lmmse": "phase error, linear",
    "nrmse_neural": "phase error, network",
    "accuracy": "classification",
    "class_bits": "classifier's bits",
}


def _phase() -> Iterator[tuple[str, str, Rank]]:
    for exposure, table in result("phase")["exposures"].items():
        domain = f"phase contrast, {exposure.replace('_', ' ')}"
        for metric, ranks in table["bits_against"].items():
            yield domain, PHASE[metric], ranks
    for entry in recorded("phase_again"):
        for metric, ranks in result(entry)["bits_against"].items():
            yield "phase contrast, equal dose, again", PHASE[metric], ranks


def _tomography() -> Iterator[tuple[str, str, Rank]]:
    for dose, table in result("tomography")["doses_e"].items():
        domain = f"tomography, {dose} photons"
        yield domain, "PSNR, linear", table["bits_against"]["psnr_lmmse_db"]
        per_pixel = table["bits_per_pixel_against_psnr_lmmse_db"]
        yield domain, "the same, by bits per *pixel*", per_pixel
    for dose, table in result("tomography_autoregressive")["doses_e"].items():
        domain = f"tomography, {dose} photons, again"
        yield domain, "PSNR, linear, by the Gaussian", table["gaussian_bits_against"][LINEAR]
        yield domain, "the same, by the autoregressive", table["bits_against"][LINEAR]


LINEAR, NEURAL, LOGDET = "psnr_lmmse_db", "psnr_neural_db", "logdet_error_bits"


def _infrared() -> Iterator[tuple[str, str, Rank]]:
    for focus, table in result("infrared")["tables"].items():
        against = table["against_rmse_k"]
        yield f"infrared, {focus}", "error in kelvin", against["bits_per_pixel"]
        if focus != "in focus":
            worst = against["worst_depth_bits_per_pixel"]
            yield f"infrared, {focus}", "the same, by bits of the worst depth", worst


def _lensless() -> Iterator[tuple[str, str, Rank]]:
    for entry, note in {"lensless_centred": "", "lensless": ", off centre"}.items():
        for kind, table in result(entry)["kinds"].items():
            domain = f"lensless, {kind}{note}"
            yield domain, "PSNR, network", table["bits_against"][NEURAL]
            yield domain, "the same, by a Gaussian", table["gaussian_bits_against"][NEURAL]
    sparse = result("lensless_sparse")["against_decoder_bits"]
    yield "lensless, beads 0.02", "decoder's bits, whole field", sparse["bits"]
    yield "lensless, beads 0.02", "the same, by a Gaussian", sparse["gaussian_bits"]


SCENES = {
    "colour_photographs": "photographs",
    "colour_chroma": "independent chroma",
    "colour_chroma_gaussian": "independent chroma",
}
COLOUR = {
    "logdet_moments_bits": "log-det of the error, linear",
    "logdet_error_bits": "the same, linear with a ridge",
    "psnr_moments_db": "RGB PSNR, linear",
    LINEAR: "RGB PSNR, linear with a ridge",
    NEURAL: "RGB PSNR, network",
}


def _colour() -> Iterator[tuple[str, str, Rank]]:
    for entry in recorded(*SCENES):
        found = result(entry)
        is_gaussian = found["protocol"]["density"] == "gaussian"
        for photons, table in found["photons"].items():
            domain = f"colour, {SCENES[entry]}, {photons} photons"
            for metric, name in COLOUR.items():
                if metric not in table["bits_against"]:
                    continue
                yield domain, name, table["bits_against"][metric]
                if not is_gaussian:
                    ranks = table["gaussian_bits_against"][metric]
                    yield domain, name + ", by a Gaussian", ranks


STRATA = {
    "logdet_moments_bits": "log-det of the error, linear",
    "logdet_moments_fresh_bits": "the same, crops of the photographs known",
    "logdet_error_bits": "the same, linear with a ridge",
    "psnr_moments_db": "RGB PSNR, linear",
}


def _strata() -> Iterator[tuple[str, str, Rank]]:
    for photons, table in result("colour_strata")["photons"].items():
        for metric, name in STRATA.items():
            ranks = table["bits_8_against"][metric]
            yield f"colour, photographs by contrast, {photons} photons", name, ranks
    lensless = result("lensless_strata")["bits_8_against"]
    yield "lensless, photographs by contrast", "PSNR, network", lensless[NEURAL]


SOURCES: tuple[Callable[[], Iterator[tuple[str, str, Rank]]], ...] = (
    _radio,
    _phase,
    _tomography,
    _infrared,
    _lensless,
    _colour,
    _strata,
)


def _row(domain: str, quality: str, ranks: Rank) -> str:
    return (
        f"| {domain} | {ranks['designs']} | {quality} | {ranks['spearman']:.2f} "
        f"| {ranks['kendall']:.2f} |"
    )


def brackets() -> list[str]:
    """Return the table of what decoders prove, beside the scores."""
    lines = [
        "| domain | what the decoder says | kept in | decoder, bits | score, bits |",
        "|---|---|---|---|---|",
    ]
    for domain, proof, designs, low, tolerance in _bracketed():
        rows_ = list(designs.values())
        kept = sum(
            r[low] <= r["bits"] + tolerance * r.get("decoder_standard_error", 0.0) for r in rows_
        )
        decoder = f"{min(r[low] for r in rows_):.3g} to {max(r[low] for r in rows_):.3g}"
        score = f"{min(r['bits'] for r in rows_):.3g} to {max(r['bits'] for r in rows_):.3g}"
        lines.append(f"| {domain} | {proof} | {kept} of {len(rows_)} | {decoder} | {score} |")
    return lines


def _bracketed() -> Iterator[tuple[str, str, dict[str, Any], str, float]]:
    arrays = result("interferometer_bracket")["arrays"]
    yield "radio arrays (exact score)", "normal, fitted to samples", arrays, "decoder_bits", 3.0
    for entry in recorded("phase_again"):
        yield "phase contrast", "number of lobes", result(entry)["designs"], "class_bits", 0.0
    thermal = result("infrared_bracket")["designs"]
    yield "infrared, in focus", "which of 1000 scenes", thermal, "decoder_bits", 0.0
    which = "which of 500 objects"
    for entry in ("tomography_autoregressive", "tomography_doses"):
        for dose, table in result(entry)["doses_e"].items():
            density = "Gaussian" if entry.endswith("doses") else "autoregressive"
            domain = f"tomography, {dose} photons, {density}"
            yield domain, which, table["designs"], "decoder_bits", 0.0
    for kind, table in result("lensless_centred")["kinds"].items():
        lit = "which pixels of the field are lit"
        proof = lit if kind.startswith("beads") else which
        yield f"lensless, {kind}", proof, table["designs"], "decoder_bits", 0.0
    sparse = result("lensless_sparse")["designs"]
    yield "lensless, beads 0.02", "which pixels of the field are lit", sparse, "decoder_bits", 0.0
    for entry in recorded(*SCENES):
        for photons, table in result(entry)["photons"].items():
            domain = f"colour, {SCENES[entry]}, {photons} photons"
            yield domain, which, table["masks"], "decoder_bits", 0.0


def sparse() -> list[str]:
    """Return the brackets of sparse beads, design by design, bits a measurement."""
    lines = [
        "| mask | decoder | entropy in view | score | score over entropy | Gaussian |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result("lensless_sparse")["designs"].items():
        lines.append(
            f"| {name} | {row['decoder_bits']:.1f} +- {row['decoder_bits_scatter']:.1f} "
            f"| {row['in_view_bits']:.0f} | {row['bits']:.0f} | {row['score_over_in_view']:.2f} "
            f"| {row['gaussian_bits']:.0f} |"
        )
    return lines


def doses() -> list[str]:
    """Return the best number of views at every dose."""
    lines = ["| photons | best views by bits | by the linear decoder |", "|---|---|---|"]
    for dose, table in result("tomography_doses")["doses_e"].items():
        lines.append(f"| {dose} | {table['best_views_by_bits']} | {table['best_views_by_psnr']} |")
    return lines


TABLES: dict[str, Callable[[], list[str]]] = {
    "domains": rows,
    "brackets": brackets,
    "sparse": sparse,
    "doses": doses,
}


def shown(page: str, table: str) -> list[str]:
    """Return the lines of a table as the page shows it."""
    found = re.search(rf"<!-- table: {table} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no marker for the table {table!r}")
    return found[1].splitlines()


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        mark = f"<!-- table: {name} -->\n"
        page = page.replace(
            mark + "\n".join(shown(page, name)) + "\n", mark + "\n".join(table()) + "\n"
        )
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
