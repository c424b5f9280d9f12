"""One copy of a frame into a table, and what an error of it means: mend, wait or give up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from connectors.postgresql.binary import copy_binary
from connectors.postgresql.server_cast import cast_on_server, copy_and_cast
from connectors.postgresql.tables import Column, Table
from connectors.postgresql.wording import unfit, without_values

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
    by_text = any(cast_on_server(column, frame.schema[column.name]) for column in columns)
    (copy_and_cast if by_text else copy_binary)(connection, table, frame, columns)


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
    """What a person reads about a refused row; never a value of it."""
    name, column, state = error.diag.constraint_name, failing_column(error, table), error.sqlstate
    known = table.column(column) if column else None
    told = {
        "23505": f'Duplicate value violates unique constraint "{name}"',
        "23503": f'No matching row for foreign key "{name}"',
        "23514": f'Value violates check constraint "{name}"' if name else "",  # none: no partition takes the row
        "23502": f'Null value in column "{column}"',
        "23P01": f'Value violates exclusion constraint "{name}"',
    }.get(state or "", "")
    if state == "23503" and error.diag.table_name != table.name:  # a row went that another table refers to
        told = f'Still referred to by foreign key "{name}"'
    primary = error.diag.message_primary or str(error).splitlines()[0]
    if (state or "").startswith("22"):
        told = unfit(known, state) if known else ""
        primary = without_values(primary)
    return told or primary[:1].upper() + primary[1:]
