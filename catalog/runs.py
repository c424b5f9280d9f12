"""What a running flow writes: its state, counts, errors and log. Everything is an upsert of absolute values, so that a
task that runs twice, or a flow that starts again, leaves the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog import run_statements as statements
from catalog.credentials import Keyring
from catalog.errors import NoIr, PipelineMissing
from catalog.models import Connector, Pipeline, PipelineRun, RunError, RunPartition
from catalog.run_log import MAX_MESSAGE_CHARS, LogStage, log_line, storable
from catalog.run_records import SUCCESSFUL, TERMINAL, ConnectorRecord, RunPipeline, RunSnapshot, Uncommitted
from catalog.run_rules import RunRules
from catalog.run_snapshot import read_snapshot
from catalog.schemas_ddl import TABLE_SCHEMA
from catalog.settings import settings

MAX_VALUE_CHARS = 1000
_MAX_KEY_CHARS = 300
"""Column and rule are part of the errors' key, and an index row has less than 2,700 bytes."""


class RunStore:
    """Runs by id, for whoever was handed the id by Headrace itself: there is no tenant filter here.

    `run_id` is `run_` + the hex of the Prefect flow-run id; `root_run_id` is the first run of a chain of retries.
    `keyring` opens connector credentials; without one it is taken from the settings when it is needed.
    """

    def __init__(self, engine: Engine, *, keyring: Keyring | None = None) -> None:
        self._engine = engine
        self._keyring = keyring

    def open(
        self,
        run_id: str,
        *,
        tenant_id: str,
        pipeline_id: str,
        ir_version: int,
        root_run_id: str,
        retry_of: str | None,
        load_strategy: str,
        origin_run_id: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        status: Literal["pending", "running"] = "pending",
        created_at: datetime | None = None,
    ) -> None:
        """Makes the run known: `pending` by whoever asks for it, `running` by the flow when it starts.

        Either may come first. A `running` run that had ended (the flow was started again) is open again.
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
        fingerprint: dict[str, str],
        plan: dict[str, Any],
        partitions: Sequence[tuple[int, int, int]],
    ) -> None:
        """The run is planned and moves now. `partitions` are (stage, index, rows); earlier ones not named are dropped.

        What a partition counted in an earlier attempt stays until it reports again.
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

    def forget_errors(self, root_run_id: str, only: Uncommitted | None = None) -> None:
        """Removes the rejected cells of a chain of runs, which starts over, or only those of rows not committed."""
        gone = delete(RunError).where(RunError.root_run_id == root_run_id)
        if only is not None:
            gone = gone.where(RunError.stage == only.stage, RunError.partition == only.partition)
            gone = gone.where(RunError.node_id.in_(only.nodes), RunError.row > only.last_row)
        with self._engine.begin() as connection:
            connection.execute(gone)

    def waits(self, run_id: str) -> None:
        """The run waits for another one before it can begin; `started` ends that."""
        with self._engine.begin() as connection:
            waiting = update(PipelineRun).where(PipelineRun.id == run_id, PipelineRun.status == "running")
            connection.execute(waiting.values(status="pending"))

    def partition(
        self,
        run_id: str,
        stage: int,
        index: int,
        *,
        status: str,
        rows_in: int,
        rows_out: int,
        failed: int,
        skipped: int,
        nodes: dict[str, dict[str, int]],
    ) -> None:
        """Sets a partition's counts, rows committed so far since the root run began, and those of its nodes.

        A stage that reads no source reports `rows_in` 0 and one that loads nothing `rows_out` 0: the run's totals are
        plain sums. The first report of a partition should come before its first batch, with what an earlier run or
        attempt committed, so that the ETA measures this one.
        """
        statement = insert(RunPartition).values(
            run_id=run_id,
            stage=stage,
            index=index,
            planned_rows=rows_in,
            status=status,
            rows_in=rows_in,
            rows_out=rows_out,
            failed=failed,
            skipped=skipped,
            base_rows=0,
            updated_at=func.clock_timestamp(),
        )
        new = statement.excluded
        changes: dict[str, Any] = {
            name: new[name] for name in ("status", "rows_in", "rows_out", "failed", "skipped", "updated_at")
        }
        changes["base_rows"] = func.coalesce(RunPartition.base_rows, new.rows_in)
        key = [RunPartition.run_id, RunPartition.stage, RunPartition.index]
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))
            counted = {"run_id": run_id, "stage": stage, "partition": index, "nodes": json.dumps(nodes)}
            connection.execute(statements.COUNT_NODES, counted)

    def errors(
        self,
        root_run_id: str,
        run_id: str,
        node_id: str,
        stage: int,
        partition: int,
        *,
        rows: list[int],
        columns: list[str | None],
        values: list[str | None],
        errors: list[str],
        rules: list[str],
        warning: bool = False,
    ) -> int:
        """Stores rejected cells, five lists of one length; returns how many were new (a replayed batch adds none).

        Values longer than 1,000 characters are cut. `warning`: the rows are loaded all the same.
        """
        with self._engine.begin() as connection:
            stored = connection.execute(
                statements.STORE_ERRORS,
                {
                    "root": root_run_id,
                    "run": run_id,
                    "node": node_id,
                    "stage": stage,
                    "partition": partition,
                    "warning": warning,
                    "rows": rows,
                    "columns": [storable(column or "", _MAX_KEY_CHARS) for column in columns],
                    "values": [None if value is None else storable(value, MAX_VALUE_CHARS) for value in values],
                    "errors": [storable(error, MAX_VALUE_CHARS) for error in errors],
                    "rules": [storable(rule, _MAX_KEY_CHARS) for rule in rules],
                },
            )
            return stored.rowcount

    def log(self, run_id: str, stage: LogStage, message: str) -> None:
        """Adds a line to the run's log; nothing when the run is not known (it failed before it could be opened)."""
        with self._engine.begin() as connection:
            connection.execute(log_line(run_id, stage, message))

    def finished(
        self, run_id: str, *, status: str, failure_reason: str | None, only_if_unfinished: bool = False
    ) -> bool:
        """Ends the run: totals are the sums over its partitions, and the pipeline learns of it. False: nothing changed.

        `only_if_unfinished` is for observers that find a run dead: what the run said of itself is not overwritten.
        """
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
        with self._engine.begin() as connection:
            run = connection.execute(
                ended.values(status=status, failure_reason=reason, finished_at=func.now(), **totals).returning(
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

    def load_pipeline(self, pipeline_id: str, ir_version: int | None) -> RunPipeline:
        """The pipeline with that IR version, the live one for None.

        Raises PipelineMissing, NoIr, CredentialsUnreadable.
        """
        with self._engine.connect() as connection:
            wanted = {"pipeline_id": pipeline_id, "ir_version": ir_version}
            found = connection.execute(statements.PIPELINE, wanted).one_or_none()
        if found is None:
            raise PipelineMissing(f"There is no pipeline {pipeline_id}")
        if found.ir_version is None:
            raise NoIr(f"The pipeline '{found.name}' has no IR to run")
        if found.ir is None:
            raise PipelineMissing(f"The pipeline '{found.name}' has no IR version {found.ir_version}")
        connector = ConnectorRecord(found.connector_id, found.connector_type, found.config)
        if found.auth_sealed is not None:
            keyring = self._keyring or settings().keyring
            credentials = keyring.unseal(found.auth_sealed, connector_id=connector.id)
            connector = replace(connector, credentials=credentials)
        return RunPipeline(
            id=found.id,
            tenant_id=found.tenant_id,
            name=found.name,
            ir=found.ir,
            ir_version=found.ir_version,
            connector=connector,
            execution_config=found.execution_config,
            tables=frozenset(f"{TABLE_SCHEMA}.{table}" for table in found.tables),
        )

    def counted(self, run_id: str) -> tuple[int, int]:
        """The rows that failed and the source rows that were read in all partitions of the run so far."""
        sums = select(func.coalesce(func.sum(RunPartition.failed), 0), func.coalesce(func.sum(RunPartition.rows_in), 0))
        with self._engine.connect() as connection:
            failed, read = connection.execute(sums.where(RunPartition.run_id == run_id)).one()
            return int(failed), int(read)

    def failed_rows(self, root_run_id: str) -> dict[tuple[int, int, str], list[int]]:
        """The rows that failed in a chain of runs, by (stage, partition, node). Warnings did not fail."""
        with self._engine.connect() as connection:
            found = connection.execute(statements.FAILED_ROWS, {"root": root_run_id})
            return {(stage, partition, node): list(rows) for stage, partition, node, rows in found}

    def first_of_chain(self, run_id: str) -> str:
        """The run that a chain of retries and replays began with, as far back as runs are known."""
        with self._engine.connect() as connection:
            return connection.execute(statements.FIRST_OF_CHAIN, {"run_id": run_id}).scalar() or run_id

    def attempts(self, root_run_id: str) -> list[str]:
        """The runs of a chain that were planned, those that planned last first: what is staged is counted by the plan
        of the first of them."""
        planned = select(PipelineRun.id).where(PipelineRun.root_run_id == root_run_id)
        newest = planned.where(PipelineRun.measured_from.is_not(None)).order_by(PipelineRun.measured_from.desc())
        with self._engine.connect() as connection:
            return list(connection.execute(newest).scalars())

    @property
    def rules(self) -> RunRules:
        """What belongs to the dataset rules of runs."""
        return RunRules(self._engine)

    def planned(self, run_id: str) -> bool:
        """Whether the run has been planned: it may have committed rows."""
        with self._engine.connect() as connection:
            return bool(connection.scalar(statements.PLANNED, {"run_id": run_id}))

    def snapshot(self, run_id: str) -> RunSnapshot | None:
        """All that is known of the run now; None when the catalog does not know it."""
        with Session(self._engine) as session:
            return read_snapshot(session, run_id)
