"""Metrics of all runs, in cheap queries: stored totals, and the unfinished runs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, literal, select
from sqlalchemy.orm import Session

from headrace.catalog.models import PartitionSeconds, PipelineRun, RunPartition, RunTotals

UNFINISHED = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Rows:
    """Numbers of rows read, loaded, rejected and skipped."""

    read: int
    loaded: int
    failed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """`ended` and `unfinished`: numbers of runs by status. `rows`: of all runs, to the last committed batch. `buckets`:
    (upper bound in seconds, completed partitions), not cumulative. `waiting_s`: how long the oldest pending run has
    been waiting. `waited_s`: the total waiting time of all ended runs. `partition_s`: the total time of partitions."""

    ended: dict[str, int]
    unfinished: dict[str, int]
    rows: Rows
    waiting_s: float
    waited_s: float
    buckets: tuple[tuple[float, int], ...]
    partition_s: float


def read_run_metrics(engine: Engine) -> RunMetrics:
    """Reads the metrics in one snapshot, so that a run is counted either as running or as ended."""
    with Session(engine) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        totals = session.scalars(select(RunTotals)).all()
        active = session.execute(
            select(
                PipelineRun.status, func.count(), func.extract("epoch", func.now() - func.min(PipelineRun.created_at))
            )
            .where(PipelineRun.status.in_([literal(status, literal_execute=True) for status in UNFINISHED]))
            .group_by(PipelineRun.status)
        ).all()
        moving = session.execute(
            select(*(func.coalesce(func.sum(each), 0) for each in _COUNTED))
            .select_from(RunPartition)
            .join(PipelineRun, PipelineRun.id == RunPartition.run_id)
            # a retry starts from the counts of the previous run, which are in the totals already
            .where(PipelineRun.status == literal("running", literal_execute=True), PipelineRun.retry_of.is_(None))
        ).one()
        buckets = session.scalars(select(PartitionSeconds).order_by(PartitionSeconds.up_to)).all()
        ended = (
            sum(total.rows_in for total in totals),
            sum(total.rows_out for total in totals),
            sum(total.failed_rows for total in totals),
            sum(total.skipped_rows for total in totals),
        )
        read, loaded, failed, skipped = (done + int(now) for done, now in zip(ended, moving, strict=True))
        return RunMetrics(
            ended={total.status: total.runs for total in totals},
            unfinished=dict.fromkeys(UNFINISHED, 0) | {status: count for status, count, _ in active},
            rows=Rows(read, loaded, failed, skipped),
            waiting_s=max((float(age) for status, _, age in active if status == "pending"), default=0.0),
            waited_s=sum(total.wait_seconds for total in totals),
            buckets=tuple((bucket.up_to, bucket.partitions) for bucket in buckets),
            partition_s=sum(bucket.seconds for bucket in buckets),
        )


_COUNTED = (RunPartition.rows_in, RunPartition.rows_out, RunPartition.failed, RunPartition.skipped)
