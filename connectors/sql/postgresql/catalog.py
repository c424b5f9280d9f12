"""Metadata of a table, a view or a query from the server's catalogs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.postgresql.types import SPLITTABLE, Typed, quoted
from headrace.connectors.sql.relation import ALIAS, Column, Relation, TableName

_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}

_TABLE = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text,
       coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''),
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
         OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN %(schema)s::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
"""

_NAMES = """
SELECT n.nspname::text || '.' || c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY (n.nspname = %s) DESC, 1 LIMIT 2000
"""

_COLUMNS = """
SELECT a.attname::text, a.atttypid::bigint, a.atttypmod, NOT a.attnotnull,
       coalesce(pg_catalog.col_description(a.attrelid, a.attnum), ''),
       CASE WHEN a.attcollation <> y.typcollation
            THEN pg_catalog.quote_ident(s.nspname) || '.' || pg_catalog.quote_ident(o.collname) END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace s ON s.oid = o.collnamespace
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_TYPES = """
WITH RECURSIVE given (place, typid, modifier) AS (
  SELECT u.place, u.typid, u.modifier FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS u (typid, modifier, place)
), made (place, typid, modifier) AS (
  SELECT place, typid, modifier FROM given
  UNION ALL
  SELECT m.place, t.typbasetype, t.typtypmod
  FROM made m JOIN pg_catalog.pg_type t ON t.oid = m.typid WHERE t.typtype = 'd'
)
SELECT pg_catalog.format_type(g.typid, g.modifier),
       CASE WHEN n.nspname = 'pg_catalog' THEN t.typname::text
            ELSE pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) END,
       m.modifier
FROM given g JOIN made m USING (place)
JOIN pg_catalog.pg_type t ON t.oid = m.typid AND t.typtype <> 'd'
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
ORDER BY g.place
"""

_KEY = """
SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place), i.indisprimary
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indisprimary, i.indnkeyatts
HAVING bool_and(coalesce(a.attnotnull, false))
ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
LIMIT 1
"""

_STREAMS = """
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::bigint,
       coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''),
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
        FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  AND pg_catalog.strpos(lower(n.nspname || '.' || c.relname), lower(%s)) > 0
ORDER BY 1, 2 LIMIT 10000
"""


def table(session: Session, name: TableName, database: str, schema: str | None) -> Relation:
    """A table or a view by its exact name. Raises SourceError: `missing_table`, `not_permitted`."""
    if len(name) == 3 and name[0] != database:
        raise SourceError(
            "missing_table", f"{'.'.join(name)} is in another database than {database}.", "Make a connector for that."
        )
    schema = name[-2] if len(name) > 1 else schema
    found = session.rows(_TABLE, {"table": name[-1], "schema": schema})
    if not found:
        names = [row[0] for row in session.rows(_NAMES, [schema or "public"])]
        asked = f"{schema or 'public'}.{name[-1]}"
        raise SourceError("missing_table", f"There is no table or view {asked}.", nearest_name(asked, names))
    oid, in_schema, own, kind, comment, readable = found[0]
    full = f"{in_schema}.{own}"
    if not readable:
        raise SourceError(
            "not_permitted",
            f"{full} may not be read by this login.",
            f"GRANT USAGE ON SCHEMA {quoted(in_schema)} and GRANT SELECT ON {quoted(in_schema)}.{quoted(own)} to it.",
        )
    columns = session.rows(_COLUMNS, [oid])
    key = session.rows(_KEY, [oid])
    sql = f"{quoted(in_schema)}.{quoted(own)} AS {ALIAS}"
    return Relation(
        full,
        sql,
        _typed(session, columns),
        _KINDS[kind],
        tuple(key[0][0]) if key else (),
        planned_rows(session, f" FROM {sql}"),
        comment,
        {
            "oid": oid,
            "relkind": kind,
            "schema": in_schema,
            "table": own,
            "collations": {row[0]: row[5] for row in columns if row[5]},
        },
    )


def query(session: Session, text: str) -> Relation:
    """A query with its values; the server plans it and does not run it. Raises SourceError."""
    found = session.planned(text)
    names = [name for name, _, _ in found]
    for name in names:
        if name == "?column?" or names.count(name) > 1:
            wrong = "has no name" if name == "?column?" else f"'{name}' is there twice"
            raise SourceError("bad_query", f"A column of the query {wrong}.", "Name each column with AS.")
    if not names:
        raise SourceError("bad_query", "The query has no columns.", "Select at least one.")
    sql = f"(\n{text}\n) AS {ALIAS}"
    columns = _typed(session, [(*column, True, "") for column in found])
    return Relation("query", sql, columns, "query", (), planned_rows(session, f" FROM {sql}"))


def planned_rows(session: Session, tail: str) -> int | None:
    """The planner's estimate of the rows; `tail` is the statement from FROM on."""
    plan = session.of(f"EXPLAIN (FORMAT JSON) SELECT 1{tail}")[0][0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    rows = plan[0]["Plan"].get("Plan Rows")
    return None if rows is None else int(rows)


def streams(session: Session, text: str) -> list[StreamFound]:
    """The tables and views that may be read and whose name contains the text; parts of a partitioned one are not
    distinguished."""
    return [
        StreamFound(
            f"{schema}.{name}",
            {"table": f"{_part(schema)}.{_part(name)}"},
            _KINDS[kind],
            rows=int(rows) if kind in "rmp" and rows >= 0 else None,
            key=tuple(key or ()),
            comment=comment,
        )
        for schema, name, kind, rows, comment, key in session.rows(_STREAMS, [text])
    ]


def _part(name: str) -> str:
    return quoted(name) if any(mark in name for mark in '."{') or name != name.strip() else name


def _typed(session: Session, found: Sequence[tuple[Any, ...]]) -> tuple[Column, ...]:
    """Columns made of names, type oids, modifiers, nullability and comments."""
    types = session.rows(_TYPES, [[row[1] for row in found], [row[2] for row in found]])
    money = any(kind == "money" for _, kind, _ in types)
    scale = int(session.rows("SELECT pg_catalog.scale('0'::money::numeric)")[0][0]) if money else 0
    columns = []
    for (name, _, _, nullable, comment, *_), (native, kind, modifier) in zip(found, types, strict=True):
        typed = Typed(kind, modifier, scale)
        columns.append(Column(typed.field(name), native, kind, typed.sure, nullable, comment))
    return tuple(columns)


def splittable(column: Column) -> bool:
    """Whether it can be split into ranges."""
    return column.kind in SPLITTABLE
