"""A twin of three lines, to show that IDEAL needs no class of ours, and double precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


@dataclass(frozen=True)
class Range:
    low: float
    high: float


class Balance(eqx.Module):
    """Four independent pixels share one unit of light: `expected_p = 10 share_p object_p`."""

    shares: Any
    scale: float = 10.0

    @property
    def parameters(self) -> Mapping[str, Range]:
        return {"shares": Range(0.0, 1.0)}

    def values(self) -> dict[str, Any]:
        return {"shares": jnp.asarray(self.shares)}

    def with_values(self, values: Mapping[str, Any]) -> Balance:
        return Balance(jnp.asarray(values["shares"]), self.scale)

    def projected(self) -> Balance:
        kept = jnp.clip(jnp.asarray(self.shares), 0.0, 1.0)
        return Balance(kept / jnp.maximum(kept.sum(), 1e-9), self.scale)

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        return {"all on one": {"shares": np.array([1.0, 0, 0, 0])}}

    def __call__(self, objects: Any) -> Any:
        return (self.scale * jnp.asarray(self.shares) * objects).reshape(-1, 1, 2, 2)


@pytest.fixture(scope="session")
def balance() -> Balance:
    return Balance(np.array([0.7, 0.1, 0.1, 0.1]))


@pytest.fixture(scope="session")
def scalars() -> np.ndarray:
    """Independent standard normal pixels."""
    return np.random.default_rng(0).standard_normal((2000, 4))


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
