"""The history of in-process runs, which are not in a catalog: two tables next to the ledger, for retries."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.rows import namedtuple_row

from headrace.catalog.runs.records import DatasetRuleOutcome, RunSnapshot, UncommittedRows
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.ir.load_modes import load_modes, load_strategy

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.in_process_runs (
  id text PRIMARY KEY,
  pipeline text NOT NULL,
  parameters jsonb NOT NULL,
  ir jsonb NOT NULL,
  ir_version integer NOT NULL,
  root_run_id text NOT NULL,
  retry_of text,
  origin_run_id text,
  status text NOT NULL,
  failure_reason text,
  plan jsonb,
  rules jsonb NOT NULL DEFAULT '[]',
  nodes jsonb NOT NULL DEFAULT '{}',
  rows_in bigint NOT NULL DEFAULT 0,
  rows_out bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  planned_at timestamptz,
  finished_at timestamptz
);
CREATE INDEX IF NOT EXISTS in_process_runs_pipeline ON _headrace.in_process_runs (pipeline, created_at);
CREATE TABLE IF NOT EXISTS _headrace.in_process_errors (
  root_run_id text NOT NULL,
  "row" bigint NOT NULL,
  "column" text NOT NULL,
  rule text NOT NULL,
  node text NOT NULL,
  partition integer NOT NULL,
  stage integer NOT NULL,
  warning boolean NOT NULL,
  value text,
  error text NOT NULL,
  PRIMARY KEY (root_run_id, "row", "column", rule, node, partition, stage)
)
"""

_STORE_ERRORS = """
INSERT INTO _headrace.in_process_errors
  (root_run_id, stage, partition, node, warning, "row", "column", value, error, rule)
SELECT %(root)s, %(stage)s, %(partition)s, %(node)s, %(warning)s, c."row", c."column", c.value, c.error, c.rule
FROM json_to_recordset(%(cells)s::json) AS c ("row" bigint, "column" text, value text, error text, rule text)
ON CONFLICT DO NOTHING
"""

_RUN = "SELECT * FROM _headrace.in_process_runs"

_FIRST = """
WITH RECURSIVE chain AS (
  SELECT id, retry_of FROM _headrace.in_process_runs WHERE id = %(id)s
  UNION
  SELECT r.id, r.retry_of FROM _headrace.in_process_runs r JOIN chain ON r.id = chain.retry_of)
SELECT id FROM chain WHERE retry_of IS NULL OR retry_of NOT IN (SELECT id FROM chain)
"""


