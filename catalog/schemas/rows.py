"""The rows of a schema's table as JSON: reads pages and inserts rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.schemas.ddl import LOAD_ID_COLUMN, TABLE_SCHEMA
from headrace.ir.problems import Problem, nearest

COUNTED_EXACTLY = 1_000_000
"""Above this number, rows are not counted but estimated by PostgreSQL: a page must not read the whole table."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of the table. `automatic`: filled by the database only."""

    name: str
    kind: str
    automatic: bool
    in_key: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of rows: `array` is a JSON array of objects, as text, with exact numbers; `total` counts all rows."""

    total: int
    array: str


def columns_of(connection: Connection, table: str) -> list[TableColumn]:
    """Returns the columns of a schema's table in order, without the loader's own; none if there is no such table."""
    found = connection.execute(_COLUMNS, {"schema": TABLE_SCHEMA, "table": table, "load_id": LOAD_ID_COLUMN})
    return [TableColumn(row.name, row.kind, row.automatic, row.in_key) for row in found]


def read_rows(connection: Connection, table: str, *, limit: int, offset: int) -> Rows:
    """Reads rows in the order of the primary key; none if the table does not exist."""
    columns = columns_of(connection, table)
    if not columns:
        return Rows(0, "[]")
    chosen = _names([column.name for column in columns])
    order = _names([column.name for column in columns if column.in_key]) or "ctid"
    connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
    query = f"""
        SELECT coalesce(json_agg(row_to_json(page)), '[]')::text
        FROM (SELECT {chosen} FROM {_table(table)} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s) AS page
    """  # noqa: S608 (quoted identifiers)
    array = connection.exec_driver_sql(query, {"limit": limit, "offset": offset}).scalar_one()
    return Rows(count_rows(connection, table), str(array))


def count_rows(connection: Connection, table: str) -> int:
    """Returns the number of rows: exact up to COUNTED_EXACTLY, else PostgreSQL's estimate."""
    counted = connection.exec_driver_sql(
        f"SELECT count(*) FROM (SELECT FROM {_table(table)} LIMIT {COUNTED_EXACTLY + 1}) AS counted"  # noqa: S608
    ).scalar_one()
    if counted <= COUNTED_EXACTLY:
        return int(counted)
    estimate = connection.execute(_ESTIMATE, {"table": _table(table).replace("%%", "%")}).scalar_one()
    return max(int(counted), int(estimate))


def insert_rows(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts all rows or none; returns the number of new rows. Rows whose key exists already are left out.

    Columns that a row does not name get their default. Raises Invalid, with the invalid row, and Conflict if the table
    does not exist.
    """
    columns = {column.name: column for column in columns_of(connection, table)}
    if not columns:
        raise Conflict(f"The table {TABLE_SCHEMA}.{table} does not exist")
    writable = [column.name for column in columns.values() if not column.automatic]
    problems = [
        Problem(f"rows[{index}].{name}", "unknown_column", f"There is no column '{name}'", nearest(name, writable))
        for index, row in enumerate(rows)
        for name in row
        if name not in writable
    ]
    empty = [index for index, row in enumerate(rows) if not row]
    problems += [Problem(f"rows[{index}]", "empty_row", "A row names no column") for index in empty]
    if problems:
        raise Invalid("The rows do not fit the table", problems[:_MAX_PROBLEMS])
    alike: dict[tuple[str, ...], list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for index, row in enumerate(rows):
        alike[tuple(sorted(row))].append((index, row))
    return sum(_insert(connection, table, names, numbered) for names, numbered in alike.items())


def _insert(
    connection: Connection, table: str, names: Sequence[str], rows: Sequence[tuple[int, Mapping[str, Any]]]
) -> int:
    """Inserts rows that name the same columns. On an error the rows are halved until the invalid one is found."""
    statement = f"""
        INSERT INTO {_table(table)} ({_names(names)})
        SELECT {_names(names)} FROM json_populate_recordset(NULL::{_table(table)}, %(rows)s::json)
        ON CONFLICT DO NOTHING
    """  # noqa: S608 (quoted identifiers)
    try:
        with connection.begin_nested():
            return connection.exec_driver_sql(statement, {"rows": json.dumps([row for _, row in rows])}).rowcount
    except DBAPIError as error:
        cause = error.orig
        if not isinstance(cause, psycopg.DataError | psycopg.IntegrityError):
            raise
        if len(rows) == 1:
            column = f".{cause.diag.column_name}" if cause.diag.column_name else ""
            reason = cause.diag.message_primary or "the database refused it"
            problem = Problem(f"rows[{rows[0][0]}]{column}", "refused", reason)
            raise Invalid(f"Row {rows[0][0]} cannot be stored: {reason}", [problem]) from error
    middle = len(rows) // 2
    return sum(_insert(connection, table, names, half) for half in (rows[:middle], rows[middle:]))


def _table(table: str) -> str:
    return sql.Identifier(TABLE_SCHEMA, table).as_string().replace("%", "%%")


def _names(names: Sequence[str]) -> str:
    return ", ".join(sql.Identifier(name).as_string().replace("%", "%%") for name in names)


_MAX_PROBLEMS = 100

_COLUMNS = text("""
    SELECT a.attname AS name, t.typname AS kind, a.attidentity <> '' OR a.attgenerated <> '' AS automatic,
           coalesce(a.attnum = ANY (k.indkey), false) AS in_key
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_index k ON k.indrelid = c.oid AND k.indisprimary
    WHERE n.nspname = :schema AND c.relname = :table AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> :load_id
    ORDER BY a.attnum
""")

_ESTIMATE = text("SELECT reltuples::bigint FROM pg_class WHERE oid = CAST(:table AS regclass)")
