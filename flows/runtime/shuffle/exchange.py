"""The exchange of rows between the stages of a run: writers, readers and the lifetime of the files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import polars as pl
import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.ledger.exchange_manifest import create_exchange_manifest, delete_sent
from headrace.connectors.postgresql.ledger.partitions import LedgerKey
from headrace.connectors.postgresql.modes import LoadSpec, RetryPolicy
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.postgresql.tables.quarantine import create_quarantine
from headrace.connectors.target import PartitionLoader
from headrace.flows.compile import Stage
from headrace.flows.compile.stages.stage import ShuffleWrite
from headrace.flows.query import QueryLimits
from headrace.flows.runtime.extracted import ExtractedInput, is_extracted
from headrace.flows.runtime.input.partition_input import PartitionInput, ReadLimits
from headrace.flows.runtime.job import Prepared
from headrace.flows.runtime.shuffle.buckets import BucketInput, ExchangedBuckets
from headrace.flows.runtime.shuffle.writer import ShuffleWriter
from headrace.flows.runtime.staging.files import StagingFiles
from headrace.flows.runtime.staging.storage import StagingFailed


class Exchange:
    """The exchange of one attempt of a run. Does nothing when all stages read sources."""

    def __init__(self, prepared: Prepared) -> None:
        job = prepared.job
        self._prepared = prepared
        self._load_key = prepared.load_key
        self._files = StagingFiles(job.staging, self._load_key)
        folder = job.staging if isinstance(job.staging, Path) else None
        means = QueryLimits(job.query_memory, folder=folder, stopped=prepared.providers.stopped)
        self._extracts = {stage.index for stage in prepared.plan.stages if is_extracted(prepared, stage)}
        self._gathered = {
            exchange.id: ExchangedBuckets(
                exchange, len(stage.partitions), self._load_key, job.databases.home, self._files, means
            )
            for stage in prepared.plan.stages
            if (exchange := stage.exchange) is not None
        }

    def begin(self) -> None:
        """Once per attempt: makes the tables and the folder. Raises TargetError, StagingFailed."""
        job = self._prepared.job
        if self._gathered or self._extracts:
            self._files.begin(afresh=job.continues.earlier_plan is None)
        if not self._gathered:
            return
        tables = {table for stage in self._prepared.plan.stages for table in stage.quarantine.values()}
        try:
            with connect(job.databases.home, autocommit=True) as connection:
                create_exchange_manifest(connection)
                create_quarantine(connection, sorted(tables))
        except psycopg.Error as error:
            text = f"The database refused what rows between stages need: {first_line(error)}"
            raise TargetError("not_permitted", text, "Its user may create the schema _headrace.") from None

    def loader(self, sending: ShuffleWrite, partition: int) -> PartitionLoader:
        """The loader with which a partition sends its rows."""
        gathered = self._gathered[sending.exchange]
        key = LedgerKey(self._load_key, sending.id, sending.stage, partition, kind="exchange")
        side = gathered.exchange.shuffle.sides[sending.side]
        spec = loader_spec(self._prepared, gathered.exchange.node, f"the exchange of {gathered.exchange.node}")
        return ShuffleWriter(spec, key, side, buckets=gathered.buckets, files=self._files)

    def feed(self, stage: Stage, bucket: int, batch_rows: int | None) -> PartitionInput:
        """The input of a partition of a shuffle stage."""
        assert stage.exchange is not None
        return BucketInput(self._gathered[stage.exchange.id], bucket, batch_rows, stage.unread)

    def extracted(
        self, stage: Stage, partition: int, batch_rows: int | None, limits: ReadLimits
    ) -> PartitionInput | None:
        """The input of a partition that is staged as a whole first; None if it need not be."""
        if stage.source is None or stage.index not in self._extracts:
            return None
        source, of = self._prepared.sources[stage.source.id], stage.partitions[partition]
        return ExtractedInput(source, stage, of, self._files, self._prepared, batch_rows, limits)

    def rows(self, stage: Stage, bucket: int) -> int:
        """The number of rows of a partition of a shuffle stage."""
        assert stage.exchange is not None
        return self._gathered[stage.exchange.id].count(bucket)

    def parents(self, stage: Stage, rows: pl.Series) -> pl.DataFrame:
        """The parents of rows of a shuffle stage: a frame with ROW and `parent(side)`."""
        assert stage.exchange is not None
        return self._gathered[stage.exchange.id].parents(rows)

    def finish(self) -> None:
        """Removes the files; called once, at the end of a successful run."""
        if self._gathered:
            with (
                suppress(psycopg.Error),  # the rows are loaded: a leftover row in a table is no reason to fail
                connect(self._prepared.job.databases.home, autocommit=True) as connection,
            ):
                delete_sent(connection, self._load_key)
        if self._gathered or self._extracts:
            with suppress(StagingFailed):  # what is left goes by its age
                self._files.remove()


def loader_spec(prepared: Prepared, node: str, what: str) -> LoadSpec:
    """The LoadSpec of a loader that writes no target table; errors name it `what`."""
    job = prepared.job
    return LoadSpec(
        database_url=job.databases.home,
        table=what,
        columns=(),
        root_run_id=job.root_run_id,
        run_id=job.run_id,
        pipeline_id=job.pipeline.id,
        ir_version=job.pipeline.ir_version,
        target_node=node,
        origin_run_id=job.continues.origin_run_id,
        retry=RetryPolicy(attempts=prepared.ir.error_handling.retry.max_attempts),
    )
