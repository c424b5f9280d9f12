"""Pages of the errors of a run, by row, merged from its groups: the cells of a node, rule, column and kind.

The key of the errors has each group together, in the order of rows. A page takes the first rows of each group that a
filter selects, so one that selects few of a million errors, or none, reads no more than one that selects all. The
groups themselves are found by stepping over the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from headrace.catalog.models import RunError


class ErrorPosition(NamedTuple):
    """A position in the errors of a run, which are ordered by row."""

    row: int
    column: str
    rule: str
    node_id: str
    partition: int
    stage: int
    warned: bool


class GroupKey(NamedTuple):
    """What the errors of a group have in common; `column` is empty for whole rows."""

    node: str
    rule: str
    column: str
    warned: bool


_GROUPS = text("""
    WITH RECURSIVE found AS (
        (SELECT node_id, rule, "column", warning FROM headrace.run_errors WHERE root_run_id = :root
         ORDER BY node_id, rule, "column", warning LIMIT 1)
        UNION ALL
        SELECT following.* FROM found CROSS JOIN LATERAL (
            SELECT e.node_id, e.rule, e."column", e.warning FROM headrace.run_errors e
            WHERE e.root_run_id = :root
              AND (e.node_id, e.rule, e."column", e.warning)
                  > (found.node_id, found.rule, found."column", found.warning)
            ORDER BY e.node_id, e.rule, e."column", e.warning LIMIT 1) following)
    SELECT node_id, rule, "column", warning FROM found
""")

_PAGE = """
    SELECT e.* FROM unnest(CAST(:nodes AS text[]), CAST(:rules AS text[]), CAST(:columns AS text[]),
                           CAST(:warned AS bool[])) AS found (node_id, rule, "column", warning)
    CROSS JOIN LATERAL (
        SELECT each.* FROM headrace.run_errors each
        WHERE each.root_run_id = :root AND each.run_id = ANY(:runs) AND each.node_id = found.node_id
          AND each.rule = found.rule AND each."column" = found."column" AND each.warning = found.warning {}
        ORDER BY each."row", each."partition", each.stage LIMIT :limit) e
    ORDER BY e."row", e."column", e.rule, e.node_id, e."partition", e.stage, e.warning LIMIT :limit
"""
_AFTER = """AND each."row" >= :row
          AND (each."row", each."column", each.rule, each.node_id, each."partition", each.stage, each.warning)
              > (:row, :column, :rule, :node_id, :partition, :stage, :warned_before)"""
_FILE = "AND each.sources @> jsonb_build_array(jsonb_build_object('file', CAST(:file AS text)))"
_STAGE = "AND each.stage = :only_stage"


def groups_of(session: Session, root_run_id: str) -> list[GroupKey]:
    """The groups of the errors of a root run and its retries, in the order of the key."""
    return [GroupKey(*row) for row in session.execute(_GROUPS, {"root": root_run_id})]


def errors_by_row(
    session: Session,
    root_run_id: str,
    run_ids: Sequence[str],
    groups: Sequence[GroupKey],
    *,
    limit: int,
    after: ErrorPosition | None = None,
    file: str | None = None,
    stage: int | None = None,
) -> Sequence[RunError]:
    """At most `limit` errors of these groups and runs after `after`, by row; only those of a file, or of a stage."""
    if not groups:
        return []
    nodes, rules, columns, warned = zip(*groups, strict=True)
    values = {"root": root_run_id, "runs": list(run_ids), "limit": limit, "file": file, "only_stage": stage}
    values |= {"nodes": list(nodes), "rules": list(rules), "columns": list(columns), "warned": list(warned)}
    parts = [(_AFTER, after is not None), (_FILE, file is not None), (_STAGE, stage is not None)]
    if after is not None:
        values |= after._asdict() | {"warned": list(warned), "warned_before": after.warned}
    query = text(_PAGE.format(" ".join(part for part, wanted in parts if wanted)))
    return session.scalars(select(RunError).from_statement(query), values).all()
