"""Failed rows that replays loaded after all: each is loaded by one of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

_MARK = """
INSERT INTO _headrace.replayed (origin_run_id, target_node, run_id, row_number)
SELECT %s, %s, %s, unnest(%s::bigint[]) ON CONFLICT DO NOTHING
"""

_BY_OTHERS = """
SELECT EXISTS (SELECT FROM _headrace.replayed
  WHERE origin_run_id = %s AND target_node = %s AND run_id <> %s AND row_number = ANY(%s))
"""

_REPLAYED = """
SELECT l.source_node, r.target_node, l.target_table, r.rows
FROM (SELECT run_id, target_node, array_agg(row_number) AS rows FROM _headrace.replayed
      WHERE origin_run_id = %s GROUP BY run_id, target_node) AS r
CROSS JOIN LATERAL (SELECT source_node, target_table FROM _headrace.loads AS l
                    WHERE l.run_id = r.run_id AND l.target_node = r.target_node LIMIT 1) AS l
"""


def mark_replayed(
    connection: psycopg.Connection[Any], origin_run_id: str, target_node: str, run_id: str, rows: list[int]
) -> bool:
    """Notes inside the caller's transaction that failed rows were loaded after all; False when another run did so
    before for one of them, and this one must give up."""
    cursor = connection.execute(_MARK, (origin_run_id, target_node, run_id, rows))
    return cursor.rowcount == len(rows)


def replayed_by_others(
    connection: psycopg.Connection[Any], origin_run_id: str, target_node: str, run_id: str, rows: list[int]
) -> bool:
    """Whether another run has loaded one of these failed rows."""
    found = connection.execute(_BY_OTHERS, (origin_run_id, target_node, run_id, rows)).fetchone()
    return found == (True,)


class Replayed(NamedTuple):
    """Rows of a source that replays loaded into a target."""

    source_node: str
    target_node: str
    table: str
    rows: frozenset[int]


def replayed_rows(connection: psycopg.Connection[Any], origin_run_id: str) -> list[Replayed]:
    """The rows that were loaded after all; none when nothing was ever loaded."""
    there = connection.execute("SELECT to_regclass('_headrace.replayed') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return []
    found = connection.execute(_REPLAYED, (origin_run_id,))
    return [Replayed(source, target, table, frozenset(rows)) for source, target, table, rows in found]
