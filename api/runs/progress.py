"""Progress of a run for clients: counts, partitions, estimated time left, and why it has not started."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

from headrace.api.runs.error_schemas import ValidationErrorItem
from headrace.api.runs.log_schemas import LogEntry
from headrace.api.runs.progress_schemas import PartitionDetail, Progress, SourceLagItem
from headrace.api.runs.schemas import DatasetRuleResult, NodeResult, RunDetail, RunLinks, RunStatistics, StageResult
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.progress import only_reads, share_done
from headrace.catalog.runs.records import SUCCESSFUL, TERMINAL, LogLine, PartitionCounts, RunSnapshot
from headrace.catalog.runs.stages import rows_of, stages_of

_ROUNDING = 1e-6
"""Shares are binary fractions: rounding must not lose a row."""


def progress_of(run: RunSnapshot) -> Progress:
    """The progress of a run. `rowsIn` and `rowsOut` are null until it has started, then count committed rows."""
    statistics = statistics_of(run)
    # Publication of rows has negative stages; the documented partitions are those that read.
    partitions = [partition for partition in run.partitions if partition.stage >= 0]
    more: dict[str, Any] = {} if run.lags is None else {"lag": _lag(run)}
    if stages := _stages(run):
        more["stages"] = stages
    return Progress(
        **more,
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
    """A run with statistics, per-node results and links; `base` is the URL path of the pipeline."""
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
        skip_reason=run.skip_reason,
        retry_of=run.retry_of,
        statistics=statistics_of(run),
        node_results=[NodeResult(node_id=node, counters=counters) for node, counters in run.nodes.items()],
        stages=_stages(run),
        dataset_rules=[DatasetRuleResult.model_validate(rule) for rule in run.rules],
        links=RunLinks(pipeline=base, progress=f"{base}/runs/{run.id}/progress", errors=f"{base}/runs/{run.id}/errors"),
    )


def statistics_of(run: RunSnapshot) -> RunStatistics:
    """The counts of a run and its duration so far, in milliseconds."""
    begun = run.started_at is not None
    return RunStatistics(
        total_rows=run.total_rows,
        processed_rows=_processed(run),
        rows_in=run.rows_in if begun else None,
        rows_out=run.rows_out if begun else None,
        failed_rows=run.failed_rows,
        skipped_rows=run.skipped_rows,
        duration_ms=_duration_ms(run),
    )


def _stages(run: RunSnapshot) -> list[StageResult]:
    """The stages; none for a run that has only one, which the totals are about."""
    found = stages_of(run)
    if len(found) < 2:
        return []
    return [
        StageResult(
            stage=each.number,
            name=each.name,
            status=each.status,
            partitions=len(each.partitions),
            completed_partitions=each.completed,
            rows_in=each.rows_in,
            rows_out=each.rows_out,
            failed_rows=each.failed,
            skipped_rows=each.skipped,
        )
        for each in found
    ]


def _lag(run: RunSnapshot) -> dict[str, SourceLagItem]:
    ended = run.status in TERMINAL
    found = (run.lags or {}).items()
    return {
        node: SourceLagItem(rows=lag.rows, seconds=None if ended else _tenths(lag.seconds(run.observed_at)))
        for node, lag in found
    }


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def eta(run: RunSnapshot) -> str | None:
    """Estimated time left, at the rate of this attempt so far; None while there is nothing to measure. It grows while
    nothing is committed."""
    if run.status != "running" or run.measured_from is None or run.lags is not None:
        return None
    done = share_done(run.partitions)
    since = done - share_done(run.partitions, before=run.measured_from)
    measured = (run.observed_at - run.measured_from).total_seconds()
    if since <= 0 or measured <= 0 or done >= 1:
        return None
    return _duration_text(max((1 - done) * measured / since, 1.0))


def _processed(run: RunSnapshot) -> int:
    """Rows that are completely done. If rows continue to other stages or are published at the end, it is estimated by
    the share of work that is done."""
    if run.status in SUCCESSFUL or run.lags is not None or only_reads(run.partitions):
        return run.rows_in
    return int(run.total_rows * share_done(run.partitions) + _ROUNDING)


def _duration_text(seconds: float) -> str:
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
        return PartitionDetail(index=index, status=partition.status, rows=rows_of(partition))
    rows, planned = rows_of(partition), partition.planned_rows
    return PartitionDetail(
        index=index, status="running", rows=rows, progress=min(rows * 100 // planned, 100) if planned else 0
    )


def with_waiting_reason(catalog: TenantCatalog, run: RunSnapshot, limit: int) -> RunSnapshot:
    """The run; while its tenant's limit of running runs is reached, a pending one has a log line that says so."""
    if run.status != "pending" or catalog.runs.unfinished("running", at_most=limit) < limit:
        return run
    text = f"waits: tenant limit of {limit} running runs (HEADRACE_MAX_RUNNING_RUNS)"
    return replace(run, log=(*run.log, LogLine("queue", text, run.created_at)))
