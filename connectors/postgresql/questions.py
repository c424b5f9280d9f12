"""Queries of targets' databases outside of loads, each over its own connection.

Results are JSON, so that a query can run in another process, where that is safer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.cursors import create_cursors, forget_cursors, read_cursors, set_cursor
from headrace.connectors.postgresql.ledger.committed import committed_partitions, published_tables
from headrace.connectors.postgresql.ledger.replayed import replayed_rows
from headrace.connectors.postgresql.ledger.resume_check import restart_reasons
from headrace.connectors.postgresql.tables.quarantine import read_quarantine

_STATEMENT_TIMEOUT = "5s"
"""Somebody waits for the answer."""


def ask(database: Database, question: str, *arguments: Any) -> Any:
    """The answer to one of QUESTIONS. Raises TargetError, psycopg.Error."""
    return QUESTIONS[question](database, *arguments)


def _committed(database: Database, load_keys: Sequence[str]) -> Any:
    with connect(database, autocommit=True) as connection:
        return [[*each] for each in committed_partitions(connection, load_keys)]


def _published(database: Database, root_run_id: str, load_keys: Sequence[str]) -> Any:
    with connect(database, autocommit=True) as connection:
        return [*published_tables(connection, root_run_id, load_keys)]


def _replayed(database: Database, origin_run_id: str) -> Any:
    with connect(database, autocommit=True) as connection:
        return [[*each[:3], sorted(each.rows)] for each in replayed_rows(connection, origin_run_id)]


def _restart_reasons(database: Database, load_key: str) -> Any:
    """Empty if the server does not answer: the run itself checks again, and longer."""
    try:
        with connect(database, autocommit=True) as connection:
            connection.execute("SELECT set_config('statement_timeout', %s, false)", (_STATEMENT_TIMEOUT,))
            return restart_reasons(connection, load_key)
    except psycopg.Error:
        return []


def _quarantined(
    database: Database, table: str, root_run_id: str, node_id: str, limit: int, row: int | None = None
) -> Any:
    found = read_quarantine(database, table, root_run_id=root_run_id, node_id=node_id, limit=limit, row=row)
    return found and [[each.id, each.rule_id, each.row, each.created_at.isoformat()] for each in found]


def _cursors(database: Database, pipeline_id: str) -> Any:
    with connect(database, autocommit=True) as connection:
        found = read_cursors(connection, pipeline_id)
    return [
        [each.source_node, each.name, each.target_node, each.position, each.run_id, each.at.isoformat()]
        for each in found
    ]


def _change_cursors(
    database: Database,
    pipeline_id: str,
    source: str | None,
    name: str | None,
    targets: Sequence[str],
    position: Any,
    by: str,
) -> Any:
    """Forgets the cursors of a source (None: of all), or one of them by `name`, and sets it for `targets`."""
    with connect(database, autocommit=True) as connection:
        if targets:
            create_cursors(connection)
        with connection.transaction():
            forget_cursors(connection, pipeline_id, source, name)
            if targets:
                assert source is not None, "one source's cursor is set"
                assert name is not None, "a cursor that is set has a name"
                set_cursor(connection, pipeline_id, source, name, targets, position, by)
    return None


QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "committed": _committed,
    "published": _published,
    "replayed": _replayed,
    "restart_reasons": _restart_reasons,
    "quarantined": _quarantined,
    "cursors": _cursors,
    "change_cursors": _change_cursors,
}
"""The queries by name; each takes the database and its function's arguments, all JSON."""
