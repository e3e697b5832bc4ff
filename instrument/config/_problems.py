"""What pydantic found, in the words of whoever wrote the file: key, value, remedy."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from drivers.virtual.twin_options import DOMAINS, KINDS_OF_OBJECTS
from instrument.config._bench import (
    LISTED,
    LOADED,
    VIRTUAL_MODELS,
    ListedMicroManager,
    LoadedMicroManager,
)
from instrument.config._model import Config
from instrument.config._noise import (
    NoiseCalibrate,
    NoiseFile,
    NoiseNumbers,
    NoiseOfCounts,
    NoiseOfOneSigma,
    NoiseOfPhotons,
    NoiseOfThermalCamera,
)

_ENSEMBLE = (
    "`objects` is missing: without an ensemble of objects there is no information; name one, e.g. "
    "objects: {stage_grid: {count: 40, spacing_um: 120}}"
)
_TAG_OF: dict[type[BaseModel], str] = {
    **{model: name for name, model in VIRTUAL_MODELS.items()},
    LoadedMicroManager: LOADED,
    ListedMicroManager: LISTED,
    NoiseNumbers: "numbers",
    NoiseFile: "file",
    NoiseCalibrate: "calibrate",
    NoiseOfPhotons: "photons",
    NoiseOfOneSigma: "sigma",
    NoiseOfThermalCamera: "thermal",
    NoiseOfCounts: "counts",
}
_KINDS = (
    "camera", "slm", "stage", "rotation", "xy_stage", "selector", "property", "light", "shutter",
)  # fmt: skip
_PATCHES = ("square", "oblong")
_BASES = ("zernike", "superpixel", "disc", "raw", "fourier", "hadamard")
_TAGS = {*_TAG_OF.values(), *_KINDS, *_BASES, *_PATCHES, *DOMAINS, *KINDS_OF_OBJECTS}
_DISCRIMINATORS = ("basis", "kind", "of", "domain")
_CHOICES_OF_DESIGN_FILE = {"twin": ("domain", DOMAINS), "objects": ("kind", KINDS_OF_OBJECTS)}
_LONGEST_VALUE = 60
_UNITS = {"_um": "um", "_ms": "ms", "_rad": "rad", "_deg": "deg", "_s": "s"}


def sentences(
    error: ValidationError, raw: Mapping[str, Any], *, root: type[BaseModel] = Config
) -> list[str]:
    """One sentence a problem, each once; `root` is the model of the whole file."""
    found = [_sentence(problem, raw, root) for problem in error.errors()]
    return list(dict.fromkeys(found))


def _sentence(problem: Any, raw: Mapping[str, Any], root: type[BaseModel]) -> str:
    place = _place_in_file(problem, raw)
    key, shown = ".".join(place), _shown(problem["input"])
    match problem["type"]:
        case "missing" | "model_type" if place[0] == "objects" and root is Config:
            return _ENSEMBLE
        case "missing":
            return f"`{key}` is missing; add it"
        case "extra_forbidden":
            return (
                f"`{key}` = {shown} is not a key here; {_suggestion(problem['loc'], place, root)}"
            )
        case "union_tag_not_found" if place[:2] == ["bench", "roles"]:
            return f"`{key}`: say what it is with kind: {_or(_KINDS)}"
        case "union_tag_invalid" if root is Config and place[-1] == "micromanager":
            return (
                f"`{key}.virtual` = {_shown(problem['input'].get('virtual'))} is no virtual bench; "
                f"known: {', '.join(VIRTUAL_MODELS)}"
            )
        case "union_tag_not_found" | "union_tag_invalid" if _is_of_slm(problem):
            basis = problem["input"].get("basis")
            if basis is not None:
                return f"`{key}.basis` = {_shown(basis)} is unknown; use {_or(_BASES)}"
            return (
                f"`{key}.role` = {_shown(problem['input'].get('role'))} is a modulator, and basis "
                f"is missing; say {_or(_BASES)}, or name another role"
            )
        case "union_tag_not_found" if root is not Config and place[0] in _CHOICES_OF_DESIGN_FILE:
            name, known = _CHOICES_OF_DESIGN_FILE[place[0]]
            return f"`{key}`: say which one with {name}: {', '.join(known)}"
        case "union_tag_not_found" if root is Config:
            return (
                f"`{key}.role` = {_shown(problem['input'].get('role'))} is no role; "
                f"{_known_roles(raw)}"
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"`{key}` = {shown} is no section; write its keys below it, each with a value"
        case "value_error":
            return f"`{key}` = {shown}: {problem['msg'].removeprefix('Value error, ')}"
        case "float_type" | "float_parsing" | "int_type" | "int_parsing":
            return f"`{key}` = {shown} is not a plain number{_unit(place)}"
        case _:
            return f"`{key}` = {shown}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _known_roles(raw: Mapping[str, Any]) -> str:
    """Say which roles there are, in a file whose bench may be anything."""
    bench = raw.get("bench")
    roles = bench.get("roles") if isinstance(bench, Mapping) else None
    if not isinstance(roles, Mapping) or not roles:
        return "name some in bench.roles"
    return f"known: {', '.join(map(str, roles))}"


def _is_of_slm(problem: Any) -> bool:
    """Whether a pattern's basis, not its role, is in doubt."""
    return problem["loc"][0] == "design" and problem["loc"][-1] == "slm"


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _place_in_file(problem: Any, raw: Mapping[str, Any]) -> list[str]:
    """Drop the tags of unions: they are places to pydantic and nowhere in the file."""
    location, place = problem["loc"], []
    here: Any = raw
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        is_key = isinstance(here, Mapping) and part in here
        leads_on = is_key and (is_last or isinstance(here[part], (Mapping, list)))
        if part in _TAGS and not leads_on and not (is_last and problem["type"] == "missing"):
            continue
        place.append(str(part))
        here = here[part] if is_key else _item(here, part)
    return place


