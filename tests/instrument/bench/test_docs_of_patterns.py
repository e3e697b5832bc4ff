"""Every block of docs/how-to/slm-patterns.md is read, connected and drawn."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from instrument.bench.connect import check_reachable
from instrument.config import parse_config
from tests.instrument.fakes import CONFIG, FakeSlm, make_bench, merged

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "slm-patterns.md"
SHAPE = (1080, 1920)
BLOCKS = [
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
]


@pytest.fixture
def files(tmp_path):
    """The calibration files that the page names."""
    grey = np.arange(0, 256, 15)
    rows = [f"{level},{phase}" for level, phase in zip(grey, np.sqrt(grey) * 0.42, strict=True)]
    (tmp_path / "slm-633nm.csv").write_text("\n".join(["grey,phase_rad", *rows]))
    np.save(tmp_path / "slm-flatness.npy", np.zeros(SHAPE, np.float32))
    return tmp_path


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block["design"]["pupil"]["basis"]))
def test_a_block_of_the_page_is_drawn(block, files, monkeypatch):
    monkeypatch.setattr(FakeSlm, "shape", SHAPE)
    raw = merged({**CONFIG, "design": {}}, block)
    config = parse_config(raw, source=str(PAGE), folder=files)
    bench = make_bench(config)
    check_reachable(bench)
    space = bench.space()
    somewhere = np.random.default_rng(0).uniform(size=space.dimension)
    for setting in bench.check(space.from_unit(somewhere), space=space):
        assert setting["slm"].shape == SHAPE
        assert len(np.unique(setting["slm"])) > 1


def test_the_page_has_a_block_for_every_basis_but_the_ones_it_refers_to():
    assert {block["design"]["pupil"]["basis"] for block in BLOCKS} == {
        "zernike", "fourier", "hadamard", "raw", "superpixel", "disc",
    }  # fmt: skip


def test_the_matrix_of_the_page_turns_by_two_degrees_about_its_point():
    (affine,) = (b["bench"]["roles"]["slm"]["affine"] for b in BLOCKS if "affine" in str(b))
    matrix = np.array(affine)
    assert math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) == pytest.approx(2.0, abs=0.01)
    np.testing.assert_allclose(matrix @ [960, 540, 1], [960, 540], atol=0.05)
