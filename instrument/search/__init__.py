"""What to try next, and is it really better. Knows designs and scores, neither bench nor frames."""

from instrument.search.confirm import Confirmation, Decision, Difference, by_known_errors
from instrument.search.engines import ENGINES, EngineError, choose_engine, make_engine
from instrument.search.protocol import Observation, Optimizer, Wait

__all__ = [
    "ENGINES",
    "Confirmation",
    "Decision",
    "Difference",
    "EngineError",
    "Observation",
    "Optimizer",
    "Wait",
    "by_known_errors",
    "choose_engine",
    "make_engine",
]
