"""Adds columns to a table that no schema of the catalog describes."""

from __future__ import annotations

import psycopg
from psycopg import sql

from headrace.connectors.datatypes import sql_type
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.locks.table_lock import lock_table
from headrace.connectors.postgresql.tables.describe import describe_table, first_line
from headrace.ir.schema import Schema

PATIENCE_S = 60.0
"""Seconds to wait for a table that others use, before it is left unchanged."""


def add_columns(database: Database, qualified: str, columns: Schema, *, patience: float = PATIENCE_S) -> list[str]:
    """Adds those that the table lacks, in one transaction, and returns their names. Runs that add the same column at
    the same time are serialized by the table's lock. Raises TargetError."""
    try:
        with connect(database, connect_timeout=10) as connection:
            table = describe_table(connection, qualified).identifier
            lock_table(connection, table, "ACCESS EXCLUSIVE", patience=patience)
            found = describe_table(connection, qualified)
            missing = [column for column in columns if found.column(column.name) is None]
            for column in missing:
                statement = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}")
                kind = sql.SQL(sql_type(column))
                connection.execute(statement.format(table, sql.Identifier(column.name), kind))
            return [column.name for column in missing]
    except psycopg.errors.InsufficientPrivilege as error:
        text = f"The database user may not change {qualified}: {first_line(error)}."
        raise TargetError("not_permitted", text, "It must own the table.") from None
    except psycopg.Error as error:
        raise TargetError("refused", f"The database refused to change {qualified}: {first_line(error)}") from error
