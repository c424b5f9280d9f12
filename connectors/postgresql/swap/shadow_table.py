"""A shadow table: an empty copy of a table with all its properties, which can replace it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.locks.table_lock import with_lock_retries
from headrace.connectors.postgresql.swap.shadow_checks import DEFAULT_GRANTS, IDENTITIES, OBSTACLES, SHAPE
from headrace.connectors.postgresql.swap.shadow_ddl import PARTS
from headrace.connectors.postgresql.tables.describe import Table

_NAME_LIMIT = 63
"""Bytes of a name in PostgreSQL."""


@dataclass(frozen=True, slots=True)
class ShadowTable:
    """`make`, `complete`, `swap`, `rename`: the DDL of each step. `filled`: the columns that the data fill. `shape` is
    a digest of what rows must meet. `triggered`: a trigger of the table may suppress rows. `names` maps index names of
    the shadow table to those of the table."""

    table: Table
    filled: tuple[str, ...]
    make: tuple[str, ...]
    complete: tuple[str, ...]
    swap: tuple[str, ...]
    rename: tuple[str, ...]
    shape: str
    triggered: bool
    unlogged: bool
    names: dict[str, str]

    @property
    def name(self) -> str:
        """Its name, in the table's schema."""
        return shadow_name(self.table.name)

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name for SQL."""
        return sql.Identifier(self.table.schema, self.name)


def shadow_name(table: str) -> str:
    """`<table>__new`, shortened if that is too long a name."""
    name = f"{table}__new"
    if len(name.encode()) > _NAME_LIMIT:
        digest = hashlib.sha256(table.encode()).hexdigest()[:8]
        name = f"{table.encode()[: _NAME_LIMIT - 14].decode(errors='ignore')}_{digest}__new"
    return name


def describe_shadow(connection: psycopg.Connection[Any], table: Table, filled: Sequence[str]) -> ShadowTable:
    """The shadow table of a table's current definition, for data that fill the columns `filled`. Raises
    TargetError(`cannot_be_swapped`), which names dependent objects that would be lost."""
    new = sql.Identifier(table.schema, shadow_name(table.name)).as_string(connection)
    values = {"oid": table.oid, "new": new, "filled": list(filled)}
    with _qualified_names(connection):
        if obstacles := [str(row[0]) for row in connection.execute(OBSTACLES, values)]:
            raise _cannot_be_swapped(table, obstacles)
        found: dict[str, list[str]] = {"make": [], "complete": [], "swap": [], "rename": []}
        for step, query in PARTS:
            found[step] += [str(row[0]) for row in connection.execute(query, values)]
        shape = [str(row[0]) for row in connection.execute(SHAPE, values)]
        names = connection.execute(_INDEX_NAMES, values).fetchall()
        row = connection.execute(_KIND, values).fetchone()
    assert row is not None
    digest = hashlib.sha256("\n".join([*found["make"], *shape]).encode()).hexdigest()[:16]
    make, complete, swap, rename = (tuple(statements) for statements in found.values())
    unlogged, triggered = bool(row[0]), bool(row[1])
    return ShadowTable(table, tuple(filled), make, complete, swap, rename, digest, triggered, unlogged, dict(names))


def create_shadow(connection: psycopg.Connection[Any], shadow: ShadowTable) -> None:
    """Creates the shadow table in the open transaction. Waits for the tables it refers to."""

    def make() -> None:
        _run(connection, shadow.make)
        _continue_identities(connection, shadow)

    with_lock_retries(connection, shadow.table.identifier, make)


def complete_shadow(connection: psycopg.Connection[Any], shadow: ShadowTable) -> None:
    """Adds indexes and other objects not needed during loading, in the open transaction; locks no other table. Raises
    TargetError(`number_repeated`) if somebody has set back the sequence of a generated key."""
    new = shadow.identifier.as_string(connection)
    with _qualified_names(connection):
        revoked = [str(row[0]) for row in connection.execute(DEFAULT_GRANTS, {"new": new})]
    try:
        _run(connection, [*revoked, *shadow.complete, f"ANALYZE {new}"])
    except psycopg.errors.UniqueViolation as error:
        raise TargetError(
            "number_repeated",
            f"Rows of {new} have got the same generated number, so {shadow.table.qualified} was not changed: "
            f"{error.diag.message_detail}",
            "Somebody else has set its sequence back; retry the run.",
        ) from None


def swap_in(connection: psycopg.Connection[Any], shadow: ShadowTable) -> None:
    """Replaces the table by its shadow table in the open transaction. Raises TargetError(`target_changed`) if the table
    has been altered since the shadow table was created."""
    with_lock_retries(connection, shadow.table.identifier, lambda: _swap(connection, shadow))


def _swap(connection: psycopg.Connection[Any], shadow: ShadowTable) -> None:
    table = shadow.table
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table.identifier))
    if describe_shadow(connection, table, shadow.filled) != shadow:
        raise target_changed(table)
    identities = _continue_identities(connection, shadow)
    _run(connection, shadow.swap)
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE {}").format(table.identifier))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise _cannot_be_swapped(table, [error.diag.message_detail or "other objects"]) from None
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(shadow.identifier, sql.Identifier(table.name)))
    for name, sequence in identities.items():
        connection.execute(sql.SQL("ALTER SEQUENCE {} RENAME TO {}").format(sequence, sql.Identifier(name)))
    _run(connection, shadow.rename)


def _continue_identities(connection: psycopg.Connection[Any], shadow: ShadowTable) -> dict[str, sql.Composable]:
    """Sets the identity sequences of the shadow table to at least the values of the table's; returns them by their
    final name."""
    values = {"oid": shadow.table.oid, "new": shadow.identifier.as_string(connection)}
    with _qualified_names(connection):
        found = connection.execute(IDENTITIES, values).fetchall()
    made: dict[str, sql.Composable] = {}
    for name, *sequences, increment in found:
        old, new = (sql.SQL(cast("LiteralString", sequence)) for sequence in sequences)
        is_ahead = sql.SQL(
            "SELECT setval({}::regclass, o.last_value) FROM {} o, {} n WHERE o.is_called "
            "AND (NOT n.is_called OR sign(o.last_value::numeric - n.last_value) = sign({}::numeric))"
        )
        connection.execute(is_ahead.format(sql.Literal(sequences[1]), old, new, sql.Literal(increment)))
        made[name] = new
    return made


def _cannot_be_swapped(table: Table, what: list[str]) -> TargetError:
    """The error for a table that cannot be replaced by a shadow table."""
    return TargetError(
        "cannot_be_swapped",
        f"{table.qualified} cannot be swapped for a new table, because of {', '.join(what)}.",
        "Use loadMode replace, which keeps the table itself.",
    )


def target_changed(table: Table) -> TargetError:
    """The error for a table that was altered during the load."""
    return TargetError(
        "target_changed",
        f"{table.qualified} was altered while its new rows were loaded, so it was not changed.",
        "Retry: the load begins again with the table as it is now.",
    )


def _run(connection: psycopg.Connection[Any], statements: Any) -> None:
    for statement in statements:
        # composed by PostgreSQL itself from its catalog, names quoted
        connection.execute(sql.SQL(cast("LiteralString", statement)))


@contextmanager
def _qualified_names(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """With an empty search path PostgreSQL writes every name with its schema."""
    with connection.transaction():
        row = connection.execute("SELECT current_setting('search_path')").fetchone()
        assert row is not None
        connection.execute("SELECT set_config('search_path', '', true)")
        yield
        connection.execute("SELECT set_config('search_path', %s, true)", (row[0],))


_KIND: LiteralString = """
SELECT c.relpersistence = 'u', EXISTS (
  SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgtype & 7 = 7)
FROM pg_class c WHERE c.oid = %(oid)s::oid
"""

_INDEX_NAMES: LiteralString = """
SELECT CASE WHEN octet_length(c.relname) <= 58 THEN c.relname || '__new' ELSE 'ix_' || md5(c.relname) || '__new' END,
       c.relname::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %(oid)s::oid
"""
