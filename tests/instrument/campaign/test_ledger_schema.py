"""The documented schema is the real one, and so is the documented digest."""

import contextlib
import hashlib
import json
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from instrument.campaign.ledger import LEDGER_FILE, SCHEMA_VERSION, Ledger
from instrument.design import Design

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "ledger-schema.md"


@pytest.fixture
def connection(tmp_path):
    with Ledger.create(tmp_path / "run", {"config": {"a": "\u00e9"}}) as ledger:
        ledger.ask(number=0, phase="search", design=Design({"focus": (0.1,)}))
        ledger.capture(0, np.zeros((2, 1, 3, 4), np.uint16), {})
        ledger.capture(0, np.ones((2, 1, 3, 4), np.uint16), {})
        ledger.score(0, score=0.1, standard_error=1, estimate={}, seconds=2, timings={})
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / LEDGER_FILE)) as connection:
        yield connection


def documented():
    """Columns by table: name, type and whether it may be null, as the page says."""
    tables = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| (\w+) \| ([A-Z]+)([^|]*) \|", section, flags=re.MULTILINE)
        if rows:
            tables[section.split()[0]] = [(n, t, "or null" in rest) for n, t, rest in rows]
    return tables


def test_the_documented_columns_are_the_real_ones(connection):
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")
    real = {
        table: [
            (name, kind, not (is_not_null or key))
            for _, name, kind, is_not_null, _, key in connection.execute(
                f"PRAGMA table_info({table})"
            )
        ]
        for (table,) in names.fetchall()
    }
    assert documented() == real


def test_the_documented_version_is_the_real_one(connection):
    assert PAGE.read_text(encoding="utf-8").startswith(
        f"# Schema of the ledger, version {SCHEMA_VERSION}\n"
    )
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


@pytest.mark.parametrize("table", documented())
def test_the_documented_digest_is_the_real_one(connection, table):
    columns = ", ".join(name for name, _, _ in documented()[table] if name != "digest")
    rows = connection.execute(f"SELECT digest, {columns} FROM {table}").fetchall()  # noqa: S608
    assert rows or table == "journal"
    for digest, *values in rows:
        content = [table, *values]
        if table == "trial":
            content += [d for (d,) in connection.execute("SELECT digest FROM batch ORDER BY part")]
        text = json.dumps(content, ensure_ascii=False)
        assert digest == hashlib.sha256(text.encode()).hexdigest()
