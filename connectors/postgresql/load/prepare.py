"""Prepares the target database and the target table before a load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.cursors import create_cursors
from headrace.connectors.postgresql.dead_letters import create_dead_letters
from headrace.connectors.postgresql.hooks import create_hooks_table
from headrace.connectors.postgresql.ledger.exchange_manifest import create_exchange_manifest
from headrace.connectors.postgresql.ledger.resume_check import create_load_starts
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.connectors.postgresql.ledger.sent_attributes import create_sent_attributes
from headrace.connectors.postgresql.ledger.sent_requests import create_sent_requests
from headrace.connectors.postgresql.ledger.watermarks import create_watermarks
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.originals import create_originals
from headrace.connectors.postgresql.tables.describe import (
    LOAD_ID,
    Table,
    check_columns,
    describe_table,
    first_line,
    split_name,
)
from headrace.connectors.postgresql.tables.quarantine import create_quarantine, create_schema


@contextmanager
def prepare_target(spec: LoadSpec, *, filled: Sequence[str] = ()) -> Iterator[tuple[psycopg.Connection[Any], Table]]:
    """Yields an autocommit connection and the table, once its columns have been checked.

    Creates the ledger, the quarantine tables and the load id column where they are missing. `filled` columns are filled
    by the load mode if the data lacks them. Database errors inside the block become TargetError.
    """
    try:
        with connect(spec.database_url, autocommit=True) as connection:
            table = describe_table(connection, spec.table)
            check_columns(table, spec.columns, filled)
            create_ledger(connection)
            create_cursors(connection)
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
    """The COPY statement of a batch, as shown in previews."""
    names = sql.SQL(", ").join(sql.Identifier(name) for name in (*columns, LOAD_ID))
    identifier = sql.Identifier(*split_name(table))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary);").format(identifier, names).as_string()


def create_schemas(database_url: str) -> None:
    """Creates the fixed tables of `_headrace` and the schema `dlq` where they are missing. Runs create what is missing
    too; if runs have roles of their own, those roles may use these tables but not alter them. Raises psycopg.Error."""
    with connect(database_url, autocommit=True, connect_timeout=10) as connection:
        _create_tables(connection)
        create_schema(connection)


def prepare_database(database: Database) -> None:
    """Creates the fixed tables of `_headrace` in the database of a connector, where they are missing. Raises
    TargetError."""
    try:
        with connect(database, autocommit=True, connect_timeout=10) as connection:
            user, name = connection.execute("SELECT current_user::text, current_database()::text").fetchone() or (
                "",
                "",
            )
            _create_tables(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise TargetError(
            "not_permitted",
            f"The user {user} may not create or use the schema _headrace of the database {name}, where the ledger of "
            f"its loads belongs: {first_line(error)}.",
            f"GRANT CREATE ON DATABASE {name} TO {user}; where another user owns _headrace, grant USAGE and CREATE on "
            "it, and SELECT, INSERT, UPDATE and DELETE on its tables.",
        ) from None
    except psycopg.Error as error:
        raise TargetError(
            "database_unavailable", f"The target database cannot be prepared: {first_line(error)}", "Retry the run."
        ) from error


def _create_tables(connection: psycopg.Connection[Any]) -> None:
    create_ledger(connection)
    create_exchange_manifest(connection)
    create_load_starts(connection)
    create_hooks_table(connection)
    create_watermarks(connection)
    create_cursors(connection)
    create_originals(connection)
    create_dead_letters(connection)
    create_sent_requests(connection)
    create_sent_attributes(connection)
