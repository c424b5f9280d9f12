"""Checks of the merge key, and SQL for merging by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.tables.describe import STAGED_ROW, Table

ROWS_PER_BUCKET = 250_000
"""Loads of fewer rows are published in one transaction."""

_MOST_BUCKETS = 16

_KEYS = """
SELECT i.indnullsnotdistinct FROM pg_index i
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, ord)
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.ord <= i.indnkeyatts)
      = (SELECT array_agg(n ORDER BY n) FROM unnest(%(key)s::text[]) AS n)
"""

# Another unique key or exclusion over loaded columns (an expression may be over any), or a foreign key to the table
# itself.
_ENTANGLED = """
SELECT EXISTS (
  SELECT FROM pg_index i CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(a.attname::text ORDER BY a.attname), '{}') AS names
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, ord)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.ord <= i.indnkeyatts) AS c
  WHERE i.indrelid = %(oid)s::oid AND (i.indisunique OR i.indisexclusion)
    AND (i.indexprs IS NOT NULL OR c.names && %(columns)s::text[])
    AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
         OR c.names <> (SELECT array_agg(n ORDER BY n) FROM unnest(%(key)s::text[]) AS n))
) OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = %(oid)s::oid AND confrelid = %(oid)s::oid)
"""


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique key of the table. `nulls_equal`: NULLS NOT DISTINCT."""

    columns: tuple[str, ...]
    nulls_equal: bool


def check_key(table: Table, key: Sequence[str], columns: Sequence[str], mode: str) -> None:
    """Raises TargetError if `key` cannot identify rows, or if only the key is loaded."""
    if not key:
        raise TargetError(
            "missing_upsert_key", f"{mode} into {table.qualified} needs upsertKey.", "Name its key columns."
        )
    for name in key:
        if name not in columns:
            known = table.column(name) is not None
            says = "the data lacks it" if known else f"{table.qualified} has no such column"
            raise TargetError(
                "upsert_key_column", f"Column '{name}' of upsertKey cannot be used: {says}.", "Correct upsertKey."
            )
    if set(columns) <= set(key):
        raise TargetError(
            "nothing_to_update",
            f"Every column that is loaded into {table.qualified} is in upsertKey: there is nothing to update.",
            "Load more columns, or use append.",
        )


def unique_key(connection: psycopg.Connection[Any], table: Table, key: Sequence[str]) -> UniqueKey:
    """The table's unique key over exactly these columns, in any order. Raises TargetError(`upsert_key_not_unique`)."""
    found = [nulls_equal for (nulls_equal,) in connection.execute(_KEYS, {"oid": table.oid, "key": list(key)})]
    if not found:
        names = sql.SQL(", ").join(sql.Identifier(name) for name in key)
        remedy = sql.SQL("ALTER TABLE {} ADD UNIQUE ({});").format(table.identifier, names).as_string(connection)
        raise TargetError(
            "upsert_key_not_unique",
            f"{table.qualified} has no primary key or unique constraint on ({', '.join(key)}) that identifies rows.",
            f"Create one: {remedy} (Partial, deferrable and expression indexes cannot be used.)",
        )
    return UniqueKey(tuple(key), any(found))


def bucket_count(
    connection: psycopg.Connection[Any], table: Table, key: Sequence[str], columns: Sequence[str], rows: int
) -> int:
    """Into how many buckets, by the hash of their keys, a load of `rows` rows is divided. One, if rows of different
    keys may conflict, so that the result does not depend on the order of the buckets."""
    wanted = {"oid": table.oid, "key": list(key), "columns": list(columns)}
    if connection.execute(_ENTANGLED, wanted).fetchone() == (True,):
        return 1
    return min(_MOST_BUCKETS, 1 + rows // ROWS_PER_BUCKET)


def column_list(names: Sequence[str], prefix: LiteralString = "") -> sql.Composed:
    """`"a", "b"`, or with a prefix `s."a", s."b"`."""
    return sql.SQL(", ").join(sql.SQL(prefix) + sql.Identifier(name) for name in names)


def same_key(key: Sequence[str], one: LiteralString, other: LiteralString) -> sql.Composed:
    """The condition that two rows have the same key, without nulls."""
    pair = sql.SQL(one + ".{0} = " + other + ".{0}")
    return sql.SQL(" AND ").join(pair.format(sql.Identifier(name)) for name in key)


def last_row_per_key(
    staged: sql.Composable, key: Sequence[str], condition: sql.Composable | None = None
) -> sql.Composed:
    """The query of the last row of every key, by source row number; in key order, which is faster for the index."""
    names = column_list(key)
    where = sql.SQL("") if condition is None else sql.SQL("WHERE {} ").format(condition)
    query = sql.SQL("SELECT DISTINCT ON ({}) * FROM {} q {}ORDER BY {}, {} DESC")
    return query.format(names, staged, where, names, sql.Identifier(STAGED_ROW))
