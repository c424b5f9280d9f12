"""What has been committed: the `_headrace` schema in the target database, one ledger row per partition."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg

from connectors.base import Resume

_LOCK = 0x4EAD_2ACE
"""Advisory lock under which the schema is made, so that many runs may start at once."""

_DDL = """
CREATE SCHEMA IF NOT EXISTS _headrace;
CREATE TABLE IF NOT EXISTS _headrace.ledger (
  root_run_id text NOT NULL,
  target_node text NOT NULL,
  stage integer NOT NULL,
  partition integer NOT NULL,
  rows_done bigint NOT NULL,
  rows_loaded bigint NOT NULL,
  rows_failed bigint NOT NULL,
  rows_skipped bigint NOT NULL,
  position bigint,
  counters jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_run_id, target_node, stage, partition)
);
CREATE TABLE IF NOT EXISTS _headrace.loads (
  load_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  root_run_id text NOT NULL,
  run_id text NOT NULL,
  pipeline_id text NOT NULL,
  ir_version integer NOT NULL,
  source_node text NOT NULL,
  target_node text NOT NULL,
  target_table text NOT NULL,
  stage integer NOT NULL,
  partition integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (run_id, target_node, stage, partition)
);
CREATE TABLE IF NOT EXISTS _headrace.replayed (
  origin_run_id text NOT NULL,
  target_node text NOT NULL,
  row_number bigint NOT NULL,
  run_id text NOT NULL,
  PRIMARY KEY (origin_run_id, target_node, row_number)
);
"""

_READ = """
SELECT rows_done, rows_loaded, rows_failed, rows_skipped, position, counters FROM _headrace.ledger
WHERE root_run_id = %s AND target_node = %s AND stage = %s AND partition = %s
"""

# The condition on rows_done is what makes a batch count once: whoever comes second, moves nothing and must give up.
_MOVE = """
INSERT INTO _headrace.ledger AS l
  (root_run_id, target_node, stage, partition, rows_done, rows_loaded, rows_failed, rows_skipped, position, counters)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (root_run_id, target_node, stage, partition) DO UPDATE SET
  rows_done = EXCLUDED.rows_done, rows_loaded = EXCLUDED.rows_loaded, rows_failed = EXCLUDED.rows_failed,
  rows_skipped = EXCLUDED.rows_skipped, position = EXCLUDED.position, counters = EXCLUDED.counters, updated_at = now()
WHERE l.rows_done = %s
"""

_REGISTER = """
INSERT INTO _headrace.loads
  (root_run_id, run_id, pipeline_id, ir_version, source_node, target_node, target_table, stage, partition)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id, target_node, stage, partition) DO UPDATE SET source_node = EXCLUDED.source_node
RETURNING load_id
"""

_COUNTS = """
SELECT coalesce(sum(rows_done), 0)::bigint, coalesce(sum(rows_loaded), 0)::bigint,
       coalesce(sum(rows_failed), 0)::bigint, coalesce(sum(rows_skipped), 0)::bigint
FROM _headrace.ledger WHERE root_run_id = %s AND target_node = %s
"""

_COMMITTED = "SELECT coalesce(sum(rows_done), 0)::bigint FROM _headrace.ledger WHERE root_run_id = %s"

_MARK = """
INSERT INTO _headrace.replayed (origin_run_id, target_node, run_id, row_number)
SELECT %s, %s, %s, unnest(%s::bigint[]) ON CONFLICT DO NOTHING
"""

_REPLAYED = """
SELECT target_node, array_agg(row_number) FROM _headrace.replayed WHERE origin_run_id = %s GROUP BY target_node
"""


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Whose row it is: the first run of a chain of retries, the target node, the stage and its partition."""

    root_run_id: str
    target_node: str
    stage: int
    partition: int

    @property
    def values(self) -> tuple[str, str, int, int]:
        """As parameters of a statement."""
        return (self.root_run_id, self.target_node, self.stage, self.partition)


def create_ledger(connection: psycopg.Connection[Any]) -> None:
    """Makes schema and tables when they are not there; safe when many do it at once. Commits."""
    with connection.transaction():
        there = connection.execute("SELECT to_regclass('_headrace.replayed') IS NOT NULL").fetchone()
        if there and there[0]:
            return
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_DDL)


def read_ledger(connection: psycopg.Connection[Any], key: LedgerKey) -> Resume:
    """Where the partition stands; all zero when it has no row."""
    row = connection.execute(_READ, key.values).fetchone()
    return Resume() if row is None else Resume(*row)


def move_ledger(connection: psycopg.Connection[Any], key: LedgerKey, before: Resume, after: Resume) -> bool:
    """Moves the row inside the caller's transaction; False when it does not stand at `before` any more."""
    values = (after.rows_done, after.rows_loaded, after.rows_failed, after.rows_skipped, after.position)
    counters = json.dumps(dict(after.counters))
    cursor = connection.execute(_MOVE, (*key.values, *values, counters, before.rows_done))
    return cursor.rowcount == 1


def register_load(
    connection: psycopg.Connection[Any],
    key: LedgerKey,
    *,
    run_id: str,
    pipeline_id: str,
    ir_version: int,
    source_node: str,
    table: str,
) -> int:
    """The load id of this run's partition; the same again when its task is repeated."""
    values = (
        key.root_run_id,
        run_id,
        pipeline_id,
        ir_version,
        source_node,
        key.target_node,
        table,
        key.stage,
        key.partition,
    )
    row = connection.execute(_REGISTER, values).fetchone()
    assert row is not None
    return int(row[0])


def ledger_counts(connection: psycopg.Connection[Any], root_run_id: str, target_node: str) -> Resume:
    """Sums over all partitions of a target."""
    row = connection.execute(_COUNTS, (root_run_id, target_node)).fetchone()
    return Resume() if row is None else Resume(*row)


def mark_replayed(
    connection: psycopg.Connection[Any], origin_run_id: str, target_node: str, run_id: str, rows: list[int]
) -> bool:
    """Notes inside the caller's transaction that failed rows were loaded after all; False when another run did so
    before for one of them, and this one must give up."""
    cursor = connection.execute(_MARK, (origin_run_id, target_node, run_id, rows))
    return cursor.rowcount == len(rows)


def replayed_rows(connection: psycopg.Connection[Any], origin_run_id: str) -> dict[str, set[int]]:
    """The rows that were loaded after all, by target node; none when nothing was ever loaded."""
    there = connection.execute("SELECT to_regclass('_headrace.replayed') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return {}
    found = connection.execute(_REPLAYED, (origin_run_id,))
    return {target_node: set(rows) for target_node, rows in found}


def committed_rows(connection: psycopg.Connection[Any], root_run_id: str) -> int:
    """How many source rows a chain of runs has dealt with for good, over all its targets."""
    there = connection.execute("SELECT to_regclass('_headrace.ledger') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return 0
    row = connection.execute(_COMMITTED, (root_run_id,)).fetchone()
    return int(row[0]) if row is not None else 0
