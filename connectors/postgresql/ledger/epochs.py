"""What the ledger has of the epochs of a streaming run: each has an id of its own, and is forgotten once the next one
has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

_TABLES = {
    "ledger": "root_run_id",
    "staging_ledger": "root_run_id",
    "begun": "load_key",
    "hooks": "root_run_id",
    "sent_requests": "load_key",
}
"""Those with rows of an epoch, and their column of its id."""

_THERE = "SELECT to_regclass(%s) IS NOT NULL"


def epoch_load_key(root_run_id: str, epoch: int) -> str:
    """The ledger's id for the load of one epoch of a chain of streaming runs."""
    return f"{root_run_id}.{epoch}"


def forget_epochs(connection: psycopg.Connection[Any], load_keys: Sequence[str]) -> None:
    """Deletes what is counted under these ids, on an autocommit connection. Only for epochs that are finished, whose
    successor's plan is stored: nobody continues them any more."""
    _forget(connection, sql.SQL("DELETE FROM _headrace.{} WHERE {} = ANY(%s)"), ([*load_keys],))


def forget_other_epochs(connection: psycopg.Connection[Any], root_run_id: str, load_key: str) -> None:
    """Deletes what is counted under the ids of all epochs of the chain but this one (empty: of all), as above."""
    others = sql.SQL("DELETE FROM _headrace.{0} WHERE starts_with({1}, %s) AND {1} <> %s")
    _forget(connection, others, (f"{root_run_id}.", load_key))


def _forget(connection: psycopg.Connection[Any], statement: sql.SQL, values: tuple[Any, ...]) -> None:
    for table, column in _TABLES.items():
        if connection.execute(_THERE, (f"_headrace.{table}",)).fetchone() == (True,):
            connection.execute(statement.format(sql.Identifier(table), sql.Identifier(column)), values)
