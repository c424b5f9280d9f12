"""incremental_watermark: only rows above the greatest value of `watermarkColumn` that this pipeline has loaded so far.

Rows that are not above it are left out as early as they can be, and counted as skipped. What is staged is judged again
when it is published, under a lock on the mark: so a run that failed may be retried or followed by a new one, and each
row comes in once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from connectors.base import PartitionLoader, PublishCallback, Published, Resume
from connectors.postgresql.loader import CopyLoader, LoadPlace
from connectors.postgresql.publish import publish_once
from connectors.postgresql.refusals import move_what_fits
from connectors.postgresql.sifted import Sifted
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.staging import Staging
from connectors.postgresql.tables import STAGED_PARTITION, STAGED_ROW, describe_table
from connectors.postgresql.target import copy_statement, prepared_target
from connectors.postgresql.watermarks import watermark_of


class IncrementalWatermark:
    """See LoadMode."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._staging = Staging(spec, spec.root_run_id)
        self._keep: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame

    def preview(self) -> str:
        """See LoadMode."""
        column = sql.Identifier(self._spec.watermark_column or "").as_string()
        fill = self._staging.filling(self._staging.identifier).as_string()
        above = f"WHERE {column} > (the mark in _headrace.watermarks)"
        staged = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        moved = f"-- the mark becomes the greatest {column} of these rows"
        return f"{staged}\nBEGIN;\n{fill} {above};\n{moved}\nCOMMIT;"

    def begin(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec) as (connection, table):
            watermark = watermark_of(self._spec, table)
            self._staging.create(connection, table)
            # A row without a value is neither above the mark nor below it.
            required = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL")
            connection.execute(required.format(self._staging.identifier, sql.Identifier(watermark.column.name)))
            mark = watermark.begin(connection)
            if not self._replays:
                self._keep = watermark.keeping(connection, mark)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        copies = CopyLoader(self._spec, LoadPlace(stage, partition, source_node), self._staging.destination)
        return Sifted(copies, told=self._told, keep=self._keep)

    def publications(self) -> int:
        """Rows and mark move at once."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """See LoadMode."""
        return publish_once(self._spec, self._staging.publication(stage, index), self._move, on_publish)

    def finish(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec) as (connection, _):
            self._staging.drop(connection)

    @property
    def _replays(self) -> bool:
        """Rows that failed are run again: they come in wherever the mark is now, because it did not wait for them."""
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
        moved = move_what_fits(
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
        return Published(moved.rows, skipped, moved.rejects, settled, self._note(mark, reached))

    def _note(self, before: str | None, reached: str | None) -> str:
        column = self._spec.watermark_column
        if reached is None:
            return f"the watermark of {column} stays at {before or 'nothing'}"
        return f"the watermark of {column} moved from {before or 'nothing'} to {reached}"

    def _told(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """Says why a row without a watermark is refused, where the table itself would take it."""
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
