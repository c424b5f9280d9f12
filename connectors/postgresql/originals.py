"""`_headrace.originals`: failed rows as read, for sources that cannot read the same rows again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg

_LOCK = 0x4EAD_2AD2

KEPT_FOR = timedelta(days=90)
"""Older entries are deleted when new ones are stored."""

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.originals (
  root_run_id text NOT NULL,
  source_node text NOT NULL,
  partition integer NOT NULL,
  first_row bigint NOT NULL,
  last_row bigint NOT NULL,
  part integer NOT NULL,
  rows bytea NOT NULL,
  kept_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_run_id, source_node, partition, first_row, last_row, part)
)
"""

_KEEP = """
INSERT INTO _headrace.originals (root_run_id, source_node, partition, first_row, last_row, part, rows)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (root_run_id, source_node, partition, first_row, last_row, part) DO UPDATE SET rows = EXCLUDED.rows
"""

_FORGET = (
    "DELETE FROM _headrace.originals WHERE root_run_id = %s AND source_node = %s AND partition = %s AND last_row > %s"
)

_READ = """
SELECT first_row, last_row, rows FROM _headrace.originals WHERE root_run_id = %s AND source_node = %s AND partition = %s
ORDER BY first_row, last_row, part
"""

OriginalsKey = tuple[str, str, int]
"""The first run of the chain, the source node, the partition."""


def create_originals(connection: psycopg.Connection[Any]) -> None:
    """Makes the table, on an autocommit connection; safe when many do it at once."""
    if connection.execute("SELECT to_regclass('_headrace.originals') IS NULL").fetchone() == (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute("CREATE SCHEMA IF NOT EXISTS _headrace")
            connection.execute(_DDL)


def keep_original(
    connection: psycopg.Connection[Any], key: OriginalsKey, first_row: int, last_row: int, part: int, rows: bytes
) -> None:
    """Stores the failed rows of a batch, an Arrow IPC stream; `part` distinguishes several sinks. Rows stored under the
    same numbers are replaced."""
    connection.execute(_KEEP, (*key, first_row, last_row, part, rows))


def forget_originals(connection: psycopg.Connection[Any], key: OriginalsKey, after: int) -> None:
    """Removes those of batches that end after row number `after`, and those that are too old."""
    connection.execute(_FORGET, (*key, after))
    connection.execute("DELETE FROM _headrace.originals WHERE kept_at < now() - %s", (KEPT_FOR,))


def read_originals(connection: psycopg.Connection[Any], key: OriginalsKey) -> Iterator[tuple[int, int, bytes]]:
    """First row, last row and rows of everything stored for a partition, sorted by first row. Rows that several sinks
    refused of one batch overlap."""
    if connection.execute("SELECT to_regclass('_headrace.originals') IS NULL").fetchone() == (True,):
        return
    with connection.cursor() as cursor:
        for first, last, rows in cursor.stream(_READ, key):
            yield int(first), int(last), bytes(rows)
