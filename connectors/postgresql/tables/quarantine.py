"""Quarantine tables (schema `dlq`): rows that a validate node kept out, with their original values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.batch_size import rows_within
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.tables.describe import split_name
from headrace.connectors.target import Quarantined

SCHEMA = "dlq"

_LOCK = 0x4EAD_2ACF
_AT_ONCE = 5_000
"""The most rows of a statement: values of Python take many times the memory of a frame's."""
_COLUMNS = {"id", "root_run_id", "run_id", "node_id", "row_number", "rule_id", "error", "row", "created_at"}

_DDL = """
CREATE TABLE IF NOT EXISTS {table} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  root_run_id text NOT NULL,
  run_id text NOT NULL,
  node_id text NOT NULL,
  row_number bigint NOT NULL,
  rule_id text NOT NULL,
  error text NOT NULL,
  "row" jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (root_run_id, node_id, row_number, rule_id)
)
"""

_MAY = "SELECT bool_and(has_table_privilege(%s::regclass, may)) FROM unnest('{SELECT,INSERT,DELETE}'::text[]) may"
"""A tenant's login may use its own tables only: all tenants' have the same schema."""

_KEEP = """
INSERT INTO {table} (root_run_id, run_id, node_id, row_number, rule_id, error, "row")
SELECT %s, %s, %s, kept.* FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::jsonb[]) AS kept
ON CONFLICT DO NOTHING
"""

_READ = """
SELECT id, rule_id, "row", created_at FROM {table}
WHERE root_run_id = %s AND node_id = %s AND row_number = coalesce(%s, row_number) ORDER BY row_number, id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One quarantined row as it was read from its source."""

    id: int
    rule_id: str
    row: dict[str, Any]
    created_at: datetime


def create_schema(connection: psycopg.Connection[Any]) -> None:
    """Creates the schema if it is missing; the privilege is only needed then."""
    if connection.execute("SELECT to_regnamespace(%s) IS NULL", (SCHEMA,)).fetchone() == (True,):
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))


def create_quarantine(connection: psycopg.Connection[Any], tables: Iterable[str]) -> None:
    """Creates the missing tables. Raises TargetError for a table outside `dlq`, of another login, or with other
    columns."""
    for qualified in tables:
        schema, name = split_name(qualified)
        if schema != SCHEMA:
            raise TargetError(
                "quarantine_schema",
                f"Quarantine table '{qualified}' is not in the schema {SCHEMA}.",
                f"Write {SCHEMA}.{name}.",
            )
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            create_schema(connection)
            connection.execute(sql.SQL(_DDL).format(table=sql.Identifier(schema, name)))
        may = connection.execute(_MAY, (sql.Identifier(schema, name).as_string(connection),)).fetchone()
        if may != (True,):
            raise TargetError(
                "quarantine_taken",
                f"Table {qualified} is in use by another tenant or login, and this run may not write it.",
                "Name another one; it is made on first use.",
            )
        found = connection.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
            (sql.Identifier(schema, name).as_string(connection),),
        ).fetchall()
        if missing := _COLUMNS - {row[0] for row in found}:
            raise TargetError(
                "quarantine_shape",
                f"Table {qualified} is not a quarantine table: it lacks {', '.join(sorted(missing))}.",
                "Name another one; it is made on first use.",
            )


def keep_rows(
    connection: psycopg.Connection[Any], root_run_id: str, run_id: str, quarantined: Sequence[Quarantined]
) -> None:
    """Adds rows inside the caller's transaction; rows of a repeated batch are added once."""
    for kept in quarantined:
        statement = sql.SQL(_KEEP).format(table=sql.Identifier(*split_name(kept.table)))
        few = rows_within(kept.rows.height, int(kept.rows.estimated_size()), _AT_ONCE)
        for rows in kept.rows.iter_slices(few):
            columns = [rows.get_column(name).to_list() for name in ("row_number", "rule", "error", "row")]
            connection.execute(statement, (root_run_id, run_id, kept.node, *columns))


def delete_run_rows(
    connection: psycopg.Connection[Any], root_run_id: str, tables: Iterable[str], *, since: int = 0
) -> None:
    """Deletes the rows of a chain of runs from these tables, where they exist: all, or those with a number of at least
    `since`."""
    for qualified in tables:
        table = sql.Identifier(*split_name(qualified))
        there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table.as_string(connection),)).fetchone()
        if there is not None and there[0]:
            mine = sql.SQL("DELETE FROM {} WHERE root_run_id = %s AND row_number >= %s")
            connection.execute(mine.format(table), (root_run_id, since))


def release_rows(
    connection: psycopg.Connection[Any],
    root_run_id: str,
    tables: Iterable[str],
    rows: pl.Series,
    *,
    but_of: Sequence[str] = (),
) -> None:
    """Deletes rows that have been loaded, inside the caller's transaction, except rows kept by the nodes `but_of`."""
    for qualified in tables:
        statement = sql.SQL("DELETE FROM {} WHERE root_run_id = %s AND row_number = ANY(%s) AND node_id <> ALL(%s)")
        table = sql.Identifier(*split_name(qualified))
        connection.execute(statement.format(table), (root_run_id, rows.to_list(), list(but_of)))


def read_quarantine(
    database: Database, qualified: str, *, root_run_id: str, node_id: str, limit: int, row: int | None = None
) -> list[QuarantinedRow] | None:
    """The rows that a node of a chain of runs has in quarantine, by row number; with `row` only those of that
    number. None if the table does not exist."""
    schema, name = split_name(qualified)
    with connect(database, autocommit=True) as connection:
        identifier = sql.Identifier(schema, name)
        there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (identifier.as_string(connection),)).fetchone()
        if schema != SCHEMA or there is None or not there[0]:
            return None
        found = connection.execute(sql.SQL(_READ).format(table=identifier), (root_run_id, node_id, row, limit))
        return [QuarantinedRow(*row) for row in found]
