"""Compares the counts of the API, of PostgreSQL and of the source file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from headrace.deployments.errors import HeadraceError


@dataclass(frozen=True, slots=True)
class Expected:
    """Counts of rows of one run; `distance` is the sum over the loaded rows, in miles."""

    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    distance: int


def expected_counts(csv: Path) -> Expected:
    """Counts the rows that the demo's pipeline should load, fail and skip, in one lazy query."""
    import polars as pl

    flights = pl.scan_csv(csv, null_values=["NA"], infer_schema_length=None)
    flew = pl.col("dep_time").is_not_null()
    failed = flew & (pl.col("air_time").is_null() | (pl.col("dep_delay") > 720) | (pl.col("dep_delay") < -30))
    loaded = flew & ~failed & (pl.col("distance") >= 100)
    row = (
        flights.select(
            rows_in=pl.len(),
            rows_out=loaded.sum(),
            failed=failed.sum(),
            skipped=(~failed & ~loaded).sum(),
            distance=pl.col("distance").filter(loaded).sum(),
        )
        .collect()
        .row(0, named=True)
    )
    return Expected(**{name: int(value) for name, value in row.items()})


@dataclass(frozen=True, slots=True)
class TableSums:
    """The number of rows of a table and the sum of their distances (miles)."""

    rows: int
    distance: int


@dataclass(frozen=True, slots=True)
class Check:
    """Two numbers that must be equal."""

    what: str
    found: int
    expected: int

    @property
    def holds(self) -> bool:
        return self.found == self.expected


def table_sums(database_url: str, table: str) -> TableSums:
    """Queries the table `table` (in `public`) in PostgreSQL. Raises StackError."""
    query = sql.SQL("SELECT count(*), coalesce(sum(distance), 0) FROM {}").format(sql.Identifier("public", table))
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        raise HeadraceError(f"The table public.{table} cannot be read: {error}") from None
    assert row is not None, "an aggregate returns a row"
    return TableSums(int(row[0]), int(row[1]))


def checks(totals: dict[str, Any], before: TableSums, after: TableSums, expected: Expected) -> Iterator[Check]:
    """All comparisons after one run. `totals` are the run's statistics from the API."""
    rows_in, rows_out = totals["rowsIn"] or 0, totals["rowsOut"] or 0
    failed, skipped = totals["failedRows"], totals["skippedRows"]
    yield Check("rows in = out + failed + skipped", rows_in, rows_out + failed + skipped)
    yield Check("rows in the source file", rows_in, expected.rows_in)
    yield Check("rows out, counted from the source", rows_out, expected.rows_out)
    yield Check("failed rows, counted from the source", failed, expected.failed)
    yield Check("skipped rows, counted from the source", skipped, expected.skipped)
    yield Check("rows the table in PostgreSQL grew by", after.rows - before.rows, rows_out)
    yield Check("miles the table grew by", after.distance - before.distance, expected.distance)
