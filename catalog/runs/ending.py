"""The end of a run: its totals, and what its pipeline and its source's connector say of their last run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from headrace.catalog.models import Connector, Pipeline, PipelineRun, RunPartition
from headrace.catalog.runs.ledger_counts import copy_ledger_counts
from headrace.catalog.runs.records import SUCCESSFUL, TERMINAL, RunStatus
from headrace.catalog.runs.statements import MAX_MESSAGE_CHARS, storable


def end_run(
    connection: Connection,
    run_id: str,
    *,
    status: RunStatus,
    failure_reason: str | None,
    only_if_unfinished: bool,
    at: datetime | None,
) -> bool:
    """See `RunStore.finished`."""
    ended = update(PipelineRun).where(PipelineRun.id == run_id)
    if only_if_unfinished:
        ended = ended.where(PipelineRun.status.not_in(TERMINAL))
    reason = None if failure_reason is None else storable(failure_reason, MAX_MESSAGE_CHARS)
    totals = {
        total: select(func.coalesce(func.sum(counted), 0)).where(RunPartition.run_id == run_id).scalar_subquery()
        for total, counted in (
            ("rows_in", RunPartition.rows_in),
            ("rows_out", RunPartition.rows_out),
            ("failed_rows", RunPartition.failed),
            ("skipped_rows", RunPartition.skipped),
        )
    }
    if status in SUCCESSFUL:  # a source may not have known in advance how many rows it has
        totals["total_rows"] = totals["rows_in"]
    if status == "failed":
        copy_ledger_counts(connection, run_id)
    run = connection.execute(
        ended.values(status=status, failure_reason=reason, finished_at=at or func.now(), **totals).returning(
            PipelineRun.pipeline_id,
            PipelineRun.rows_in,
            func.coalesce(PipelineRun.started_at, PipelineRun.created_at).label("at"),
        )
    ).one_or_none()
    if run is None:
        return False
    if status == "failed":
        connection.execute(
            update(RunPartition)
            .where(RunPartition.run_id == run_id, RunPartition.status == "running")
            .values(status="failed")
        )
    changes: dict[str, Any] = {"last_run_at": run.at, "last_run_status": status}
    if status in SUCCESSFUL:
        changes["status"] = func.replace(Pipeline.status, "draft", "active")
        source = select(Pipeline.connector_id).where(Pipeline.id == run.pipeline_id).scalar_subquery()
        connection.execute(
            update(Connector)
            .where(Connector.id == source)
            .values(last_sync_row_count=run.rows_in, last_sync_at=func.now())
        )
    connection.execute(
        update(Pipeline)
        .where(Pipeline.id == run.pipeline_id)
        .where(Pipeline.last_run_at.is_(None) | (Pipeline.last_run_at <= run.at))
        .values(changes)
    )
    return True
