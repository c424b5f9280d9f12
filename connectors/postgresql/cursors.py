"""Cursors: how far a pipeline has read its sources, so that the next run reads only what is new.

A cursor is kept for each target. It moves in the transaction that commits or publishes the rows it has passed, so that
rows and cursor agree whatever happens in between.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.source import Position

_LOCK = 0x4EAD_2AD1

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.cursors (
  pipeline_id text NOT NULL,
  source_node text NOT NULL,
  cursor text NOT NULL,
  target_node text NOT NULL,
  position jsonb NOT NULL,
  run_id text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (pipeline_id, source_node, cursor, target_node)
)
"""

_READ = """
SELECT source_node, cursor, target_node, position, run_id, updated_at FROM _headrace.cursors
WHERE pipeline_id = %s ORDER BY source_node, cursor, target_node
"""

_MOVE = """
INSERT INTO _headrace.cursors AS c (pipeline_id, source_node, cursor, target_node, position, run_id)
VALUES (%s, %s, %s, %s, %s::jsonb, %s)
ON CONFLICT (pipeline_id, source_node, cursor, target_node)
DO UPDATE SET position = EXCLUDED.position, run_id = EXCLUDED.run_id, updated_at = now()
"""

_POSITIONS = """
SELECT partition, position FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
WHERE root_run_id = %s AND target_node = %s AND kind IN ('load', 'exchange') AND stage = %s AND position IS NOT NULL
"""

_PUBLISHED = """
SELECT count(*) FROM _headrace.ledger
WHERE root_run_id = %s AND target_node = %s AND kind = 'publication' AND stage = %s
"""

_FORGET = """
DELETE FROM _headrace.cursors
WHERE pipeline_id = %s AND (%s::text IS NULL OR source_node = %s) AND (%s::text IS NULL OR cursor = %s)
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor of one partition of a source node. `stage` and `sink` say which ledger rows have its positions."""

    source_node: str
    name: str
    stage: int
    partition: int
    sink: str


@dataclass(frozen=True, slots=True)
class CursorKey:
    """Its row in `_headrace.cursors`."""

    pipeline_id: str
    source_node: str
    name: str
    target_node: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a cursor is for one target, and the run that moved it there last, or the text that `set_cursor` was given
    for one."""

    source_node: str
    name: str
    target_node: str
    position: Position
    run_id: str
    at: datetime


def create_cursors(connection: psycopg.Connection[Any]) -> None:
    """Makes the table, on an autocommit connection; safe when many do it at once."""
    if connection.execute("SELECT to_regclass('_headrace.cursors') IS NULL").fetchone() == (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute("CREATE SCHEMA IF NOT EXISTS _headrace")
            connection.execute(_DDL)


def read_cursors(connection: psycopg.Connection[Any], pipeline_id: str) -> list[Moved]:
    """All cursors of a pipeline."""
    if connection.execute("SELECT to_regclass('_headrace.cursors') IS NULL").fetchone() == (True,):
        return []
    return [Moved(*row) for row in connection.execute(_READ, (pipeline_id,))]


def move_cursor(connection: psycopg.Connection[Any], key: CursorKey, position: Position | None, run_id: str) -> None:
    """Stores the position in the caller's transaction; does nothing without a position."""
    if position is not None:
        values = (key.pipeline_id, key.source_node, key.name, key.target_node, json.dumps(position), run_id)
        connection.execute(_MOVE, values)


def move_published(
    connection: psycopg.Connection[Any],
    load_key: str,
    target_node: str,
    stage: int,
    *,
    publications: int,
    cursors: Mapping[Cursor, CursorKey],
    run_id: str,
) -> None:
    """Moves the cursors of rows that are published, in the transaction of the last of `publications`: one that is not
    the last finds that others are missing, and leaves it to them. Call it after the ledger has this one."""
    if not cursors:
        return
    # Of two concurrent publications, the second waits here until the first has committed, and sees its position.
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))"
    connection.execute(lock, (f"{load_key} {target_node}", _LOCK))
    if connection.execute(_PUBLISHED, (load_key, target_node, stage)).fetchone() != (publications,):
        return
    for of_stage, sink in {(cursor.stage, cursor.sink) for cursor in cursors}:
        found = dict(connection.execute(_POSITIONS, (load_key, sink, of_stage)).fetchall())
        for cursor, key in cursors.items():
            if (cursor.stage, cursor.sink) == (of_stage, sink):
                move_cursor(connection, key, found.get(cursor.partition), run_id)


def set_cursor(
    connection: psycopg.Connection[Any],
    pipeline_id: str,
    source_node: str,
    name: str,
    targets: Collection[str],
    position: Position,
    run_id: str,
) -> None:
    """Puts a cursor where a person wants it, for all targets."""
    for target in targets:
        move_cursor(connection, CursorKey(pipeline_id, source_node, name, target), position, run_id)


def forget_cursors(
    connection: psycopg.Connection[Any], pipeline_id: str, source_node: str | None = None, name: str | None = None
) -> int:
    """Removes cursors, so that the next run reads everything again; returns their number."""
    if connection.execute("SELECT to_regclass('_headrace.cursors') IS NULL").fetchone() == (True,):
        return 0
    values = (pipeline_id, source_node, source_node, name, name)
    return connection.execute(sql.SQL(_FORGET), values).rowcount
