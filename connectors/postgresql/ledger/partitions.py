"""The ledger: one row per partition of a load, in the `_headrace` schema of the target database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from headrace.connectors.target import Resume

_READ = """
SELECT rows_done, rows_loaded, rows_failed, rows_skipped, position, counters, version, finished
FROM _headrace.{ledger}
WHERE root_run_id = %s AND target_node = %s AND kind = %s AND stage = %s AND partition = %s
"""

# The condition on the version makes a batch count once: whoever comes second moves nothing and must give up. A row that
# was there and is gone went in a crash of the server, and with it the rows that it counted.
_MOVE = """
INSERT INTO _headrace.{ledger} AS l
  (root_run_id, target_node, kind, stage, partition, rows_done, rows_loaded, rows_failed, rows_skipped, position,
   counters, finished, version)
SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s
WHERE %s = 0 OR EXISTS (SELECT FROM _headrace.{ledger}
  WHERE root_run_id = %s AND target_node = %s AND kind = %s AND stage = %s AND partition = %s)
ON CONFLICT (root_run_id, target_node, kind, stage, partition) DO UPDATE SET
  rows_done = EXCLUDED.rows_done, rows_loaded = EXCLUDED.rows_loaded, rows_failed = EXCLUDED.rows_failed,
  rows_skipped = EXCLUDED.rows_skipped, position = EXCLUDED.position, counters = EXCLUDED.counters,
  finished = EXCLUDED.finished, version = EXCLUDED.version, updated_at = now()
WHERE l.version = %s
"""

_REGISTER = """
INSERT INTO _headrace.loads
  (root_run_id, run_id, pipeline_id, ir_version, source_node, target_node, target_table, stage, partition)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id, target_node, stage, partition) DO UPDATE SET source_node = EXCLUDED.source_node
RETURNING load_id
"""

# Once in the ledger, a publication is done for good: whoever comes second adds nothing and must give up.
_SEAL = """
INSERT INTO _headrace.ledger
  (root_run_id, target_node, kind, stage, partition, rows_done, rows_loaded, rows_failed, rows_skipped, position,
   counters, finished)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s) ON CONFLICT DO NOTHING
"""

_COUNTERS = """
SELECT rows_done, counters FROM _headrace.{ledger}
WHERE root_run_id = %s AND target_node = %s AND kind = 'measure' AND stage = %s ORDER BY partition
"""

_ROWS_DONE = """
SELECT partition, max(rows_done)
FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
WHERE root_run_id = ANY(%s) AND target_node = %s AND kind NOT IN ('publication', 'verdict', 'comparison')
  AND stage = %s AND finished
GROUP BY partition
"""

_READ_ROWS = """
SELECT coalesce(sum(rows_done), 0)::bigint
FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
WHERE root_run_id = %s AND target_node = %s AND kind = 'load' AND stage = %s
"""

Ledger = Literal["ledger", "staging_ledger"]

Kind = Literal["load", "exchange", "measure", "publication", "verdict", "comparison"]
"""What a row counts: rows into a target or its staging table; rows sent to another stage; what dataset rules measure; a
publication of what was staged; the check of a node's dataset rules; the comparison of a target's keys with those of
its source."""


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Whose row it is: the first run of a chain of retries, the sink (a target node), the stage and its partition; of a
    publication, its number.

    Rows that are staged are counted in `staging_ledger`, which is unlogged as the staging tables are: a crash of the
    server empties both, and the partitions begin again.
    """

    root_run_id: str
    target_node: str
    stage: int
    partition: int
    ledger: Ledger = "ledger"
    kind: Kind = "load"

    @property
    def values(self) -> tuple[str, str, str, int, int]:
        """As parameters of a statement."""
        return (self.root_run_id, self.target_node, self.kind, self.stage, self.partition)


def read_ledger(connection: psycopg.Connection[Any], key: LedgerKey) -> Resume:
    """The partition's committed progress; all zero when it has no row."""
    return find_row(connection, key) or Resume()


def find_row(connection: psycopg.Connection[Any], key: LedgerKey) -> Resume | None:
    """The current row; None when there is none."""
    row = connection.execute(sql.SQL(_READ).format(ledger=sql.Identifier(key.ledger)), key.values).fetchone()
    return None if row is None else Resume(*row)


def record_publication(connection: psycopg.Connection[Any], key: LedgerKey, done: Resume) -> bool:
    """Writes the row of a publication inside the caller's transaction; False when it was there before."""
    return connection.execute(_SEAL, (*key.values, *_counted(done))).rowcount == 1


def advance_ledger(connection: psycopg.Connection[Any], key: LedgerKey, before: Resume, after: Resume) -> bool:
    """Moves the row inside the caller's transaction, to the version after that of `before`; False when it has another
    version by now."""
    statement = sql.SQL(_MOVE).format(ledger=sql.Identifier(key.ledger))
    version = before.version
    values = (*key.values, *_counted(after), version + 1, version, *key.values, version)
    return connection.execute(statement, values).rowcount == 1


def counters_of(
    connection: psycopg.Connection[Any], load_key: str, target_node: str, stage: int, ledger: Ledger
) -> list[tuple[int, dict[str, Any]]]:
    """Rows done and what was measured of each partition of a stage, as committed."""
    statement = sql.SQL(_COUNTERS).format(ledger=sql.Identifier(ledger))
    return [(int(done), counters) for done, counters in connection.execute(statement, (load_key, target_node, stage))]


def rows_done(
    connection: psycopg.Connection[Any], load_keys: Sequence[str], target_node: str, stage: int
) -> dict[int, int]:
    """How many rows each partition that was read to its end has brought to a sink, by partition, as committed."""
    return {
        int(partition): int(done)
        for partition, done in connection.execute(_ROWS_DONE, ([*load_keys], target_node, stage))
    }


def rows_read(connection: psycopg.Connection[Any], publication: LedgerKey) -> int:
    """How many source rows the partitions of a publication have dealt with, as the ledgers have it now."""
    key = (publication.root_run_id, publication.target_node, publication.stage)
    row = connection.execute(_READ_ROWS, key).fetchone()
    return 0 if row is None else int(row[0])


def _counted(resume: Resume) -> tuple[int | str | bool | None, ...]:
    counts = (resume.rows_done, resume.rows_loaded, resume.rows_failed, resume.rows_skipped)
    position = None if resume.position is None else json.dumps(resume.position)
    return (*counts, position, json.dumps(dict(resume.counters)), resume.finished)


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


_FULL = "/full"


def full_load_key(run_id: str) -> str:
    """The ledger's id for a load that only this run can continue; a retry of the run starts it from the beginning."""
    return run_id + _FULL


def is_full_load(load_key: str) -> bool:
    """Whether it is an id that `full_load_key` gave."""
    return load_key.endswith(_FULL)


def run_of_load_key(load_key: str) -> str:
    """The run in the ledger's id of a load."""
    return load_key.removesuffix(_FULL)