def _item(here: Any, part: Any) -> Any:
    is_there = isinstance(here, (list, tuple)) and isinstance(part, int) and part < len(here)
    return here[part] if is_there else None


def _suggestion(location: tuple[Any, ...], place: list[str], root: type[BaseModel]) -> str:
    known = _known_keys(location[:-1], root)
    wrong = place[-1]
    stem = wrong.rsplit("_", 1)[0]
    same_quantity = [key for key in known if key.rsplit("_", 1)[0] == stem]
    if same_quantity:
        return f"the unit is in the name: write `{same_quantity[0]}`"
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known are {', '.join(sorted(known))}"


def _known_keys(location: tuple[Any, ...], root: type[BaseModel]) -> set[str]:
    """Keys of the model at a pydantic location, walking annotations from the root."""
    here: list[Any] = [root]
    for part in location:
        here = [child for annotation in here for child in _children(annotation, part)]
    return {key for model in here for key in getattr(model, "model_fields", {})}


def _children(model: Any, part: Any) -> list[Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        if model in _TAG_OF and part in _TAGS:  # also where a key has the tag's name
            return [model] if _TAG_OF[model] == part else []
        if part in model.model_fields:
            return _options(model.model_fields[part].annotation)
        return [model] if _has_tag(model, part) else []
    if get_origin(model) is dict:
        return _options(get_args(model)[1])
    return _options(get_args(model)[0]) if get_origin(model) is tuple else [model]


def _has_tag(model: type[BaseModel], tag: Any) -> bool:
    fields = [model.model_fields[k] for k in _DISCRIMINATORS if k in model.model_fields]
    return not fields or any(tag in get_args(field.annotation) for field in fields)


def _options(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return [option for arg in get_args(annotation) for option in _options(arg)]
    return [annotation]


def _unit(place: list[str]) -> str:
    for part in reversed(place):
        for suffix, unit in _UNITS.items():
            if part.endswith(suffix):
                return f"; write it in {unit}, without a unit"
    return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
