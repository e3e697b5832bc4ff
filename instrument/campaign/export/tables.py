"""Tables as files. Numbers come back as the very float64 that the ledger holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instrument.campaign.export.table import Column
from instrument.campaign.new_file import OutputError

BYTES_A_CELL = 64
"""More than a cell takes on average: hashes are 64 characters, numbers at most 24."""


def write_csv(columns: Sequence[Column], path: Path) -> None:
    """Write a table, empty cells empty, `true` and `false`, UTF-8.

    Python writes the shortest decimal number that is read back as the same float64.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        writer.writerows(
            [str(cell).lower() if isinstance(cell, bool) else cell for cell in cells]
            for cells in zip(*(column.cells for column in columns), strict=True)
        )


def write_parquet(columns: Sequence[Column], path: Path, *, about: Mapping[str, Any]) -> None:
    """Write a table, with what there is to say of the run as metadata under `infoloop` (JSON).

    Raises
    ------
    OutputError
        Without pyarrow.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise OutputError(
            'Parquet needs pyarrow, which is not installed: pip install "infoloop[export]", or '
            "export --to csv"
        ) from error
    types = {
        "whole": pa.int64(), "number": pa.float64(), "text": pa.string(), "truth": pa.bool_(),
    }  # fmt: skip
    table = pa.table(
        [pa.array(column.cells, type=types[column.kind]) for column in columns],
        schema=pa.schema(
            [pa.field(column.name, types[column.kind]) for column in columns],
            metadata={"infoloop": json.dumps(dict(about))},
        ),
    )
    parquet.write_table(table, path, compression="zstd")
