"""A whole table in memory for lookups, bounded in size, in the types of the IR."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.tables.describe import Table, first_line

MAX_ROWS = 1_000_000
MAX_BYTES = 256 * 1024 * 1024
"""Limit of the columns read, as text: larger tables should not be in the memory of every run."""


def read_reference(
    database_url: str,
    table: Table,
    columns: Sequence[str],
    keys: int,
    *,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
) -> pl.DataFrame:
    """The columns of the rows whose first `keys` columns are not null, read in one statement. Raises TargetError
    (`lookup_too_large`, `lookup_unreadable`, ...)."""
    names = [sql.Identifier(name) for name in columns]
    # Read as text and cast back: `connectors.casting.columns` alone defines what each data type means as text.
    query = sql.SQL("COPY (SELECT {} FROM {} WHERE {} LIMIT {}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in names),
        table.identifier,
        sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name) for name in names[:keys]),
        sql.Literal(max_rows + 1),
    )
    text = BytesIO()
    try:
        with connect(database_url, client_encoding="utf8", connect_timeout=10) as connection:
            connection.execute("SET LOCAL TimeZone = 'UTC'")
            connection.execute("SET LOCAL DateStyle = 'ISO'")
            with connection.cursor() as cursor, cursor.copy(query) as copy:
                for part in copy:
                    text.write(part)
                    if text.tell() > max_bytes:
                        raise _too_large(table, f"{max_bytes // 1024**2:,} MiB")
    except psycopg.Error as error:
        raise TargetError("lookup_unreadable", f"{table.qualified} cannot be read: {first_line(error)}") from error
    text.seek(0)
    raw = pl.read_csv(
        text, has_header=False, schema=dict.fromkeys(columns, pl.String), raise_if_empty=False, infer_schema=False
    )
    if raw.height > max_rows:
        raise _too_large(table, f"{max_rows:,} rows")
    return raw.select(_typed(table, values) for values in raw.get_columns())


def _typed(table: Table, text: pl.Series) -> pl.Series:
    column = table.column(text.name)
    assert column is not None
    values, bad = cast_text(text, column.field)
    if bad is not None:
        value = text.filter(bad)[0]
        data_type = column.field.data_type
        message = f"{table.qualified} holds '{value}' in column '{text.name}', which cannot be read as {data_type}."
        raise TargetError("lookup_unreadable", message, "Leave the column out of the lookup, or correct the value.")
    return values.alias(text.name)


def _too_large(table: Table, limit: str) -> TargetError:
    return TargetError(
        "lookup_too_large",
        f"{table.qualified} is too large to look rows up in: more than {limit}.",
        "Select fewer columns, or load both and join them in the database.",
    )
