"""Empties a table in the transaction that refills it, without breaking foreign keys to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.locks.table_lock import lock_table
from headrace.connectors.postgresql.tables.describe import Table

EmptyMethod = Literal["delete", "truncate"]

_INCOMING = """
SELECT c.conname::text, n.nspname::text, t.relname::text, c.confdeltype::text, c.condeferrable,
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum)
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.confrelid = %s::oid AND c.contype = 'f' AND c.conrelid <> c.confrelid AND c.conparentid = 0
ORDER BY 2, 3, 1
"""

_NO_ACTION = "a"
_ACTIONS = {"c": "be deleted", "n": "lose it", "d": "fall back to a default"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of another table to the target. `action` is the letter of ON DELETE in pg_constraint."""

    name: str
    schema: str
    table: str
    action: str
    deferrable: bool
    columns: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name of its table."""
        return sql.Identifier(self.schema, self.table)


def references(connection: psycopg.Connection[Any], table: Table) -> list[Reference]:
    """The foreign keys of other tables to this one."""
    found = connection.execute(_INCOMING, (table.oid,))
    return [
        Reference(name, schema, other, action, deferrable, tuple(columns))
        for name, schema, other, action, deferrable, columns in found
    ]


def empty_table(connection: psycopg.Connection[Any], table: Table, means: EmptyMethod) -> Callable[[], None]:
    """Locks the table against writers and removes its rows; returns a function to call when it is filled again.

    A table with foreign keys to it cannot be truncated: its rows are deleted, unless that would change rows of another
    table. Raises TargetError(`referenced`) in that case, also from the returned function.
    """
    incoming = references(connection, table)
    if means == "truncate" and not incoming:
        lock_table(connection, table.identifier, "ACCESS EXCLUSIVE")
        connection.execute(sql.SQL("TRUNCATE {}").format(table.identifier))
        return lambda: None
    # The lock also keeps other tables from referring to rows that are deleted.
    lock_table(connection, table.identifier, "EXCLUSIVE")
    deferred = [each for each in incoming if _refers(connection, each)]
    for each in deferred:
        if each.action != _NO_ACTION or not each.deferrable:
            raise _referenced(table, each)
        connection.execute(sql.SQL("SET CONSTRAINTS {} DEFERRED").format(sql.Identifier(each.schema, each.name)))
    connection.execute(sql.SQL("DELETE FROM {}").format(table.identifier))

    def check() -> None:
        for each in deferred:
            try:
                with connection.transaction():
                    again = sql.SQL("SET CONSTRAINTS {} IMMEDIATE")
                    connection.execute(again.format(sql.Identifier(each.schema, each.name)))
            except psycopg.errors.ForeignKeyViolation as error:
                raise TargetError(
                    "referenced",
                    f"{each.schema}.{each.table} refers to rows of {table.qualified} that would be gone "
                    f'(foreign key "{each.name}"): {error.diag.message_detail or error.diag.message_primary}',
                    f"Nothing was changed. Correct the rows of {each.schema}.{each.table}, or the data, and retry.",
                ) from None

    return check


def _refers(connection: psycopg.Connection[Any], reference: Reference) -> bool:
    known = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in reference.columns)
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(reference.identifier, known)
    return connection.execute(query).fetchone() == (True,)


def _referenced(table: Table, reference: Reference) -> TargetError:
    there = f"{reference.schema}.{reference.table}"
    would = _ACTIONS.get(reference.action)
    consequence = f", and its rows would {would} with them" if would else ""
    return TargetError(
        "referenced",
        f'Rows of {there} refer to {table.qualified} (foreign key "{reference.name}"), so its rows cannot be replaced'
        f"{consequence}.",
        f"Use loadMode upsert; or empty {there} first; or make the key DEFERRABLE with ON DELETE NO ACTION.",
    )
