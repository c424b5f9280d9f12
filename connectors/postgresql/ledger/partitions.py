"""The ledger: one row per partition of a load, in the `_headrace` schema of the target database."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg import sql

from headrace.connectors.target import Resume

_LOCK = 0x4EAD_2ACE
"""Advisory lock under which the schema is made, so that many runs may start at once."""

_DDL = """
CREATE SCHEMA IF NOT EXISTS _headrace;
CREATE TABLE IF NOT EXISTS _headrace.ledger (
  root_run_id text NOT NULL,
  target_node text NOT NULL,
  kind text NOT NULL DEFAULT 'load',
  stage integer NOT NULL,
  partition integer NOT NULL,
  rows_done bigint NOT NULL,
  rows_loaded bigint NOT NULL,
  rows_failed bigint NOT NULL,
  rows_skipped bigint NOT NULL,
  position jsonb,
  version bigint NOT NULL DEFAULT 1,
  finished boolean NOT NULL DEFAULT false,
  counters jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_run_id, target_node, kind, stage, partition)
);
CREATE UNLOGGED TABLE IF NOT EXISTS _headrace.staging_ledger (LIKE _headrace.ledger INCLUDING ALL);
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

# A ledger of an earlier release: publications had a negative stage, entries that are no loads had a dot in their node.
_UPGRADE = """
ALTER TABLE _headrace.{ledger}
  ADD COLUMN kind text NOT NULL DEFAULT 'load',
  ADD COLUMN version bigint NOT NULL DEFAULT 1,
  ADD COLUMN finished boolean NOT NULL DEFAULT false,
  ALTER COLUMN position TYPE jsonb USING to_jsonb(position);
ALTER TABLE _headrace.{ledger} DROP CONSTRAINT {key};
ALTER TABLE _headrace.{ledger} ADD PRIMARY KEY (root_run_id, target_node, kind, stage, partition);
UPDATE _headrace.{ledger} SET
  kind = CASE WHEN target_node LIKE '%.rules' THEN 'verdict' WHEN stage < 0 THEN 'publication'
              WHEN target_node LIKE '%.measured' THEN 'measure' ELSE 'exchange' END,
  stage = CASE WHEN stage < 0 THEN -1 - stage ELSE stage END
WHERE stage < 0 OR target_node LIKE '%.%';
"""

_PRIMARY_KEY = "SELECT conname::text FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'"

_CURRENT = """
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('_headrace.staging_ledger')
  AND attname = 'kind' AND NOT attisdropped)
"""

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

# Of the targets of one stage, the one that is furthest counts: they all get the same rows.
_COMMITTED = """
SELECT stage, partition, kind NOT IN ('publication', 'verdict', 'comparison') AS reads, max(rows_done)
FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
WHERE root_run_id = ANY(%s)
  AND (rows_done > 0 OR position IS NOT NULL OR kind IN ('publication', 'verdict', 'comparison'))
GROUP BY stage, partition, reads
"""

_VISIBLE = """
SELECT DISTINCT coalesce(o.target_table, l.target_node)
FROM _headrace.ledger AS l LEFT JOIN _headrace.loads AS o ON o.root_run_id = %s AND o.target_node = l.target_node
WHERE l.root_run_id = ANY(%s) AND (l.kind = 'publication' OR (l.kind = 'load' AND l.rows_loaded > 0))
ORDER BY 1
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

_MARK = """
INSERT INTO _headrace.replayed (origin_run_id, target_node, run_id, row_number)
SELECT %s, %s, %s, unnest(%s::bigint[]) ON CONFLICT DO NOTHING
"""

_BY_OTHERS = """
SELECT EXISTS (SELECT FROM _headrace.replayed
  WHERE origin_run_id = %s AND target_node = %s AND run_id <> %s AND row_number = ANY(%s))
"""

_REPLAYED = """
SELECT l.source_node, r.target_node, l.target_table, r.rows
FROM (SELECT run_id, target_node, array_agg(row_number) AS rows FROM _headrace.replayed
      WHERE origin_run_id = %s GROUP BY run_id, target_node) AS r
