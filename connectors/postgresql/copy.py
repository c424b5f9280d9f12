"""One COPY of a frame into a table, and what an error of it means: mend, wait or give up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from connectors.postgresql.encode import encode
from connectors.postgresql.tables import Column, Table

_TRANSIENT_CLASSES = ("08", "53")
_TRANSIENT_STATES = ("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P04", "57P05")
_LINE = re.compile(r"^COPY .*?, line (\d+)", re.MULTILINE)
_COLUMN = re.compile(r"^COPY .*?, line \d+, column ([^:\n]+)", re.MULTILINE)


def copy_rows(
    connection: psycopg.Connection[Any], table: sql.Composable, frame: pl.DataFrame, columns: Sequence[Column]
) -> None:
    """Copies the columns of the frame, converted before, in the caller's transaction."""
    if frame.is_empty():
        return
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in encode(frame, columns):
            copy.write(part)


def is_transient(error: BaseException) -> bool:
    """The same statement may succeed later: a lost connection, a deadlock, a full or restarting server."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES


def is_data_error(error: BaseException) -> bool:
    """A row is to blame (SQLSTATE classes 22 and 23, and what triggers raise)."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "")[:2] in ("22", "23", "P0", "44")


def failing_line(error: psycopg.Error) -> int | None:
    """The row of the COPY (from 0) that the server blames, when it says so."""
    match = _LINE.search(error.diag.context or "")
    return int(match[1]) - 1 if match else None


def failing_column(error: psycopg.Error, table: Table) -> str | None:
    """The column the server blames, when it says so or the constraint has only one."""
    if error.diag.column_name:
        return error.diag.column_name
    match = _COLUMN.search(error.diag.context or "")
    if match and table.column(match[1].strip()):
        return match[1].strip()
    keyed = re.match(r"Key \(([^()]+)\)=", error.diag.message_detail or "")
    if keyed:
        name = keyed[1].split(", ")[0].strip('"')
        return name if table.column(name) else None
    return None


def message_for(error: psycopg.Error, table: Table) -> str:
    """What a person reads about a refused row."""
    name, column, state = error.diag.constraint_name, failing_column(error, table), error.sqlstate
    known = table.column(column) if column else None
    told = {
        "23505": f'Duplicate value violates unique constraint "{name}"',
        "23503": f'No matching row for foreign key "{name}"',
        "23514": f'Value violates check constraint "{name}"',
        "23502": f'Null value in column "{column}"',
        "23P01": f'Value violates exclusion constraint "{name}"',
        "22001": f"Value too long for {known.sql_type}" if known else "",
        "22003": f"Value out of range for {known.sql_type}" if known else "",
    }.get(state or "", "")
    primary = error.diag.message_primary or str(error).splitlines()[0]
    return told or primary[:1].upper() + primary[1:]
