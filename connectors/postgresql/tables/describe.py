"""A table and its columns: types, defaults, keys and lengths, read from the catalog."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.datatypes import MAX_PRECISION, data_type_of_postgres
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.error_messages import error_message
from headrace.ir.schema import Field

LOAD_ID = "_headrace_load_id"
"""Column (bigint) of every loaded row: the load in `_headrace.loads` that loaded it."""

STAGED_ROW = "_headrace_row"
"""Column (bigint) of a staging table: the source row number."""

STAGED_PARTITION = "_headrace_partition"
"""Column (integer) of a staging table: the partition the row came with."""

STAGED_OP = "__headrace_op"
"""Column (text) of a staging table of change events: the operation, c, u, d, r or t. Frames use the same name, which
documents cannot."""

TRUNCATE = "t"
"""The operation that empties the table, and has no key."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type_name` is pg_type's name (a domain's base type, `_int4` for arrays), `sql_type` the full type.

    `automatic` columns get a value from the database if the data has none: default, identity or generated. `generated`
    columns (and identity ALWAYS) never accept one. `length` is the limit of varchar or char in characters. `base_type`
    is the SQL type without domain, length or precision.
    """

    name: str
    type_name: str
    sql_type: str
    nullable: bool
    automatic: bool = False
    generated: bool = False
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    labels: tuple[str, ...] | None = None
    base_type: str | None = None

    @property
    def is_array(self) -> bool:
        """Whether it is an array of any type."""
        return (self.base_type or self.sql_type).endswith("[]")

    @property
    def writable(self) -> bool:
        """Whether the data may fill it: neither always generated nor the load id."""
        return not self.generated and self.name != LOAD_ID

    @property
    def required(self) -> bool:
        """Whether the data must fill it: not null, and without a default."""
        return not self.nullable and not self.automatic and self.name != LOAD_ID

    @property
    def field(self) -> Field:
        """The column as a field of the IR."""
        data_type = data_type_of_postgres(self.type_name)
        if data_type == "varchar":
            return Field(self.name, data_type, self.length)
        if self.precision is not None and not 0 <= (self.scale or 0) <= self.precision <= MAX_PRECISION:
            return Field(self.name, data_type)  # a size that the IR cannot express
        return Field(self.name, data_type, self.precision, self.scale)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or partitioned table. `keys` are the column lists of its primary key and unique constraints."""

    schema: str
    name: str
    oid: int
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...] = ()

    @property
    def qualified(self) -> str:
        """`schema.table` for people."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name for SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns the data may fill: all but generated ones and the load id."""
        return tuple(column.name for column in self.columns if column.writable)

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)


def split_name(qualified: str) -> tuple[str, str]:
    """(schema, table) of `schema.table` or `table` (schema public). Double quotes allow dots in names. Raises
    TargetError."""
    parts, part, quoted = [], "", False
    for character in qualified:
        if character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
    parts.append(part)
    if quoted or len(parts) > 2 or not all(parts):
        raise TargetError("bad_table_name", f"'{qualified}' is not a table name.", "Write schema.table.")
    return (parts[0], parts[1]) if len(parts) == 2 else ("public", parts[0])


def describe_table(database: Database | psycopg.Connection[Any], qualified: str) -> Table:
    """Looks up a table of a database, or by an open connection. Raises TargetError(`table_not_found`)."""
    if not isinstance(database, psycopg.Connection):
        try:
            with connect(database, autocommit=True) as connection:
                return describe_table(connection, qualified)
        except psycopg.OperationalError as error:
            raise TargetError(
                "database_unreachable", f"The target database cannot be reached: {first_line(error)}"
            ) from None
    schema, name = split_name(qualified)
    found = database.execute(_TABLE, {"schema": schema, "name": name}).fetchone()
    if found is None:
        raise _missing(schema, name)
    oid, kind = found
    if kind not in ("r", "p", "f"):
        raise TargetError("not_a_table", f"{schema}.{name} is not a table.", "Rows can only be loaded into tables.")
    columns = tuple(_column(row) for row in database.execute(_COLUMNS, {"oid": oid}))
    keys = tuple(tuple(row[0]) for row in database.execute(_KEYS, {"oid": oid}))
    return Table(schema, name, oid, columns, keys)


def check_columns(table: Table, loaded: Sequence[str], filled: Sequence[str] = ()) -> None:
    """Raises TargetError if these columns cannot be loaded: unknown, generated, or a required column is missing that is
    not in `filled`."""
    for name in loaded:
        column = table.column(name)
        if column is None:
            close = difflib.get_close_matches(name, table.names, n=1)
            raise TargetError(
                "unknown_column",
                f"Table {table.qualified} has no column '{name}'.",
                f"Did you mean '{close[0]}'?" if close else f"Its columns are: {', '.join(table.names)}.",
            )
        if column.generated:
            raise TargetError(
                "generated_column",
                f"Column '{name}' of {table.qualified} is always generated by the database.",
                "Drop it from the data.",
            )
    for column in table.columns:
        if column.required and column.name not in (*loaded, *filled):
            raise TargetError(
                "missing_required_column",
                f"Column '{column.name}' of {table.qualified} must not be null and has no default; the data lacks it.",
                f"Add it (op add_field), or give it a default. The data has: {', '.join(loaded)}.",
            )


def first_line(error: BaseException) -> str:
    """A database error in one line for people."""
    return error_message(error)


def _column(row: tuple[Any, ...]) -> Column:
    name, type_name, sql_type, nullable, automatic, generated, length, precision, scale, labels, base_type = row
    enum = tuple(labels) if labels else None
    return Column(name, type_name, sql_type, nullable, automatic, generated, length, precision, scale, enum, base_type)


def _missing(schema: str, name: str) -> TargetError:
    # No suggestion of similar names: the database holds other tenants' tables too.
    hint = "Create it first, for example as a schema over the API."
    return TargetError("table_not_found", f"Table {schema}.{name} does not exist.", hint)


_TABLE = """
SELECT c.oid::bigint, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
"""

_COLUMNS = """
WITH RECURSIVE base(attnum, type, typmod, strict) AS (
  SELECT attnum, atttypid, atttypmod, false FROM pg_attribute
  WHERE attrelid = %(oid)s::oid AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, CASE WHEN t.typtypmod <> -1 THEN t.typtypmod ELSE b.typmod END,
         b.strict OR t.typnotnull
  FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
), strict AS (SELECT attnum, bool_or(strict) AS strict FROM base GROUP BY attnum)
SELECT a.attname::text,
       CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname::text END,
       format_type(a.atttypid, a.atttypmod),
       NOT (a.attnotnull OR s.strict),
       a.atthasdef OR a.attidentity <> '',
       a.attgenerated <> '' OR a.attidentity = 'a',
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND b.typmod > 4 THEN b.typmod - 4 END,
       CASE WHEN t.typname = 'numeric' AND b.typmod > 4 THEN ((b.typmod - 4) >> 16) & 65535 END,
       CASE WHEN t.typname = 'numeric' AND b.typmod > 4 THEN (((b.typmod - 4) & 2047) # 1024) - 1024 END,
       (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
       format_type(b.type, -1)
FROM base b JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
JOIN strict s ON s.attnum = b.attnum
JOIN pg_attribute a ON a.attrelid = %(oid)s::oid AND a.attnum = b.attnum
ORDER BY a.attnum
"""

_KEYS = """
SELECT array_agg(a.attname::text ORDER BY k.ord)
FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, ord)
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('p', 'u') GROUP BY c.oid, c.contype ORDER BY c.contype, c.oid
"""
