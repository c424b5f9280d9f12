"""Response models of runs of replications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from headrace.api.wire import ResponseModel, Timestamp
from headrace.catalog.replications.records import ReplicationRunSnapshot, RunTable


class RowTotals(ResponseModel):
    """Counts of rows."""

    rows_in: int
    rows_out: int
    failed_rows: int
    skipped_rows: int

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
    """A run of a replication. `tables` are numbers of tables by their status."""

    id: str
    replication_id: str
    status: str
    phase: str = Field(description="`discovering`, `found`, `loading`, `ended`")
    retry_of: str | None
    version: int
    tables: dict[str, int]
    totals: RowTotals
    failure_reason: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None


class RunTableItem(RowTotals):
    """One table in a run; `runId` is the run of its pipeline."""

    name: str
    change: str
    status: str
    pipeline_id: str | None
    run_id: str | None
    ir_version: int | None
    total_rows: int = Field(description="The rows that its run has planned; 0 where that is not known")
    percent: float
    message: str | None
    started_at: Timestamp | None
    completed_at: Timestamp | None


class ReplicationRunDetail(ReplicationRunItem):
    """A run with each of its tables, by name."""

    results: list[RunTableItem]


class ReplicationProgress(ResponseModel):
    """How far a run is: of all tables, and of each."""

    run_id: str
    status: str
    phase: str
    percent: float = Field(description="The mean over the tables; those that have ended count as done")
    tables: dict[str, int]
    totals: RowTotals
    results: list[RunTableItem]


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
