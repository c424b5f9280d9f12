"""Loads one partition batch by batch: rows and ledger in one transaction, tried again when the server fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl
import psycopg

from connectors.base import ROW, CommitCallback, Quarantined, Resume, TargetError, Written, no_rejects
from connectors.postgresql.copy import copy_rows, is_data_error, is_transient
from connectors.postgresql.encode import encoding_for
from connectors.postgresql.ledger import LedgerKey, mark_replayed, move_ledger, read_ledger, register_load
from connectors.postgresql.precheck import precheck
from connectors.postgresql.quarantine import keep_rows, release_rows
from connectors.postgresql.refusals import load_what_fits
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.tables import LOAD_ID, Column, Table, check_columns, describe_table, first_line

T = TypeVar("T")

_LOAD_ID_COLUMN = Column(LOAD_ID, "int8", "bigint", nullable=True)


@dataclass(frozen=True, slots=True)
class LoadPlace:
    """Which partition of which stage, and the source its rows come from."""

    stage: int
    partition: int
    source_node: str


class AppendLoader:
    """A `PartitionLoader` that copies straight into the target table."""

    def __init__(self, spec: LoadSpec, place: LoadPlace, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.resume = Resume()
        self._spec = spec
        self._place = place
        self._key = LedgerKey(spec.root_run_id, spec.target_node, place.stage, place.partition)
        self._sleep = sleep
        self._connection: psycopg.Connection[Any] | None = None
        self._table: Table | None = None
        self._load_id = 0

    def __enter__(self) -> AppendLoader:
        try:
            self._persistently(self._open)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """See PartitionLoader."""
        before = self.resume
        state = _Attempt()

        def load() -> Written:
            connection = self._connected()
            if state.arrived(lambda: self._stands(connection)):
                return self._settle(state)
            try:
                return self._load(connection, frame, before, on_commit, state, quarantined)
            except _Overtaken:
                # Our own lost commit may have arrived only now; otherwise somebody else loads this partition.
                if state.arrived(lambda: self._stands(connection)):
                    return self._settle(state)
                raise TargetError(
                    "ledger_moved",
                    f"Partition {self._place.partition + 1} of this run is being loaded by somebody else.",
                    "Another worker took it over; this one stops.",
                ) from None

        return self._persistently(load)

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
        columns = [column for column in (table.column(name) for name in self._spec.columns) if column is not None]
        for column in columns:
            encoding_for(column, frame.schema[column.name])
        good, rejects = precheck(frame, columns)
        good = good.with_columns(pl.lit(self._load_id, dtype=pl.Int64).alias(LOAD_ID))
        try:
            with connection.transaction():
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                refused = self._copy(connection, table, good, [*columns, _LOAD_ID_COLUMN])
                if refused.height:
                    rejects = pl.concat([rejects, refused]).sort("row", maintain_order=True)
                loaded = good.height - refused.get_column("row").n_unique()
                written = Written(loaded, rejects)
                after = on_commit(written)
                keep_rows(
                    connection, self._spec.origin_run_id or self._spec.root_run_id, self._spec.run_id, quarantined
                )
                if self._spec.origin_run_id is not None:
                    loaded_rows = good.filter(~pl.col(ROW).is_in(refused.get_column("row").implode()))
                    self._settle_replayed(connection, self._spec.origin_run_id, loaded_rows.get_column(ROW))
                if not move_ledger(connection, self._key, before, after):
                    raise _Overtaken
                state.sent = (after, written)
        except psycopg.Error as error:
            if not is_transient(error):
                state.sent = None
            raise
        return self._settle(state)

    def _settle_replayed(self, connection: psycopg.Connection[Any], origin: str, rows: pl.Series) -> None:
        """Failed rows that are loaded now: noted, so that no other replay loads them, and out of quarantine."""
        spec = self._spec
        if not mark_replayed(connection, origin, spec.target_node, spec.run_id, rows.to_list()):
            raise TargetError(
                "replayed_elsewhere",
                "Another run has loaded some of these failed rows in the meantime.",
                "Retry again: what is left is looked up anew.",
            )
        release_rows(connection, origin, spec.quarantine_tables, rows)

    def _settle(self, state: _Attempt) -> Written:
        assert state.sent is not None
        self.resume, written = state.sent
        return written

    def _stands(self, connection: psycopg.Connection[Any]) -> Resume:
        stands = read_ledger(connection, self._key)
        connection.commit()
        return stands

    def _copy(
        self, connection: psycopg.Connection[Any], table: Table, good: pl.DataFrame, columns: list[Column]
    ) -> pl.DataFrame:
        try:
            with connection.transaction():
                copy_rows(connection, table.identifier, good, columns)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            return load_what_fits(connection, table, good, columns)
        return no_rejects()

    def _open(self) -> None:
        connection = self._connected()
        self._table = describe_table(connection, self._spec.table)
        check_columns(self._table, self._spec.columns)
        self._load_id = register_load(
            connection,
            self._key,
            run_id=self._spec.run_id,
            pipeline_id=self._spec.pipeline_id,
            ir_version=self._spec.ir_version,
            source_node=self._place.source_node,
            table=self._table.qualified,
        )
        self.resume = read_ledger(connection, self._key)
        connection.commit()

    def _described(self) -> Table:
        if self._table is None:
            raise RuntimeError("the loader is used outside its context")
        return self._table

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed or self._connection.broken:
            # Prepared statements would outlive changes of the table, and are of no use to COPY.
            self._connection = psycopg.connect(self._spec.database_url, prepare_threshold=None, connect_timeout=10)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _persistently(self, action: Callable[[], T]) -> T:
        """Does it again after transient errors, with growing pauses; raises TargetError when it cannot go on."""
        retry = self._spec.retry
        for attempt in range(1, retry.attempts + 1):
            try:
                return action()
            except psycopg.Error as error:
                if not is_transient(error):
                    self._close()
                    code = "refused" if error.sqlstate and error.sqlstate[:2] != "42" else "not_permitted"
                    raise TargetError(
                        code, f"The database refused the load into {self._spec.table}: {first_line(error)}"
                    ) from error
                self._close()
                if attempt == retry.attempts:
                    raise TargetError(
                        "database_unavailable",
                        f"The target database failed {attempt} times in a row, last with: {first_line(error)}",
                        "What is committed is kept; a retry continues behind it.",
                    ) from error
                self._sleep(retry.pause(attempt) * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries apart
        raise AssertionError("attempts is at least 1")


class _Overtaken(Exception):
    """The ledger row does not stand where this loader left it."""


@dataclass(slots=True)
class _Attempt:
    """The commit that was sent last: when the connection broke then, only the ledger knows whether it arrived."""

    sent: tuple[Resume, Written] | None = None

    def arrived(self, stands: Callable[[], Resume]) -> bool:
        """A commit was sent and the ledger has it."""
        return self.sent is not None and stands().rows_done == self.sent[0].rows_done
