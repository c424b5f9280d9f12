"""Loads one partition batch by batch: rows and ledger row in one transaction, with retries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl
import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.copy_rows import copy_rows, is_data_error, is_transient, row_error_message
from headrace.connectors.postgresql.copy.encode import check_dtype
from headrace.connectors.postgresql.copy.kept_out import passes_rows_on
from headrace.connectors.postgresql.copy.passed import check_types, copy_passed
from headrace.connectors.postgresql.copy.precheck import precheck
from headrace.connectors.postgresql.copy.rejected_rows import copy_accepted_rows
from headrace.connectors.postgresql.cursors import move_cursor
from headrace.connectors.postgresql.ledger.partitions import (
    Ledger,
    LedgerKey,
    advance_ledger,
    read_ledger,
    register_load,
)
from headrace.connectors.postgresql.ledger.replayed import mark_replayed
from headrace.connectors.postgresql.load.session import SessionLoader
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.tables.describe import (
    LOAD_ID,
    STAGED_OP,
    STAGED_PARTITION,
    STAGED_ROW,
    TRUNCATE,
    Column,
    Table,
    check_columns,
    describe_table,
)
from headrace.connectors.postgresql.tables.quarantine import keep_rows, release_rows
from headrace.connectors.source import PASSED, ROW, NotPassed, no_rejects
from headrace.connectors.target import CommitCallback, Quarantined, Resume, Written

_LOAD_ID_COLUMN = Column(LOAD_ID, "int8", "bigint", nullable=True)
_STAGED_COLUMNS = [
    Column(STAGED_ROW, "int8", "bigint", nullable=True),
    Column(STAGED_PARTITION, "int4", "integer", nullable=True),
]


@dataclass(frozen=True, slots=True)
class PartitionRef:
    """Which partition of which stage, and the source its rows come from."""

    stage: int
    partition: int
    source_node: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Which table the rows are copied into (`schema.table`), and which ledger counts them under which id.

    `held` rows are not in the target's own table before they are published. A `staged` table carries STAGED_ROW and
    STAGED_PARTITION besides the columns of the data, and the `extras` that the frame has. A row without a value in a
    column of `key` is refused.
    """

    table: str
    load_key: str
    ledger: Ledger = "ledger"
    held: bool = False
    staged: bool = False
    key: tuple[str, ...] = ()
    extras: tuple[Column, ...] = ()


