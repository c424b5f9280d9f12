"""Chooses where to split a table: by the histogram that ANALYZE made, or a sample of its pages; and by the pages
themselves."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.postgresql.types import quoted, text_literal, type_sql
from headrace.connectors.sql.ranges import cuts
from headrace.connectors.sql.relation import Column, Relation, Scalar

_STATISTICS = """
SELECT s.histogram_bounds::text::text[], s.most_common_vals::text::text[], s.most_common_freqs::float8[]
FROM pg_catalog.pg_stats s
WHERE s.schemaname = %s AND s.tablename = %s AND s.attname = %s
ORDER BY s.inherited DESC LIMIT 1
"""

_CHANGED = """
SELECT coalesce(sum(n_mod_since_analyze) > 0.2 * greatest(sum(n_live_tup), 1), true)
FROM pg_catalog.pg_stat_all_tables WHERE relid = %s
"""
"""Whether more than a fifth of the rows changed since ANALYZE."""

_PAGES = """
WITH RECURSIVE below (oid) AS (
  SELECT %s::oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below b ON i.inhparent = b.oid
)
SELECT coalesce(max(pg_catalog.pg_relation_size(c.oid)) / current_setting('block_size')::int, 0)::bigint,
       coalesce(sum(pg_catalog.pg_relation_size(c.oid)) / current_setting('block_size')::int, 0)::bigint,
       bool_and(c.relkind IN ('r', 'm', 'p'))
FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid
"""

_SAMPLED_PAGES = 3000
_TID_RANGES = 140000
"""The first version that reads a range of pages without reading the others."""


def key_cuts(session: Session, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
    own = relation.own
    if "oid" not in own or own["relkind"] not in "rpm":
        return ()
    if own["relkind"] != "p" and session.rows(_CHANGED, [own["oid"]])[0][0]:
        return _sampled(session, relation, column, parts)
    found = session.rows(_STATISTICS, [own["schema"], own["table"], column.name])
    bounds, common, shares = found[0] if found else (None, None, None)
    if not bounds and not common:
        return _sampled(session, relation, column, parts)
    weights = dict(zip(common or (), shares or (), strict=True))
    left = max(0.0, 1.0 - sum(weights.values()))
    for bound in (bounds or ())[:-1]:
        weights[bound] = weights.get(bound, 0.0) + left / (len(bounds) - 1)
    for bound in (bounds or ())[-1:]:
        weights.setdefault(bound, 0.0)
    ordered = _ordered(session, relation, column, list(weights))
    return cuts(ordered, [weights[value] for value in ordered], parts)


def _ordered(session: Session, relation: Relation, column: Column, values: list[str]) -> list[str]:
    """Sorts by the column's order: its type and its collation."""
    collation = relation.own.get("collations", {}).get(column.name)
    by = f"v::{type_sql(column.kind)}" + (f" COLLATE {collation}" if collation else "")
    # one literal per value from the server
    rows = ", ".join(f"({text_literal(value)}::text)" for value in values)
    known = f" FROM (VALUES {rows}) AS known (v) ORDER BY {by}"
    found = session.of(f"SELECT v{known}")
    return [str(row[0]) for row in found]


def _sampled(session: Session, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
    _, pages, _ = session.rows(_PAGES, [relation.own["oid"]])[0]
    percent = min(100.0, 100.0 * _SAMPLED_PAGES / max(1, pages))
    name = quoted(column.name)
    shares = ", ".join(f"{part / parts:.6f}" for part in range(parts))
    sample = f" FROM {relation.sql} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1)"
    middle = f"percentile_disc(ARRAY[{shares}]::float8[]) WITHIN GROUP (ORDER BY {name})::text::text[]"
    found = session.of(f"SELECT {middle}{sample}")[0][0]
    return list(dict.fromkeys(found or ()))[1:]


def page_ranges(session: Session, relation: Relation, parts: int) -> list[list[int | None]]:
    """Ranges of pages [from, to), the last without an end; of a partitioned table, of each of its parts."""
    if session.version < _TID_RANGES or relation.own.get("relkind") not in ("r", "m", "p"):
        return []
    most, _, known = session.rows(_PAGES, [relation.own["oid"]])[0]
    parts = max(1, min(parts, int(most)))
    if not known:
        return []
    edges: list[int | None] = [int(most) * part // parts for part in range(parts)]
    return [list(pair) for pair in zip(edges, [*edges[1:], None], strict=True)]
