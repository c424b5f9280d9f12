"""Response models of runs of replications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from headrace.api.wire import CreatedAt, ReplicationId, ResponseModel, RunId, Timestamp
from headrace.catalog.replications.records import (
    Phase,
    ReplicationRunSnapshot,
    RunTable,
    TableChange,
    TableStatus,
)
from headrace.catalog.runs.records import RunStatus


class RowTotals(ResponseModel):
    """Counts of rows."""

    rows_in: int
    """Rows that were read."""
    rows_out: int
    """Rows that were loaded."""
    failed_rows: int
    """Rows that broke a rule and were not loaded."""
    skipped_rows: int
    """Rows that were left out, such as by a filter."""

    @classmethod
    def of(cls, tables: Sequence[RunTable]) -> Self:
        """The sums over tables."""
        return cls(
            rows_in=sum(each.rows_in for each in tables),
            rows_out=sum(each.rows_out for each in tables),
            failed_rows=sum(each.failed_rows for each in tables),
            skipped_rows=sum(each.skipped_rows for each in tables),
        )


class ReplicationRunItem(ResponseModel):
    """A run of a replication."""

    id: RunId
    replication_id: ReplicationId
    status: RunStatus
    """`completed_with_errors`: all tables were copied, but rows failed. `failed`: tables were not copied."""
    phase: Phase
    """`discovering` the tables of the source, `found` (their pipelines are being made), `loading` them, or `ended`."""
    retry_of: str | None
    """The id of the run whose remaining tables it copies; null for a run that is not a retry."""
    version: int
    """The version of the document that it uses."""
    tables: dict[TableStatus, int]
    """The number of tables by their status."""
    totals: RowTotals
    """The rows of all tables."""
    failure_reason: str | None
    """Why it failed, for people; null if it did not."""
    created_at: CreatedAt
    started_at: Timestamp | None
    """When it began; null while it waits."""
    completed_at: Timestamp | None
    """When it ended, in any way; null until then."""


class RunTableItem(RowTotals):
    """One table in a run."""

    name: str
    """The table's name in the source."""
    change: TableChange
    """What was new about the table when the run began, as in a plan."""
    status: TableStatus
    """`refused`: it cannot be copied. `skipped`: another table had failed. `not_run`: it is not to be copied."""
    pipeline_id: str | None
    """The id of its pipeline; null if it has none."""
    run_id: str | None
    """The id of the run of its pipeline; null before it has started."""
    ir_version: int | None
    """The version of the IR of its pipeline; null if it has none."""
    total_rows: int = Field(description="The rows that its run has planned; 0 where that is not known")
    percent: float
    """How much is done, from 0 to 100."""
    message: str | None
    """Why it was not copied, for people; null if it was."""
    started_at: Timestamp | None
    """When the run of its pipeline began; null before."""
    completed_at: Timestamp | None
    """When it ended, in any way; null until then."""


class ReplicationRunDetail(ReplicationRunItem):
    """A run with each of its tables, by name."""

    results: list[RunTableItem]
    """The tables, by name."""


class ReplicationProgress(ResponseModel):
    """How far a run is: of all tables, and of each."""

    run_id: RunId
    status: RunStatus
    """The status of the run."""
    phase: Phase
    """`discovering` the tables of the source, `found` (their pipelines are being made), `loading` them, or `ended`."""
    percent: float = Field(description="The mean over the tables; those that have ended count as done")
    tables: dict[TableStatus, int]
    """The number of tables by their status."""
    totals: RowTotals
    """The rows of all tables."""
    results: list[RunTableItem]
    """The tables, by name."""


def run_item(run: ReplicationRunSnapshot) -> ReplicationRunItem:
    """A run as shown in lists."""
    return ReplicationRunItem(
        id=run.id,
        replication_id=run.replication_id,
        status=run.status,
        phase=run.phase,
        retry_of=run.retry_of,
        version=run.version,
        tables=dict(sorted(run.counts().items())),
        totals=RowTotals.of(run.tables),
        failure_reason=run.failure_reason,
        created_at=run.created_at,
        started_at=run.started_at,
        completed_at=run.finished_at,
    )


def run_detail(run: ReplicationRunSnapshot) -> ReplicationRunDetail:
    """A run with its tables."""
    shown = run_item(run).model_dump()
    return ReplicationRunDetail(**shown, results=[_table(each) for each in run.tables])


def run_progress(run: ReplicationRunSnapshot) -> ReplicationProgress:
    """The progress of a run."""
    return ReplicationProgress(
        run_id=run.id,
        status=run.status,
        phase=run.phase,
        percent=run.percent,
        tables=dict(sorted(run.counts().items())),
        totals=RowTotals.of(run.tables),
        results=[_table(each) for each in run.tables],
    )


def _table(table: RunTable) -> RunTableItem:
    return RunTableItem(
        name=table.name,
        change=table.change,
        status=table.status,
        pipeline_id=table.pipeline_id,
        run_id=table.child_run_id,
        ir_version=table.ir_version,
        total_rows=table.total_rows,
        percent=table.percent,
        message=table.message,
        started_at=table.started_at,
        completed_at=table.finished_at,
        rows_in=table.rows_in,
        rows_out=table.rows_out,
        failed_rows=table.failed_rows,
        skipped_rows=table.skipped_rows,
    )
