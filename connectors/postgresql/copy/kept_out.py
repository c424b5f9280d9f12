"""Rows that were sent and that the server did not count: a trigger of the table returned NULL for them."""

from __future__ import annotations

from typing import Any

import psycopg

from headrace.connectors.postgresql.tables.describe import Table

_PASSES_ON = """
SELECT (c.relkind = 'r' AND c.relhassubclass) OR c.relhasrules FROM pg_class AS c WHERE c.oid = %s
"""


def passes_rows_on(connection: psycopg.Connection[Any], table: Table) -> bool:
    """Whether rows that the table does not take may be in it all the same, because triggers or rules insert them into
    tables that inherit from it."""
    return connection.execute(_PASSES_ON, (table.oid,)).fetchone() == (True,)
