"""What every section of a file is built from: frozen, strict, and its common kinds of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field


class Section(BaseModel):
    """A part of the file: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _ordered(pair: object) -> object:
    if (
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and all(isinstance(v, (int, float)) for v in pair)
        and not pair[0] < pair[1]
    ):
        raise ValueError("the first number must be below the second")
    return pair


Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Range = Annotated[tuple[Finite, Finite], BeforeValidator(_ordered)]


def either(tags: dict[str, str], default: str) -> Discriminator:
    """Choose a model by the first of the given keys that stands in the file."""

    def choose(value: object) -> str:
        keys = value if isinstance(value, dict) else type(value).model_fields  # type: ignore[attr-defined]
        return next((tag for key, tag in tags.items() if key in keys), default)

    return Discriminator(choose)
