"""The short form of benchmarks/soak.py: thirty trials, and about a fault in every third."""

import pytest

from benchmarks.soak import Soak, checks


@pytest.mark.slow  # up to half a dozen processes start one after another
@pytest.mark.timeout(900)
def test_a_campaign_in_a_rain_of_faults_finishes_and_is_right(tmp_path):
    soak = Soak(tmp_path, trials=30, every=3, seed=5, longest_s=600)
    soak.run()
    found = soak.record(rescored=5)
    assert all(checks(found).values()), found
    assert len(found["faults"]) >= 3
    assert found["n_acknowledged"] == found["n_scored"] == 30
