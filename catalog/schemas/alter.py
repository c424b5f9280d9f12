"""Changes of a schema's table: adds, alters and drops columns, and finds changes that can lose data."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy import Connection, text

from headrace.catalog.schemas.ddl import (
    TABLE_SCHEMA,
    column_clause,
    comment_statements,
    default_clause,
    translate_ddl_errors,
    type_clause,
)
from headrace.catalog.schemas.names import FieldDefinition

_LOCK_TIMEOUT = "5s"
"""A running load locks the table; a longer wait would block all other statements on it."""

_INTEGERS = ("smallint", "integer", "bigint")
_WIDER: dict[str, tuple[str, ...]] = {
    "smallint": ("integer", "bigint", "double"),
    "integer": ("bigint", "double"),
    "date": ("timestamp",),
}
"""Data type → wider types, in addition to text, and to unlimited decimal for integers."""


def possible_loss(before: FieldDefinition, after: FieldDefinition) -> str | None:
    """Returns what the change of a field may lose or break, as text; None if nothing."""
    if before.name != after.name:
        return f"everything that reads the column '{before.name}' by its name"
    if not _keeps_values(before, after):
        return f"values of '{before.name}' that lose precision, or do not fit, as {after.data_type}"
    return None


def _keeps_values(before: FieldDefinition, after: FieldDefinition) -> bool:
    old, new = before.data_type, after.data_type
    if new == "text" or (new == "varchar" and after.length is None):
        return True
    if old == new == "varchar":
        return before.length is not None and after.length is not None and after.length >= before.length
    if new == "decimal" and after.precision is None:
        return old in ("decimal", *_INTEGERS)
    if old == new == "decimal":
        if before.precision is None or after.precision is None:
            return before.precision == after.precision
        whole, fraction = before.precision - (before.scale or 0), before.scale or 0
        return after.precision - (after.scale or 0) >= whole and (after.scale or 0) >= fraction
    return old == new or new in _WIDER.get(old, ())


def add_column(connection: Connection, table: str, field: FieldDefinition) -> None:
    """Adds the column at the end. Raises Invalid and Conflict."""
    with translate_ddl_errors("defaultValue"):
        _alter(connection, table, add_clause(field))
        for statement in comment_statements(table, [field]):
            _execute(connection, statement)


def add_clause(field: FieldDefinition) -> sql.Composed:
    """Returns the action of ALTER TABLE that adds a column."""
    return sql.SQL("ADD COLUMN {}").format(column_clause(field))


def type_change_clause(after: FieldDefinition) -> sql.Composed:
    """Returns the action of ALTER TABLE that changes a column's type."""
    return sql.SQL("ALTER COLUMN {0} TYPE {1} USING {0}::{1}").format(
        sql.Identifier(after.name), sql.SQL(type_clause(after))
    )


def drop_column(connection: Connection, table: str, name: str) -> None:
    """Drops the column. Raises Conflict if another object, such as a view, depends on it."""
    with translate_ddl_errors("id"):
        _alter(connection, table, sql.SQL("DROP COLUMN IF EXISTS {} RESTRICT").format(sql.Identifier(name)))


def drop_table(connection: Connection, table: str) -> None:
    """Drops the table if it exists. Raises Conflict if another object depends on it."""
    with translate_ddl_errors("id"):
        _set_lock_timeout(connection)
        name = sql.Identifier(TABLE_SCHEMA, table)
        _execute(connection, sql.SQL("DROP TABLE IF EXISTS {} RESTRICT").format(name))


def alter_column(connection: Connection, table: str, before: FieldDefinition, after: FieldDefinition) -> None:
    """Changes the column of `before` to `after` and keeps its rows. Raises Invalid, or Conflict if the rows do not
    fit."""
    if before.name != after.name:
        with translate_ddl_errors("name"):
            names = sql.Identifier(before.name), sql.Identifier(after.name)
            _alter(connection, table, sql.SQL("RENAME COLUMN {} TO {}").format(*names))
    column = sql.Identifier(after.name)
    alter = sql.SQL("ALTER COLUMN {} ").format(column)
    retyped = type_clause(before) != type_clause(after)
    if retyped and before.default_value is not None:
        with translate_ddl_errors("defaultValue"):
            _alter(connection, table, alter + sql.SQL("DROP DEFAULT"))
    if retyped:
        with translate_ddl_errors("dataType", data_is_there=True):
            _alter(connection, table, type_change_clause(after))
    if retyped or before.default_value != after.default_value:
        with translate_ddl_errors("defaultValue"):
            if after.default_value is not None:
                _alter(connection, table, alter + sql.SQL("SET ") + default_clause(after))
            elif not retyped:
                _alter(connection, table, alter + sql.SQL("DROP DEFAULT"))
    if before.is_nullable != after.is_nullable:
        with translate_ddl_errors("isNullable"):
            _alter(connection, table, alter + sql.SQL("DROP NOT NULL" if after.is_nullable else "SET NOT NULL"))
    if before.description != after.description:
        _execute(
            connection,
            sql.SQL("COMMENT ON COLUMN {} IS {}").format(
                sql.Identifier(TABLE_SCHEMA, table, after.name), sql.Literal(after.description or None)
            ),
        )
    if before.is_unique != after.is_unique and not after.is_primary_key:
        with translate_ddl_errors("isUnique"):
            if after.is_unique:
                _alter(connection, table, sql.SQL("ADD UNIQUE ({})").format(column))
            else:
                _drop_unique(connection, table, after.name)


def _drop_unique(connection: Connection, table: str, name: str) -> None:
    """Drops the unique constraints of a column; found by the column, because their name may contain an earlier name."""
    found = connection.scalars(_UNIQUE, {"table": sql.Identifier(TABLE_SCHEMA, table).as_string(), "column": name})
    for constraint in found.all():
        _alter(connection, table, sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(constraint)))


def _alter(connection: Connection, table: str, change: sql.Composable) -> None:
    _set_lock_timeout(connection)
    name = sql.Identifier(TABLE_SCHEMA, table)
    _execute(connection, sql.SQL("ALTER TABLE {} {}").format(name, change))


def _set_lock_timeout(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))


def _execute(connection: Connection, statement: sql.Composable) -> None:
    connection.exec_driver_sql(statement.as_string().replace("%", "%%"))


_UNIQUE = text("""
    SELECT c.conname FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
    WHERE c.conrelid = CAST(:table AS regclass) AND c.contype = 'u' AND a.attname = :column
""")
