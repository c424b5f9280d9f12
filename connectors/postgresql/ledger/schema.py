"""The schema `_headrace` of a target database: made on first use, and upgraded from earlier releases."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

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
