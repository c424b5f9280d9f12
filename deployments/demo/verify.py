"""The demo's proof: what the API reports, what stands in PostgreSQL and what the source holds must agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from deployments.demo.expected import Expected
from deployments.stack.errors import StackError


@dataclass(frozen=True, slots=True)
class TableSums:
    """What a table holds: its rows and the sum of their distances (miles)."""

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
    """Reads the table `table` (in `public`) straight from PostgreSQL."""
    query = sql.SQL("SELECT count(*), coalesce(sum(distance), 0) FROM {}").format(sql.Identifier("public", table))
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        raise StackError(f"The table public.{table} cannot be read: {error}") from None
    assert row is not None, "an aggregate always gives a row"
    return TableSums(int(row[0]), int(row[1]))


def checks(totals: dict[str, Any], before: TableSums, after: TableSums, expected: Expected) -> Iterator[Check]:
    """Every equation that has to hold after one run. `totals` are the run's statistics as the API gives them."""
    rows_in, rows_out = totals["rowsIn"] or 0, totals["rowsOut"] or 0
    failed, skipped = totals["failedRows"], totals["skippedRows"]
    yield Check("rows in = out + failed + skipped", rows_in, rows_out + failed + skipped)
    yield Check("rows in the source file", rows_in, expected.rows_in)
    yield Check("rows out, counted from the source", rows_out, expected.rows_out)
    yield Check("failed rows, counted from the source", failed, expected.failed)
    yield Check("skipped rows, counted from the source", skipped, expected.skipped)
    yield Check("rows the table in PostgreSQL grew by", after.rows - before.rows, rows_out)
    yield Check("miles the table grew by", after.distance - before.distance, expected.distance)
