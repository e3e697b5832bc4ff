"""Which engine serves which space: the only place that knows all engines by name.

Measured in `../shared/reference/optimizer.md`, section 2: modal sweeps win on modes, TPE on few
dimensions, CMA-ES on many. Choices among stations or levels have no direction to step in: where the
budget allows, all of them are tried, else TPE serves. Engines are imported when made: a modal run
needs no Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping

from instrument.design import DesignSpace
from instrument.search.protocol import Optimizer

ENGINES = ("auto", "modal", "tpe", "cmaes", "sobol", "random", "exhaustive")
"""Names that `search.engine` of a bench file may have."""
TPE_DIMENSIONS = 20
"""Above this, CMA-ES serves better than TPE."""
NOT_FOR_CHOICES = ("modal", "cmaes")
"""Engines that step along a direction, which choices do not have."""


class EngineError(ValueError):
    """An engine that does not exist or cannot serve the space; says what can."""


def choose_engine(space: DesignSpace, *, budget: int) -> str:
    """Return the engine that `auto` means for a space and a number of trials."""
    if any(p.is_categorical for p in space.parameters):
        combinations = space.combinations
        return "exhaustive" if combinations is not None and combinations <= budget else "tpe"
    if all(p.modal for p in space.parameters):
        return "modal"
    return "tpe" if space.dimension <= TPE_DIMENSIONS else "cmaes"


def make_engine(
    name: str,
    space: DesignSpace,
    *,
    seed: int,
    budget: int,
    steps: Mapping[str, float] | None = None,
) -> Optimizer:
    """Return a fresh engine; replay the ledger into it with `tell` to resume.

    Parameters
    ----------
    name
        One of `ENGINES`.
    space
        What may be changed, and from where the search starts.
    seed
        Seed of the campaign; `modal` draws no random numbers.
    budget
        Most trials the engine may propose; leave room for the confirmation.
    steps
        First step by parameter name, in the parameter's unit (`modal` only).

    Raises
    ------
    EngineError
        An unknown name, no trials, steps for an engine that takes none, or a space that the engine
        cannot search: one with choices for `modal` and `cmaes`, one with quantities or with more
        combinations than trials for `exhaustive`.
    """
    if name not in ENGINES:
        raise EngineError(f"search.engine: {name!r} is unknown; use one of {', '.join(ENGINES)}")
    if budget < 1:
        raise EngineError(f"search.trials: {budget} trials are left to the engine, 1 needed")
    chosen = choose_engine(space, budget=budget) if name == "auto" else name
    if steps and chosen != "modal":
        raise EngineError(f"search.steps: engine {chosen} takes no steps; only modal does")
    _check_serves(chosen, space, budget=budget)
    return _make(chosen, space, seed=seed, budget=budget, steps=steps)


def _check_serves(name: str, space: DesignSpace, *, budget: int) -> None:
    """Raise `EngineError` where the engine cannot search the space."""
    if name in NOT_FOR_CHOICES:
        for p in space.parameters:
            if p.is_categorical:
                raise EngineError(
                    f"search.engine: {name} steps through quantities, and design.{p.name} is a "
                    "choice without an order; use auto, tpe or exhaustive"
                )
    if name == "exhaustive":
        quantities = [p.name for p in space.parameters if not p.is_categorical]
        if quantities:
            raise EngineError(
                f"search.engine: exhaustive tries every choice, and design.{quantities[0]} is a "
                "quantity; use auto or tpe"
            )
        if (space.combinations or 0) > budget:
            raise EngineError(
                f"search.engine: {space.combinations} combinations and {budget} trials beside the "
                "confirmation; raise search.trials, name fewer choices, or use tpe"
            )


def _make(
    name: str,
    space: DesignSpace,
    *,
    seed: int,
    budget: int,
    steps: Mapping[str, float] | None,
) -> Optimizer:
    """Import and build one engine."""
    if name == "modal":
        from instrument.search.engines.modal import ModalSweep

        return ModalSweep(space, budget=budget, steps=steps)
    if name == "tpe":
        from instrument.search.engines.optuna_engine import TreeParzen

        return TreeParzen(space, seed=seed, budget=budget)
    if name == "cmaes":
        from instrument.search.engines.cmaes_engine import CovarianceAdaptation

        return CovarianceAdaptation(space, seed=seed, budget=budget)
    if name == "exhaustive":
        from instrument.search.engines.exhaustive import Exhaustive

        return Exhaustive(space, seed=seed, budget=budget)
    from instrument.search.engines.baseline import SpaceFilling

    return SpaceFilling(space, seed=seed, budget=budget, is_sobol=name == "sobol")
