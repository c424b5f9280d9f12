"""Which files hold the rows that a partition has sent to a later stage: written in the transaction that moves its
ledger row, so that a file counts exactly when its rows do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from connectors.postgresql.ledger import LedgerKey, create_ledger

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.sent (
  root_run_id text NOT NULL,
  sink text NOT NULL,
  partition integer NOT NULL,
  token text NOT NULL,
  first bigint NOT NULL,
  upto bigint NOT NULL,
  files bigint NOT NULL,
  bytes bigint NOT NULL,
  PRIMARY KEY (root_run_id, sink, partition, token)
)
"""

_NOTE = """
INSERT INTO _headrace.sent AS s (root_run_id, sink, partition, token, first, upto, files, bytes)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (root_run_id, sink, partition, token) DO UPDATE SET
  upto = EXCLUDED.upto, files = s.files + EXCLUDED.files, bytes = s.bytes + EXCLUDED.bytes
"""

_READ = """
SELECT partition, token, first, upto, files, bytes FROM _headrace.sent
WHERE root_run_id = %s AND sink = %s ORDER BY partition, first
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """What one attempt (`token`) has committed of a partition: the files that begin behind `first` rows up to before
    `upto`, so many in all buckets and of so many bytes."""

    partition: int
    token: str
    first: int
    upto: int
    files: int
    bytes: int


def create_sent(connection: psycopg.Connection[Any]) -> None:
    """Makes the tables; safe when many do it at once."""
    create_ledger(connection)
    there = connection.execute("SELECT to_regclass('_headrace.sent') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x4EAD_5E47,))
            connection.execute(_DDL)


def note_sent(connection: psycopg.Connection[Any], root_run_id: str, sink: str, sent: Sent) -> None:
    """Adds the files of one batch, in the caller's transaction."""
    values = (sent.partition, sent.token, sent.first, sent.upto, sent.files, sent.bytes)
    connection.execute(_NOTE, (root_run_id, sink, *values))


def read_sent(connection: psycopg.Connection[Any], root_run_id: str, sink: str) -> list[Sent]:
    """All that was sent through a sink, by partition and in order."""
    return [Sent(*row) for row in connection.execute(_READ, (root_run_id, sink))]


def begin_again(connection: psycopg.Connection[Any], key: LedgerKey) -> None:
    """Forgets what a partition has sent, and its ledger row, in the caller's transaction."""
    where = (key.root_run_id, key.target_node, key.partition)
    connection.execute("DELETE FROM _headrace.sent WHERE root_run_id = %s AND sink = %s AND partition = %s", where)
    connection.execute(
        "DELETE FROM _headrace.ledger WHERE root_run_id = %s AND target_node = %s AND stage = %s AND partition = %s",
        key.values,
    )


def forget_sent(connection: psycopg.Connection[Any], root_run_id: str) -> None:
    """The files of a run are removed; its ledger rows stay."""
    there = connection.execute("SELECT to_regclass('_headrace.sent') IS NOT NULL").fetchone()
    if there is not None and there[0]:
        connection.execute("DELETE FROM _headrace.sent WHERE root_run_id = %s", (root_run_id,))
