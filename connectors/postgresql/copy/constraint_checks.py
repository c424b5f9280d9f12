"""Finds the rows of a temporary table that violate constraints of the target, one query per constraint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from headrace.connectors.casting.columns import MAX_VALUE
from headrace.connectors.postgresql.tables.describe import Table


@dataclass(frozen=True, slots=True)
class Constraint:
    """A check (`c`), foreign key (`f`), unique key (`u`) or not-null column (`n`). `columns` are the constrained
    table's."""

    name: str
    kind: str
    columns: tuple[str, ...]
    check: str | None
    other: str | None
    other_columns: tuple[str, ...]
    nulls_equal: bool
    to_itself: bool

    @property
    def message(self) -> str:
        """The message about a row that violates it."""
        return {
            "n": f'Null value in column "{self.columns[0]}"' if self.columns else "",
            "c": f'Value violates check constraint "{self.name}"',
            "f": f'No matching row for foreign key "{self.name}"',
            "u": f'Duplicate value violates unique constraint "{self.name}"',
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A table of rows to be loaded into `table`. `row` is its column with the row number; `columns` are filled as they
    will be in the target; target rows with the same `key` will be replaced (no key: none). `place` is an integer column
    to report with a violation, if any. Candidates `t` for which `deletes` holds only delete a row, and violate
    nothing."""

    table: Table
    identifier: sql.Identifier
    row: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    place: str | None = None
    deletes: sql.Composable | None = None

    @property
    def evaluated(self) -> sql.Composable:
        """The condition that candidate `t` is a row to be loaded, not a delete."""
        return sql.SQL("true") if self.deletes is None else sql.SQL("NOT ({})").format(self.deletes)


@dataclass(frozen=True, slots=True)
class Violation:
    """A violation: row number, column to blame with its value as text, the constraint, and `place` of the candidate."""

    row: int
    column: str | None
    value: str | None
    broken: Constraint
    place: int | None


def delete_violations(connection: psycopg.Connection[Any], candidates: Candidates) -> list[Violation]:
    """Deletes the candidates that certainly violate a constraint: nulls and checks first, then foreign keys, then
    unique keys, where the first of equal rows stays. Candidates that a query cannot evaluate (partial keys, exclusions,
    triggers) stay."""
    found: list[Violation] = []
    for constraint in [*_not_null(candidates), *_constraints(connection, candidates.table)]:
        replaced = constraint.kind == "u" and set(constraint.columns) == set(candidates.key)
        if set(constraint.columns) <= set(candidates.columns) and not replaced:
            found += _violations(connection, candidates, constraint)
    return found


def _not_null(candidates: Candidates) -> list[Constraint]:
    """Not-null columns, if rows are merged; copied rows have been checked before."""
    return [
        Constraint("not_null", "n", (column.name,), None, None, (), nulls_equal=False, to_itself=False)
        for column in candidates.table.columns
        if candidates.key and column.name in candidates.columns and not column.nullable
    ]


def _constraints(connection: psycopg.Connection[Any], table: Table) -> list[Constraint]:
    return [
        Constraint(name, kind, tuple(keys or ()), check, other, tuple(theirs or ()), nulls_equal, to_itself)
        for name, kind, keys, check, other, theirs, nulls_equal, to_itself in connection.execute(
            _CONSTRAINTS, {"oid": table.oid}
        )
    ]


def _violations(connection: psycopg.Connection[Any], candidates: Candidates, constraint: Constraint) -> list[Violation]:
    # A column can be blamed only if it is the constraint's only one.
    blamed = constraint.columns[0] if constraint.columns else None
    shown = sql.SQL("t.{}::text").format(sql.Identifier(blamed)) if blamed else sql.SQL("NULL::text")
    statement = sql.SQL("DELETE FROM {stage} t WHERE {evaluated} AND {condition} RETURNING t.{row}, {shown}, {place}")
    given = {
        "stage": candidates.identifier,
        "evaluated": candidates.evaluated,
        "row": sql.Identifier(candidates.row),
        "shown": shown,
        "place": sql.Identifier("t", candidates.place) if candidates.place else sql.SQL("NULL::integer"),
    }
    return [
        Violation(row, blamed, None if value is None else value[:MAX_VALUE], constraint, place)
        for condition in _conditions(candidates, constraint)
        for row, value, place in connection.execute(statement.format(condition=condition, **given)).fetchall()
    ]


def _conditions(candidates: Candidates, constraint: Constraint) -> list[sql.Composable]:
    """The conditions under which candidate `t` violates the constraint, each to be used after the one before. They are
    apart because PostgreSQL makes no join of two subqueries with OR between them, but compares every row with every
    other once there are more than fit in its memory for hashing."""
    if constraint.kind == "c":
        # the expression comes from the catalog, written by PostgreSQL itself
        return [sql.SQL("NOT ({})").format(sql.SQL(cast("LiteralString", constraint.check)))]
    if constraint.kind == "n":
        return [sql.SQL("t.{} IS NULL").format(sql.Identifier(constraint.columns[0]))]
    known = sql.SQL(" AND ").join(sql.SQL("t.{} IS NOT NULL").format(sql.Identifier(n)) for n in constraint.columns)
    if constraint.kind == "f":
        return [sql.SQL("{} AND {}").format(known, _orphan(candidates, constraint))]
    guard = sql.SQL("true") if constraint.nulls_equal else known
    taken = sql.SQL("EXISTS (SELECT 1 FROM {} o WHERE {})").format(
        candidates.table.identifier, _blocking(candidates, constraint)
    )
    repeated = sql.SQL("t.{} IN ({})").format(sql.Identifier(candidates.row), _repeated(candidates, constraint))
    # The first of equal rows is taken as the others are, so that none of them is left to be the first.
    return [sql.SQL("{} AND {}").format(guard, condition) for condition in (taken, repeated)]


def _orphan(candidates: Candidates, constraint: Constraint) -> sql.Composable:
    pairs = list(zip(constraint.other_columns, constraint.columns, strict=True))

    def absent(table: sql.Composable) -> sql.Composable:
        same = sql.SQL(" AND ").join(
            sql.SQL("o.{} = t.{}").format(sql.Identifier(theirs), sql.Identifier(mine)) for theirs, mine in pairs
        )
        return sql.SQL("NOT EXISTS (SELECT 1 FROM {} o WHERE {})").format(table, same)

    missing = absent(sql.SQL(cast("LiteralString", constraint.other)))
    if constraint.to_itself:  # the referenced row may be among the candidates
        missing = sql.SQL("{} AND {}").format(missing, absent(candidates.identifier))
    return missing


def _blocking(candidates: Candidates, constraint: Constraint) -> sql.Composable:
    """The condition that a target row `o` has the values of candidate `t` and will not be replaced."""
    operator = sql.SQL("IS NOT DISTINCT FROM" if constraint.nulls_equal else "=")
    same = _all_equal("o", "t", constraint.columns, operator)
    if not candidates.key:
        return same
    equal = sql.SQL("IS NOT DISTINCT FROM")
    return sql.SQL("{} AND NOT EXISTS (SELECT 1 FROM {} r WHERE {})").format(
        same, candidates.identifier, _all_equal("r", "o", candidates.key, equal)
    )


def _repeated(candidates: Candidates, constraint: Constraint) -> sql.Composable:
    keys = sql.SQL(", ").join(sql.Identifier(name) for name in constraint.columns)
    return sql.SQL(
        "SELECT r FROM (SELECT {row} AS r, row_number() OVER (PARTITION BY {keys} ORDER BY {row}) AS n FROM {stage} t "
        "WHERE {evaluated}) d "
        "WHERE n > 1"
    ).format(row=sql.Identifier(candidates.row), keys=keys, stage=candidates.identifier, evaluated=candidates.evaluated)


def _all_equal(one: LiteralString, other: LiteralString, columns: Sequence[str], operator: sql.SQL) -> sql.Composable:
    pair = sql.SQL(one + ".{0} {1} " + other + ".{0}")
    return sql.SQL(" AND ").join(pair.format(sql.Identifier(name), operator) for name in columns)


_CONSTRAINTS = """
SELECT c.conname::text, c.contype::text,
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
       CASE WHEN c.contype = 'c' THEN pg_get_expr(c.conbin, c.conrelid) END,
       CASE WHEN c.contype = 'f' THEN c.confrelid::regclass::text END,
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(c.confkey) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum), false, c.confrelid = c.conrelid
FROM pg_constraint c
WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('c', 'f')
UNION ALL
SELECT i.indexrelid::regclass::text, 'u',
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.ord <= i.indnkeyatts),
       NULL, NULL, NULL, i.indnullsnotdistinct, false
FROM pg_index i
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY 2, 1
"""
