"""What a chain of runs has committed, in all its partitions and targets: what its retries go by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import psycopg

# Of the targets of one stage, the one that is furthest counts: they all get the same rows.
_COMMITTED = """
SELECT stage, partition, kind NOT IN ('publication', 'verdict', 'comparison') AS reads, max(rows_done)
FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
WHERE root_run_id = ANY(%s)
  AND (rows_done > 0 OR position IS NOT NULL OR kind IN ('publication', 'verdict', 'comparison'))
GROUP BY stage, partition, reads
"""

_VISIBLE = """
SELECT DISTINCT coalesce(o.target_table, l.target_node)
FROM _headrace.ledger AS l LEFT JOIN _headrace.loads AS o ON o.root_run_id = %s AND o.target_node = l.target_node
WHERE l.root_run_id = ANY(%s) AND (l.kind = 'publication' OR (l.kind = 'load' AND l.rows_loaded > 0))
ORDER BY 1
"""


class Committed(NamedTuple):
    """The ledger's progress of a partition of a stage: the rows that the most advanced sink has processed, or (not
    `reads`) that something was published or evaluated."""

    stage: int
    partition: int
    reads: bool
    rows: int


def committed_partitions(connection: psycopg.Connection[Any], load_keys: Sequence[str]) -> list[Committed]:
    """The progress committed under these ids."""
    there = connection.execute("SELECT to_regclass('_headrace.staging_ledger') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return []
    return [Committed(*row) for row in connection.execute(_COMMITTED, (list(load_keys),))]


def committed_rows(found: Iterable[Committed], reading: Collection[int] = (0,)) -> tuple[int, bool]:
    """How many source rows were dealt with in the stages that read sources (`reading`), and whether any row was
    committed at all: rows may have been published and those that are still held back been lost in a crash of the
    server. `found` may be of several ledgers: the sink that is furthest counts."""
    known = list(found)
    furthest: dict[tuple[int, int], int] = {}
    for each in known:
        if each.reads and each.stage in reading:
            place = (each.stage, each.partition)
            furthest[place] = max(furthest.get(place, 0), each.rows)
    return sum(furthest.values()), bool(known)


def published_tables(
    connection: psycopg.Connection[Any], root_run_id: str, load_keys: Sequence[str] = ()
) -> tuple[str, ...]:
    """The tables into which the chain of runs has published or loaded directly, under its own id or one of these."""
    there = connection.execute("SELECT to_regclass('_headrace.staging_ledger') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return ()
    found = connection.execute(_VISIBLE, (root_run_id, [root_run_id, *load_keys]))
    return tuple(str(table) for (table,) in found)
