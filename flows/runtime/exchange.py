"""Rows on their way between the stages of a run: who sends them, who gathers them, and when their files go."""

from __future__ import annotations

from contextlib import suppress

import psycopg

from connectors.base import PartitionLoader, TargetError
from connectors.postgresql.ledger import LedgerKey
from connectors.postgresql.modes import LoadSpec, RetryPolicy
from connectors.postgresql.quarantine import create_quarantine
from connectors.postgresql.sent import create_sent, forget_sent
from connectors.postgresql.tables import first_line
from flows.compile import Stage
from flows.compile.stage import Sending
from flows.runtime.bucket import BucketFeed, Gathered
from flows.runtime.feed import Feed
from flows.runtime.job import Prepared
from flows.runtime.sending import SendingLoader
from flows.runtime.staging.place import StagingFailed
from flows.runtime.staging_files import StagingFiles


class Exchange:
    """That of one run in one attempt; does nothing in a run whose stages all read sources."""

    def __init__(self, prepared: Prepared) -> None:
        job = prepared.job
        self._prepared = prepared
        self._load_key = prepared.load_key
        self._files = StagingFiles(job.staging, self._load_key)
        self._gathered = {
            gathering.id: Gathered(gathering, len(stage.partitions), self._load_key, job.database_url, self._files)
            for stage in prepared.plan.stages
            if (gathering := stage.gathering) is not None
        }

    def begin(self) -> None:
        """Once per attempt: makes the tables and the folder. Raises TargetError, StagingFailed."""
        if not self._gathered:
            return
        job = self._prepared.job
        self._files.begin(afresh=job.continues.earlier_plan is None)
        tables = {table for stage in self._prepared.plan.stages for table in stage.quarantine.values()}
        try:
            with psycopg.connect(job.database_url, autocommit=True) as connection:
                create_sent(connection)
                create_quarantine(connection, sorted(tables))
        except psycopg.Error as error:
            text = f"The database refused what rows between stages need: {first_line(error)}"
            raise TargetError("not_permitted", text, "Its user may create the schema _headrace.") from None

    def loader(self, sending: Sending, partition: int) -> PartitionLoader:
        """What a partition sends its rows with."""
        gathered = self._gathered[sending.gathering]
        key = LedgerKey(self._load_key, sending.id, sending.stage, partition)
        side = gathered.gathering.gather.sides[sending.side]
        spec = spec_between(self._prepared, gathered.gathering.node, f"the exchange of {gathered.gathering.node}")
        return SendingLoader(spec, key, side, buckets=gathered.buckets, files=self._files)

    def feed(self, stage: Stage, bucket: int, batch_rows: int | None) -> Feed:
        """What a partition of a gathering stage reads."""
        assert stage.gathering is not None
        return BucketFeed(self._gathered[stage.gathering.id], bucket, batch_rows, stage.unread)

    def rows(self, stage: Stage, bucket: int) -> int:
        """How many rows a partition of a gathering stage has."""
        assert stage.gathering is not None
        return self._gathered[stage.gathering.id].count(bucket)

    def finish(self) -> None:
        """Once, at the end of a run that went well: nobody needs the files any more."""
        if self._gathered:
            with (
                suppress(psycopg.Error),  # the rows are loaded: a line more in a table is no reason to fail
                psycopg.connect(self._prepared.job.database_url, autocommit=True) as connection,
            ):
                forget_sent(connection, self._load_key)
            with suppress(StagingFailed):  # what is left goes by its age
                self._files.remove()


def spec_between(prepared: Prepared, node: str, what: str) -> LoadSpec:
    """What a loader that writes no table needs to know; errors tell it as `what`."""
    job = prepared.job
    return LoadSpec(
        database_url=job.database_url,
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
