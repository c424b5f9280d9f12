"""Handles the rows of earlier attempts: drops staged rows that a dataset rule refused, and checks that
loaded rows are still there."""

from __future__ import annotations

import psycopg

from headrace.catalog.runs.records import UncommittedRows
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.ledger.resume_check import LoadStart, start_or_restart
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.postgresql.tables.garbage_collection import drop_staged
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.run_recorder import RunRecorder


def check_loaded_rows(prepared: Prepared, recorder: RunRecorder) -> None:
    """Checks the ledger of every target against its table. A target whose rows are missing, or whose columns have
    changed, is loaded again from the start where that is safe, which is logged. Otherwise raises TargetError with the
    options."""
    job = prepared.job
    try:
        for load in prepared.plan.loads:
            if load.target.connector is not None:
                continue  # what an API has cannot be counted
            with connect(job.database_of(load.target.id), autocommit=True) as connection:
                mode, target = prepared.modes[load.target.id], load.target
                begun = LoadStart(
                    prepared.load_key_of(mode), target.id, job.root_run_id, job.pipeline.id, target.table, mode.again
                )
                found = start_or_restart(connection, begun, load.columns)
                if found.note:
                    recorder.log("load", found.note)
                if found.reload_reason:
                    recorder.log("load", found.reload_reason)
                    for partition in prepared.plan.stages[load.stage].partitions:
                        # Rows that the table refused are found again, if it still refuses them.
                        recorder.forget(UncommittedRows(load.stage, partition.index, (target.id,), -1))
    except psycopg.errors.InsufficientPrivilege as error:
        text = f"The database refused the query for what is left of earlier attempts: {first_line(error)}"
        raise TargetError("not_permitted", text, "The database user must be able to read the table.") from error
    except psycopg.Error as error:
        text = f"The database failed during the query for what is left of earlier attempts: {first_line(error)}"
        raise TargetError("database_unavailable", text, "Nothing was changed; retry the run.") from error


def drop_refused_rows(job: Job, recorder: RunRecorder) -> None:
    """Drops the rows that earlier attempts staged if the run restages them (`Continuation.reloads`); otherwise does
    nothing.

    Must be called after planning and before the plan is stored: a stored plan is taken to describe the staged rows, and
    a run that dies before leaves the earlier attempt's plan in force. Raises TargetError.
    """
    if not job.continues.reloads:
        return
    dropped = [
        table
        for database in job.databases.all
        for table in drop_staged(
            database,
            job.load_key,
            job.continues.quarantines,
            root_run_id=job.root_run_id,
            since=0 if job.epoch is None else job.epoch.first_row,
        )
    ]
    staged = f" (dropped: {', '.join(dropped)})" if dropped else ""
    recorder.log(
        "run",
        "A dataset rule held back every row of the attempt before: all are read and checked again with IR version "
        f"{job.pipeline.ir_version}{staged}",
    )
