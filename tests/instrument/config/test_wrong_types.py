"""A file may hold anything that YAML can write: each wrong value has its sentence, none a crash."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from instrument.config import ConfigError, find_shipped, parse_config, parse_design_config
from tests.instrument.config.test_seams import SEAMS

WRONG: tuple[Any, ...] = (
    None, True, -1, 2.5, float("nan"), "x", [], [1], [None, None], [{}], {}, {"a": 1}, {1: 2},
    {"kind": ["x"]}, {"virtual": ["x"]}, {"virtual": {}}, {"basis": [1]}, {"role": {}},
)  # fmt: skip


def places(here: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and item below, as a path."""
    if path:
        yield path
    pairs = here.items() if isinstance(here, dict) else enumerate(here)
    for key, below in pairs:
        if isinstance(below, (dict, list)):
            yield from places(below, (*path, key))
        else:
            yield (*path, key)


def with_value(raw: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    *above, last = path
    here: Any = changed
    for key in above:
        here = here[key]
    here[last] = value
    return changed


def refused_or_taken(raw: dict[str, Any], parse: Any) -> tuple[str, ...]:
    try:
        parse(raw, source="file.yaml", folder=Path())
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_bench_file_with_a_wrong_value_anywhere_gets_sentences(wrong):
    for path in places(SEAMS):
        for sentence in refused_or_taken(with_value(SEAMS, path, wrong), parse_config):
            assert sentence.startswith("`"), (path, sentence)
            assert "\n" not in sentence, (path, sentence)
            assert "literal[" not in sentence, (path, sentence)


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_design_file_with_a_wrong_value_anywhere_gets_sentences(wrong):
    shipped = find_shipped("lenslets.yaml")
    assert shipped is not None
    raw = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    for path in places(raw):
        for sentence in refused_or_taken(with_value(raw, path, wrong), parse_design_config):
            assert sentence.startswith("`"), (path, sentence)


@pytest.mark.parametrize("choices", [[True, False], [1, True], [2.5, 3], [None, 1], [[0], [1]]])
def test_a_choice_is_a_number_or_a_label(tmp_path, choices):
    """`[On, Off]` without quotes is yes and no to YAML, not two labels nor positions 1 and 0."""
    raw = with_value(SEAMS, ("design", "array", "choices"), choices)
    with pytest.raises(ConfigError, match="quotes"):
        parse_config(raw, source="bench.yaml", folder=tmp_path)


def test_a_start_that_yaml_takes_for_yes_is_no_position(tmp_path):
    raw = with_value(SEAMS, ("design", "array", "start"), True)
    with pytest.raises(ConfigError, match="quotes"):
        parse_config(raw, source="bench.yaml", folder=tmp_path)
