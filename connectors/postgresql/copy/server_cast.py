"""Columns whose type has no binary encoder: copied as text and cast by the server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.casting.columns import MAX_VALUE
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.copy.encode import ENCODINGS, TEXT, encode
from headrace.connectors.postgresql.copy.precheck import precheck, reject_nul
from headrace.connectors.postgresql.copy.type_messages import misfit_error
from headrace.connectors.postgresql.tables.describe import Column
from headrace.connectors.source import REJECT_SCHEMA, ROW, no_rejects


def copy_binary(
    connection: psycopg.Connection[Any], table: sql.Composable, frame: pl.DataFrame, columns: Sequence[Column]
) -> int:
    """Copies the columns of the frame in the caller's transaction. Returns the number of rows that the server counted,
    without those that a trigger kept out."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for part in encode(frame, columns):
                copy.write(part)
        return cursor.rowcount


SOFT_ERRORS = 160_000
"""The first server version with `pg_input_is_valid`."""

_ROW_COLUMN = Column(ROW, "int8", "bigint", nullable=False)


def cast_on_server(column: Column, dtype: pl.DataType) -> bool:
    """Whether a converted column of this dtype is sent as text and cast by the server."""
    encoding = ENCODINGS.get(column.type_name)
    return dtype == pl.String and (encoding is None or encoding.arrow != TEXT)


def copy_and_cast(
    connection: psycopg.Connection[Any], table: sql.Composable, frame: pl.DataFrame, columns: Sequence[Column]
) -> int:
    """Copies the columns of the frame in the caller's transaction, some of them as text, and counts as `copy_binary`.
    Raises a data error if the server cannot cast a text; `unreadable_cells` finds those cells."""
    odd = [column for column in columns if cast_on_server(column, frame.schema[column.name])]
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    values = [_cast(connection, column) if column in odd else sql.Identifier(column.name) for column in columns]
    with connection.transaction():
        stage = _staged(connection, frame, columns, odd)
        # Cast to the type without its length, so that the INSERT rejects values that are too long, as COPY does: a cast
        # to varchar(n) would cut them.
        insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}")
        return connection.execute(insert.format(table, names, sql.SQL(", ").join(values), stage)).rowcount


def unreadable_cells(
    connection: psycopg.Connection[Any], frame: pl.DataFrame, columns: Sequence[Column]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows whose texts the server can cast; rejects of the others), with one query per column.

    Before PostgreSQL 16 nothing is found: the caller has to narrow the rows down itself.
    """
    asked = [column for column in columns if _is_checked(column, frame.schema[column.name])]
    if not asked or connection.info.server_version < SOFT_ERRORS:
        return frame, no_rejects()
    with connection.transaction():
        stage = _staged(connection, frame, [*asked, _ROW_COLUMN], asked)
        found = [_misread(connection, stage, column) for column in asked]
    rejects = pl.concat(found)
    if rejects.is_empty():
        return frame, rejects
    bad = rejects.select(pl.col("row").alias(ROW)).unique()
    return frame.join(bad, on=ROW, how="anti", maintain_order="left"), rejects


def predict_rejects(database: Database, frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The cells of a frame (with ROW) that a load would reject, except for constraints. Nothing is stored in the
    database."""
    good, rejects = precheck(frame, columns)
    good, unstorable = reject_nul(good, columns)
    found = [rejects, unstorable]
    if any(_is_checked(column, good.schema[column.name]) for column in columns) and not good.is_empty():
        with connect(database) as connection:
            found.append(unreadable_cells(connection, good, columns)[1])
            connection.rollback()
    return pl.concat(found).sort("row", maintain_order=True)


def _is_checked(column: Column, dtype: pl.DataType) -> bool:
    return cast_on_server(column, dtype) or (column.type_name in ("json", "jsonb") and dtype == pl.String)


def _staged(
    connection: psycopg.Connection[Any], frame: pl.DataFrame, columns: Sequence[Column], as_text: Sequence[Column]
) -> sql.Identifier:
    """A temporary table with the rows of the frame; created once per connection, emptied at the end of each
    transaction."""
    sent = [Column(column.name, "text", "text", nullable=True) if column in as_text else column for column in columns]
    shape = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), _raw(column.base_type or column.sql_type))
        for column in sent
    )
    digest = hashlib.sha256(shape.as_string(connection).encode()).hexdigest()
    stage = sql.Identifier("pg_temp", f"_headrace_cast_{digest[:16]}")
    make = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} ({}) ON COMMIT DELETE ROWS")
    connection.execute(make.format(stage, shape))
    connection.execute(sql.SQL("TRUNCATE {}").format(stage))
    copy_binary(connection, stage, frame, sent)
    return stage


def _misread(connection: psycopg.Connection[Any], stage: sql.Identifier, column: Column) -> pl.DataFrame:
    query = sql.SQL(
        "SELECT {row}, left({name}, {most}), (pg_input_error_info({literal}, {type})).sql_error_code FROM {stage} "
        "WHERE NOT pg_input_is_valid({literal}, {type})"
    ).format(
        row=sql.Identifier(ROW),
        name=sql.Identifier(column.name),
        most=sql.Literal(MAX_VALUE),
        literal=_literal(connection, column),
        type=sql.Literal(column.sql_type),
        stage=stage,
    )
    try:
        with connection.transaction():
            rows = connection.execute(query).fetchall()
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in ("0A", "22", "23", "P0"):
            raise
        return no_rejects()  # a type that pg_input_is_valid cannot check
    return pl.DataFrame(
        {
            "row": [row for row, _, _ in rows],
            "column": [column.name] * len(rows),
            "value": [value for _, value, _ in rows],
            "error": [misfit_error(column, state) for _, _, state in rows],
            "rule": [state for _, _, state in rows],
        },
        schema=REJECT_SCHEMA,
    )


def _cast(connection: psycopg.Connection[Any], column: Column) -> sql.Composable:
    return sql.SQL("({})::{}").format(_literal(connection, column), _raw(column.base_type or column.sql_type))


def _literal(connection: psycopg.Connection[Any], column: Column) -> sql.Composable:
    """The text for the type's input function. Arrays may also be given as JSON lists."""
    name = sql.Identifier(column.name)
    if not column.is_array:
        return name
    soft = connection.info.server_version >= SOFT_ERRORS
    listed = _IS_JSON if soft else _LOOKS_LIKE_JSON
    written = _JSON_ELEMENTS if column.type_name in ("_json", "_jsonb") else _JSON_LIST
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(
        sql.SQL(listed).format(v=name), sql.SQL(written).format(v=name), name
    )


def _raw(type_name: str) -> sql.SQL:
    """A type name from `format_type`, which PostgreSQL has already quoted."""
    return sql.SQL(type_name)


# `[0:1]={a,b}` is an array with bounds, not JSON.
_LOOKS_LIKE_JSON: LiteralString = r"({v} ~ '^\s*\[' AND {v} !~ '^\s*\[[+-]?\d+:')"
_IS_JSON: LiteralString = r"({v} ~ '^\s*\[' AND pg_input_is_valid({v}, 'json'))"
_JSON_LIST: LiteralString = """
CASE WHEN position('"' in {v}) = 0 THEN translate({v}, '[]', '{{}}')
ELSE (SELECT array_agg(e ORDER BY n)::text FROM json_array_elements_text({v}::json) WITH ORDINALITY AS j(e, n)) END
"""
_JSON_ELEMENTS: LiteralString = """
coalesce((SELECT array_agg(e::text ORDER BY n)::text FROM json_array_elements({v}::json) WITH ORDINALITY AS j(e, n)),
'{{}}')
"""
