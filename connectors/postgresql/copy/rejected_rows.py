"""Loads the accepted rows of a batch that the database rejects, and finds the rejected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.casting.columns import MAX_VALUE
from headrace.connectors.postgresql.copy.constraint_checks import Candidates, Violation, delete_violations
from headrace.connectors.postgresql.copy.copy_rows import (
    copy_rows,
    failing_column,
    failing_line,
    is_data_error,
    row_error_message,
)
from headrace.connectors.postgresql.copy.precheck import reject_nul
from headrace.connectors.postgresql.copy.server_cast import unreadable_cells
from headrace.connectors.postgresql.tables.describe import STAGED_PARTITION, STAGED_ROW, Column, Table
from headrace.connectors.source import REJECT_SCHEMA, ROW, no_rejects

_STAGE = sql.Identifier("pg_temp", "_headrace_refused")
_ROW_COLUMN = Column(ROW, "int8", "bigint", nullable=False)
_POSITION = sql.Identifier("_headrace_position")
_FIRST_ATTEMPT = 64


def copy_accepted_rows(
    connection: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, columns: Sequence[Column]
) -> tuple[pl.DataFrame, int]:
    """Copies the good rows of the frame (converted, with ROW) inside the open transaction. Returns the rejects, and the
    number of rows that the server counted."""
    frame, unstorable = reject_nul(frame, columns)
    frame, misread = unreadable_cells(connection, frame, columns)
    rejects = _offenders(connection, table, frame, columns)
    if rejects.height:
        frame = frame.join(rejects.select(pl.col("row").alias(ROW)).unique(), on=ROW, how="anti", maintain_order="left")
    found: list[pl.DataFrame] = [unstorable, misread, rejects]
    counted = 0

    def attempt(start: int, count: int) -> None:
        nonlocal counted
        counted += copy_rows(connection, table.identifier, frame.slice(start, count), columns)

    def refused(position: int, error: psycopg.Error) -> None:
        found.append(_refused(frame.slice(position, 1), error, table))

    _narrow(connection, frame.height, attempt, refused)
    return pl.concat(found).sort("row", maintain_order=True), counted


Move = Callable[[sql.Composable], int]
"""Moves rows into the target inside the open transaction and returns how many. Its argument is a FROM item, `(SELECT
...) AS s`, with the columns of the staging table. It may be called several times, with different rows."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The number of rows the target accepted, as counted by `Move`, and the rejected cells (REJECT_SCHEMA and
    `partition`). `kept_out` are the rows that triggers kept out, where these are counted."""

    rows: int
    rejects: pl.DataFrame
    kept_out: int = 0

    @property
    def refused(self) -> int:
        """The number of rejected rows."""
        return self.rejects.select("partition", "row").n_unique() if self.rejects.height else 0


def move_accepted_rows(
    connection: psycopg.Connection[Any],
    table: Table,
    staged: sql.Composable,
    columns: Sequence[str],
    move: Move,
    *,
    key: Sequence[str] = (),
    deletes: sql.Composable | None = None,
) -> Moved:
    """Moves the rows of the query `staged` (SELECT over a staging table, with all its columns) inside the open
    transaction. If the target rejects them, moves all rows but the rejected ones, in the order of their row numbers.

    `columns` are those of the data. Target rows with the same `key` are replaced by `move`, so they are no conflict (no
    key: `move` only inserts). Rows `t` for which `deletes` holds have only a key.
    """
    try:
        with connection.transaction():
            return Moved(move(sql.SQL("({}) AS s").format(staged)), no_partition_rejects())
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
    make = sql.SQL(
        "CREATE TEMP TABLE _headrace_refused AS SELECT q.*, row_number() OVER (ORDER BY q.{}) AS {} FROM ({}) AS q"
    )
    total = connection.execute(make.format(sql.Identifier(STAGED_ROW), _POSITION, staged)).rowcount
    connection.execute(sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(_STAGE, _POSITION))
    connection.execute(sql.SQL("ANALYZE {}").format(_STAGE))
    candidates = Candidates(table, _STAGE, STAGED_ROW, tuple(columns), tuple(key), STAGED_PARTITION, deletes)
    found: list[pl.DataFrame] = [no_partition_rejects()]
    try:
        with connection.transaction():
            found.append(_partition_rejects(delete_violations(connection, candidates)))
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
    moved = 0

    def attempt(start: int, count: int) -> None:
        nonlocal moved
        rows = sql.SQL("(SELECT * FROM {} WHERE {} > {} AND {} <= {}) AS s")
        moved += move(rows.format(_STAGE, _POSITION, start, _POSITION, start + count))

    refused: dict[int, psycopg.Error] = {}
    _narrow(connection, total, attempt, refused.__setitem__)
    before = 0
    while refused and moved > before:  # a conflicting row may have been moved or replaced since
        before = moved
        refused = {position: still for position in refused if (still := _retry_row(connection, attempt, position))}
    found += [_partition_reject(connection, position + 1, error, table) for position, error in refused.items()]
    connection.execute(sql.SQL("DROP TABLE {}").format(_STAGE))
    return Moved(moved, pl.concat(found).sort("row", maintain_order=True))


def no_partition_rejects() -> pl.DataFrame:
    """An empty frame of rejected cells with the column `partition`."""
    return no_rejects().with_columns(partition=pl.lit(0, pl.Int32))


def _partition_rejects(offences: Sequence[Violation]) -> pl.DataFrame:
    places = pl.Series("partition", [offence.place for offence in offences], dtype=pl.Int32)
    return _rejects_of(offences).with_columns(places)


def _partition_reject(
    connection: psycopg.Connection[Any], position: int, error: psycopg.Error, table: Table
) -> pl.DataFrame:
    """The reject of the row at `position` (from 1) of the temporary table."""
    name = failing_column(error, table)
    if name is not None and table.column(name) is None:  # the error of a trigger about another table
        name = None
    shown = sql.SQL("{}::text").format(sql.Identifier(name)) if name is not None else sql.SQL("NULL")
    query = sql.SQL("SELECT {}, {}, {} FROM {} WHERE {} = {}").format(
        sql.Identifier(STAGED_ROW), sql.Identifier(STAGED_PARTITION), shown, _STAGE, _POSITION, position
    )
    found = connection.execute(query).fetchone()
    assert found is not None
    row, partition, value = found
    return _reject(row, name, value, error, table).with_columns(partition=pl.lit(partition, pl.Int32))


def _offenders(
    connection: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, columns: Sequence[Column]
) -> pl.DataFrame:
    """Rejects of rows that violate a constraint: checks first, then foreign keys, then unique keys, where the first of
    equal keys stays."""
    try:
        with connection.transaction():
            make = sql.SQL("CREATE TEMP TABLE _headrace_refused (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED)")
            connection.execute(make.format(table.identifier))
            for column in table.columns:
                if not column.nullable and not column.generated:
                    drop = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL")
                    connection.execute(drop.format(_STAGE, sql.Identifier(column.name)))
            connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} bigint").format(_STAGE, sql.Identifier(ROW)))
            copy_rows(connection, _STAGE, frame, [*columns, _ROW_COLUMN])
            connection.execute(sql.SQL("ANALYZE {}").format(_STAGE))
            filled = tuple(column.name for column in table.columns)
            found = delete_violations(connection, Candidates(table, _STAGE, ROW, filled))
            connection.execute(sql.SQL("DROP TABLE {}").format(_STAGE))
    except psycopg.Error as error:
        if not (is_data_error(error) or error.sqlstate in ("42501", "0A000")):
            raise
        return no_rejects()  # the temporary table rejects the batch too, or may not be created
    return _rejects_of(found)


def _rejects_of(offences: Sequence[Violation]) -> pl.DataFrame:
    cells = [(each.row, each.column, each.value, each.broken.message, each.broken.name) for each in offences]
    return pl.DataFrame(cells, schema=REJECT_SCHEMA, orient="row")


def _narrow(
    connection: psycopg.Connection[Any],
    total: int,
    attempt: Callable[[int, int], None],
    refused: Callable[[int, psycopg.Error], None],
) -> None:
    """Calls `attempt(start, count)` under savepoints, for all rows first, then for parts that shrink and grow again.
    Calls `refused(position, error)` for every row that is rejected on its own."""
    done, size, streak = 0, max(1, total), 0
    while done < total:
        size = min(size, total - done)
        try:
            with connection.transaction():
                attempt(done, size)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            line = failing_line(error)
            if size == 1:
                refused(done, error)
                done, streak = done + 1, streak + 1
                # When bad rows follow each other, trying many rows at once only costs time.
                size = 1 if streak > 1 else _FIRST_ATTEMPT
            elif line is not None and line < size:
                size = line or 1  # the rows before the line are good; then try the line alone
            else:
                size = size // 2
        else:
            done += size
            size, streak = (max(_FIRST_ATTEMPT, size * 2) if size > 1 else _FIRST_ATTEMPT), 0


def _retry_row(
    connection: psycopg.Connection[Any], attempt: Callable[[int, int], None], position: int
) -> psycopg.Error | None:
    """Tries one row again; returns the error if it is still rejected."""
    try:
        with connection.transaction():
            attempt(position, 1)
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
        return error
    return None


def _refused(part: pl.DataFrame, error: psycopg.Error, table: Table) -> pl.DataFrame:
    name = failing_column(error, table)
    values = part.get_column(name) if name in part.columns and name is not None else None
    shown = None
    if values is not None and values.null_count() == 0 and values.dtype != pl.Binary:
        shown = _shown(values)
    return _reject(part.get_column(ROW)[0], name, shown, error, table)


def _shown(values: pl.Series) -> str:
    """The first value for people. Python has no dates before the year 1 and after 9999."""
    try:
        return str(values[0])
    except (ValueError, OverflowError):
        return str(values.cast(pl.String)[0])
    except pl.exceptions.PanicException:  # polars cannot write it either
        return str(values.to_physical()[0])


def _reject(row: int, column: str | None, value: str | None, error: psycopg.Error, table: Table) -> pl.DataFrame:
    rule = error.diag.constraint_name or error.sqlstate
    shown = None if value is None else value[:MAX_VALUE]
    return pl.DataFrame(
        [(row, column, shown, row_error_message(error, table), rule)], schema=REJECT_SCHEMA, orient="row"
    )
