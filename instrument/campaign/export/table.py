"""One row a trial: everything that the ledger knows of it but its frames, in plain columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from instrument.campaign.ledger import TrialRow
from instrument.design import Parameter

Kind = Literal["whole", "number", "text", "truth"]
Cell = int | float | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name
        With its unit.
    kind
        Of its cells, where they are not empty.
    cells
        One a trial.
    """

    name: str
    kind: Kind
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    name: str
    kind: Kind
    cell: Callable[[TrialRow], Any]


def trial_table(
    trials: Sequence[TrialRow], parameters: Sequence[Parameter], *, objective: str
) -> list[Column]:
    """Return the columns of a run's trials.

    Parameters
    ----------
    trials
        By number.
    parameters
        Of the run's design space: each component is a column, a choice by the label it chose.
    objective
        `bits_per_measurement` or `bits_per_pixel`: what the search maximised.
    """
    sources = [
        _Source(name="number", kind="whole", cell=lambda row: row.number),
        _Source(name="phase", kind="text", cell=lambda row: row.phase),
        _Source(name="state", kind="text", cell=lambda row: row.state),
        *_design_sources(parameters),
        _Source(name="objective", kind="text", cell=lambda row: _if_scored(row, objective)),
        _Source(name="score_bits", kind="number", cell=lambda row: row.score),
        _Source(name="score_standard_error_bits", kind="number", cell=_standard_error),
        *_ESTIMATE,
        *_RECORD,
        *_dictionary_sources("truth", trials),
        _Source(name="seconds", kind="number", cell=lambda row: row.seconds),
        *_timing_sources(trials),
        *_WORDS,
        *_FILES,
    ]
    return [
        Column(
            name=source.name,
            kind=source.kind,
            cells=tuple(_as(source.kind, source.cell(row)) for row in trials),
        )
        for source in sources
    ]


def _as(kind: Kind, cell: Any) -> Cell:
    if cell is None:
        return None
    of_kind: dict[Kind, Callable[[Any], Cell]] = {
        "whole": int, "number": float, "text": str, "truth": bool,
    }  # fmt: skip
    return of_kind[kind](cell)


# ---- columns


def _design_sources(parameters: Sequence[Parameter]) -> list[_Source]:
    return [
        _component(parameter, index)
        for parameter in parameters
        for index in range(len(parameter.labels))
    ]


def _component(parameter: Parameter, index: int) -> _Source:
    label = f"{parameter.name}.{parameter.labels[index]}"

    def value(row: TrialRow) -> Any:
        components = row.design.values.get(parameter.name)
        if components is None:
            return None
        return parameter.choices[int(components[index])] if parameter.choices else components[index]

    if parameter.choices:
        return _Source(name=label, kind="text", cell=value)
    unit = "" if parameter.unit == "1" else f" ({parameter.unit})"
    return _Source(name=f"{label}{unit}", kind="number", cell=value)


def _if_scored(row: TrialRow, objective: str) -> str | None:
    return None if row.score is None else objective


def _standard_error(row: TrialRow) -> float | None:
    return None if row.score is None else row.standard_error


def _of_estimate(name: str, key: str, kind: Kind = "number") -> _Source:
    return _Source(name=name, kind=kind, cell=lambda row: row.estimate.get(key))


def _of_record(name: str, key: str, kind: Kind = "number") -> _Source:
    return _Source(name=name, kind=kind, cell=lambda row: row.record.get(key))


def _joined(name: str, key: str) -> _Source:
    return _Source(name=name, kind="text", cell=lambda row: "; ".join(row.record.get(key) or ()))


_ESTIMATE = (
    _of_estimate("bits_per_pixel", "bits_per_pixel"),
    _of_estimate("standard_error_bits_per_pixel", "standard_error"),
    _of_estimate("frame_noise_standard_error_bits_per_pixel", "frame_noise_standard_error"),
    _of_estimate("entropy_bits_per_pixel", "entropy"),
    _of_estimate("conditional_entropy_bits_per_pixel", "conditional_entropy"),
    _of_estimate("density", "density", "text"),
    _of_estimate("is_misspecified", "is_misspecified", "truth"),
)
_RECORD = (
    _of_record("objects", "objects", "whole"),
    _of_record("shots", "shots", "whole"),
    _of_record("exposure_ms", "exposure_ms"),
    _of_record("temperature_c", "temperature_c"),
    _of_record("black_level_adu", "black_level_adu"),
    _of_record("saturated_fraction", "saturated_fraction"),
    _of_record("zero_fraction", "zero_fraction"),
)
_WORDS = (
    _joined("warnings", "warnings"),
    _joined("disturbances", "disturbances"),
    _of_record("refused", "refused", "text"),
    _Source(name="why", kind="text", cell=lambda row: row.why),
)
_FILES = (
    _Source(name="asked_at", kind="text", cell=lambda row: row.asked_at),
    _Source(name="captured_from", kind="text", cell=lambda row: _captured(row, 0)),
    _Source(name="captured_to", kind="text", cell=lambda row: _captured(row, -1)),
    _Source(name="files", kind="text", cell=lambda row: _of_parts(row, "file")),
    _Source(name="sha256", kind="text", cell=lambda row: _of_parts(row, "sha256")),
)


def _captured(row: TrialRow, end: int) -> str | None:
    times = row.record.get("captured_at")
    return times[end] if times else None


def _of_parts(row: TrialRow, name: Literal["file", "sha256"]) -> str | None:
    """Return what its files are, one after the other; None without frames."""
    return " ".join(getattr(part, name) for part in row.parts) or None


def _dictionary_sources(key: str, trials: Sequence[TrialRow]) -> list[_Source]:
    """Return one column a name in a dictionary of the record, as `truth.residual_rad`."""
    names = dict.fromkeys(name for row in trials for name in row.record.get(key) or {})

    def source(name: str) -> _Source:
        return _Source(
            name=f"{key}.{name}",
            kind="number",
            cell=lambda row: (row.record.get(key) or {}).get(name),
        )

    return [source(name) for name in names]


def _timing_sources(trials: Sequence[TrialRow]) -> list[_Source]:
    """Return where the time went, one column an activity."""
    names = dict.fromkeys(name for row in trials for name in row.timings)

    def source(name: str) -> _Source:
        return _Source(
            name=f"seconds.{name}", kind="number", cell=lambda row: row.timings.get(name)
        )

    return [source(name) for name in names]
