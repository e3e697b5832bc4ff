"""What every section of a file is built from: frozen, strict, and its common kinds of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field


class Section(BaseModel):
    """A part of the file: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError("the first number must be below the second")
    return pair


def no_yes_or_no(value: object) -> object:
    """Refuse what YAML makes of `on`, `off`, `yes` and `no` where a number is wanted."""
    if isinstance(value, bool):
        raise ValueError("YAML reads this as yes or no, and a number is wanted; write the number")
    return value


_Number = Annotated[float, BeforeValidator(no_yes_or_no)]
Finite = Annotated[_Number, Field(allow_inf_nan=False)]
Positive = Annotated[_Number, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[_Number, Field(ge=0, allow_inf_nan=False)]
Range = Annotated[tuple[Finite, Finite], AfterValidator(_ordered)]


def either(tags: dict[str, str], default: str) -> Discriminator:
    """Choose a model by the first of the given keys that stands in the file."""

    def choose(value: object) -> str:
        keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
        return next((tag for key, tag in tags.items() if key in keys), default)

    return Discriminator(choose)
