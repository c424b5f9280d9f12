"""Reads everything known of one run at one moment, and its first rejected cells."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from headrace.catalog.models import PipelineRun, RunLog, RunPartition
from headrace.catalog.repositories.runs import FAILED, RunRepository
from headrace.catalog.runs.records import (
    DatasetRuleOutcome,
    LogLine,
    PartitionCounts,
    RejectedCell,
    RunSnapshot,
    SourceLag,
)

FIRST_ERRORS = 20
_MAX_LOG_LINES = 500


def read_snapshot(session: Session, run_id: str) -> RunSnapshot | None:
    """Reads the run, its partitions, node totals, first 20 rejected cells and log; None for an unknown run."""
    run = session.get(PipelineRun, run_id)
    if run is None:
        return None
    observed_at = session.scalars(select(func.clock_timestamp())).one()
    partitions = partition_counts(session, run_id)
    errors = RunRepository(session, run.tenant_id).errors(run, FAILED, limit=FIRST_ERRORS)
    log = session.execute(
        select(RunLog.stage, RunLog.message, RunLog.created_at, RunLog.level)
        .where(RunLog.run_id == run_id)
        .order_by(RunLog.id)
        .limit(_MAX_LOG_LINES)
    )
    by_stage = _counted_nodes(session, run_id)
    signs = [
        run.created_at,
        run.started_at,
        run.measured_from,
        run.looked_at,
        *(partition.updated_at for partition in partitions),
    ]
    return RunSnapshot(
        id=run.id,
        tenant_id=run.tenant_id,
        pipeline_id=run.pipeline_id,
        ir_version=run.ir_version,
        root_run_id=run.root_run_id,
        retry_of=run.retry_of,
        origin_run_id=run.origin_run_id,
        parameters=run.parameters,
        status=run.status,
        load_strategy=run.load_strategy,
        total_rows=run.total_rows,
        rows_in=sum(partition.rows_in for partition in partitions),
        rows_out=sum(partition.rows_out for partition in partitions),
        failed_rows=sum(partition.failed for partition in partitions),
        skipped_rows=sum(partition.skipped for partition in partitions),
        failure_reason=run.failure_reason,
        skip_reason=run.skip_reason,
        rules=tuple(DatasetRuleOutcome(**rule) for rule in run.rules or ()),
        fingerprint=run.fingerprint,
        plan=run.plan,
        created_at=run.created_at,
        started_at=run.started_at,
        measured_from=run.measured_from,
        finished_at=run.finished_at,
        touched_at=max(sign for sign in signs if sign is not None),
        observed_at=observed_at,
        partitions=partitions,
        nodes=_in_order(_totals(by_stage), run.plan),
        stage_nodes=by_stage,
        lags=None if run.lags is None else {node: SourceLag.of(each) for node, each in run.lags.items()},
        first_errors=tuple(RejectedCell(e.row, e.column or None, e.value, e.error) for e in errors),
        log=tuple(LogLine(*line) for line in log),
    )


def partition_counts(session: Session, run_id: str) -> tuple[PartitionCounts, ...]:
    """Returns the counts of the run's partitions and publications, by stage and index."""
    counts = [getattr(RunPartition, column.name) for column in fields(PartitionCounts)]
    found = select(*counts).where(RunPartition.run_id == run_id).order_by(RunPartition.stage, RunPartition.index)
    return tuple(PartitionCounts(*row) for row in session.execute(found))


def _counted_nodes(session: Session, run_id: str) -> dict[int, dict[str, dict[str, int]]]:
    """Stage → node → its counters, over the partitions."""
    found: dict[int, dict[str, dict[str, int]]] = {}
    for stage, node, counter, total in session.execute(_COUNTED_NODES, {"run_id": run_id}):
        found.setdefault(stage, {}).setdefault(node, {})[counter] = int(total)
    return found


def _totals(by_stage: dict[int, dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Node → its counters, over the stages."""
    found: dict[str, dict[str, int]] = {}
    for nodes in by_stage.values():
        for node, counters in nodes.items():
            totals = found.setdefault(node, {})
            for counter, count in counters.items():
                totals[counter] = totals.get(counter, 0) + count
    return found


def _in_order(totals: dict[str, dict[str, int]], plan: dict[str, Any] | None) -> dict[str, dict[str, int]]:
    """Orders the nodes as in the plan; one that gathers rows comes after all stages that send them."""
    known = [node for stage in (plan or {}).get("stages", ()) for node in stage.get("nodes", ())]
    last = [*dict.fromkeys(reversed(known))][::-1]
    return {node: totals[node] for node in [*last, *totals] if node in totals}


_COUNTED_NODES = text("""
    SELECT node.stage, node.node_id, counter.key, sum(counter.value::numeric)
    FROM headrace.run_nodes node, jsonb_each_text(node.counters) AS counter
    WHERE node.run_id = :run_id
    GROUP BY node.stage, node.node_id, counter.key
    ORDER BY node.stage, node.node_id, counter.key
""")


@dataclass(frozen=True, slots=True)
class FirstError:
    """A rejected cell; `column` is None for an error of the whole row."""

    row: int
    column: str | None
    value: str | None
    error: str
    node: str


def first_errors(engine: Engine, run_id: str, limit: int) -> list[FirstError]:
    """Returns at most `limit` rejected cells of a run and of the runs that it continues, by row; none for an unknown
    run."""
    with Session(engine) as session:
        run = session.get(PipelineRun, run_id)
        if run is None:
            return []
        found = RunRepository(session, run.tenant_id).errors(run, FAILED, limit=limit)
        return [FirstError(each.row, each.column or None, each.value, each.error, each.node_id) for each in found]
