"""Claim: `infoloop check` ends with exit code 0, and without an abort, 50 times out of 50.

A Micro-Manager core that is not silenced aborts the interpreter at exit in about half of all runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter

from record import save

LONGEST_S = 120.0


def exit_code(config: str) -> int | str:
    """Exit code of one run, or `hung`."""
    try:
        return subprocess.run(
            ["infoloop", "check", config], capture_output=True, check=False, timeout=LONGEST_S
        ).returncode
    except subprocess.TimeoutExpired:
        return "hung"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    result = {}
    for config in ("demo.yaml", "democamera.yaml"):
        codes = Counter(exit_code(config) for _ in range(runs))
        result[config] = {str(code): count for code, count in codes.items()}
        print(f"infoloop check {config}: exit codes {dict(codes)} in {runs} runs", flush=True)
    if runs >= 50:
        print(save("clean_exit", {"runs": runs, "exit_codes": result}))
    return 0 if all(set(codes) == {"0"} for codes in result.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
