"""What to try next, and is it really better. Knows designs and scores, neither bench nor frames."""

from instrument.search.engines import ENGINES, EngineError, choose_engine, make_engine
from instrument.search.protocol import Observation, Optimizer

__all__ = [
    "ENGINES",
    "EngineError",
    "Observation",
    "Optimizer",
    "choose_engine",
    "make_engine",
]
