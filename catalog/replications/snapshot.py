"""Reads everything known of one run of a replication at one moment."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from headrace.catalog.replications.records import ReplicationRunSnapshot, RunTable


def read_replication_run(session: Session, run_id: str) -> ReplicationRunSnapshot | None:
    """Reads the run and its tables with the counts of their pipelines' runs; None for an unknown run."""
    return next(iter(read_replication_runs(session, [run_id])), None)


def read_replication_runs(session: Session, run_ids: Sequence[str]) -> list[ReplicationRunSnapshot]:
    """Reads several at once, in the order of the ids; unknown ones are left out."""
    runs = {row.id: row for row in session.execute(_RUNS, {"ids": list(run_ids)})}
    tables: dict[str, list[RunTable]] = {run_id: [] for run_id in runs}
    for row in session.execute(_TABLES, {"ids": list(runs)}):
        facts = dict(row._mapping)
        tables[facts.pop("run_id")].append(RunTable(**facts))
    return [
        ReplicationRunSnapshot(
            **{
                **runs[run_id]._mapping,
                "only_tables": None if runs[run_id].only_tables is None else tuple(runs[run_id].only_tables),
                "tables": tuple(tables[run_id]),
            }
        )
        for run_id in run_ids
        if run_id in runs
    ]


_RUNS = text("""
    SELECT id, tenant_id, replication_id, version, retry_of, only_tables, status, phase, failure_reason, cancel_asked,
           created_at, started_at, finished_at, touched_at, clock_timestamp() AS observed_at
    FROM headrace.replication_runs WHERE id = ANY (CAST(:ids AS text[]))
""")

_TABLES = text("""
    SELECT t.run_id, t.name, t.change, t.pipeline_id, t.ir_version, t.retry_of, t.status, t.child_run_id, t.message,
           t.started_at, t.finished_at, p.deployment_id, coalesce(r.total_rows, 0) AS total_rows,
           coalesce(r.rows_in, counted.rows_in, 0)::bigint AS rows_in,
           coalesce(r.rows_out, counted.rows_out, 0)::bigint AS rows_out,
           coalesce(r.failed_rows, counted.failed, 0)::bigint AS failed_rows,
           coalesce(r.skipped_rows, counted.skipped, 0)::bigint AS skipped_rows
    FROM headrace.replication_run_tables t
    LEFT JOIN headrace.pipelines p ON p.id = t.pipeline_id
    LEFT JOIN headrace.pipeline_runs r ON r.id = t.child_run_id
    LEFT JOIN LATERAL (
        SELECT sum(c.rows_in) AS rows_in, sum(c.rows_out) AS rows_out, sum(c.failed) AS failed,
               sum(c.skipped) AS skipped
        FROM headrace.run_partitions c WHERE r.rows_in IS NULL AND c.run_id = r.id
    ) AS counted ON true
    WHERE t.run_id = ANY (CAST(:ids AS text[]))
    ORDER BY t.run_id, t.name
""")
