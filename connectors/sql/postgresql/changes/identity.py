"""Whether updates and deletes say which row they are of: the replica identity of a table."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.postgresql.types import quoted
from headrace.connectors.sql.relation import Relation

_IDENTITY = """
SELECT c.relreplident::text, c.relpersistence::text, (
         SELECT coalesce(pg_catalog.array_agg(a.attname::text), '{}')
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
           ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
         WHERE i.indrelid = c.oid
           AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
FROM pg_catalog.pg_class c
WHERE c.oid = %(oid)s::oid OR (c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s::oid::regclass)
                                         WHERE isleaf) AND c.relkind = 'r')
"""


_GENERATED = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''
ORDER BY a.attnum
"""


def generated_columns(session: Session, relation: Relation) -> list[str]:
    """The columns that the server computes: the log does not have them."""
    return [name for (name,) in session.rows(_GENERATED, [relation.own["oid"]])]


def check_identity(session: Session, relation: Relation, key: Sequence[str]) -> None:
    """Raises SourceError(`no_identity`) if an update or a delete of the table, or of one of its partitions, does not
    say which row it is of. A publication of such a table would make them fail at the source."""
    table = f"{quoted(relation.own['schema'])}.{quoted(relation.own['table'])}"
    for identity, persistence, columns in session.rows(_IDENTITY, {"oid": relation.own["oid"]}):
        if persistence != "p":
            raise SourceError(
                "no_changes", f"{relation.name} is not in the server's log.", f"ALTER TABLE {table} SET LOGGED."
            )
        if identity != "f" and not columns:
            raise SourceError(
                "no_identity",
                f"Updates and deletes of {relation.name} do not say which row they are of: it has no primary key that "
                "is its replica identity.",
                f"Add a primary key, or ALTER TABLE {table} REPLICA IDENTITY USING INDEX …, or FULL with the source's "
                "'key'.",
            )
        if not key:
            raise SourceError(
                "no_identity",
                f"{relation.name} has no key that tells its rows apart.",
                "Name the columns in the source's 'key'.",
            )
        if identity != "f" and not set(key) <= set(columns):
            raise SourceError(
                "no_identity",
                f"Deletes of {relation.name} have only {', '.join(sorted(columns))}, its replica identity, and not the "
                f"key ({', '.join(key)}).",
                "Set the source's 'key' to those columns, or change the replica identity.",
            )
