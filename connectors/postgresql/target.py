"""The target before a load: checked, and with what every load mode needs there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from connectors.base import TargetError
from connectors.postgresql.ledger import create_ledger
from connectors.postgresql.quarantine import create_quarantine
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.tables import LOAD_ID, Table, check_columns, describe_table, first_line, split_name


@contextmanager
def prepared_target(spec: LoadSpec, *, filled: Sequence[str] = ()) -> Iterator[tuple[psycopg.Connection[Any], Table]]:
    """An autocommit connection and the table, when columns and types fit; ledger, quarantine tables and load id column
    are made. `filled` columns come from the load mode where the data lacks them. Whatever the database refuses inside
    becomes a TargetError for people."""
    try:
        with psycopg.connect(spec.database_url, autocommit=True) as connection:
            table = describe_table(connection, spec.table)
            check_columns(table, spec.columns, filled)
            create_ledger(connection)
            create_quarantine(connection, spec.quarantine_tables)
            if table.column(LOAD_ID) is None:
                add = sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} bigint")
                connection.execute(add.format(table.identifier, sql.Identifier(LOAD_ID)))
                table = describe_table(connection, spec.table)
            yield connection, table
    except psycopg.errors.InsufficientPrivilege as error:
        raise TargetError(
            "not_permitted",
            f"The database user may not prepare {spec.table}: {first_line(error)}",
            f"It must own the table (for column {LOAD_ID}) and may create schema _headrace.",
        ) from None
    except psycopg.OperationalError as error:
        raise TargetError(
            "database_unreachable", f"The target database cannot be reached: {first_line(error)}"
        ) from None
    except psycopg.Error as error:
        raise TargetError("refused", f"The database refused to prepare {spec.table}: {first_line(error)}") from None


def copy_statement(table: str, columns: Sequence[str]) -> str:
    """The COPY of a batch, as it is shown to people."""
    names = sql.SQL(", ").join(sql.Identifier(name) for name in (*columns, LOAD_ID))
    identifier = sql.Identifier(*split_name(table))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary);").format(identifier, names).as_string()
