"""How to do the run again: command, bench file, versions, seed, and what the files were."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from instrument.campaign.scoring import NOISE_FILE
from instrument.faces.report.record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """What it takes to do a run again.

    Parameters
    ----------
    given
        The command as it was given; None in a record that has none.
    command
        That does the same from `file_name`: overrides and seed are in the file.
    yaml, uri
        The resolved bench file as text, and as a link that carries it.
    hashes
        What, and its SHA-256.
    """

    given: str | None
    command: str
    file_name: str
    yaml: str
    uri: str
    seed: object
    hashes: tuple[tuple[str, str], ...]


def repeat(record: RunRecord) -> Repeat:
    """Return how to do a run again."""
    name = re.sub(r"[^\w.-]+", "-", str(record.meta.get("config_name") or "bench")).strip("-.")
    file_name = f"{name or 'bench'}-resolved.yaml"
    text = yaml.safe_dump(dict(record.config), sort_keys=False, allow_unicode=True)
    given = record.meta.get("command")
    return Repeat(
        given=given if isinstance(given, str) else None,
        command=f"infoloop run {shlex.quote(file_name)}",
        file_name=file_name,
        yaml=text,
        uri="data:application/yaml;base64," + base64.b64encode(text.encode()).decode("ascii"),
        seed=_seed(record.config),
        hashes=tuple(_hashes(record, text)),
    )


def _seed(config: Mapping[str, Any]) -> object:
    search = config.get("search")
    return search.get("seed") if isinstance(search, dict) else None


def _hashes(record: RunRecord, text: str) -> list[tuple[str, str]]:
    """Return the SHA-256 of every file that the run depends on, and one of all its frames."""
    found = [("this bench file", _sha256(text.encode()))]
    noise = record.run_dir / NOISE_FILE
    if noise.is_file():
        found.append((f"noise calibration, {NOISE_FILE}", _sha256(noise.read_bytes())))
    found += [
        (f"{entry['key']}, {entry['copy']}", entry["sha256"])
        for entry in record.meta.get("inputs", [])
    ]
    parts = [[part.file, part.sha256] for row in record.trials for part in row.parts]
    if parts:
        label = f"files and hashes of the frames, {len(parts)} pairs as JSON"
        found.append((label, _sha256(json.dumps(parts).encode())))
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
