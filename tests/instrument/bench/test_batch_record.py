"""What a batch tells the ledger of its counts."""

import numpy as np

from instrument.bench.acquisition import Batch


def test_the_record_has_the_mean_of_all_counts():
    counts = np.array([[[[1, 2], [3, 6]]], [[[65535, 65535], [65535, 65535]]]], np.uint16)
    batch = Batch(
        counts=counts, positions_um=((0.0, 0.0), (1.0, 0.0)), exposure_ms=1.0, black_level_adu=None,
        saturated_fraction=0.5, zero_fraction=0.0, captured_at=("2026-01-01", "2026-01-01"),
    )  # fmt: skip
    assert batch.record()["mean_adu"] == (3 + 65535) / 2  # the means of the two objects