class CopyLoader(SessionLoader):
    """A `PartitionLoader` that copies into the target's table, or into a staging table for it."""

    def __init__(
        self,
        spec: LoadSpec,
        place: PartitionRef,
        destination: Destination,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(spec, sleep=sleep)
        self._place, self._destination = place, destination
        self._key = LedgerKey(destination.load_key, spec.target_node, place.stage, place.partition, destination.ledger)
        self._table: Table | None = None
        self._load_id = 0

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        before = self.resume
        state = _Attempt()

        def load() -> Written:
            connection = self._session.connection()
            if state.arrived(lambda: self._committed(connection)):
                return self._settle(state)
            try:
                return self._load(connection, frame, before, on_commit, state, quarantined)
            except _LedgerMoved:
                # Our own lost commit may have arrived only now; otherwise another process loads this partition.
                if state.arrived(lambda: self._committed(connection)):
                    return self._settle(state)
                if before.version and self._committed(connection).version == 0:
                    raise TargetError(
                        "database_unavailable",
                        f"PostgreSQL crashed, and what partition {self._place.partition + 1} had staged is gone.",
                        "A retry reads it again.",
                    ) from None
                raise TargetError(
                    "ledger_moved",
                    f"Partition {self._place.partition + 1} of this run is being loaded by another process.",
                    "Another worker took it over; this one stops.",
                ) from None

        return self._session.with_retries(load)

    def _load(
        self,
        connection: psycopg.Connection[Any],
        frame: pl.DataFrame,
        before: Resume,
        on_commit: CommitCallback,
        state: _Attempt,
        quarantined: Sequence[Quarantined],
    ) -> Written:
        table = self._described()
        if PASSED in frame.columns:
            return self._transact(
                connection, frame, no_rejects(), before, on_commit, state, quarantined, partial(self._pass, table)
            )
        columns = [column for column in (table.column(name) for name in self._spec.columns) if column is not None]
        for column in columns:
            check_dtype(column, frame.schema[column.name])
        columns += self._destination.extras
        keyless = frame.get_column(STAGED_OP) == TRUNCATE if STAGED_OP in frame.columns else None
        good, rejects = precheck(frame, columns, self._destination.key, keyless)
        good = good.with_columns(pl.lit(self._load_id, dtype=pl.Int64).alias(LOAD_ID))
        columns = [*columns, _LOAD_ID_COLUMN]
        if self._destination.staged:
            partition = pl.lit(self._place.partition, dtype=pl.Int32).alias(STAGED_PARTITION)
            good = good.with_columns(pl.col(ROW).alias(STAGED_ROW), partition)
            columns += _STAGED_COLUMNS
        return self._transact(
            connection,
            good,
            rejects,
            before,
            on_commit,
            state,
            quarantined,
            lambda connection, good: self._copy(connection, table, good, columns),
        )

    def _transact(
        self,
        connection: psycopg.Connection[Any],
        good: pl.DataFrame,
        rejects: pl.DataFrame,
        before: Resume,
        on_commit: CommitCallback,
        state: _Attempt,
        quarantined: Sequence[Quarantined],
        copy: Callable[[psycopg.Connection[Any], pl.DataFrame], tuple[pl.DataFrame, int]],
    ) -> Written:
        """Commits the good rows with the ledger row; `copy` returns those that the database refuses, and the
        number of rows that the server counted."""
        try:
            with connection.transaction():
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                refused, counted = copy(connection, good)
                if refused.height:
                    rejects = pl.concat([rejects, refused]).sort("row", maintain_order=True)
                held = self._destination.held
                missing = good.height - refused.get_column("row").n_unique() - counted
                if missing and passes_rows_on(connection, self._described()):
                    written = Written(counted + missing, rejects, passed_on=missing)
                else:
                    taken = (0, counted) if held else (counted, 0)
                    written = Written(taken[0], rejects, taken[1], skipped=missing, kept_out=missing)
                after = replace(on_commit(written), version=before.version + 1)
                keep_rows(
                    connection, self._spec.origin_run_id or self._spec.root_run_id, self._spec.run_id, quarantined
                )
                if self._spec.origin_run_id is not None and not held:
                    loaded_rows = good.filter(~pl.col(ROW).is_in(refused.get_column("row").implode()))
                    release_replayed(connection, self._spec, loaded_rows.get_column(ROW))
                if not advance_ledger(connection, self._key, before, after):
                    raise _LedgerMoved
                cursor = self._spec.cursor_of(self._place.stage, self._place.partition)
                if not held and cursor is not None:
                    move_cursor(connection, cursor, after.position, self._spec.run_id)
                state.sent = (after, written)
        except psycopg.Error as error:
            if not is_transient(error):
                state.sent = None
            raise
        return self._settle(state)

    def _settle(self, state: _Attempt) -> Written:
        assert state.sent is not None
        self.resume, written = state.sent
        return written

    def _committed(self, connection: psycopg.Connection[Any]) -> Resume:
        committed = read_ledger(connection, self._key)
        connection.commit()
        return committed

    def _copy(
        self, connection: psycopg.Connection[Any], table: Table, good: pl.DataFrame, columns: list[Column]
    ) -> tuple[pl.DataFrame, int]:
        """The rejects, and the number of rows that the server counted."""
        try:
            with connection.transaction():
                return no_rejects(), copy_rows(connection, table.identifier, good, columns)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            return copy_accepted_rows(connection, table, good, columns)

    def _pass(self, table: Table, connection: psycopg.Connection[Any], good: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """The same for rows that are passed on. Raises NotPassed where the database refuses a row: which, and why, is
        found with values that are read."""
        check_types(table, self._spec.passed)
        for name in self._destination.key:
            if (column := table.column(name)) is None or column.nullable:
                raise NotPassed(f"'{name}' of the key may be null, and rows without it are refused")
        partition = self._place.partition if self._destination.staged else None
        try:
            with connection.transaction():
                if good.height:
                    copy_passed(connection, table.identifier, good, [*self._spec.passed], self._load_id, partition)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            raise NotPassed(f"PostgreSQL refused a row: {row_error_message(error, table)}") from None
        return no_rejects(), good.height

    def _open(self) -> None:
        connection = self._session.connection()
        self._table = describe_table(connection, self._destination.table)
        if not self._destination.staged:
            check_columns(self._table, self._spec.columns)
        self._load_id = register_load(
            connection,
            LedgerKey(self._spec.root_run_id, self._spec.target_node, self._place.stage, self._place.partition),
            run_id=self._spec.run_id,
            pipeline_id=self._spec.pipeline_id,
            ir_version=self._spec.ir_version,
            source_node=self._place.source_node,
            table=self._spec.table,
        )
        self.resume = read_ledger(connection, self._key)
        connection.commit()

    def _described(self) -> Table:
        if self._table is None:
            raise RuntimeError("the loader is used outside its context")
        return self._table


def release_replayed(connection: psycopg.Connection[Any], spec: LoadSpec, rows: pl.Series) -> None:
    """Failed rows that are loaded now: noted, so that no other replay loads them, and out of quarantine.

    In the caller's transaction, in a replay (`spec.origin_run_id`). Raises TargetError when another replay was faster.
    """
    assert spec.origin_run_id is not None
    if not mark_replayed(connection, spec.origin_run_id, spec.target_node, spec.run_id, rows.to_list()):
        raise TargetError(
            "replayed_elsewhere",
            "Another run has loaded some of these failed rows in the meantime.",
            "Retry again: what is left is looked up again.",
        )
    release_rows(connection, spec.origin_run_id, spec.quarantine_tables, rows, but_of=spec.quarantining_elsewhere)


class _LedgerMoved(Exception):
    """The ledger row is not the one that this loader wrote."""


@dataclass(slots=True)
class _Attempt:
    """The commit that was sent last: when the connection broke then, only the ledger knows whether it arrived."""

    sent: tuple[Resume, Written] | None = None

    def arrived(self, committed: Callable[[], Resume]) -> bool:
        """A commit was sent and the ledger has it."""
        return self.sent is not None and committed().version == self.sent[0].version
