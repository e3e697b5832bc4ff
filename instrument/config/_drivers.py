"""The `bench.drivers` block: options that a third party's own model checks.

Only the drivers that a file names are imported, and only here and when the bench connects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from drivers import DriverUnavailable
from drivers.registry import load_driver
from instrument.config._problems import sentences


def problems_of_options(raw: Mapping[str, Any]) -> list[str]:
    """One sentence for every driver that is not there and every option that its model refuses.

    Parameters
    ----------
    raw
        The whole file as plain data; what is wrong with its shape is left to `Config`.
    """
    bench = raw.get("bench")
    blocks = bench.get("drivers") if isinstance(bench, Mapping) else None
    found: list[str] = []
    for name, block in blocks.items() if isinstance(blocks, Mapping) else ():
        driver = block.get("driver") if isinstance(block, Mapping) else None
        options = block.get("options", {}) if isinstance(block, Mapping) else None
        if isinstance(driver, str) and isinstance(options, Mapping):
            found += _problems_of_one(str(name), driver, options)
    return found


def _problems_of_one(name: str, driver: str, options: Mapping[str, Any]) -> list[str]:
    try:
        model = load_driver(driver).options
    except DriverUnavailable as error:
        return [f"`bench.drivers.{name}.driver` = {driver!r}: {error}"]
    file = _file_with(model)  # so that the place of a problem is its place in the file
    raw = {"bench": {"drivers": {name: {"options": dict(options)}}}}
    try:
        file.model_validate(raw)
    except ValidationError as error:
        return sentences(error, raw, root=file)
    except Exception as error:  # noqa: BLE001 - a validator of others raises what it likes
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [f"`bench.drivers.{name}.options` cannot be checked: {reason}; ask its author"]
    return []


def _file_with(options: type[BaseModel]) -> type[BaseModel]:
    block: Any = create_model("Block", options=(options, ...))
    drivers: Any = dict[str, block]  # pyright: ignore[reportInvalidTypeForm]
    bench: Any = create_model("Bench", drivers=(drivers, ...))
    return create_model("File", bench=(bench, ...))