class History:
    """The runs of one pipeline in one database. One session, shared by all threads of a run. Raises psycopg.Error."""

    def __init__(self, database_url: str, pipeline: str) -> None:
        self.pipeline = pipeline
        self._lock = threading.Lock()
        self._connection = connect(database_url, autocommit=True)
        try:
            create_ledger(self._connection)
            there = self._one("SELECT to_regclass('_headrace.in_process_errors') IS NOT NULL")
            if not (there and there[0]):
                with self._connection.transaction():
                    self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x4EAD_0001,))
                    self._connection.execute(_DDL)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the session, which releases the lock of `alone`."""
        self._connection.close()

    def alone(self) -> bool:
        """Takes the lock on the pipeline in this database until the session is closed; False if another session has
        it."""
        key = f"headrace in process {self.pipeline}"
        taken = self._one("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,))
        return bool(taken and taken[0])

    def last(self, parameters: Mapping[str, Any]) -> RunSnapshot | None:
        """The newest run of the pipeline with these parameters."""
        found = self._one(
            f"{_RUN} WHERE pipeline = %s AND parameters = %s::jsonb ORDER BY created_at DESC LIMIT 1",
            (self.pipeline, json.dumps(dict(parameters))),
        )
        return None if found is None else _snapshot(found)

    def version(self, ir: Mapping[str, Any]) -> int:
        """The version number of the document among those the pipeline ran with; the next number for a new document."""
        query = (
            "SELECT coalesce(min(ir_version) FILTER (WHERE ir = %s::jsonb), coalesce(max(ir_version), 0) + 1)"
            " FROM _headrace.in_process_runs WHERE pipeline = %s"
        )
        found = self._one(query, (json.dumps(ir), self.pipeline))
        assert found is not None, "an aggregate has a row"
        return int(found[0])

    def document(self, version: int) -> dict[str, Any]:
        """The document of a version number."""
        query = "SELECT ir FROM _headrace.in_process_runs WHERE pipeline = %s AND ir_version = %s LIMIT 1"
        found = self._one(query, (self.pipeline, version))
        assert found is not None, "versions are those of runs"
        return dict(found[0])

    def open(
        self,
        run_id: str,
        *,
        ir: Mapping[str, Any],
        ir_version: int,
        parameters: Mapping[str, Any],
        root_run_id: str,
        retry_of: str | None,
        origin_run_id: str | None,
    ) -> None:
        """Records the run with status `running`."""
        self._do(
            "INSERT INTO _headrace.in_process_runs (id, pipeline, ir, ir_version, parameters, root_run_id, retry_of,"
            " origin_run_id, status) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'running')",
            (
                *(run_id, self.pipeline, json.dumps(ir), ir_version, json.dumps(dict(parameters))),
                *(root_run_id, retry_of, origin_run_id),
            ),
        )

    def planned(self, run_id: str, plan: Mapping[str, Any]) -> None:
        """Stores the plan, which retries use; must be called before the first row is loaded."""
        update = "UPDATE _headrace.in_process_runs SET plan = %s, planned_at = clock_timestamp() WHERE id = %s"
        self._do(update, (json.dumps(plan), run_id))

    def finished(
        self,
        run_id: str,
        status: str,
        reason: str | None,
        counts: tuple[int, int, int, int],
        nodes: Mapping[str, Mapping[str, int]],
    ) -> None:
        """Records the end of a run; `counts` are rows in, out, failed, skipped."""
        self._do(
            "UPDATE _headrace.in_process_runs SET status = %s, failure_reason = %s, rows_in = %s, rows_out = %s,"
            " failed = %s, skipped = %s, nodes = %s, finished_at = clock_timestamp() WHERE id = %s",
            (status, None if reason is None else reason.replace("\x00", ""), *counts, json.dumps(nodes), run_id),
        )

    def evaluated(self, run_id: str, rules: Sequence[DatasetRuleOutcome]) -> None:
        """Stores the results of the run's dataset rules."""
        self._do(
            "UPDATE _headrace.in_process_runs SET rules = %s WHERE id = %s",
            (json.dumps([asdict(rule) for rule in rules]), run_id),
        )

    def earlier_rows(self, run_id: str, node: str, runs: int) -> list[int]:
        """The rows out of a node in the last `runs` completed runs, newest first."""
        query = (
            "SELECT (nodes -> %s ->> 'rowsOut')::bigint FROM _headrace.in_process_runs WHERE pipeline = %s AND id <> %s"
            " AND origin_run_id IS NULL AND status LIKE 'completed%%' AND nodes ? %s ORDER BY created_at DESC LIMIT %s"
        )
        with self._lock:
            found = self._connection.execute(query, (node, self.pipeline, run_id, node, runs)).fetchall()
        return [int(rows) for (rows,) in found]

    def rejected(self, root_run_id: str, stage: int, partition: int, node: str, cells: str, *, warning: bool) -> None:
        """Stores rejected cells, given as by `cells_as_json`; cells of a replayed batch are stored already and
        ignored."""
        place = {"root": root_run_id, "stage": stage, "partition": partition, "node": node, "warning": warning}
        self._do(_STORE_ERRORS, place | {"cells": cells})

    def forget(self, root_run_id: str, only: UncommittedRows | None) -> None:
        """Deletes the rejected cells of a chain, or `only` those of rows that were not committed."""
        gone, values = "DELETE FROM _headrace.in_process_errors WHERE root_run_id = %s", [root_run_id]
        if only is None:
            self._do(gone, values)
            return
        where = f'{gone} AND stage = %s AND partition = %s AND node = ANY(%s) AND "row" > %s'
        self._do(where, [*values, only.stage, only.partition, list(only.nodes), only.last_row])

    def errors(self, root_run_id: str, limit: int | None) -> list[tuple[Any, ...]]:
        """(node, row, column, value, error, rule, warning) of a chain, ordered by row."""
        query = (
            'SELECT node, "row", nullif("column", \'\'), value, error, rule, warning FROM _headrace.in_process_errors'
            ' WHERE root_run_id = %s ORDER BY "row", "column", rule, node LIMIT %s'
        )
        with self._lock:
            return self._connection.execute(query, (root_run_id, limit)).fetchall()

    # Methods of flows.resume.RunHistory, for retries.

    def snapshot(self, run_id: str) -> RunSnapshot | None:
        """The run with this id, of any pipeline."""
        found = self._one(f"{_RUN} WHERE id = %s", (run_id,))
        return None if found is None else _snapshot(found)

    def attempts(self, root_run_id: str) -> list[str]:
        """The ids of the planned runs of a chain, last planned first."""
        query = (
            "SELECT id FROM _headrace.in_process_runs WHERE root_run_id = %s AND planned_at IS NOT NULL"
            " ORDER BY planned_at DESC"
        )
        with self._lock:
            return [each for (each,) in self._connection.execute(query, (root_run_id,)).fetchall()]

    def failed_rows(self, root_run_id: str) -> dict[tuple[int, int, str], list[int]]:
        """The rows that failed in a chain, by (stage, partition, node)."""
        query = (
            'SELECT stage, partition, node, array_agg(DISTINCT "row") FROM _headrace.in_process_errors'
            " WHERE root_run_id = %s AND NOT warning GROUP BY 1, 2, 3"
        )
        with self._lock:
            found = self._connection.execute(query, (root_run_id,)).fetchall()
        return {(stage, partition, node): list(rows) for stage, partition, node, rows in found}

    def first_of_chain(self, run_id: str) -> str:
        """The id of the first run of the chain of retries and replays."""
        found = self._one(_FIRST, {"id": run_id})
        return run_id if found is None else str(found[0])

    def _one(self, query: Any, values: Any = None) -> Any:
        with self._lock, self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(query, values).fetchone()

    def _do(self, query: Any, values: Any) -> None:
        with self._lock:
            self._connection.execute(query, values)


def _snapshot(run: Any) -> RunSnapshot:
    moment: datetime = run.created_at
    return RunSnapshot(
        id=run.id,
        tenant_id="",
        pipeline_id=run.pipeline,
        ir_version=run.ir_version,
        root_run_id=run.root_run_id,
        retry_of=run.retry_of,
        origin_run_id=run.origin_run_id,
        parameters=run.parameters,
        status=run.status,
        load_strategy=load_strategy(load_modes(run.ir)),
        total_rows=0,
        rows_in=run.rows_in,
        rows_out=run.rows_out,
        failed_rows=run.failed,
        skipped_rows=run.skipped,
        failure_reason=run.failure_reason,
        fingerprint=None,
        plan=run.plan,
        created_at=moment,
        started_at=moment,
        measured_from=run.planned_at,
        finished_at=run.finished_at,
        touched_at=run.finished_at or moment,
        observed_at=run.finished_at or moment,
        partitions=(),
        nodes=run.nodes,
        first_errors=(),
        log=(),
        rules=tuple(DatasetRuleOutcome(**rule) for rule in run.rules),
    )
