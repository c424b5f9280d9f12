"""Target tables before and after a load: new columns, backups, row counts and log lines."""

from __future__ import annotations

from headrace.connectors.postgresql.swap.backup import back_up
from headrace.flows.compile.stages.stage import Load
from headrace.flows.runtime.hooks import LoadedRows
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.targets.evolve import evolve, evolve_elsewhere
from headrace.flows.runtime.transform.row_counts import (
    DISCARDED,
    KEPT_OUT,
    PASSED_ON,
    SENT_AGAIN,
    UNANSWERED,
    RowCounts,
)


def prepare_tables(prepared: Prepared, recorder: RunRecorder) -> None:
    """Adds new columns to the tables and backs up tables with `backupBeforeLoad`. Raises RunFailed and TargetError."""
    for load in prepared.plan.loads:
        job, table = prepared.job, load.target.table
        if load.added and (added := _evolved(job, load)):
            recorder.log("load", f"{table}: added column{'s' * (len(added) > 1)} {', '.join(added)}")
        if load.target.backup_before_load:
            backup = back_up(job.database_of(load.target.id), table, job.root_run_id)
            made = "kept by an earlier attempt" if backup.rows is None else f"{backup.rows:,} rows kept"
            gone = f"; dropped {', '.join(backup.dropped)}" if backup.dropped else ""
            recorder.log("load", f"{table}: {made} in {backup.table}{gone}")


def _evolved(job: Job, load: Load) -> list[str]:
    if load.target.connection is None:
        return evolve(job, load.target.table, load.added)
    return evolve_elsewhere(job.database_of(load.target.id), load.target.table, load.added)


def loaded_rows(prepared: Prepared, counted: RowCounts) -> dict[str, LoadedRows]:
    """The row counts of every target by its id, from the counters of the nodes on its path."""
    return {load.target.id: _loaded(load, counted) for load in prepared.plan.loads}


def log_discarded(prepared: Prepared, recorder: RunRecorder, counted: RowCounts) -> None:
    """Logs a line for each table where rows were skipped because it lacks a column."""
    for load in prepared.plan.loads:
        counters = counted.nodes.get(load.target.id, {})
        columns = [f"{key.removeprefix(DISCARDED)} ({n:,})" for key, n in counters.items() if key.startswith(DISCARDED)]
        if columns:
            skipped = f"rows skipped for a value in a column that the table lacks: {', '.join(sorted(columns))}"
            recorder.log("load", f"{load.target.table}: {skipped}", level="warning")


def log_kept_out(prepared: Prepared, recorder: RunRecorder, counted: RowCounts) -> None:
    """Logs a line for each table whose triggers took rows out of a load."""
    for load in prepared.plan.loads:
        counters = counted.nodes.get(load.target.id, {})
        if count := counters.get(KEPT_OUT, 0):
            recorder.log(
                "load",
                f"{load.target.table}: {_rows(count)} kept out by a trigger of the table (it returned NULL), "
                "counted as skipped; whether it wrote them into another table is not known",
                level="warning",
            )
        if count := counters.get(PASSED_ON, 0):
            recorder.log(
                "load",
                f"{load.target.table}: {_rows(count)} taken by a trigger or rule of the table, which may insert "
                "into tables that inherit from it: counted as loaded",
            )


def log_sent_again(prepared: Prepared, recorder: RunRecorder, counted: RowCounts) -> None:
    """Logs a line for each API that may have some rows twice."""
    for load in prepared.plan.loads:
        if count := counted.nodes.get(load.target.id, {}).get(SENT_AGAIN, 0):
            recorder.log(
                "load",
                f"{load.target.id}: {_rows(count)} sent again after requests without an answer; the API may have them "
                "twice",
                level="warning",
            )


def log_unanswered(prepared: Prepared, recorder: RunRecorder, counted: RowCounts) -> None:
    """Logs a line for each enrich node that left rows with null because a request had no answer."""
    for node, counters in counted.nodes.items():
        if count := counters.get(UNANSWERED, 0):
            reason = prepared.providers.reasons.get(node)
            reason_text = f"; the last time, because {reason}" if reason else ""
            recorder.log(
                "transform",
                f"{node}: {count:,} rows have null, because there was no answer for them{reason_text}",
                level="warning",
            )


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count:,} rows were"


def _loaded(load: Load, counted: RowCounts) -> LoadedRows:
    nodes = [counted.nodes.get(node, {}) for node in load.path]
    return LoadedRows(
        read=nodes[0].get("rowsIn", 0),
        loaded=nodes[-1].get("rowsOut", 0),
        failed=sum(node.get("failed", 0) for node in nodes),
        skipped=sum(node.get("skipped", 0) for node in nodes),
    )
