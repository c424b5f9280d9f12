"""A tenant's schemas, and their tables: metadata and DDL in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import selectinload

from catalog.errors import Conflict, Invalid
from catalog.models import DataSchema, SchemaField, new_id
from catalog.repositories.base import TenantRepository
from catalog.schemas_ddl import (
    TABLE_SCHEMA,
    FieldDefinition,
    create_table,
    definition_problems,
    sanitised,
    table_exists,
    table_name,
)
from ir.problems import Problem


class SchemaRepository(TenantRepository[DataSchema]):
    """Schemas with their fields."""

    model = DataSchema
    noun = "schema"
    options = (selectinload(DataSchema.fields),)

    def create(self, *, name: str, fields: Sequence[FieldDefinition], **attributes: Any) -> DataSchema:
        """Stores a schema and creates its table; both or neither once the transaction ends.

        `attributes` are the other columns of `DataSchema`. Raises Invalid (names, types, defaults) and Conflict.
        """
        plain = sanitised(name)
        if not plain:
            nameless = Problem(
                "name", "invalid_name", f"'{name}' names no table", "use letters, digits and underscores"
            )
            raise Invalid("The schema is not valid", [nameless])
        table = table_name(self.tenant_id, plain)
        problems = definition_problems(table, fields)
        if problems:
            raise Invalid("The schema is not valid", problems)
        schema = self.add(
            DataSchema(
                id=new_id("schema"),
                name=plain,
                table_name=table,
                status="active",
                fields=[
                    SchemaField(id=new_id("field"), ordinal=ordinal, **_columns(field))
                    for ordinal, field in enumerate(fields, 1)
                ],
                **attributes,
            )
        )
        self._create_table(table, fields)
        return schema

    def tables(self) -> dict[str, str]:
        """Qualified table (`public.ds_orders`) → schema id, of all schemas of the tenant."""
        rows = self.session.execute(self.owned().with_only_columns(DataSchema.table_name, DataSchema.id))
        return {f"{TABLE_SCHEMA}.{table}": schema_id for table, schema_id in rows}

    def _create_table(self, table: str, fields: Sequence[FieldDefinition]) -> None:
        connection = self.session.connection()
        taken = f"The table {TABLE_SCHEMA}.{table} exists already and is not a schema's"
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:table, 0))"), {"table": table})
        if table_exists(connection, table):
            raise Conflict(taken)
        try:
            create_table(connection, table, fields)
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.DuplicateTable):
                raise Conflict(taken) from error
            if isinstance(error.orig, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError):
                reason = error.orig.diag.message_primary or "the database refused the table"
                raise Invalid(f"The table cannot be created: {reason}", [Problem("fields", "ddl", reason)]) from error
            raise


def _columns(field: FieldDefinition) -> dict[str, Any]:
    return {name: getattr(field, name) for name in FieldDefinition.__dataclass_fields__}
