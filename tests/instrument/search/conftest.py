"""A bench whose optimum is known, for engines that must not know it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from instrument.design import Design, DesignSpace, Parameter
from instrument.search import Observation, Optimizer


def modes(name: str, unit: str, bound: float, count: int, start: float = 0.0) -> Parameter:
    return Parameter(
        name=name,
        unit=unit,
        lower=-bound,
        upper=bound,
        labels=tuple(f"m{i}" for i in range(count)),
        start=(start,) * count,
        modal=True,
    )


@dataclass
class KnownBench:
    """Score of a design is `shape(squared distance to the optimum)` plus Gaussian noise."""

    space: DesignSpace
    optimum: np.ndarray
    shape: Callable[[float], float]
    standard_error: float
    noise_seed: int
    fails_every: int | None = None
    per_unit: np.ndarray = field(default_factory=lambda: np.ones(1))

    def distance(self, design: Design) -> float:
        """Distance to the optimum, every component in units of its weight."""
        offset = (self.space.to_vector(design) - self.optimum) * self.per_unit
        return float(np.linalg.norm(offset))

    def true_score(self, design: Design) -> float:
        return float(self.shape(self.distance(design) ** 2))

    def observe(self, trial: int, design: Design) -> Observation:
        """Noise depends on the trial alone, so that a resumed run sees what it saw."""
        is_failed = self.fails_every is not None and trial % self.fails_every == 1
        noise = np.random.default_rng((self.noise_seed, trial)).normal(0.0, self.standard_error)
        return Observation(
            trial=trial,
            design=design,
            score=None if is_failed else self.true_score(design) + noise,
            standard_error=self.standard_error,
            cost_s=1.0,
        )

    def run(self, engine: Optimizer, *, most: int = 200) -> list[Observation]:
        observations: list[Observation] = []
        while len(observations) < most and (design := engine.ask(len(observations))) is not None:
            observations.append(self.observe(len(observations), design))
            engine.tell(observations[-1])
        return observations


@pytest.fixture
def three_modes() -> DesignSpace:
    return DesignSpace((modes("pupil", "rad", 2.0, 2), modes("focus", "um", 10.0, 1)))


@pytest.fixture
def microscope() -> DesignSpace:
    """Zernike modes 4 to 15 and a focus stage."""
    return DesignSpace((modes("pupil", "rad", 2.0, 12), modes("focus", "um", 10.0, 1)))


@pytest.fixture
def known_bench() -> type[KnownBench]:
    return KnownBench


@pytest.fixture
def make_modes() -> Callable[..., Parameter]:
    return modes


@pytest.fixture
def replay() -> Callable[[Optimizer, Sequence[Observation]], Optimizer]:
    def told(engine: Optimizer, observations: Sequence[Observation]) -> Optimizer:
        for observation in observations:
            engine.tell(observation)
        return engine

    return told
