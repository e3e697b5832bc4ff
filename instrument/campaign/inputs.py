"""Files that a run's frames depend on, kept with its record: copied, and known by their SHA-256.

Calibration files of modulators and cameras are measured again and overwritten; a resumed run, and
the report of an old one, must draw and score with what was used. Copies lie in the run directory,
where the recorded config names them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from estimation import SensorNoise
from instrument.campaign.ledger import NOISE_META, PARTIAL, Ledger, LedgerError, put_in_place
from instrument.campaign.scoring import NOISE_FILE
from instrument.config import Config, ConfigError, NoiseFile, SlmRole

FOLDER = "inputs"
NOISE_KEY = ("noise", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file as it was when the run began: the key that names it, in parts, and its content.

    `modified_s` is the file system's date: the age of a calibration that records none.
    """

    key: tuple[str, ...]
    source: Path
    content: bytes
    modified_s: float

    @property
    def sha256(self) -> str:
        """Hash of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def copy(self) -> str:
        """Path of its copy in the run directory."""
        what = self.source.stem if self.key == NOISE_KEY else self.key[-1]
        return f"{FOLDER}/{what}-{self.sha256[:12]}{self.source.suffix}"

    def record(self) -> dict[str, str]:
        """Everything but the content, as plain data for the ledger."""
        return {
            "key": ".".join(self.key),
            "file": str(self.source),
            "copy": self.copy,
            "sha256": self.sha256,
        }


def read_inputs(config: Config) -> tuple[InputFile, ...]:
    """Read every calibration file that the config names: of modulators, and of the camera.

    Raises
    ------
    ConfigError
        Naming all that cannot be read.
    """
    named: dict[tuple[str, ...], Path] = {
        ("bench", "roles", name, key): path
        for name, role in config.bench.roles.items()
        if isinstance(role, SlmRole)
        for key, path in role.files.items()
    }
    if isinstance(config.noise, NoiseFile):
        named[NOISE_KEY] = config.noise.file
    files: list[InputFile] = []
    problems: list[str] = []
    for key, path in named.items():
        try:
            content, modified_s = path.read_bytes(), path.stat().st_mtime
        except OSError as error:
            problems.append(f"`{'.'.join(key)}` = {path}: cannot be read: {error}")
            continue
        files.append(InputFile(key=key, source=path, content=content, modified_s=modified_s))
    if problems:
        raise ConfigError("bench file", problems)
    return tuple(files)


def with_copies(dumped: dict[str, Any], files: tuple[InputFile, ...]) -> dict[str, Any]:
    """Name the copies in a config that was dumped to plain data; changes and returns it."""
    for file in files:
        *sections, key = file.key
        section = dumped
        for name in sections:
            section = section[name]
        section[key] = file.copy
    return dumped


def keep(files: tuple[InputFile, ...], run_dir: Path) -> None:
    """Write the copies into a run directory."""
    for file in files:
        path = run_dir / file.copy
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        partial.write_bytes(file.content)
        os.utime(partial, (file.modified_s, file.modified_s))
        put_in_place(partial, path)


def keep_noise(noise: SensorNoise, ledger: Ledger) -> None:
    """Make the calibration of a run durable: a file that is whole, and its SHA-256 in the ledger.

    Raises
    ------
    LedgerError
        It could not be written.
    """
    path = ledger.run_dir / NOISE_FILE
    partial = path.with_name(NOISE_FILE + PARTIAL)
    try:
        noise.save(partial, measured_at=datetime.now(UTC).isoformat())
        put_in_place(partial, path)
    except OSError as error:
        raise LedgerError(f"{path}: the calibration cannot be written: {error}") from error
    _record_noise(path, ledger)


def has_noise(ledger: Ledger) -> bool:
    """Whether the run has made its calibration already.

    Raises
    ------
    LedgerError
        If the file is not the one that was recorded, or is missing.
    """
    path = ledger.run_dir / NOISE_FILE
    recorded = ledger.meta().get(NOISE_META)
    if recorded is None:
        if path.exists():  # killed between the file and its record, or begun by an older infoloop
            _record_noise(path, ledger)
        return path.exists()
    if not path.is_file():
        raise LedgerError(f"{path}: the calibration of this run is missing; restore it")
    if hashlib.sha256(path.read_bytes()).hexdigest() != recorded["sha256"]:
        raise LedgerError(
            f"{path}: is not the calibration that this run made (its SHA-256 differs); restore it "
            "from a copy"
        )
    return True


def _record_noise(path: Path, ledger: Ledger) -> None:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    ledger.set_meta(NOISE_META, {"copy": NOISE_FILE, "sha256": sha256})


def check_kept(meta: Mapping[str, Any], run_dir: Path) -> None:
    """Raise `ConfigError` where a copy is missing or is not what the run began with."""
    problems: list[str] = []
    for record in meta.get("inputs", []):
        path = run_dir / record["copy"]
        if not path.is_file():
            problems.append(f"`{record['key']}` = {path}: is missing; restore it")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
            problems.append(
                f"`{record['key']}` = {path}: is not the file that the run began with; restore it "
                f"from {record['file']}"
            )
    if problems:
        raise ConfigError(str(run_dir), problems)
