"""append: every batch goes straight into the table."""

from __future__ import annotations

from typing import ClassVar

import psycopg
from psycopg import sql

from connectors.base import PartitionLoader, Resume, TargetError
from connectors.postgresql.encode import ENCODINGS
from connectors.postgresql.ledger import create_ledger, ledger_counts
from connectors.postgresql.loader import AppendLoader, LoadPlace
from connectors.postgresql.quarantine import create_quarantine
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.tables import LOAD_ID, Table, check_columns, describe_table, first_line


class Append:
    """See LoadMode."""

    resumable: ClassVar[bool] = True

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec

    def begin(self) -> None:
        """Checks table, columns and types; makes the ledger and the load id column."""
        try:
            with psycopg.connect(self._spec.database_url, autocommit=True) as connection:
                table = describe_table(connection, self._spec.table)
                check_columns(table, self._spec.columns)
                check_types(table, self._spec.columns)
                create_ledger(connection)
                create_quarantine(connection, self._spec.quarantine_tables)
                if table.column(LOAD_ID) is None:
                    add = sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} bigint")
                    connection.execute(add.format(table.identifier, sql.Identifier(LOAD_ID)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise TargetError(
                "not_permitted",
                f"The database user may not prepare {self._spec.table}: {first_line(error)}",
                f"It must own the table (for column {LOAD_ID}) and may create schema _headrace.",
            ) from None
        except psycopg.OperationalError as error:
            raise TargetError(
                "database_unreachable", f"The target database cannot be reached: {first_line(error)}"
            ) from None
        except psycopg.Error as error:
            raise TargetError(
                "refused", f"The database refused to prepare {self._spec.table}: {first_line(error)}"
            ) from None

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        return AppendLoader(self._spec, LoadPlace(stage, partition, source_node))

    def finish(self) -> None:
        """Nothing is held back."""

    def counts(self) -> Resume:
        """See LoadMode."""
        with psycopg.connect(self._spec.database_url) as connection:
            return ledger_counts(connection, self._spec.root_run_id, self._spec.target_node)


def check_types(table: Table, loaded: tuple[str, ...]) -> None:
    """Raises TargetError(`unsupported_type`) when a column to be loaded has a type without an encoding."""
    for column in table.columns:
        if column.name in loaded and column.type_name not in ENCODINGS:
            raise TargetError(
                "unsupported_type",
                f"Column '{column.name}' of {table.qualified} has type {column.sql_type}, which cannot be loaded yet.",
                f"Supported are: {', '.join(sorted(ENCODINGS))}.",
            )
