"""The bench file of a night, and the part of one, on the page about nights load."""

import re
from pathlib import Path

import yaml

from instrument.config import parse_config
from tests.instrument.fakes import merged

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "run-overnight.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
WHOLE, DOSE = [yaml.safe_load(block) for block in BLOCKS]


def test_the_file_of_a_night_has_what_survives_one(tmp_path):
    config = parse_config(WHOLE, source=PAGE.name, folder=tmp_path)
    assert config.batch.adaptive is not None
    assert config.drift is not None
    assert config.drift.follow.keys() <= config.design.keys()
    assert config.safety.recover.attempts > 0
    assert config.safety.dose is not None


def test_the_limit_of_the_light_fits_into_it(tmp_path):
    config = parse_config(merged(WHOLE, DOSE), source=PAGE.name, folder=tmp_path)
    assert config.safety.dose.limit_mj_cm2 == DOSE["safety"]["dose"]["limit_mj_cm2"]
