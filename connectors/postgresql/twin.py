"""A table's twin: an empty table that is like it in every respect, and can take its place and name.

`CREATE TABLE (LIKE ... INCLUDING ALL)` leaves a lot behind: foreign keys, triggers, policies, privileges, the owner,
the names of indexes. What is needed besides is read from the catalog as DDL for the twin (`twin_parts`), in four steps:
`make` is what rows meet when they are loaded, `complete` what can wait until they are (it is quicker then), `swap` what
must not go with the table, `rename` gives the names back once it is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from connectors.base import TargetError
from connectors.postgresql.table_lock import patiently
from connectors.postgresql.tables import Table
from connectors.postgresql.twin_parts import DEFAULT_GRANTS, IDENTITIES, OBSTACLES, PARTS, SHAPE

_NAME_LIMIT = 63
"""Bytes of a name in PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Twin:
    """`make`, `complete`, `swap`, `rename`: DDL, see above. `shape` is a digest of what rows meet. `triggered`: a
    trigger of the table may keep rows out. `names` are index names of the twin and what they stand for."""

    table: Table
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
        return twin_name(self.table.name)

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name for SQL."""
        return sql.Identifier(self.table.schema, self.name)


def twin_name(table: str) -> str:
    """`<table>__new`, shortened where that is too long a name."""
    name = f"{table}__new"
    if len(name.encode()) > _NAME_LIMIT:
        digest = hashlib.sha256(table.encode()).hexdigest()[:8]
        name = f"{table.encode()[: _NAME_LIMIT - 14].decode(errors='ignore')}_{digest}__new"
    return name


def read_twin(connection: psycopg.Connection[Any], table: Table) -> Twin:
    """What a twin of the table has to be, as the table is now. Raises TargetError(`cannot_be_swapped`) with whatever
    belongs to the table and would be lost with it."""
    new = sql.Identifier(table.schema, twin_name(table.name)).as_string(connection)
    values = {"oid": table.oid, "new": new}
    with _qualified_names(connection):
        if obstacles := [str(row[0]) for row in connection.execute(OBSTACLES, values)]:
            raise _in_the_way(table, obstacles)
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
    return Twin(table, make, complete, swap, rename, digest, triggered, unlogged, dict(names))


def make_twin(connection: psycopg.Connection[Any], twin: Twin) -> None:
    """Creates it in the open transaction. Waits for tables it refers to."""

    def make() -> None:
        _run(connection, twin.make)
        _continue_identities(connection, twin)

    patiently(connection, twin.table.identifier, make)


def complete_twin(connection: psycopg.Connection[Any], twin: Twin) -> None:
    """Gives it what need not be there while rows are loaded, in the open transaction; locks nothing else."""
    new = twin.identifier.as_string(connection)
    with _qualified_names(connection):
        revoked = [str(row[0]) for row in connection.execute(DEFAULT_GRANTS, {"new": new})]
    _run(connection, [*revoked, *twin.complete, f"ANALYZE {new}"])


def take_place(connection: psycopg.Connection[Any], twin: Twin) -> None:
    """The table goes and its twin has its place, in the open transaction: nobody sees anything between. Raises
    TargetError(`target_changed`) when the table is no longer what the twin was made from."""
    patiently(connection, twin.table.identifier, lambda: _swap(connection, twin))


def _swap(connection: psycopg.Connection[Any], twin: Twin) -> None:
    table = twin.table
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table.identifier))
    if read_twin(connection, table) != twin:
        raise changed(table)
    identities = _continue_identities(connection, twin)
    _run(connection, twin.swap)
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE {}").format(table.identifier))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise _in_the_way(table, [error.diag.message_detail or "other objects"]) from None
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(twin.identifier, sql.Identifier(table.name)))
    for name, sequence in identities.items():
        connection.execute(sql.SQL("ALTER SEQUENCE {} RENAME TO {}").format(sequence, sql.Identifier(name)))
    _run(connection, twin.rename)


def _continue_identities(connection: psycopg.Connection[Any], twin: Twin) -> dict[str, sql.Composable]:
    """Lets the twin's identity columns count on from where the table's are; gives its sequences by their later name."""
    values = {"oid": twin.table.oid, "new": twin.identifier.as_string(connection)}
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


def _in_the_way(table: Table, what: list[str]) -> TargetError:
    """The error for a table that a twin cannot stand in for."""
    return TargetError(
        "cannot_be_swapped",
        f"{table.qualified} cannot be swapped for a new table, because of {', '.join(what)}.",
        "Use loadMode replace, which keeps the table itself.",
    )


def changed(table: Table) -> TargetError:
    """The error for a table that was altered under the load."""
    return TargetError(
        "target_changed",
        f"{table.qualified} was altered while its new rows were loaded, so it was left as it is.",
        "Retry: the load begins again with the table as it is now.",
    )


def _run(connection: psycopg.Connection[Any], statements: Any) -> None:
    for statement in statements:
        # composed by PostgreSQL itself from its catalog, names quoted
        connection.execute(sql.SQL(cast("LiteralString", statement)))


@contextmanager
def _qualified_names(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """PostgreSQL writes every name with its schema when none is on the search path."""
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
