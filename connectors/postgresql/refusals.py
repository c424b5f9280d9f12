"""Loading what can be loaded of rows that the database refuses: by set where a constraint tells, row by row else.

First the rows are put into a temporary table without constraints and every check, foreign key and unique constraint
of the target is asked for its offenders at once: a batch of nothing but duplicates costs a few statements. What is
still refused is narrowed down under savepoints, led by the line the server names, else by halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from connectors.base import REJECT_SCHEMA, ROW, no_rejects
from connectors.casting import MAX_VALUE
from connectors.postgresql.constraints import Candidates, Offence, take_offenders
from connectors.postgresql.copy import copy_rows, failing_column, failing_line, is_data_error, message_for
from connectors.postgresql.precheck import without_nul
from connectors.postgresql.server_cast import unreadable
from connectors.postgresql.tables import STAGED_PARTITION, STAGED_ROW, Column, Table

_STAGE = sql.Identifier("pg_temp", "_headrace_refused")
_ROW_COLUMN = Column(ROW, "int8", "bigint", nullable=False)
_POSITION = sql.Identifier("_headrace_position")
_FIRST_ATTEMPT = 64


def load_what_fits(
    connection: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, columns: Sequence[Column]
) -> pl.DataFrame:
    """Copies the good rows of the frame (converted, with ROW) inside the open transaction; gives the rejects."""
    frame, unstorable = without_nul(frame, columns)
    frame, misread = unreadable(connection, frame, columns)
    rejects = _offenders(connection, table, frame, columns)
    if rejects.height:
        frame = frame.join(rejects.select(pl.col("row").alias(ROW)).unique(), on=ROW, how="anti", maintain_order="left")
    found: list[pl.DataFrame] = [unstorable, misread, rejects]

    def attempt(start: int, count: int) -> None:
        copy_rows(connection, table.identifier, frame.slice(start, count), columns)

    def refused(position: int, error: psycopg.Error) -> None:
        found.append(_refused(frame.slice(position, 1), error, table))

    _narrow(connection, frame.height, attempt, refused)
    return pl.concat(found).sort("row", maintain_order=True)


Move = Callable[[sql.Composable], int]
"""Moves rows into the target inside the open transaction and gives how many. The rows are what it may write behind
FROM: `(SELECT ...) AS s`, with the columns of the staging table. It may be called several times, for other rows."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows the target took, by the count of `Move`, and the cells it refused (REJECT_SCHEMA and `partition`)."""

    rows: int
    rejects: pl.DataFrame

    @property
    def refused(self) -> int:
        """How many rows it refused."""
        return self.rejects.select("partition", "row").n_unique() if self.rejects.height else 0


def move_what_fits(
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
    transaction; when the target refuses that, all but the rows it refuses, in the order of their row numbers.

    `columns` are those of the data; rows of the target with the same `key` are replaced by `move`, so they stand in
    nobody's way (none: `move` only inserts). Rows `t` for which `deletes` holds only have a key.
    """
    try:
        with connection.transaction():
            return Moved(move(sql.SQL("({}) AS s").format(staged)), no_placed_rejects())
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
    found: list[pl.DataFrame] = [no_placed_rejects()]
    try:
        with connection.transaction():
            found.append(_placed(take_offenders(connection, candidates)))
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
    while refused and moved > before:  # what stood in the way of a row may have gone since, or come
        before = moved
        refused = {position: still for position in refused if (still := _alone(connection, attempt, position))}
    found += [_placed_reject(connection, position + 1, error, table) for position, error in refused.items()]
    connection.execute(sql.SQL("DROP TABLE {}").format(_STAGE))
    return Moved(moved, pl.concat(found).sort("row", maintain_order=True))


def no_placed_rejects() -> pl.DataFrame:
    """No rejected cells, with the column `partition`."""
    return no_rejects().with_columns(partition=pl.lit(0, pl.Int32))


def _placed(offences: Sequence[Offence]) -> pl.DataFrame:
    places = pl.Series("partition", [offence.place for offence in offences], dtype=pl.Int32)
    return _told(offences).with_columns(places)


def _placed_reject(
    connection: psycopg.Connection[Any], position: int, error: psycopg.Error, table: Table
) -> pl.DataFrame:
    """The reject of the row at this position (from 1) of the temporary table."""
    name = failing_column(error, table)
    if name is not None and table.column(name) is None:  # a trigger's work on another table
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
    """Rows that break a constraint, judged in the order checks, foreign keys, unique; the first of equal keys stays."""
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
            found = take_offenders(connection, Candidates(table, _STAGE, ROW, filled))
            connection.execute(sql.SQL("DROP TABLE {}").format(_STAGE))
    except psycopg.Error as error:
        if not (is_data_error(error) or error.sqlstate in ("42501", "0A000")):
            raise
        return no_rejects()  # not even that table takes the batch, or we may not make one: narrow it down
    return _told(found)


def _told(offences: Sequence[Offence]) -> pl.DataFrame:
    cells = [(each.row, each.column, each.value, each.broken.message, each.broken.name) for each in offences]
    return pl.DataFrame(cells, schema=REJECT_SCHEMA, orient="row")


def _narrow(
    connection: psycopg.Connection[Any],
    total: int,
    attempt: Callable[[int, int], None],
    refused: Callable[[int, psycopg.Error], None],
) -> None:
    """Does `attempt(start, count)` under savepoints: for all rows, and after a refusal for parts that shrink and grow
    again. `refused(position, error)` is told every row that cannot be loaded even alone."""
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
                # Where one bad row follows the other, trying many at once only costs time.
                size = 1 if streak > 1 else _FIRST_ATTEMPT
            elif line is not None and line < size:
                size = line or 1  # what is before the line is good; then the line is alone
            else:
                size = size // 2
        else:
            done += size
            size, streak = (max(_FIRST_ATTEMPT, size * 2) if size > 1 else _FIRST_ATTEMPT), 0


def _alone(
    connection: psycopg.Connection[Any], attempt: Callable[[int, int], None], position: int
) -> psycopg.Error | None:
    """Tries one row again; why it is refused still."""
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
    if values is not None and values[0] is not None and not isinstance(values[0], bytes):
        shown = str(values[0])
    return _reject(part.get_column(ROW)[0], name, shown, error, table)


def _reject(row: int, column: str | None, value: str | None, error: psycopg.Error, table: Table) -> pl.DataFrame:
    rule = error.diag.constraint_name or error.sqlstate
    shown = None if value is None else value[:MAX_VALUE]
    return pl.DataFrame([(row, column, shown, message_for(error, table), rule)], schema=REJECT_SCHEMA, orient="row")
