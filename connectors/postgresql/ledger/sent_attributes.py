"""The record that an API has of each key, as a hash, so that only changed records are sent.

A hash is deleted when a request with another record for its key begins, and stored when the ledger counts that record:
whatever becomes of a run in between, a record whose state at the API is not known is sent the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

_LOCK = 0x4EAD_2AD6

_DDL = """
CREATE SCHEMA IF NOT EXISTS _headrace;
CREATE TABLE IF NOT EXISTS _headrace.sent_attributes (
  pipeline_id text NOT NULL,
  target_node text NOT NULL,
  key text NOT NULL,
  hash bytea NOT NULL,
  run_id text NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (pipeline_id, target_node, key)
)
"""

_UNCHANGED = """
SELECT g.key FROM unnest(%s::text[], %s::text[]) AS g (key, record)
JOIN _headrace.sent_attributes AS s ON s.pipeline_id = %s AND s.target_node = %s AND s.key = g.key
WHERE s.hash = sha256(convert_to(g.record, 'UTF8'))
"""

_STORE = """
INSERT INTO _headrace.sent_attributes (pipeline_id, target_node, key, hash, run_id)
SELECT %s, %s, g.key, sha256(convert_to(g.record, 'UTF8')), %s FROM unnest(%s::text[], %s::text[]) AS g (key, record)
ON CONFLICT (pipeline_id, target_node, key) DO UPDATE
SET hash = EXCLUDED.hash, run_id = EXCLUDED.run_id, sent_at = now()
"""

_FORGET = """
DELETE FROM _headrace.sent_attributes WHERE pipeline_id = %s AND target_node = %s AND key = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class SentAttributes:
    """The hashes of one target of a pipeline. Keys and records are JSON texts; a key occurs once in a call."""

    pipeline_id: str
    target_node: str
    run_id: str

    def unchanged(self, connection: psycopg.Connection[Any], keys: pl.Series, records: pl.Series) -> pl.Series:
        """The keys whose record the API has."""
        values = (keys.to_list(), records.to_list(), self.pipeline_id, self.target_node)
        found = [key for (key,) in connection.execute(_UNCHANGED, values)]
        return pl.Series("key", found, dtype=pl.String)

    def forget(self, connection: psycopg.Connection[Any], keys: Sequence[str]) -> None:
        """Deletes the hashes of keys in the caller's transaction."""
        connection.execute(_FORGET, (self.pipeline_id, self.target_node, [*keys]))

    def store(self, connection: psycopg.Connection[Any], keys: pl.Series, records: pl.Series) -> None:
        """Stores the hashes of records that the API has taken, in the caller's transaction."""
        connection.execute(_STORE, (self.pipeline_id, self.target_node, self.run_id, keys.to_list(), records.to_list()))


def create_sent_attributes(connection: psycopg.Connection[Any]) -> None:
    """Creates the table, on an autocommit connection. Concurrent calls are safe."""
    if connection.execute("SELECT to_regclass('_headrace.sent_attributes') IS NULL").fetchone() == (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(_DDL)
