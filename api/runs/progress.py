"""From a run's snapshot to what a client sees of it: counts, partitions, the time that remains."""

from __future__ import annotations

from math import ceil

from api.runs.schemas import (
    DatasetRuleResult,
    LogEntry,
    NodeResult,
    PartitionDetail,
    Progress,
    RunDetail,
    RunLinks,
    RunStatistics,
    ValidationErrorItem,
)
from catalog.run_records import PartitionCounts, RunSnapshot


def progress_of(run: RunSnapshot) -> Progress:
    """The documented progress. `rowsIn` and `rowsOut` are null until the run has begun, then what is committed."""
    statistics = statistics_of(run)
    # What publishes rows is counted below stage 0; only partitions of what is read are the documented ones.
    partitions = [partition for partition in run.partitions if partition.stage >= 0]
    return Progress(
        status=run.status,
        total_rows=statistics.total_rows,
        processed_rows=statistics.processed_rows,
        rows_in=statistics.rows_in,
        rows_out=statistics.rows_out,
        failed_rows=statistics.failed_rows,
        skipped_rows=statistics.skipped_rows,
        partitions=len(partitions),
        completed_partitions=sum(partition.status == "completed" for partition in partitions),
        partition_details=[_partition(index, partition) for index, partition in enumerate(partitions)],
        validation_errors=[ValidationErrorItem.model_validate(error) for error in run.first_errors],
        eta=eta(run),
        duration_ms=statistics.duration_ms,
        load_strategy=run.load_strategy,
        log=[LogEntry.model_validate(line) for line in run.log],
    )


def detail_of(run: RunSnapshot, *, base: str) -> RunDetail:
    """One run with statistics, per-node results and links; `base` is the URL path of the pipeline."""
    return RunDetail(
        id=run.id,
        pipeline_id=run.pipeline_id,
        status=run.status,
        created_at=run.created_at,
        started_at=run.started_at,
        completed_at=run.finished_at,
        ir_version=run.ir_version if run.ir_version > 0 else None,  # the lowered form of a legacy pipeline
        load_strategy=run.load_strategy,
        failure_reason=run.failure_reason,
        retry_of=run.retry_of,
        statistics=statistics_of(run),
        node_results=[NodeResult(node_id=node, counters=counters) for node, counters in run.nodes.items()],
        dataset_rules=[DatasetRuleResult.model_validate(rule) for rule in run.rules],
        links=RunLinks(pipeline=base, progress=f"{base}/runs/{run.id}/progress", errors=f"{base}/runs/{run.id}/errors"),
    )


def statistics_of(run: RunSnapshot) -> RunStatistics:
    """What was counted, and how long the run took or has been taking, in milliseconds."""
    begun = run.started_at is not None
    return RunStatistics(
        total_rows=run.total_rows,
        processed_rows=run.rows_in,
        rows_in=run.rows_in if begun else None,
        rows_out=run.rows_out if begun else None,
        failed_rows=run.failed_rows,
        skipped_rows=run.skipped_rows,
        duration_ms=_duration_ms(run),
    )


def eta(run: RunSnapshot) -> str | None:
    """The time that remains at the measured rate of committed rows; None while there is nothing to measure."""
    if run.status != "running" or run.measured_from is None:
        return None
    remaining = run.total_rows - run.rows_in
    committed = sum(
        each.rows_in - (each.rows_in if each.base_rows is None else each.base_rows) for each in run.partitions
    )
    measured = (run.touched_at - run.measured_from).total_seconds()
    if committed <= 0 or measured <= 0 or remaining <= 0:
        return None
    since = (run.observed_at - run.touched_at).total_seconds()
    return _spoken(max(remaining * measured / committed - since, 1.0))


def _spoken(seconds: float) -> str:
    if seconds < 60:
        return f"{ceil(seconds)}s" if seconds <= 59 else "1m"
    if seconds < 3570:  # 59.5 minutes
        return f"{round(seconds / 60)}m"
    return f"{seconds / 3600:.1f}h"


def _duration_ms(run: RunSnapshot) -> int:
    if run.started_at is None:
        return 0
    return max(int(((run.finished_at or run.observed_at) - run.started_at).total_seconds() * 1000), 0)


def _partition(index: int, partition: PartitionCounts) -> PartitionDetail:
    if partition.status != "running":
        return PartitionDetail(index=index, status=partition.status, rows=partition.rows_in)
    percent = min(partition.rows_in * 100 // partition.planned_rows, 100) if partition.planned_rows else 0
    return PartitionDetail(index=index, status="running", rows=partition.rows_in, progress=percent)
