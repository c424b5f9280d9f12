"""The store of runs: state, counts, errors and log, written by a running flow. All writes are upserts of absolute
values, so that a task that runs twice, or a flow that starts again, leaves the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.found_columns import FoundColumnStore
from headrace.catalog.models import Connector, Pipeline, PipelineRun, RunError, RunPartition
from headrace.catalog.repositories.connectors import chosen, named_connectors
from headrace.catalog.runs import statements
from headrace.catalog.runs.dataset_rules import DatasetRuleStore
from headrace.catalog.runs.ledger_counts import copy_ledger_counts
from headrace.catalog.runs.progress import share_done
from headrace.catalog.runs.records import (
    SUCCESSFUL,
    TERMINAL,
    ConnectorRecord,
    Gathered,
    LogLevel,
    LogStage,
    PartitionStatus,
    RunPipeline,
    RunSnapshot,
    RunStatus,
    UncommittedRows,
)
from headrace.catalog.runs.snapshot import partition_counts, read_snapshot
from headrace.catalog.runs.statements import MAX_MESSAGE_CHARS, log_line, storable
from headrace.catalog.runs.streams import StreamStore
from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.catalog.security.credentials import Keyring
from headrace.catalog.security.database_roles import tenant_url
from headrace.catalog.settings import Settings, settings
from headrace.catalog.yaml_documents import load_documents, references_of
from headrace.ir.load_modes import LoadStrategy

MAX_VALUE_CHARS = 1000
MAX_KEY_CHARS = 300
"""Column and rule are part of the errors' key, and an index row is limited to about 2,700 bytes."""


