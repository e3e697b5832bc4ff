"""Every bench file, and part of one, on the page about displays is one that loads."""

import re
from pathlib import Path

import pytest
import yaml

from instrument.config import parse_config
from tests.instrument.fakes import merged

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "display-slm.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
WHOLE, *PARTS = [yaml.safe_load(block) for block in BLOCKS]


@pytest.mark.parametrize(
    "part", [{}, *PARTS], ids=lambda part: ", ".join(part.get("bench", ["all"]))
)
def test_a_block_of_the_page_loads(tmp_path, part):
    raw = merged(WHOLE, part)
    if part.get("bench", {}).get("displays") == {}:  # the part has another modulator
        raw["bench"]["displays"] = {}
    config = parse_config(raw, source=PAGE.name, folder=tmp_path)
    named = {**config.bench.displays, **config.bench.slmsuite}
    assert config.bench.roles["slm"].device in named


def test_the_page_has_all_of_its_blocks():
    assert [list(part["bench"]) for part in PARTS] == [
        ["displays"],
        ["displays", "slmsuite", "roles"],
        ["displays", "slmsuite", "roles"],
    ]
