"""Claim: of 2000 random designs none puts a device outside its limits or moves anything when wrong.

A bench with every kind of role (modulators, stage, xy stage, rotation, selector, property,
exposure, light; values per shot), an interlock over a position and two slew limits. Its devices
obey anything and note every command; the design space is wider than the limits. What is allowed is
reckoned by `tests/instrument/random_designs.py`, not by the code under test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from record import save

sys.path.insert(0, str(Path(__file__).parents[1]))  # the spies live with the tests

from tests.instrument.random_designs import Case, cases, judge, spied_bench

FULL = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 designs, no result kept")
    designs = 200 if parser.parse_args().quick else FULL
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = spied_bench(Path(folder))

        @settings(
            max_examples=designs, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases())
        def try_one(case: Case) -> None:
            verdict = judge(bench, case)
            counted["designs"] += 1
            counted["invalid"] += not verdict.is_valid
            counted["violations"] += len(verdict.violations)
            counted["commands"] += sum(what == "start" for _, what, _ in bench.log.calls)

        try_one()
    print(dict(counted))
    if designs == FULL:
        values = {"claim": (__doc__ or "").splitlines()[0], "seed": "derandomized"}
        print(save("random_designs", {**values, **counted}))
    return 0 if counted["violations"] == 0 and counted["designs"] >= designs else 1


if __name__ == "__main__":
    sys.exit(main())
