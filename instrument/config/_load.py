"""From a YAML file to a checked `Config`: overrides, shorthands, paths, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from instrument.config._bench import ListedMicroManager, LoadedMicroManager
from instrument.config._checks import problems_between_sections
from instrument.config._drivers import problems_of_options
from instrument.config._model import Config
from instrument.config._modulator import SlmRole
from instrument.config._noise import NoiseFile
from instrument.config._problems import sentences
from instrument.config._visa_roles import problems_of_visa_roles

KIND_OF_ROLE = {
    "camera": "camera",
    "slm": "slm",
    "sample": "xy_stage",
    "focus": "stage",
    "light": "light",
    "shutter": "shutter",
}
"""Kinds that the name of a role says."""
KIND_OF_KEY = {
    "group": "selector",
    "switch": "light",
    "level": "light",
    "property": "property",
    "limits_deg": "rotation",
    "exposure_ms": "camera",
}
"""Kinds that a key says which no other kind of role has."""
KIND_OF_KEY_OTHERWISE = {"channel": "light"}
"""Kinds that a key says where nothing else does: a selector may have it too."""
KIND_OF_PARAMETER_KEY = {"basis": "slm", "choices": "selector"}
"""Kinds that the parameter of a role says, where the role itself does not."""
_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = (_PACKAGE / "shipped_configs", _PACKAGE.parent / "configs")


class ConfigError(Exception):
    """The bench file cannot be used; one sentence a problem, nothing has been touched."""

    def __init__(self, source: str, problems: Sequence[str]):
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.problems = tuple(problems)


def load_config(path: Path, *, overrides: Sequence[str] = (), seed: int | None = None) -> Config:
    """Read a bench file.

    Parameters
    ----------
    path
        YAML file; the name of a shipped one (`demo.yaml`) will do.
    overrides
        `section.key=value`, the value in YAML, as the command line's `--set` gives them.
    seed
        Replaces `search.seed`.

    Raises
    ------
    ConfigError
        Naming file, key, value and remedy.
    """
    raw, folder = read_sections(path, overrides=overrides, seed=seed, first="bench")
    return parse_config(raw, source=str(path), folder=folder)


def read_sections(
    path: Path, *, overrides: Sequence[str], seed: int | None, first: str
) -> tuple[dict[str, Any], Path]:
    """Return the sections of a file that begins with `first`, overrides applied, and its folder."""
    found = path if path.is_file() else find_shipped(path.name)
    if found is None or (not path.is_file() and path.parent != Path()):
        raise ConfigError(str(path), [f"no such file; give the path of a {first} file (YAML)"])
    try:
        raw = yaml.safe_load(found.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(raw, dict):
        raise ConfigError(str(path), [f"holds no sections; begin with `{first}:`"])
    for override in overrides:
        _override(raw, override)
    if seed is not None:
        _override(raw, f"search.seed={seed}")
    return raw, found.parent


def parse_config(raw: Mapping[str, Any], *, source: str, folder: Path) -> Config:
    """Check plain data; paths in it are relative to `folder`. Raises `ConfigError`."""
    completed = _complete(raw)
    of_options = problems_of_options(completed)
    try:
        config = Config.model_validate(completed)
    except ValidationError as error:
        raise ConfigError(source, [*sentences(error, completed), *of_options]) from error
    absolute = _with_absolute_paths(config, folder)
    problems = [
        *problems_between_sections(config),
        *problems_of_visa_roles(absolute),
        *of_options,
    ]
    if problems:
        raise ConfigError(source, problems)
    return absolute


def find_declarations(folder: Path) -> dict[str, Path]:
    """Name to path of the instrument declarations that a bench file in `folder` may name.

    Shipped ones, and `instruments/NAME.yaml` beside the bench file, which win.
    """
    found: dict[str, Path] = {}
    for place in (*reversed(_SHIPPED), folder):
        found |= {path.stem: path for path in sorted((place / "instruments").glob("*.yaml"))}
    return found


def find_shipped(name: str) -> Path | None:
    """Path of a file under `configs/`, in a checkout or in an installed wheel, or None."""
    for folder in _SHIPPED:
        for found in (folder / name, folder / "designs" / name):
            if found.is_file():
                return found
    return None


def _override(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError("--set", [f"{override!r} is not of the form section.key=value"])
    *sections, last = key.strip().split(".")
    target: Any = raw
    for section in sections:
        target = target.setdefault(section, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise ConfigError("--set", [f"{key} is below something that is no section"])
    try:
        target[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError("--set", [f"{override!r}: the value is not YAML"]) from error


def _complete(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what the file says implicitly: kinds of roles, of parameters, and `noise: FILE`."""
    completed = dict(raw)
    if isinstance(completed.get("noise"), str):
        completed["noise"] = {"file": completed["noise"]}
    bench = completed.get("bench")
    roles = bench.get("roles") if isinstance(bench, dict) else None
    if not isinstance(bench, dict) or not isinstance(roles, dict):
        return completed
    design = completed.get("design")
    roles = {n: _with_kind(n, r, design) for n, r in roles.items()}
    completed["bench"] = {**bench, "roles": roles}
    if isinstance(design, dict):
        completed["design"] = {n: _with_kind_of_role(p, roles) for n, p in design.items()}
    return completed


