"""incremental_watermark: only rows above the greatest value of `watermarkColumn` that this pipeline has loaded so far.

Other rows are filtered out as early as possible and count as skipped. Staged rows are checked again on publication,
under a lock on the watermark: so a failed run may be retried or followed by a new one, and each row is loaded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.postgresql.copy.rejected_rows import move_accepted_rows
from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.ledger.watermarks import watermark_of
from headrace.connectors.postgresql.load.filtering_loader import FilteringLoader
from headrace.connectors.postgresql.load.loader import CopyLoader, PartitionRef
from headrace.connectors.postgresql.load.prepare import copy_statement, prepare_target
from headrace.connectors.postgresql.load.publication import publish_once
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.load.staging import Staging
from headrace.connectors.postgresql.tables.describe import STAGED_PARTITION, STAGED_ROW, describe_table
from headrace.connectors.target import PartitionLoader, PublishCallback, Published, Resume


class IncrementalWatermark:
    """Stages rows above the watermark and appends them."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True
    beside: ClassVar[int] = 0

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._staging = Staging(spec, spec.load_key)
        self._keep: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame

    def preview(self) -> str:
        column = sql.Identifier(self._spec.watermark_column or "").as_string()
        fill = self._staging.filling(self._staging.identifier).as_string()
        above = f"WHERE {column} > (the mark in _headrace.watermarks)"
        staged = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        moved = f"-- the mark becomes the greatest {column} of these rows"
        return f"{staged}\nBEGIN;\n{fill} {above};\n{moved}\nCOMMIT;"

    def begin(self) -> None:
        with prepare_target(self._spec) as (connection, table):
            watermark = watermark_of(self._spec, table)
            self._staging.create(connection, table)
            # A row without a value is neither above nor below the watermark.
            required = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL")
            connection.execute(required.format(self._staging.identifier, sql.Identifier(watermark.column.name)))
            mark = watermark.begin(connection)
            if not self._replays:
                self._keep = watermark.keeping(connection, mark)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        copies = CopyLoader(self._spec, PartitionRef(stage, partition, source_node), self._staging.destination)
        return FilteringLoader(copies, rewrite_rejects=self._rewrite_rejects, keep=self._keep)

    def publications(self) -> int:
        """1: rows and watermark move in one transaction."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        key = self._staging.publication(stage, index)
        return publish_once(self._spec, key, self._move, on_publish, publications=1)

    def finish(self) -> None:
        with prepare_target(self._spec) as (connection, _):
            self._staging.drop(connection)

    @property
    def again(self) -> ReloadEffect:
        """`never` for a normal load, because the watermark is already past the published rows; a replay ignores it."""
        return "empty" if self._replays else "never"

    @property
    def _replays(self) -> bool:
        """In a replay failed rows are loaded regardless of the watermark, because it moved on without them."""
        return self._spec.origin_run_id is not None

    def _move(self, connection: psycopg.Connection[Any]) -> Published:
        table = describe_table(connection, self._spec.table)
        watermark = watermark_of(self._spec, table)
        mark = watermark.lock(connection)
        wanted = sql.SQL("true") if self._replays else watermark.above(mark)
        staged = self._staging.identifier
        count = sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {}").format(wanted, staged)
        row = connection.execute(count).fetchone()
        assert row is not None
        moved = move_accepted_rows(
            connection,
            table,
            sql.SQL("SELECT * FROM {} WHERE {}").format(staged, wanted),
            self._spec.columns,
            lambda rows: connection.execute(self._staging.filling(rows)).rowcount,
        )
        refused = moved.rejects.select("partition", "row").unique()
        taken = sql.SQL("({}) AND {}").format(wanted, _none_of(refused))
        reached = watermark.greatest(connection, staged, sql.SQL("{} AND {}").format(taken, watermark.above(mark)))
        if reached is not None:
            watermark.move(connection, reached)
        settled: Sequence[int] = ()
        if self._replays:
            query = sql.SQL("SELECT {} FROM {} WHERE {}").format(sql.Identifier(STAGED_ROW), staged, taken)
            settled = [number for (number,) in connection.execute(query)]
        skipped = int(row[0]) - moved.rows - refused.height
        kept_out = int(row[1]) - moved.rows - refused.height
        note = self._note(mark, reached)
        return Published(moved.rows, skipped, moved.rejects, settled, note, kept_out)

    def _note(self, before: str | None, reached: str | None) -> str:
        column = self._spec.watermark_column
        if reached is None:
            return f"the watermark of {column} stays at {before or 'nothing'}"
        return f"the watermark of {column} moved from {before or 'nothing'} to {reached}"

    def _rewrite_rejects(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """Explains why a row without a watermark is rejected even if the table would accept it."""
        missing = (pl.col("rule") == "not_null") & (pl.col("column") == self._spec.watermark_column)
        says = pl.lit(f"'{self._spec.watermark_column}' must have a value: it is the watermark column")
        return rejects.with_columns(
            error=pl.when(missing).then(says).otherwise(pl.col("error")),
            rule=pl.when(missing).then(pl.lit("watermark")).otherwise(pl.col("rule")),
        )


def _none_of(rows: pl.DataFrame) -> sql.Composable:
    if rows.is_empty():
        return sql.SQL("true")
    return sql.SQL("({}, {}) NOT IN (SELECT * FROM unnest({}::integer[], {}::bigint[]))").format(
        sql.Identifier(STAGED_PARTITION),
        sql.Identifier(STAGED_ROW),
        sql.Literal(rows.get_column("partition").to_list()),
        sql.Literal(rows.get_column("row").to_list()),
    )
