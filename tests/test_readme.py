"""README's numbers are the benchmarks', to the digit."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_the_table_of_seeds_is_the_benchmarks():
    expected = [
        f"| {row['seed']} | {row['initial_residual_rad']:.2f} -> {row['final_residual_rad']:.3f} "
        f"| {row['initial_bits_per_pixel']:.3f} -> {row['best_bits_per_pixel']:.3f} "
        f"| {row['fraction_of_unaberrated']:.1%} | {row['trials']} | {row['command_s']:.0f} s |"
        for row in result("demo_seeds")["seeds"]
    ]
    table = re.search(r"<!-- table: demo_seeds -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert table[1].strip().splitlines() == expected


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_somewhere(path):
    assert (ROOT / path).exists()
