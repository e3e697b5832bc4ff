"""Search engines, one file each, all behind `instrument.search.protocol.Optimizer`."""

from instrument.search.engines.factory import ENGINES, EngineError, choose_engine, make_engine

__all__ = ["ENGINES", "EngineError", "choose_engine", "make_engine"]
