"""Claim: H(Y|X) from single noisy frames is right to .002 bit at 1 e- of read noise and more.

Bias at every mean is a direct sum over Poisson electrons, Gaussian read noise, rounding and
clipping, written out here; scenes are sampled. Read noises lie between the rows of the tables.
Speed: 36 frames of 128 x 128, one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from record import save
from scipy.special import ndtr
from scipy.stats import poisson

from estimation import PoissonNoise, SensorNoise
from estimation.noise.table import lattice_table, poisson_table, smooth_table

MEANS_E = np.array([0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000])
GAINS = (0.46, 1.0, 2.17, 9.3)
READ_NOISES_E = (0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 6.0, 12.0)
FRAMES, SIDE = 36, 128
SEED = 20240607


def pixel(
    mean_e: float, gain: float, offset: float, read_noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return all counts of a pixel and their probabilities."""
    spread = 12 * np.sqrt(mean_e) + 20
    electrons = np.arange(max(0, int(mean_e - spread)), int(mean_e + spread))
    first = int(offset + gain * electrons[0] - 9 * gain * read_noise - 3)
    last = int(offset + gain * electrons[-1] + 9 * gain * read_noise + 3)
    counts = np.arange(max(first, 0), last + 1)
    distance = (counts[1:, None] - 0.5 - offset) / gain - electrons
    below = ndtr(distance / read_noise) if read_noise else (distance >= 0).astype(float)
    cumulative = np.concatenate([[0.0], below @ poisson.pmf(electrons, mean_e), [1.0]])
    return counts, np.diff(cumulative)


def entropy(probability: np.ndarray) -> float:
    positive = probability[probability > 0]
    return float(-(positive * np.log2(positive)).sum())


