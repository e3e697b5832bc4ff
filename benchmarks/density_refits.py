"""Claim: the part of an error that training leaves to chance is what two or four refits say it is.

2000 patches of photographs, 16 x 16, scored by twelve seeds. The scatter of single scores is the
truth; each group of four seeds, as `AutoregressiveMixture(refits=4)` would fit them, gives its own
estimate of the error of one score. The error over objects stands beside it.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from density_scenes import photograph_patches, stopwatch
from record import save

from estimation import AutoregressiveMixture, PoissonNoise
from estimation.ensemble import as_measurements, prepare

GROUP = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 patches, short fits, no record")
    args = parser.parse_args()
    objects, groups, steps = (200, 1, 100) if args.quick else (2000, 3, 400)
    rng = np.random.default_rng(0)
    mean = photograph_patches(objects, rng, size=16, is_test=False)
    counts = rng.poisson(100.0 / mean.mean() * mean)
    ensemble = prepare(as_measurements(counts), PoissonNoise(), patch=16, seed=0)
    single, predicted, over_objects = [], [], []
    with stopwatch() as all_s:
        for group in range(groups):
            scores = [
                AutoregressiveMixture(seed=GROUP * group + k, steps=steps).score(ensemble)
                for k in range(GROUP)
            ]
            bits = [s.diagnostics["network_nats"] / np.log(2) for s in scores]
            spread = scores[0].per_object_nats.std(ddof=1) / np.log(2)
            single += bits
            predicted.append(float(np.std(bits, ddof=1)))
            over_objects.append(float(spread / np.sqrt(objects)))
            print(group, bits, predicted[-1], over_objects[-1], flush=True)
    values = {
        "scatter_of_one_score_bits": float(np.std(single, ddof=1)),
        "predicted_by_four_refits_bits": predicted,
        "error_over_objects_bits": float(np.mean(over_objects)),
        "scores": single,
        "all": all_s,
    }
    print(values if args.quick else save("density_refits", values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
