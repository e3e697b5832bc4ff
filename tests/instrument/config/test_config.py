from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from instrument.config import ConfigError, find_shipped, load_config, parse_config
from instrument.grid import extent_um, grid_positions
from tests.instrument.fakes import CONFIG, merged

ROOT = Path(__file__).parents[3]

BAD_INPUT = {
    "unknown key": ("score.patchs=8", "`score.patchs` = 8 is not a key here; did you mean `patch`"),
    "wrong unit in the key": ("design.focus.bounds_mm=[-1,1]", "write `bounds_um`"),
    "unit in the value": ("design.focus.bounds_um=[-1 mm, 1]", "write it in um, without a unit"),
    "bound outside the device": ("design.focus.bounds_um=[-99,99]", "-50 to 50 um; narrow"),
    "bounds reversed": ("design.focus.bounds_um=[3,-3]", "first number must be below"),
    "role without a device": ("bench.roles.light.device=laser", "'laser' is no instrument"),
    "role of no kind": ("bench.roles.turret={device: X}", "`bench.roles.turret`: say what it is"),
    "no object ensemble": ("objects=null", "`objects` is missing: without an ensemble"),
    "no such role": ("design.focus.role=fokus", "`design.focus.role` = 'fokus' is no role"),
    "wrong kind of role": ("design.focus.role=slm", "'slm' is a modulator, and basis is missing"),
    "grid beyond the stage": ("objects.stage_grid.spacing_um=999", "use a smaller spacing_um"),
    "level beyond limits": ("bench.roles.light.level=30", "outside limits 0 to 20"),
    "unknown engine": ("search.engine=bo", "'tpe'"),
    "not a number": ("search.trials=many", "`search.trials` = 'many' is not a plain number"),
    "patch of no size": ("score.patch=0", "`score.patch` = 0: input should be greater"),
    "side of a patch": ("score.patch=[1, 99]", "`score.patch.1` = 99: input should be less"),
    "not finite": ("bench.roles.camera.exposure_ms=.inf", "finite"),
    "steps of no parameter": ("search.steps={pupli: 1}", "did you mean 'pupil'"),
    "start out of bounds": ("design.focus.start_um=11", "`design.focus.start_um` = 11 is outside"),
    "interlock without instrument": (
        "bench.interlocks=[{channel: leds.temperature_c, below: 60}]", "did you mean 'led'",
    ),
    "interlock without bound": (
        "bench.interlocks=[{channel: led.temperature_c}]", "needs `below`, `above`",
    ),
    "key of another choice": ("noise.gain=2", "`noise.gain` = 2 is not a key here; known are cal"),
    "not a section": ("search.trials.x=1", "below something that is no section"),
    "no equals sign": ("search.trials", "not of the form"),
}  # fmt: skip


@pytest.mark.parametrize(("override", "sentence"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_clear_sentence(override, sentence):
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "configs" / "demo.yaml", overrides=[override])
    assert sentence in str(caught.value)
    assert "\n" not in caught.value.problems[0]


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "configs" / "demo.yaml", overrides=["score.patchs=8", "search.trialz=2"])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("shipped", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_loads_and_opens_with_a_comment(shipped):
    assert shipped.read_text().startswith("# ")
    load_config(shipped)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", ["- a\n- b", "a: [", "\xff"], ids=["list", "torn", "binary"])
def test_a_file_that_is_no_bench_file_is_refused(tmp_path, text):
    path = tmp_path / "bench.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"bench\.yaml"):
        load_config(path)


def test_a_config_runs_no_code(tmp_path):
    path = tmp_path / "bench.yaml"
    path.write_text("bench: !!python/object/apply:os.system ['touch hacked']")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(path)


def test_overrides_and_seed_replace_what_the_file_says():
    config = load_config(
        ROOT / "configs" / "demo.yaml", overrides=["search.trials=7", "score.patch=8"], seed=3
    )
    assert (config.search.trials, config.score.patch, config.search.seed) == (7, 8, 3)


def test_a_patch_may_be_oblong():
    config = load_config(ROOT / "configs" / "demo.yaml", overrides=["score.patch=[1, 34]"])
    assert config.score.patch == (1, 34)
    assert parse_config(config.model_dump(mode="json"), source="record", folder=ROOT) == config


def test_a_resolved_config_is_read_back_the_same(tmp_path):
    config = load_config(ROOT / "configs" / "demo.yaml")
    again = parse_config(config.model_dump(mode="json"), source="run", folder=tmp_path)
    assert again == config


def test_a_light_may_be_a_parameter_within_its_limits(tmp_path):
    good = merged(CONFIG, {"design": {"power": {"role": "light", "bounds": [1, 15]}}})
    assert parse_config(good, source="t", folder=tmp_path).design["power"].bounds == (1, 15)
    bad = merged(CONFIG, {"design": {"power": {"role": "light", "bounds": [1, 25]}}})
    with pytest.raises(ConfigError, match=r"design\.power\.bounds.*0 to 20 mw"):
        parse_config(bad, source="t", folder=tmp_path)


def test_paths_are_relative_to_the_file(tmp_path):
    raw = merged(CONFIG, {})
    raw["noise"] = "camera.npz"
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert load_config(path).noise.file == tmp_path / "camera.npz"


def test_shipped_files_are_found_by_name():
    assert find_shipped("demo.yaml") == ROOT / "configs" / "demo.yaml"
    assert find_shipped("nothing.yaml") is None


def test_a_snake_visits_neighbours():
    positions = grid_positions(9, spacing_um=10, centre_um=(5, 0), order="snake", seed=0)
    steps = [abs(a - c) + abs(b - d) for (a, b), (c, d) in pairwise(positions)]
    assert steps == [10.0] * 8
    assert extent_um(positions) == ((-5.0, 15.0), (-10.0, 10.0))


def test_shuffling_keeps_the_objects_and_depends_on_the_seed():
    def shuffled(seed):
        return grid_positions(16, spacing_um=10, centre_um=(0, 0), order="shuffled", seed=seed)

    snake = grid_positions(16, spacing_um=10, centre_um=(0, 0), order="snake", seed=0)
    assert sorted(shuffled(1)) == sorted(snake)
    assert shuffled(1) == shuffled(1) != shuffled(2)