def errors(
    bits_of: Callable[[np.ndarray], np.ndarray],
    known_bits: Callable[[float], float],
    pixel_at: Callable[[float], tuple[np.ndarray, np.ndarray]],
    means_e: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bias of the look-up, its standard deviation, and error at known means, bits."""
    rows = []
    for mean_e in means_e:
        counts, probability = pixel_at(mean_e)
        bits, exact = bits_of(counts), entropy(probability)
        mean = probability @ bits
        deviation = np.sqrt(probability @ np.square(bits - mean))
        rows.append((mean - exact, deviation, known_bits(mean_e) - exact))
    bias, deviation, known = np.array(rows).T
    return bias, deviation, known


def bias_tables(means_e: np.ndarray) -> list[dict[str, object]]:
    tables: list[dict[str, object]] = []
    for gain in GAINS:
        # As a map of many read noises, so that each lies between two rows.
        between = np.array([READ_NOISES_E]) * 1.0217
        # A black level that keeps the noisiest pixel from clipping at zero.
        offset = float(max(100, np.ceil(8 * gain * between.max())))
        many = SensorNoise(gain=gain, offset=offset, read_noise=between, bit_depth=16)
        for column in range(len(READ_NOISES_E)):
            table = bias_table(gain, offset, READ_NOISES_E[column], means_e)
            between_rows = bias_between_rows(many, column, means_e)
            tables.append({**table, "largest_bias_between_rows_bits": round(between_rows, 5)})
            print(", ".join(f"{name} {v}" for name, v in tables[-1].items() if np.ndim(v) == 0))
    return tables


def bias_table(
    gain: float, offset: float, read_noise: float, means_e: np.ndarray
) -> dict[str, object]:
    noise = SensorNoise(gain=gain, offset=offset, read_noise=read_noise, bit_depth=16)
    bias, deviation, known = errors(
        lambda counts: noise.entropy_map(counts[None])[0],
        lambda mean_e: float(noise.entropy_at(mean_e)),
        lambda mean_e: pixel(mean_e, gain, offset, read_noise),
        means_e,
    )
    return {
        "gain_adu_per_e": gain,
        "read_noise_e": read_noise,
        "bias_bits": np.round(bias, 5).tolist(),
        "deviation_bits": np.round(deviation, 3).tolist(),
        "largest_bias_bits": round(float(np.abs(bias).max()), 5),
        "largest_error_at_known_mean_bits": round(float(np.abs(known).max()), 6),
    }


def bias_between_rows(noise: SensorNoise, column: int, means_e: np.ndarray) -> float:
    shape = noise.read_noise.shape
    bias, _, _ = errors(
        lambda counts: noise.entropy_map(
            np.broadcast_to(counts[:, None, None], (len(counts), *shape))
        )[:, 0, column],
        lambda mean_e: noise.entropy_at(np.full(shape, mean_e))[0, column],
        lambda mean_e: pixel(
            mean_e, float(noise.gain), float(noise.offset), noise.read_noise[0, column]
        ),
        means_e,
    )
    return float(np.abs(bias).max())


def photons(means_e: np.ndarray) -> dict[str, object]:
    def pixel_at(mean: float) -> tuple[np.ndarray, np.ndarray]:
        counts = np.arange(int(mean + 12 * np.sqrt(mean) + 30))
        return counts, poisson.pmf(counts, mean)

    noise = PoissonNoise()
    bias, deviation, known = errors(
        lambda counts: noise.entropy_map(counts[None])[0],
        lambda mean: float(noise.entropy_at(mean)),
        pixel_at,
        means_e,
    )
    print(f"photons: largest bias {np.abs(bias).max():.4f} bit")
    return {
        "bias_bits": np.round(bias, 5).tolist(),
        "deviation_bits": np.round(deviation, 3).tolist(),
        "largest_error_at_known_mean_bits": round(float(np.abs(known).max()), 6),
    }


def scmos(rng: np.random.Generator) -> np.ndarray:
    """Read-noise map like reference/noise.md's: median 1.3, rms 1.4, largest 9.5 e-."""
    noise = 1.3 * np.exp(0.2 * rng.standard_normal((SIDE, SIDE)))
    tail = rng.random((SIDE, SIDE)) < 0.01
    return np.minimum(np.where(tail, noise * rng.uniform(1.5, 6.0, (SIDE, SIDE)), noise), 9.5)


def scene(mean_e: float, rng: np.random.Generator, frames: int = FRAMES) -> np.ndarray:
    contrast = np.sqrt(np.log1p(0.5**2))
    normal = rng.standard_normal((frames, SIDE, SIDE))
    return mean_e * np.exp(contrast * normal - 0.5 * contrast**2)


def scenes(rng: np.random.Generator, repeats: int) -> list[dict[str, object]]:
    """Return the bias over lognormal scenes; the truth is the exact entropy at the true means."""
    noise = SensorNoise(read_noise=scmos(rng))
    found: list[dict[str, object]] = []
    for mean_e in (1.0, 3.0, 10.0, 30.0, 100.0):
        differences = []
        for _ in range(repeats):
            true_e = scene(mean_e, rng)
            measured = noise.conditional_entropy(noise.sample(true_e, rng)).mean()
            differences.append(measured - noise.entropy_at(true_e).mean())
        bias = float(np.mean(differences))
        error = float(np.std(differences, ddof=1) / np.sqrt(repeats))
        found.append({"mean_e": mean_e, "bias_bits": bias, "standard_error_bits": error})
        print(f"scene of {mean_e:g} e-: bias {bias:+.5f} +- {error:.5f} bit/pixel")
    return found


def seconds(work: Callable[[], object], repeats: int = 20) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def speed(rng: np.random.Generator) -> list[dict[str, object]]:
    maps = {
        "scalar": {},
        "read-noise map": {"read_noise": scmos(rng)},
        "maps of all": {
            "read_noise": scmos(rng),
            "gain": rng.normal(2.17, 0.02, (SIDE, SIDE)),
            "offset": rng.normal(100.0, 1.0, (SIDE, SIDE)),
        },
    }
    found: list[dict[str, object]] = []
    for name, parameters in maps.items():
        counts = SensorNoise(**parameters).sample(scene(10.0, rng), rng)
        for table in (smooth_table, lattice_table, poisson_table):
            table.cache_clear()
        began = time.perf_counter()
        noise = SensorNoise(**parameters)
        noise.conditional_entropy(counts)
        cold_s = time.perf_counter() - began
        warm_s = seconds(lambda noise=noise, counts=counts: noise.conditional_entropy(counts))
        found.append({
            "sensor": name,
            "cold_s": round(cold_s, 3),
            "warm_ms": round(1e3 * warm_s, 2),
        })
        print(f"{name}: first call {cold_s:.2f} s, then {1e3 * warm_s:.1f} ms")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few means and repeats, no record")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(SEED)
    means_e = MEANS_E if quick else np.unique(np.r_[MEANS_E, np.geomspace(0.03, 1000, 80)])
    result = {
        "seed": SEED,
        "means_e": np.round(means_e, 4).tolist(),
        "bias": bias_tables(means_e),
        "photons": photons(means_e),
        "scenes": scenes(rng, 3 if quick else 30),
        "speed_36x128x128": speed(rng),
    }
    if not quick:
        print(save("conditional_entropy", result))


if __name__ == "__main__":
    main()
