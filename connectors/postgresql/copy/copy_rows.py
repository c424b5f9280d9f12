"""Copies a frame into a table, and classifies the errors: bad row, transient, or fatal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.postgresql.copy.server_cast import cast_on_server, copy_and_cast, copy_binary
from headrace.connectors.postgresql.copy.type_messages import misfit_error, redact_values
from headrace.connectors.postgresql.tables.describe import Column, Table

_TRANSIENT_CLASSES = ("08", "53")
_TRANSIENT_STATES = ("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P04", "57P05")
_OF_ROWS = ("22", "23", "27", "44", "54", "P0")
_LINE = re.compile(r"^COPY .*?, line (\d+)", re.MULTILINE)
_COLUMN = re.compile(r"^COPY .*?, line \d+, column ([^:\n]+)", re.MULTILINE)


def copy_rows(
    connection: psycopg.Connection[Any], table: sql.Composable, frame: pl.DataFrame, columns: Sequence[Column]
) -> int:
    """Copies the columns of a converted frame in the caller's transaction. Returns the number of rows that the server
    counted, without those that a trigger kept out."""
    if frame.is_empty():
        return 0
    by_text = any(cast_on_server(column, frame.schema[column.name]) for column in columns)
    return (copy_and_cast if by_text else copy_binary)(connection, table, frame, columns)


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may succeed later: lost connection, deadlock, full or restarting server. What a
    trigger raises is about its row, whichever SQLSTATE it takes."""
    if not isinstance(error, psycopg.Error) or _is_raised(error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES


def is_data_error(error: BaseException) -> bool:
    """Whether a row is to blame: its values (SQLSTATE classes 22, 23, 27, 44), its size (54: too large for an index, a
    page or the stack), or a trigger, which may raise any SQLSTATE."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None or is_transient(error):
        return False
    return _is_raised(error) or error.sqlstate[:2] in _OF_ROWS


def _is_raised(error: psycopg.Error) -> bool:
    return " at RAISE" in (error.diag.context or "")


def failing_line(error: psycopg.Error) -> int | None:
    """The row of the COPY (from 0) that the server names, if any."""
    match = _LINE.search(error.diag.context or "")
    return int(match[1]) - 1 if match else None


def failing_column(error: psycopg.Error, table: Table) -> str | None:
    """The column that the server names, or the only column of the constraint."""
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


def row_error_message(error: psycopg.Error, table: Table) -> str:
    """The message about a rejected row; it never contains a value."""
    name, column, state = error.diag.constraint_name, failing_column(error, table), error.sqlstate
    known = table.column(column) if column else None
    message = {
        "23505": f'Duplicate value violates unique constraint "{name}"',
        "23503": f'No matching row for foreign key "{name}"',
        "23514": f'Value violates check constraint "{name}"' if name else "",  # no name: no partition accepts the row
        "23502": f'Null value in column "{column}"',
        "23P01": f'Value violates exclusion constraint "{name}"',
    }.get(state or "", "")
    if state == "23503" and error.diag.table_name != table.name:  # another table refers to a row that is deleted
        message = f'Still referred to by foreign key "{name}"'
    primary = error.diag.message_primary or str(error).splitlines()[0]
    if (state or "").startswith("22"):
        message = misfit_error(known, state) if known else ""
        primary = redact_values(primary)
    return message or primary[:1].upper() + primary[1:]
