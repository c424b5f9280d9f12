"""The lineage of rows: the newest rows of a table with the load that each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from headrace.catalog.schemas.ddl import LOAD_ID_COLUMN, TABLE_SCHEMA

_PAGES_AT_FIRST = 64
_LOADS = "_headrace.loads"


class NoLineage(Exception):
    """The table has no column with the load of its rows."""


@dataclass(frozen=True, slots=True)
class RowLineage:
    """A row without the engine's column, and its load; the three ids are None for a row that no run loaded."""

    row: dict[str, Any]
    run_id: str | None
    pipeline_id: str | None
    source_node_id: str | None


def newest_rows(connection: Connection, table: str, limit: int) -> list[RowLineage]:
    """Returns rows of `public.<table>` in reverse physical order: mostly the ones loaded last.

    Only the end of the table is read. Raises NoLineage, and LookupError if there is no table.
    """
    qualified = sql.Identifier(TABLE_SCHEMA, table).as_string()
    pages = connection.execute(_FACTS, {"table": qualified, "column": LOAD_ID_COLUMN}).one()
    if pages.oid is None:
        raise LookupError(table)
    if not pages.has_column:
        raise NoLineage(table)
    loads = connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": _LOADS})
    query = _query(qualified, joined=bool(loads))
    back = _PAGES_AT_FIRST
    while True:
        first = max(pages.pages - back, 0)
        found = connection.execute(text(query), {"first": f"({first},0)", "limit": limit}).all()
        if len(found) == limit or first == 0:
            return [RowLineage(each.row, each.run_id, each.pipeline_id, each.source_node) for each in found]
        back *= 8


def _query(qualified: str, *, joined: bool) -> str:
    """Returns the query of the rows from a page on. Before the first run the table of loads does not exist."""
    row = f"to_jsonb(t) - '{LOAD_ID_COLUMN}' AS row"
    rows = f"FROM {qualified.replace(':', chr(92) + ':')} t"
    ends = "WHERE t.ctid >= CAST(:first AS tid) ORDER BY t.ctid DESC LIMIT :limit"
    if not joined:
        return f"SELECT {row}, NULL AS run_id, NULL AS pipeline_id, NULL AS source_node {rows} {ends}"
    newest = f"SELECT t.ctid AS place, t.{LOAD_ID_COLUMN} AS load_id, {row} {rows} {ends}"
    return f"""
        SELECT newest.row, l.run_id, l.pipeline_id, l.source_node FROM ({newest}) newest
        LEFT JOIN {_LOADS} l ON l.load_id = newest.load_id ORDER BY newest.place DESC
    """  # noqa: S608 - the table's name is quoted by psycopg


_FACTS = text("""
    SELECT c.oid, coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint AS pages,
           EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attname = :column AND NOT a.attisdropped) AS has_column
    FROM (SELECT to_regclass(:table) AS oid) c
""")
