"""Fields with known information, made once for all tests of `estimation`."""

from __future__ import annotations

import numpy as np
import pytest


def exponential_covariance(size: int, length: float) -> np.ndarray:
    return np.exp(-np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / length)


def field_bits_per_pixel(size: int, *, variance: float, length: float, sigma: float) -> float:
    """Return I(X; X + noise) of a patch of a separable exponential field, bits/pixel."""
    one = np.linalg.eigvalsh(exponential_covariance(size, length))
    eigenvalues = variance * np.outer(one, one)
    return float(0.5 * np.log2(1 + eigenvalues / sigma**2).mean())


def separable_field(
    rng: np.random.Generator, objects: int, size: int, *, variance: float, length: float
) -> np.ndarray:
    factor = np.linalg.cholesky(exponential_covariance(size, length))
    white = rng.normal(size=(objects, size, size))
    return np.sqrt(variance) * (factor @ white @ factor.T)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def make_field():
    return separable_field


@pytest.fixture
def field_bits():
    return field_bits_per_pixel
