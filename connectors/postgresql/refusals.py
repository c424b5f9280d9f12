"""Loading what can be loaded of a batch that the database refused: by set where a constraint tells, row by row else.

First the batch is put into a temporary table without constraints and every check, foreign key and unique constraint
of the target is asked for its offenders at once: a batch of nothing but duplicates costs a few statements. What is
still refused is narrowed down under savepoints, led by the line the server names, else by halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import polars as pl
import psycopg
from psycopg import sql

from connectors.base import REJECT_SCHEMA, ROW, no_rejects
from connectors.casting import MAX_VALUE
from connectors.postgresql.copy import copy_rows, failing_column, failing_line, is_data_error, message_for
from connectors.postgresql.precheck import without_nul
from connectors.postgresql.tables import Column, Table

_STAGE = sql.Identifier("pg_temp", "_headrace_refused")
_ROW_COLUMN = Column(ROW, "int8", "bigint", nullable=False)
_FIRST_ATTEMPT = 64


@dataclass(frozen=True, slots=True)
class _Constraint:
    name: str
    kind: str
    columns: tuple[str, ...]
    check: str | None
    other: str | None
    other_columns: tuple[str, ...]
    nulls_equal: bool


def load_what_fits(
    connection: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, columns: Sequence[Column]
) -> pl.DataFrame:
    """Copies the good rows of the frame (converted, with ROW) inside the open transaction; gives the rejects."""
    frame, unstorable = without_nul(frame, columns)
    rejects = _offenders(connection, table, frame, columns)
    if rejects.height:
        frame = frame.join(rejects.select(pl.col("row").alias(ROW)).unique(), on=ROW, how="anti", maintain_order="left")
    return pl.concat([unstorable, rejects, _narrow(connection, table, frame, columns)]).sort("row", maintain_order=True)


def _offenders(
    connection: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, columns: Sequence[Column]
) -> pl.DataFrame:
    """Rows that break a constraint, judged in the order checks, foreign keys, unique; the first of equal keys stays."""
    constraints = [
        _Constraint(name, kind, tuple(keys or ()), check, other, tuple(theirs or ()), nulls_equal)
        for name, kind, keys, check, other, theirs, nulls_equal in connection.execute(_CONSTRAINTS, {"oid": table.oid})
    ]
    found: list[pl.DataFrame] = []
    try:
        with connection.transaction():
            make = sql.SQL("CREATE TEMP TABLE _headrace_refused (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED)")
            connection.execute(make.format(table.identifier))
            for column in table.columns:
                if not column.nullable and not column.generated:
                    drop = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL")
                    connection.execute(drop.format(_STAGE, sql.Identifier(column.name)))
            connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} bigint").format(_STAGE, sql.Identifier(ROW)))
            copy_rows(connection, _STAGE, frame, [*columns, _ROW_COLUMN])
            connection.execute(sql.SQL("ANALYZE {}").format(_STAGE))
            for constraint in constraints:
                found += _breaking(connection, table, constraint)
            connection.execute(sql.SQL("DROP TABLE {}").format(_STAGE))
    except psycopg.Error as error:
        if not (is_data_error(error) or error.sqlstate in ("42501", "0A000")):
            raise
        return no_rejects()  # not even that table takes the batch, or we may not make one: narrow it down
    return pl.concat(found) if found else no_rejects()


def _breaking(connection: psycopg.Connection[Any], table: Table, constraint: _Constraint) -> list[pl.DataFrame]:
    """The offenders of one constraint; they leave the temporary table, so that later constraints do not see them."""
    condition = _condition(table, constraint)
    if condition is None:
        return []
    # Only a column that the constraint alone is about can be blamed.
    blamed = constraint.columns[0] if constraint.columns else None
    shown = sql.SQL("t.{}::text").format(sql.Identifier(blamed)) if blamed else sql.SQL("NULL::text")
    query = sql.SQL("DELETE FROM {stage} t WHERE {condition} RETURNING t.{row}, {shown}").format(
        stage=_STAGE, condition=condition, row=sql.Identifier(ROW), shown=shown
    )
    rows = connection.execute(query).fetchall()
    if not rows:
        return []
    message = {
        "c": f'Value violates check constraint "{constraint.name}"',
        "f": f'No matching row for foreign key "{constraint.name}"',
        "u": f'Duplicate value violates unique constraint "{constraint.name}"',
    }[constraint.kind]
    return [
        pl.DataFrame(
            {
                "row": [row for row, _ in rows],
                "column": [blamed] * len(rows),
                "value": [None if value is None else value[:MAX_VALUE] for _, value in rows],
                "error": [message] * len(rows),
                "rule": [constraint.name] * len(rows),
            },
            schema=REJECT_SCHEMA,
        )
    ]


def _condition(table: Table, constraint: _Constraint) -> sql.Composable | None:
    if constraint.kind == "c":
        # the expression comes from the catalog, where PostgreSQL itself wrote it
        return sql.SQL("NOT ({})").format(sql.SQL(cast("LiteralString", constraint.check)))
    mine = [sql.Identifier(name) for name in constraint.columns]
    known = sql.SQL(" AND ").join(sql.SQL("t.{} IS NOT NULL").format(name) for name in mine)
    if constraint.kind == "f":
        theirs = [sql.Identifier(name) for name in constraint.other_columns]
        same = sql.SQL(" AND ").join(sql.SQL("o.{} = t.{}").format(o, m) for o, m in zip(theirs, mine, strict=True))
        other = sql.SQL(cast("LiteralString", constraint.other))
        return sql.SQL("{} AND NOT EXISTS (SELECT 1 FROM {} o WHERE {})").format(known, other, same)
    operator = sql.SQL("IS NOT DISTINCT FROM" if constraint.nulls_equal else "=")
    same = sql.SQL(" AND ").join(sql.SQL("o.{0} {1} t.{0}").format(name, operator) for name in mine)
    keys = sql.SQL(", ").join(mine)
    earlier = sql.SQL(
        "SELECT r FROM (SELECT {row} AS r, row_number() OVER (PARTITION BY {keys} ORDER BY {row}) AS n FROM {stage}) d "
        "WHERE n > 1"
    ).format(row=sql.Identifier(ROW), keys=keys, stage=_STAGE)
    guard = sql.SQL("true") if constraint.nulls_equal else known
    return sql.SQL("{guard} AND (EXISTS (SELECT 1 FROM {table} o WHERE {same}) OR t.{row} IN ({earlier}))").format(
        guard=guard, table=table.identifier, same=same, row=sql.Identifier(ROW), earlier=earlier
    )


def _narrow(
    connection: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, columns: Sequence[Column]
) -> pl.DataFrame:
    """Copies under savepoints: all at once, and after a refusal in attempts that shrink and grow again."""
    found: list[pl.DataFrame] = []
    done, attempt = 0, max(1, frame.height)
    while done < frame.height:
        part = frame.slice(done, attempt)
        try:
            with connection.transaction():
                copy_rows(connection, table.identifier, part, columns)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            line = failing_line(error)
            if part.height == 1:
                found.append(_refused(part, error, table))
                done += 1
                attempt = _FIRST_ATTEMPT
            elif line is not None and line < part.height:
                attempt = line or 1  # what is before the line is good; then the line is alone
            else:
                attempt = part.height // 2
        else:
            done += part.height
            attempt = max(_FIRST_ATTEMPT, part.height * 2) if part.height > 1 else _FIRST_ATTEMPT
    return pl.concat(found) if found else no_rejects()


def _refused(part: pl.DataFrame, error: psycopg.Error, table: Table) -> pl.DataFrame:
    name = failing_column(error, table)
    values = part.get_column(name) if name in part.columns and name is not None else None
    shown = None
    if values is not None and values[0] is not None and not isinstance(values[0], bytes):
        shown = str(values[0])[:MAX_VALUE]
    return pl.DataFrame(
        {
            "row": [part.get_column(ROW)[0]],
            "column": [name],
            "value": [shown],
            "error": [message_for(error, table)],
            "rule": [error.diag.constraint_name or error.sqlstate],
        },
        schema=REJECT_SCHEMA,
    )


_CONSTRAINTS = """
SELECT c.conname::text, c.contype::text,
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
       CASE WHEN c.contype = 'c' THEN pg_get_expr(c.conbin, c.conrelid) END,
       CASE WHEN c.contype = 'f' THEN c.confrelid::regclass::text END,
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(c.confkey) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum), false
FROM pg_constraint c
WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('c', 'f')
UNION ALL
SELECT i.indexrelid::regclass::text, 'u',
       (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, ord)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.ord <= i.indnkeyatts),
       NULL, NULL, NULL, i.indnullsnotdistinct
FROM pg_index i
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY 2, 1
"""