CROSS JOIN LATERAL (SELECT source_node, target_table FROM _headrace.loads AS l
                    WHERE l.run_id = r.run_id AND l.target_node = r.target_node LIMIT 1) AS l
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


def create_ledger(connection: psycopg.Connection[Any]) -> None:
    """Makes schema and tables when they are not there, and changes those of an earlier release; safe when many do it at
    once. Commits."""
    with connection.transaction():
        if connection.execute(_CURRENT).fetchone() == (True,):
            return
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        older = connection.execute("SELECT to_regclass('_headrace.staging_ledger') IS NOT NULL").fetchone() == (True,)
        connection.execute(_DDL)
        if older and connection.execute(_CURRENT).fetchone() == (False,):
            for name in ("ledger", "staging_ledger"):
                (key,) = connection.execute(_PRIMARY_KEY, (f"_headrace.{name}",)).fetchone() or ("",)
                upgrade = sql.SQL(_UPGRADE).format(ledger=sql.Identifier(name), key=sql.Identifier(key))
                connection.execute(upgrade)


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


def mark_replayed(
    connection: psycopg.Connection[Any], origin_run_id: str, target_node: str, run_id: str, rows: list[int]
) -> bool:
    """Notes inside the caller's transaction that failed rows were loaded after all; False when another run did so
    before for one of them, and this one must give up."""
    cursor = connection.execute(_MARK, (origin_run_id, target_node, run_id, rows))
    return cursor.rowcount == len(rows)


def replayed_by_others(
    connection: psycopg.Connection[Any], origin_run_id: str, target_node: str, run_id: str, rows: list[int]
) -> bool:
    """Whether another run has loaded one of these failed rows."""
    found = connection.execute(_BY_OTHERS, (origin_run_id, target_node, run_id, rows)).fetchone()
    return found == (True,)


class Replayed(NamedTuple):
    """Rows of a source that replays loaded into a target."""

    source_node: str
    target_node: str
    table: str
    rows: frozenset[int]


def replayed_rows(connection: psycopg.Connection[Any], origin_run_id: str) -> list[Replayed]:
    """The rows that were loaded after all; none when nothing was ever loaded."""
    there = connection.execute("SELECT to_regclass('_headrace.replayed') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return []
    found = connection.execute(_REPLAYED, (origin_run_id,))
    return [Replayed(source, target, table, frozenset(rows)) for source, target, table, rows in found]


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


class Committed(NamedTuple):
    """The ledger's progress of a partition of a stage: the rows that the most advanced sink has processed, or (not
    `reads`) that something was published or evaluated."""

    stage: int
    partition: int
    reads: bool
    rows: int


def committed_partitions(connection: psycopg.Connection[Any], load_keys: Sequence[str]) -> list[Committed]:
    """The progress committed under these ids."""
    there = connection.execute("SELECT to_regclass('_headrace.staging_ledger') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return []
    return [Committed(*row) for row in connection.execute(_COMMITTED, (list(load_keys),))]


def committed_rows(found: Iterable[Committed], reading: Collection[int] = (0,)) -> tuple[int, bool]:
    """How many source rows were dealt with in the stages that read sources (`reading`), and whether any row was
    committed at all: rows may have been published and those that are still held back been lost in a crash of the
    server. `found` may be of several ledgers: the sink that is furthest counts."""
    known = list(found)
    furthest: dict[tuple[int, int], int] = {}
    for each in known:
        if each.reads and each.stage in reading:
            place = (each.stage, each.partition)
            furthest[place] = max(furthest.get(place, 0), each.rows)
    return sum(furthest.values()), bool(known)


def published_tables(
    connection: psycopg.Connection[Any], root_run_id: str, load_keys: Sequence[str] = ()
) -> tuple[str, ...]:
    """The tables into which the chain of runs has published or loaded directly, under its own id or one of these."""
    there = connection.execute("SELECT to_regclass('_headrace.staging_ledger') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return ()
    found = connection.execute(_VISIBLE, (root_run_id, [root_run_id, *load_keys]))
    return tuple(str(table) for (table,) in found)
