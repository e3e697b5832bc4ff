"""The short form of benchmarks/kill_and_resume.py: one campaign, killed three times."""

import random

import pytest

from benchmarks.kill_and_resume import broken, is_good


@pytest.mark.timeout(600)  # five processes start one after another, on a busy machine too
def test_a_campaign_killed_again_and_again_ends_like_one_that_never_was():
    draw = random.Random(1)  # noqa: S311 - instants, not secrets
    campaign = broken(0, iter(["frames", "row", "random"]), draw, kills=3, trials=6)
    assert is_good(campaign), campaign
    assert campaign["kills"]
