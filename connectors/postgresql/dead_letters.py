"""`_headrace.dead_letters`: messages of a stream that could not be decoded, unchanged.

A stream deletes old messages: rejected ones can be read and sent again from here only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import psycopg

_LOCK = 0x4EAD_2AD3

KEPT_FOR = timedelta(days=90)
"""Older entries are deleted when new ones are stored."""

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.dead_letters (
  root_run_id text NOT NULL,
  source_node text NOT NULL,
  row bigint NOT NULL,
  place text NOT NULL,
  key bytea,
  value bytea,
  kept_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_run_id, source_node, row)
)
"""

_KEEP = """
INSERT INTO _headrace.dead_letters (root_run_id, source_node, row, place, key, value) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (root_run_id, source_node, row)
DO UPDATE SET place = EXCLUDED.place, key = EXCLUDED.key, value = EXCLUDED.value, kept_at = now()
"""


def create_dead_letters(connection: psycopg.Connection[Any]) -> None:
    """Makes the table, on an autocommit connection; safe when many do it at once."""
    if connection.execute("SELECT to_regclass('_headrace.dead_letters') IS NULL").fetchone() == (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute("CREATE SCHEMA IF NOT EXISTS _headrace")
            connection.execute(_DDL)


def keep_dead_letters(
    connection: psycopg.Connection[Any], root_run_id: str, source_node: str, dead: pl.DataFrame
) -> None:
    """Keeps the messages of a frame (`connectors.source.DEAD_SCHEMA`), those of the same rows once."""
    rows = [(root_run_id, source_node, *row) for row in dead.iter_rows()]
    with connection.transaction():
        connection.cursor().executemany(_KEEP, rows)


def forget_dead_letters(
    connection: psycopg.Connection[Any], root_run_id: str, source_node: str, after: int, last: int
) -> None:
    """Removes those of rows after number `after` up to `last`, which are read again, and those that are too old."""
    connection.execute(
        "DELETE FROM _headrace.dead_letters WHERE root_run_id = %s AND source_node = %s AND row > %s AND row <= %s",
        (root_run_id, source_node, after, last),
    )
    connection.execute("DELETE FROM _headrace.dead_letters WHERE kept_at < now() - %s", (KEPT_FOR,))
