from pathlib import Path

import pytest
import yaml

from instrument.config import ConfigError, load_design_config

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "configs" / "designs").glob("*.yaml"))

BAD_INPUT = {
    "unknown key": ("search.stepz=8", "`search.stepz` = 8 is not a key here; did you mean `steps`"),
    "key of another domain": ("twin.views=8", "`twin.views` = 8 is not a key here"),
    "unknown domain": ("twin.domain=x-ray", "'lensless'"),
    "no domain": ("twin={}", "`twin`: say which one with domain: lensless, colour, infrared"),
    "no kind of objects": ("objects={count: 30}", "`objects`: say which one with kind: white"),
    "fill of everything": ("objects.fill=1.5", "`objects.fill` = 1.5: input should be less than 1"),
    "not a number": ("twin.electrons=many", "`twin.electrons` = 'many' is not a plain number"),
    "noise of two kinds": ("noise={photons: counted, sigma: 1}", "`noise.sigma` = 1 is not a key"),
    "no twin": ("twin=null", "`twin`"),
    "a bench": ("bench={}", "`bench` = {} is not a key here"),
}


@pytest.mark.parametrize(("override", "sentence"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_clear_sentence(override, sentence):
    with pytest.raises(ConfigError) as caught:
        load_design_config(ROOT / "configs" / "designs" / "lenslets.yaml", overrides=[override])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda p: p.name)
def test_every_shipped_design_file_loads_and_opens_with_a_comment(shipped):
    assert shipped.read_text().startswith("# ")
    assert load_design_config(shipped).search.steps > 0


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda p: p.name)
def test_every_shipped_design_file_has_objects_that_its_twin_can_look_at(shipped):
    import numpy as np

    from drivers.virtual.twins.factory import make_objects, make_twin

    config = load_design_config(shipped, overrides=["objects.count=20"])
    twin = make_twin(config.twin, rng=np.random.default_rng(0))
    objects = make_objects(config.objects, twin, rng=np.random.default_rng(1))
    assert objects.shape == (20, *twin.object_shape)


def test_a_shipped_design_file_is_found_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_design_config(Path("stations.yaml")).twin.domain == "interferometer"


def test_the_command_line_sets_the_seed():
    assert load_design_config(SHIPPED[0], seed=7).search.seed == 7


def test_a_calibration_is_found_beside_the_file(tmp_path):
    plain = yaml.safe_load(SHIPPED[0].read_text())
    path = tmp_path / "design.yaml"
    path.write_text(yaml.safe_dump({**plain, "noise": "camera.npz"}))
    assert load_design_config(path).noise.file == (tmp_path / "camera.npz").resolve()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file; give the path of a twin"):
        load_design_config(tmp_path / "nowhere.yaml")
