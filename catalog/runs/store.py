"""The store of runs: state, counts, errors and log, written by a running flow. All writes are upserts of absolute
values, so that a task that runs twice, or a flow that starts again, leaves the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from headrace.catalog.found_columns import FoundColumnStore
from headrace.catalog.models import PipelineRun
from headrace.catalog.runs import statements
from headrace.catalog.runs.dataset_rules import DatasetRuleStore
from headrace.catalog.runs.ending import end_run
from headrace.catalog.runs.error_copies import ErrorCopies
from headrace.catalog.runs.partition_counts import PartitionCountStore
from headrace.catalog.runs.pipelines import RunPipelineStore
from headrace.catalog.runs.progress import share_done
from headrace.catalog.runs.records import (
    LogLevel,
    LogStage,
    RunSnapshot,
    RunStatus,
)
from headrace.catalog.runs.rejected_cells import RejectedCellStore
from headrace.catalog.runs.snapshot import partition_counts, read_snapshot
from headrace.catalog.runs.statements import log_line
from headrace.catalog.runs.streams import StreamStore
from headrace.catalog.security.credentials import Keyring
from headrace.ir.load_modes import LoadStrategy


class RunStore:
    """Runs by id. There is no tenant filter: callers use ids from Headrace itself, never from users.

    `run_id` is `run_` + the hex of the Prefect flow-run id; `root_run_id` is the first run of a chain of retries.
    `keyring` decrypts connector credentials, by default that of the settings.
    """

    def __init__(self, engine: Engine, *, keyring: Keyring | None = None) -> None:
        self._engine = engine
        self._keyring = keyring

    @property
    def pipelines(self) -> RunPipelineStore:
        """The store of pipelines as runs need them."""
        return RunPipelineStore(self._engine, keyring=self._keyring)

    @property
    def counts(self) -> PartitionCountStore:
        """The store of the counts of partitions and nodes."""
        return PartitionCountStore(self._engine)

    @property
    def cells(self) -> RejectedCellStore:
        """The store of rejected cells."""
        return RejectedCellStore(self._engine)

    @property
    def error_copies(self) -> ErrorCopies:
        """The faster way to store rejected cells that are new."""
        return ErrorCopies(self._engine)

    @property
    def rules(self) -> DatasetRuleStore:
        """The store of dataset rules."""
        return DatasetRuleStore(self._engine)

    @property
    def streams(self) -> StreamStore:
        """The store of streaming runs."""
        return StreamStore(self._engine)

    @property
    def sources(self) -> FoundColumnStore:
        """The store of columns that were found in sources."""
        return FoundColumnStore(self._engine)

    def open(
        self,
        run_id: str,
        *,
        tenant_id: str,
        pipeline_id: str,
        ir_version: int,
        root_run_id: str,
        retry_of: str | None,
        load_strategy: LoadStrategy,
        origin_run_id: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        status: Literal["pending", "running"] = "pending",
        created_at: datetime | None = None,
        streams: bool = False,
    ) -> None:
        """Creates the run: `pending` by the caller that starts it, `running` by the flow when it starts.

        Either may come first. `running` reopens a run that had ended (the flow was started again). `streams`: it is a
        streaming run, which is started again when it dies.
        """
        values = {
            "id": run_id,
            "tenant_id": tenant_id,
            "pipeline_id": pipeline_id,
            "ir_version": ir_version,
            "root_run_id": root_run_id,
            "retry_of": retry_of,
            "origin_run_id": origin_run_id,
            "parameters": json.dumps(dict(parameters or {})),
            "load_strategy": load_strategy,
            "status": status,
            "created_at": created_at,
            "streams": streams,
        }
        with self._engine.begin() as connection:
            connection.execute(statements.OPEN, values)
            if status == "running":
                connection.execute(statements.BEGIN, values)

    def started(
        self,
        run_id: str,
        *,
        total_rows: int,
        fingerprint: Mapping[str, str | None],
        plan: dict[str, Any],
        partitions: Sequence[tuple[int, int, int]],
    ) -> None:
        """Stores the plan of the run, which begins to load now. `partitions` are (stage, index, rows); other partitions
        of earlier attempts are deleted.

        Counts of a partition from an earlier attempt stay until it reports again.
        """
        planned = {
            "run_id": run_id,
            "stages": [stage for stage, _, _ in partitions],
            "indexes": [index for _, index, _ in partitions],
            "rows": [rows for _, _, rows in partitions],
            "total_rows": total_rows,
            "fingerprint": json.dumps(fingerprint),
            "plan": json.dumps(plan),
        }
        with self._engine.begin() as connection:
            connection.execute(statements.STARTED, planned)
            connection.execute(statements.DROP_UNPLANNED, planned)
            connection.execute(statements.PLAN_PARTITIONS, planned)

    def waits(self, run_id: str) -> None:
        """Sets a running run to `pending` while it waits for another one; `started` sets it to `running`."""
        with self._engine.begin() as connection:
            waiting = update(PipelineRun).where(PipelineRun.id == run_id, PipelineRun.status == "running")
            connection.execute(waiting.values(status="pending"))

    def log(self, run_id: str, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        """Adds a line to the run's log; does nothing for an unknown run (it failed before `open`)."""
        with self._engine.begin() as connection:
            connection.execute(log_line(run_id, stage, message, level))

    def finished(
        self,
        run_id: str,
        *,
        status: RunStatus,
        failure_reason: str | None,
        only_if_unfinished: bool = False,
        at: datetime | None = None,
        error: str | None = None,
    ) -> bool:
        """Ends the run: sets its totals to the sums over its partitions, and the last run of the pipeline. Returns
        False if nothing changed. `at` is when its work ended, by the database's clock; by default now. `error` becomes
        the last line of its log: who sees that it has ended has it too.

        With `only_if_unfinished`, for observers that find a run dead, a run that has ended is not changed.
        """
        with self._engine.begin() as connection:
            ended = end_run(
                connection,
                run_id,
                status=status,
                failure_reason=failure_reason,
                only_if_unfinished=only_if_unfinished,
                at=at,
            )
            if ended and error is not None:
                connection.execute(log_line(run_id, "run", error, "error"))
            return ended

    def skipped(self, run_id: str, reason: str) -> bool:
        """Ends a run that its schedule skips before it began; the last run of the pipeline is not changed. Returns
        False if nothing changed."""
        with self._engine.begin() as connection:
            if not connection.execute(statements.SKIP, {"run_id": run_id, "reason": reason}).rowcount:
                return False
            connection.execute(log_line(run_id, "run", reason, "warning"))
            return True

    def begun(self, run_id: str) -> bool:
        """Whether the run has begun, in this or an earlier attempt."""
        with self._engine.connect() as connection:
            return bool(connection.scalar(statements.BEGUN, {"run_id": run_id}))

    def share_done(self, run_id: str) -> float:
        """Returns the share of the run that is done, from 0.0 to 1.0."""
        with Session(self._engine) as session:
            return share_done(partition_counts(session, run_id))

    def failed_rows(self, root_run_id: str) -> dict[tuple[int, int, str], list[int]]:
        """Returns the failed rows of a chain of runs by (stage, partition, node), without warnings."""
        with self._engine.connect() as connection:
            found = connection.execute(statements.FAILED_ROWS, {"root": root_run_id})
            return {(stage, partition, node): list(rows) for stage, partition, node, rows in found}

    def first_of_chain(self, run_id: str) -> str:
        """Returns the first run of a chain of retries and replays, as far as runs are in the catalog."""
        with self._engine.connect() as connection:
            return connection.execute(statements.FIRST_OF_CHAIN, {"run_id": run_id}).scalar() or run_id

    def attempts(self, root_run_id: str) -> list[str]:
        """Returns the planned runs of a chain, last planned first: staged rows belong to the plan of the first of
        them."""
        planned = select(PipelineRun.id).where(PipelineRun.root_run_id == root_run_id)
        newest = planned.where(PipelineRun.measured_from.is_not(None)).order_by(PipelineRun.measured_from.desc())
        with self._engine.connect() as connection:
            return list(connection.execute(newest).scalars())

    def planned(self, run_id: str) -> bool:
        """Whether the run has been planned, so that it may have committed rows."""
        with self._engine.connect() as connection:
            return bool(connection.scalar(statements.PLANNED, {"run_id": run_id}))

    def snapshot(self, run_id: str) -> RunSnapshot | None:
        """Reads a snapshot of the run; None for an unknown run."""
        with Session(self._engine) as session:
            return read_snapshot(session, run_id)
