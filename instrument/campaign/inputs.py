"""Files that a run's frames depend on, kept with its record: copied, and known by their SHA-256.

Calibration files of modulators are measured again and overwritten; a resumed run, and the report of
an old one, must draw with what was used. Copies lie in the run directory, where the recorded config
names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instrument.config import Config, ConfigError, SlmRole

FOLDER = "inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file as it was when the run began; `copy` is its path in the run directory."""

    key: str
    source: Path
    copy: str
    content: bytes

    def record(self) -> dict[str, str]:
        """Everything but the content, as plain data for the ledger."""
        return {
            "key": self.key,
            "file": str(self.source),
            "copy": self.copy,
            "sha256": _sha256(self.content),
        }


def read_inputs(config: Config) -> tuple[InputFile, ...]:
    """Read every calibration file of a modulator that the config names.

    Raises
    ------
    ConfigError
        Naming all that cannot be read.
    """
    files: list[InputFile] = []
    problems: list[str] = []
    for name, role in config.bench.roles.items():
        for key, path in role.files.items() if isinstance(role, SlmRole) else ():
            where = f"bench.roles.{name}.{key}"
            try:
                content = path.read_bytes()
            except OSError as error:
                problems.append(f"`{where}` = {path}: cannot be read: {error}")
                continue
            copy = f"{FOLDER}/{name}.{key}{path.suffix}"
            files.append(InputFile(key=where, source=path, copy=copy, content=content))
    if problems:
        raise ConfigError("bench file", problems)
    return tuple(files)


def with_copies(dumped: dict[str, Any], files: tuple[InputFile, ...]) -> dict[str, Any]:
    """Name the copies in a config that was dumped to plain data; changes and returns it."""
    for file in files:
        *_, role, key = file.key.split(".")
        dumped["bench"]["roles"][role][key] = file.copy
    return dumped


def keep(files: tuple[InputFile, ...], run_dir: Path) -> None:
    """Write the copies into a run directory."""
    for file in files:
        path = run_dir / file.copy
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.content)


def check_kept(meta: Mapping[str, Any], run_dir: Path) -> None:
    """Raise `ConfigError` where a copy is missing or is not what the run began with."""
    problems: list[str] = []
    for record in meta.get("inputs", []):
        path = run_dir / record["copy"]
        if not path.is_file():
            problems.append(f"`{record['key']}` = {path}: is missing; restore it")
        elif _sha256(path.read_bytes()) != record["sha256"]:
            problems.append(
                f"`{record['key']}` = {path}: is not the file that the run began with; restore it "
                f"from {record['file']}"
            )
    if problems:
        raise ConfigError(str(run_dir), problems)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
