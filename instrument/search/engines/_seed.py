"""One seed a trial: a proposal depends on the campaign and the trial, not on the process."""

from __future__ import annotations

import numpy as np


def trial_seed(seed: int, trial: int) -> int:
    """Return the 32-bit seed of a trial of a campaign."""
    return int(np.random.SeedSequence((seed, trial)).generate_state(1)[0])
