"""Pages of the errors of a run, by row, merged from its groups: the cells of a node, rule, column and kind.

The key of the errors has each group together, in the order of rows. A page takes the first rows of each group that a
filter selects, so one that selects few of a million errors, or none, reads no more than one that selects all. The
groups themselves are found by stepping over the key. Errors of a file have indexes (`error_files`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session, aliased

from headrace.catalog.models import RunError
from headrace.catalog.repositories.error_files import OF_FILE


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

_FOUND = """
    unnest(CAST(:nodes AS text[]), CAST(:rules AS text[]), CAST(:columns AS text[]), CAST(:warned AS bool[]))
        AS found (node_id, rule, "column", warning)
"""
_PAGE = """
    SELECT e.* FROM {found} CROSS JOIN LATERAL ({matching}) e
    ORDER BY e."row", e."column", e.rule, e.node_id, e."partition", e.stage, e.warning LIMIT :limit
"""
_OF_GROUP = """
    SELECT each.* FROM headrace.run_errors each
    WHERE each.root_run_id = :root AND each.node_id = found.node_id
      AND each.rule = found.rule AND each."column" = found."column" AND each.warning = found.warning {}
    ORDER BY each."row", each."partition", each.stage LIMIT :limit
"""
_OF_FILE = " UNION ALL ".join(
    f'({query} {{0}} ORDER BY each."row" FETCH FIRST (CAST(:limit AS bigint)) ROWS WITH TIES)' for query in OF_FILE
)
_ALL_OF_FILE = "SELECT e.* FROM {found} CROSS JOIN LATERAL ({matching}) e"
_RUNS = "AND each.run_id = ANY(:runs)"
_AFTER = """AND each."row" >= :row
          AND (each."row", each."column", each.rule, each.node_id, each."partition", each.stage, each.warning)
              > (:row, :column, :rule, :node_id, :partition, :stage, :warned_before)"""
_MANY = 20_000
"""With more errors of a file than this, all errors are read in one pass instead of each by an index."""
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
    values = _as_lists(groups) | {"root": root_run_id, "runs": list(run_ids), "limit": limit, "only_stage": stage}
    if after is not None:
        values |= after._asdict() | {"warned": values["warned"], "warned_before": after.warned}
    if file is not None:
        values["file"] = file
    parts = [(_RUNS, True), (_AFTER, after is not None), (_STAGE, stage is not None)]
    matching = (_OF_GROUP if file is None else _OF_FILE).format(" ".join(part for part, wanted in parts if wanted))
    found = select(RunError).from_statement(text(_PAGE.format(found=_FOUND, matching=matching)))
    with _by_indexes(session, only_if=file is not None):
        return session.scalars(found, values).all()


def few_of_file(session: Session, root_run_id: str, groups: Sequence[GroupKey], file: str) -> type[RunError] | None:
    """The errors of a file in these groups, of all runs of a chain, to select from. None if they are so many that to
    read all errors of the chain once takes less time."""
    query = _ALL_OF_FILE.format(found=_FOUND, matching=" UNION ALL ".join(OF_FILE))
    values = _as_lists(groups) | {"root": root_run_id, "file": file}
    with _by_indexes(session):
        enough = text(f"SELECT count(*) FROM ({query} LIMIT :limit) few")  # noqa: S608 - constants
        if session.scalar(enough, values | {"limit": _MANY}) == _MANY:
            return None
    found = text(query).bindparams(**values).columns(*RunError.__table__.columns)
    return aliased(RunError, found.subquery())


@contextmanager
def _by_indexes(session: Session, *, only_if: bool = True) -> Iterator[None]:
    """Queries read errors in the order of an index. By itself PostgreSQL would do otherwise: it thinks that few errors
    match, and fetches and sorts all before it returns the first."""
    if not only_if:
        yield
        return
    connection: Any = session.connection().connection.dbapi_connection
    with connection.transaction():  # sessions that only read have none, and the setting would last no longer
        session.execute(text("SET LOCAL enable_bitmapscan TO off"))
        yield
        session.execute(text("SET LOCAL enable_bitmapscan TO DEFAULT"))


def _as_lists(groups: Sequence[GroupKey]) -> dict[str, Any]:
    nodes, rules, columns, warned = (list(each) for each in zip(*groups, strict=True)) if groups else ([], [], [], [])
    return {"nodes": nodes, "rules": rules, "columns": columns, "warned": warned}
