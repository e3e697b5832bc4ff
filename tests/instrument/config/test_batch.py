import pytest

from instrument.config import ConfigError
from tests.instrument.fakes import make_config


def test_batches_are_full_unless_adaptive_is_asked_for(tmp_path):
    assert make_config(tmp_path).batch.adaptive is None


def test_adaptive_needs_no_number(tmp_path):
    rules = make_config(
        tmp_path, batch={"adaptive": {}}, objects={"stage_grid": {"count": 36}}
    ).batch.adaptive
    assert (rules.start, rules.growth, rules.error_rate) == (12, 2.0, 0.05)
    assert rules.standard_error_bits_per_pixel is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param(
            {"batch": {"adaptive": {}}, "objects": {"stage_grid": {"count": 16}}},
            r"`batch.adaptive`: 12 objects at first and 2 times .* `objects.stage_grid.count` = 16",
            id="nothing to be saved",
        ),
        pytest.param(
            {"batch": {"adaptive": {"start": 4}}, "score": {"density": "autoregressive"}},
            r"`batch.adaptive.start` = 4: density autoregressive needs 12 objects; raise start",
            id="too few for the density",
        ),
        pytest.param(
            {"batch": {"adaptive": {"start": 3}}}, r"batch\.adaptive\.start", id="three objects"
        ),
        pytest.param(
            {"batch": {"adaptive": {"growth": 1}}}, r"batch\.adaptive\.growth", id="no growth"
        ),
        pytest.param(
            {"batch": {"adaptive": {"error_rate": 0.5}}}, r"error_rate", id="coin tossing"
        ),
        pytest.param({"batch": {"adaptiv": {}}}, r"batch\.adaptiv", id="misspelt"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        make_config(tmp_path, **changes)