class RunStore:
    """Runs by id. There is no tenant filter: callers use ids from Headrace itself, never from users.

    `run_id` is `run_` + the hex of the Prefect flow-run id; `root_run_id` is the first run of a chain of retries.
    `keyring` decrypts connector credentials, by default that of the settings.
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

    def forget_errors(self, root_run_id: str, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        """Deletes the rejected cells of a chain of runs, which starts over (of partitions from `since` on, where an
        epoch does), or only those of the rows in `only`."""
        gone = delete(RunError).where(RunError.root_run_id == root_run_id, RunError.partition >= since)
        if only is not None:
            gone = gone.where(RunError.stage == only.stage, RunError.partition == only.partition)
            gone = gone.where(RunError.node_id.in_(only.nodes), RunError.row > only.last_row)
        with self._engine.begin() as connection:
            connection.execute(gone)

    def waits(self, run_id: str) -> None:
        """Sets a running run to `pending` while it waits for another one; `started` sets it to `running`."""
        with self._engine.begin() as connection:
            waiting = update(PipelineRun).where(PipelineRun.id == run_id, PipelineRun.status == "running")
            connection.execute(waiting.values(status="pending"))

    def partition(
        self,
        run_id: str,
        stage: int,
        index: int,
        *,
        status: PartitionStatus,
        rows_in: int,
        rows_out: int,
        failed: int,
        skipped: int,
        nodes: dict[str, dict[str, int]],
        gathered: Gathered | None = None,
    ) -> None:
        """Sets the counts of a partition and of its nodes: rows committed since the root run began.

        A stage that reads no source reports `rows_in` 0, and one that loads nothing `rows_out` 0, so that the run's
        totals are sums. The first report of a partition should come before its first batch, with the counts of earlier
        runs and attempts, so that the ETA is that of this attempt. `gathered`: see Gathered.
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
            gathered_rows=None if gathered is None else gathered.rows,
        )
        new = statement.excluded
        changes: dict[str, Any] = {
            name: new[name] for name in ("status", "rows_in", "rows_out", "failed", "skipped", "updated_at")
        }
        changes["base_rows"] = func.coalesce(RunPartition.base_rows, new.rows_in)
        if gathered is not None:
            changes["gathered_rows"] = new.gathered_rows
            if gathered.of is not None:
                changes["planned_rows"] = gathered.of
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
        cells: str,
        warning: bool = False,
    ) -> int:
        """Stores rejected cells; returns the number of new ones (a replayed batch adds none).

        `cells` is a JSON list of objects with `row`, `column` ('' for a whole row), `value`, `error`, `rule`, and
        `sources`, the files of the row as in RunError, as JSON text; without NUL characters, and of texts that are not
        longer than MAX_VALUE_CHARS and MAX_KEY_CHARS. `warning`: the rows are loaded anyway.
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
                    "cells": cells,
                },
            )
            return stored.rowcount

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
    ) -> bool:
        """Ends the run: sets its totals to the sums over its partitions, and the last run of the pipeline. Returns
        False if nothing changed. `at` is when its work ended, by the database's clock; by default now.

        With `only_if_unfinished`, for observers that find a run dead, a run that has ended is not changed.
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
        if status in SUCCESSFUL:  # a source may not have known in advance how many rows it has
            totals["total_rows"] = totals["rows_in"]
        with self._engine.begin() as connection:
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

    def load_pipeline(self, pipeline_id: str, ir_version: int | None) -> RunPipeline:
        """Reads the pipeline with that IR version, or with the live one for None.

        Raises PipelineMissing, NoIr, CredentialsUnreadable.
        """
        with self._engine.connect() as connection:
            wanted = {"pipeline_id": pipeline_id, "ir_version": ir_version}
            found = connection.execute(statements.PIPELINE, wanted).one_or_none()
            named = named_connectors(found.ir) if found is not None and found.ir is not None else []
            others: Sequence[Any] = ()
            if found is not None and named:
                others = connection.execute(statements.CONNECTORS, {"tenant_id": found.tenant_id, "named": named}).all()
            documents: dict[str, dict[str, Any]] = {}
            if found is not None and found.ir is not None:
                known = [(found.connector_type, found.config), *((other.type, other.config) for other in others)]
                documents = load_documents(connection, found.tenant_id, references_of(found.ir, known))
        if found is None:
            raise PipelineMissing(f"There is no pipeline {pipeline_id}")
        if found.ir_version is None:
            raise NoIr(f"The pipeline '{found.name}' has no IR to run")
        if found.ir is None:
            raise PipelineMissing(f"The pipeline '{found.name}' has no IR version {found.ir_version}")
        return RunPipeline(
            id=found.id,
            tenant_id=found.tenant_id,
            name=" ".join(found.name.split()),  # earlier releases accepted line ends
            ir=found.ir,
            ir_version=found.ir_version,
            connector=self._record(found.connector_id, found.connector_type, found.config, found.auth_sealed),
            execution_config=found.execution_config,
            tables=frozenset(f"{TABLE_SCHEMA}.{table}" for table in found.tables),
            named={
                name: self._record(other.id, other.type, other.config, other.auth_sealed)
                for name in named
                if (other := chosen(name, others)) is not None
            },
            documents=documents,
        )

    def _record(self, record_id: str, kind: str, config: dict[str, Any], sealed: bytes | None) -> ConnectorRecord:
        record = ConnectorRecord(record_id, kind, config)
        if sealed is None:
            return record
        keyring = self._keyring or settings().keyring
        return replace(record, credentials=keyring.unseal(sealed, connector_id=record_id))

    def target_url(self, chosen: Settings, tenant_id: str) -> str:
        """Returns the libpq URL with which the tenant's runs access their tables."""
        key = chosen.tenant_login_key
        return tenant_url(self._engine, chosen.for_runs, tenant_id, key.get_secret_value() if key else None)

    def counted(self, run_id: str) -> tuple[int, int]:
        """Returns (failed rows, source rows read) of all partitions of the run so far."""
        sums = select(func.coalesce(func.sum(RunPartition.failed), 0), func.coalesce(func.sum(RunPartition.rows_in), 0))
        with self._engine.connect() as connection:
            failed, read = connection.execute(sums.where(RunPartition.run_id == run_id)).one()
            return int(failed), int(read)

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

    def planned(self, run_id: str) -> bool:
        """Whether the run has been planned, so that it may have committed rows."""
        with self._engine.connect() as connection:
            return bool(connection.scalar(statements.PLANNED, {"run_id": run_id}))

    def snapshot(self, run_id: str) -> RunSnapshot | None:
        """Reads a snapshot of the run; None for an unknown run."""
        with Session(self._engine) as session:
            return read_snapshot(session, run_id)
