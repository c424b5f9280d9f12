"""Which files hold the rows that a partition has sent to a later stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from headrace.connectors.postgresql.ledger.partitions import LedgerKey
from headrace.connectors.postgresql.ledger.schema import create_ledger

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
class SentFiles:
    """The committed files of one attempt (`token`) of a partition: those that begin at row `first` or later and before
    row `upto`, their number in all buckets, and their bytes."""

    partition: int
    token: str
    first: int
    upto: int
    files: int
    bytes: int


def create_exchange_manifest(connection: psycopg.Connection[Any]) -> None:
    """Creates the table. Concurrent calls are safe."""
    create_ledger(connection)
    there = connection.execute("SELECT to_regclass('_headrace.sent') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x4EAD_5E47,))
            connection.execute(_DDL)


def record_sent(connection: psycopg.Connection[Any], root_run_id: str, sink: str, sent: SentFiles) -> None:
    """Records the files of one batch, in the caller's transaction."""
    values = (sent.partition, sent.token, sent.first, sent.upto, sent.files, sent.bytes)
    connection.execute(_NOTE, (root_run_id, sink, *values))


def read_sent(connection: psycopg.Connection[Any], root_run_id: str, sink: str) -> list[SentFiles]:
    """Everything sent through a sink, by partition and in order."""
    return [SentFiles(*row) for row in connection.execute(_READ, (root_run_id, sink))]


def reset_partition(connection: psycopg.Connection[Any], key: LedgerKey) -> None:
    """Deletes the records and the ledger row of a partition, in the caller's transaction."""
    where = (key.root_run_id, key.target_node, key.partition)
    connection.execute("DELETE FROM _headrace.sent WHERE root_run_id = %s AND sink = %s AND partition = %s", where)
    connection.execute(
        "DELETE FROM _headrace.ledger "
        "WHERE root_run_id = %s AND target_node = %s AND kind = %s AND stage = %s AND partition = %s",
        key.values,
    )


def delete_sent(connection: psycopg.Connection[Any], root_run_id: str) -> None:
    """Deletes the records of a run whose files are removed; its ledger rows stay."""
    there = connection.execute("SELECT to_regclass('_headrace.sent') IS NOT NULL").fetchone()
    if there is not None and there[0]:
        connection.execute("DELETE FROM _headrace.sent WHERE root_run_id = %s", (root_run_id,))
