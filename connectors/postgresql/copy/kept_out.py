"""Rows that were sent and that the server did not count: a trigger of the table returned NULL for them."""

from __future__ import annotations

from typing import Any

import psycopg

from headrace.connectors.postgresql.tables.describe import Table

_PASSES_ON = """
SELECT (c.relkind = 'r' AND c.relhassubclass) OR c.relhasrules FROM pg_class AS c WHERE c.oid = %s
"""

_KEEPS_OUT = """
WITH RECURSIVE parts AS (
  SELECT %s::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN parts AS p ON i.inhparent = p.oid
)
SELECT EXISTS (SELECT FROM pg_trigger AS g JOIN parts ON g.tgrelid = parts.oid
               WHERE g.tgtype & 3 = 3 AND g.tgenabled IN ('O', 'A'))
"""  # 3: BEFORE, FOR EACH ROW


def may_keep_rows_out(connection: psycopg.Connection[Any], table: Table) -> bool:
    """Whether the table, or one that inherits from it, has a trigger that may return NULL for a row."""
    return connection.execute(_KEEPS_OUT, (table.oid,)).fetchone() == (True,)


def passes_rows_on(connection: psycopg.Connection[Any], table: Table) -> bool:
    """Whether rows that the table does not take may be in it all the same, because triggers or rules insert them into
    tables that inherit from it."""
    return connection.execute(_PASSES_ON, (table.oid,)).fetchone() == (True,)
