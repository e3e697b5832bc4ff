"""The protocol file, rank correlations, and the form of a table, for all domains."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import kendalltau, spearmanr

PROTOCOL = Path(__file__).with_name("protocol.yaml")


QUICK_SEEDS = 1_000_000  # a trial of the code must not see the objects of the table


def protocol(domain: str, *, is_quick: bool = False) -> dict[str, Any]:
    """Return the fixed choices of a domain, with those of the decoders."""
    whole = yaml.safe_load(PROTOCOL.read_text(encoding="utf-8"))
    fixed = {**whole[domain], "settings": whole["decoders"]}
    if is_quick:
        fixed["seeds"] = {
            name: [s + QUICK_SEEDS for s in seed] if isinstance(seed, list) else seed + QUICK_SEEDS
            for name, seed in fixed["seeds"].items()
        }
    return fixed


def arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few objects, no record")
    return parser.parse_args()


def rank_correlation(bits: list[float], quality: list[float]) -> dict[str, float]:
    """Return Spearman's and Kendall's coefficient; `quality` is better when larger."""
    return {
        "spearman": round(float(spearmanr(bits, quality).statistic), 4),
        "kendall": round(float(kendalltau(bits, quality).statistic), 4),
        "designs": len(bits),
    }


def psnr_db(error: np.ndarray, *, peak: float) -> float:
    """Return 10 log10(peak^2 / mean squared error), decibel."""
    return float(10 * np.log10(peak**2 / np.mean(np.square(error))))


@contextmanager
def seconds() -> Iterator[dict[str, float]]:
    """Measure wall and processor seconds of a block."""
    taken: dict[str, float] = {}
    wall, processor = time.perf_counter(), time.process_time()
    yield taken
    taken["wall_s"] = round(time.perf_counter() - wall, 2)
    taken["cpu_s"] = round(time.process_time() - processor, 2)
