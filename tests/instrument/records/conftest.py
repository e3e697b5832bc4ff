"""Two runs: a small one on the virtual bench, and one made by hand in which much went wrong."""

import subprocess
import sys

import pytest

from instrument.campaign.ledger import Ledger
from instrument.design import Design

from .runs import META, ROOT, add


@pytest.fixture
def hand_made(tmp_path):
    """Seven trials: scored, refused (the best), too few objects, captured only, without frames.

    The run chose trial 4; by its frames, trial 0's design is the better of the two confirmed.
    """
    run_dir = tmp_path / "by-hand"
    with Ledger.create(run_dir, META) as ledger:
        add(ledger, 0, 0.30, phase="initial", score=300.0)
        add(ledger, 1, 0.60, refused="0.5 % of the pixels are saturated")
        add(ledger, 2, 0.25, objects=2)
        ledger.fail(2, why="2 objects came", seconds=1.0)
        add(ledger, 3, 0.10)
        add(ledger, 4, 0.20, phase="confirm", of=4, score=400.0)
        add(ledger, 5, 0.30, phase="confirm", of=0, score=200.0)
        ledger.ask(number=6, phase="search", design=Design({"focus": (1.0,), "wheel": (1.0,)}))
    return run_dir


@pytest.fixture(scope="session")
def virtual_run(tmp_path_factory):
    """Six trials of the virtual microscope, run as a user would."""
    folder = tmp_path_factory.mktemp("virtual")
    text = (ROOT / "configs" / "demo.yaml").read_text(encoding="utf-8")
    noise = "noise: {gain: 2.17, offset: 100, read_noise: 1.7, bit_depth: 12}"
    lines = [noise if line.startswith("noise:") else line for line in text.splitlines()]
    (folder / "small.yaml").write_text("\n".join(lines), encoding="utf-8")
    sets = ("search.trials=6", "search.confirm.repeats=1", "objects.stage_grid.count=12",
            "safety.self_check_repeats=0")  # fmt: skip
    overrides = [word for each in sets for word in ("--set", each)]
    command = [sys.executable, "-m", "instrument.faces.cli", "run", str(folder / "small.yaml")]
    command += ["--output", str(folder / "run"), "--quiet", *overrides]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    return folder / "run"