def _with_kind(name: str, role: Any, design: Any) -> Any:
    """Add the kind of a role from its name, its keys, or what the search does with it."""
    if not isinstance(role, dict):
        return role
    used = [p for p in design.values() if isinstance(p, dict)] if isinstance(design, dict) else []
    said = [
        KIND_OF_ROLE.get(name),
        *(kind for key, kind in KIND_OF_KEY.items() if key in role),
        _kind_of_limits(role.get("limits_um")),
        *(
            kind
            for key, kind in KIND_OF_PARAMETER_KEY.items()
            for parameter in used
            if key in parameter and parameter.get("role") == name
        ),
        *(kind for key, kind in KIND_OF_KEY_OTHERWISE.items() if key in role),
    ]
    kind = next((kind for kind in said if kind is not None), None)
    return role if kind is None else {"kind": kind, **role}


def _kind_of_limits(limits_um: Any) -> str | None:
    if not isinstance(limits_um, list) or len(limits_um) != 2:
        return None
    return "xy_stage" if isinstance(limits_um[0], list) else "stage"


def _with_kind_of_role(parameter: Any, roles: Mapping[str, Any]) -> Any:
    if not isinstance(parameter, dict):
        return parameter
    role = roles.get(str(parameter.get("role")))
    kind = role.get("kind") if isinstance(role, dict) else None
    return parameter if kind in (None, "xy_stage", "shutter") else {"of": kind, **parameter}


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    update: dict[str, Any] = {}
    manager = config.bench.micromanager
    if isinstance(manager, LoadedMicroManager | ListedMicroManager):
        paths = {"adapters": manager.adapters}
        if isinstance(manager, LoadedMicroManager):
            paths["config"] = manager.config
        absolute = manager.model_copy(
            update={key: path and (folder / path).resolve() for key, path in paths.items()}
        )
        update["bench"] = config.bench.model_copy(update={"micromanager": absolute})
    if isinstance(config.noise, NoiseFile):
        update["noise"] = NoiseFile(file=(folder / config.noise.file).resolve())
    visa = {
        name: instrument.model_copy(
            update={"declaration": _find_declaration(instrument.declaration, folder)}
        )
        for name, instrument in config.bench.visa.items()
    }
    roles = {
        name: role.in_folder(folder) if isinstance(role, SlmRole) else role
        for name, role in config.bench.roles.items()
    }
    update["bench"] = update.get("bench", config.bench).model_copy(
        update={"visa": visa, "roles": roles}
    )
    return config.model_copy(update=update)


def _find_declaration(name: str, folder: Path) -> str:
    """Resolve a declaration's name or path; a missing one is reported when it is opened."""
    file = name if name.endswith((".yaml", ".yml")) else f"instruments/{name}.yaml"
    if (folder / file).is_file():
        return str((folder / file).resolve())
    shipped = find_shipped(file)
    return str(shipped) if shipped else str(folder / file)
