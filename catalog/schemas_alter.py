"""Changes of a schema's table: columns added, altered and dropped, and what of it can lose something."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy import Connection, text

from catalog.ddl_refusals import refusals
from catalog.schemas_ddl import TABLE_SCHEMA, FieldDefinition, column_clause, default_clause, type_clause

_LOCK_TIMEOUT = "5s"
"""A running load holds the table; waiting for it would keep everybody else waiting behind us."""

_INTEGERS = ("smallint", "integer", "bigint")
_WIDER: dict[str, tuple[str, ...]] = {
    "smallint": ("integer", "bigint", "double"),
    "integer": ("bigint", "double"),
    "date": ("timestamp",),
}
"""Data type → types that hold each of its values, besides text and an unlimited decimal for whole numbers."""


def can_lose(before: FieldDefinition, after: FieldDefinition) -> str | None:
    """What the change of a field may lose or break, for a person; None when it keeps everything."""
    if before.name != after.name:
        return f"whatever reads the column '{before.name}' by its name"
    if not _keeps_values(before, after):
        return f"values of '{before.name}' that are not as exact, or do not fit, as {after.data_type}"
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
    with refusals("defaultValue"):
        _alter(connection, table, sql.SQL("ADD COLUMN {}").format(column_clause(field)))


def drop_column(connection: Connection, table: str, name: str) -> None:
    """Drops the column unless something else, such as a view, needs it (Conflict)."""
    with refusals("id"):
        _alter(connection, table, sql.SQL("DROP COLUMN IF EXISTS {} RESTRICT").format(sql.Identifier(name)))


def drop_table(connection: Connection, table: str) -> None:
    """Drops the table, if it is there, unless something else needs it (Conflict)."""
    with refusals("id"):
        _set_lock_timeout(connection)
        name = sql.Identifier(TABLE_SCHEMA, table)
        _execute(connection, sql.SQL("DROP TABLE IF EXISTS {} RESTRICT").format(name))


def alter_column(connection: Connection, table: str, before: FieldDefinition, after: FieldDefinition) -> None:
    """Makes the column of `before` one of `after`, keeping its rows. Raises Invalid, and Conflict where they forbid."""
    if before.name != after.name:
        with refusals("name"):
            names = sql.Identifier(before.name), sql.Identifier(after.name)
            _alter(connection, table, sql.SQL("RENAME COLUMN {} TO {}").format(*names))
    column = sql.Identifier(after.name)
    alter = sql.SQL("ALTER COLUMN {} ").format(column)
    retyped = type_clause(before) != type_clause(after)
    if retyped and before.default_value is not None:
        with refusals("defaultValue"):
            _alter(connection, table, alter + sql.SQL("DROP DEFAULT"))
    if retyped:
        with refusals("dataType", data_is_there=True):
            kind = sql.SQL(type_clause(after))
            _alter(connection, table, alter + sql.SQL("TYPE {0} USING {1}::{0}").format(kind, column))
    if retyped or before.default_value != after.default_value:
        with refusals("defaultValue"):
            if after.default_value is not None:
                _alter(connection, table, alter + sql.SQL("SET ") + default_clause(after))
            elif not retyped:
                _alter(connection, table, alter + sql.SQL("DROP DEFAULT"))
    if before.is_nullable != after.is_nullable:
        with refusals("isNullable"):
            _alter(connection, table, alter + sql.SQL("DROP NOT NULL" if after.is_nullable else "SET NOT NULL"))
    if before.is_unique != after.is_unique and not after.is_primary_key:
        with refusals("isUnique"):
            if after.is_unique:
                _alter(connection, table, sql.SQL("ADD UNIQUE ({})").format(column))
            else:
                _drop_unique(connection, table, after.name)


def _drop_unique(connection: Connection, table: str, name: str) -> None:
    """Constraints are found by their column: their own name may stem from an earlier name of it."""
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
