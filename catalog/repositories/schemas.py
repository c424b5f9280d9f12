"""A tenant's schemas and their tables: metadata and DDL in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.orm import selectinload

from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.models import DataSchema, Pipeline, SchemaField, SchemaStatistics, new_id
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.repositories.usage import PipelineUsage, uses_table
from headrace.catalog.schemas.alter import add_column, alter_column, drop_column, drop_table
from headrace.catalog.schemas.ddl import (
    MAX_FIELDS,
    TABLE_SCHEMA,
    create_table,
    definition_problems,
    field_problems,
    table_comment,
    table_exists,
    translate_ddl_errors,
)
from headrace.catalog.schemas.names import FieldDefinition, sanitised, table_name
from headrace.ir.problems import Problem


class SchemaRepository(TenantRepository[DataSchema]):
    """Schemas with their fields."""

    model = DataSchema
    noun = "schema"
    counted = "schemas"
    options = (selectinload(DataSchema.fields),)

    def locked(self, schema_id: str) -> DataSchema | None:
        """Like `get`, but locks the schema for a change of its table until the transaction ends."""
        if self.get(schema_id) is None:
            return None
        query = self.owned().where(DataSchema.id == schema_id).options(*self.options)
        schema: DataSchema | None = self.session.scalar(
            query.with_for_update(key_share=True, of=DataSchema).execution_options(populate_existing=True)
        )
        return schema

    def create(self, *, name: str, fields: Sequence[FieldDefinition], **attributes: Any) -> DataSchema:
        """Stores a schema and creates its table, in one transaction.

        `attributes` are the other columns of `DataSchema`. Raises Invalid (names, types, defaults) and Conflict.
        """
        plain = sanitised(name)
        if not plain:
            nameless = Problem(
                "name", "invalid_name", f"'{name}' is not a name for a table", "use letters, digits and underscores"
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
                fields=[_field(definition, ordinal) for ordinal, definition in enumerate(fields, 1)],
                **attributes,
            )
        )
        self._create_table(table, fields, schema.description)
        return schema

    def remove(self, item: DataSchema) -> None:
        """Deletes a schema and drops its table. Raises Conflict while pipelines or other objects use it."""
        PipelineUsage(self.session, self.tenant_id).refuse(
            f"The schema '{item.name}'", Pipeline.schema_id == item.id, uses_table(item.table_name)
        )
        super().remove(item)
        drop_table(self.session.connection(), item.table_name)

    def add_field(self, schema: DataSchema, definition: FieldDefinition) -> SchemaField:
        """Adds a column to a `locked` schema. Raises Invalid and Conflict."""
        problems = field_problems(definition)
        if definition.is_primary_key:
            problems.append(_fixed_key())
        if len(schema.fields) >= MAX_FIELDS:
            problems.append(Problem("name", "too_many", f"The schema has {MAX_FIELDS} fields already"))
        if problems:
            raise Invalid("The field is not valid", problems)
        self._refuse_taken(schema, definition.name)
        last = max((field.ordinal for field in schema.fields), default=0)
        field = _field(definition, last + 1)
        schema.fields.append(field)
        self._changed(schema)
        add_column(self.session.connection(), schema.table_name, definition)
        return field

    def change_field(self, schema: DataSchema, field: SchemaField, after: FieldDefinition) -> SchemaField:
        """Changes a field of a `locked` schema, and its column, to `after`. Raises Invalid and Conflict."""
        before = definition_of(field)
        problems = field_problems(after)
        if after.is_primary_key != before.is_primary_key:
            problems.append(_fixed_key())
        if problems:
            raise Invalid("The field is not valid", problems)
        if after.name.lower() != before.name.lower():
            self._refuse_taken(schema, after.name)
        for name, value in _columns(after).items():
            setattr(field, name, value)
        self._changed(schema)
        alter_column(self.session.connection(), schema.table_name, before, after)
        return field

    def drop_field(self, schema: DataSchema, field: SchemaField) -> None:
        """Drops a column of a `locked` schema. Raises Conflict if it is in the primary key, or if a view depends on
        it."""
        if field.is_primary_key:
            raise Conflict(f"'{field.name}' belongs to the primary key of the schema '{schema.name}'")
        schema.fields.remove(field)
        self._changed(schema)
        drop_column(self.session.connection(), schema.table_name, field.name)

    def describe(self, schema: DataSchema) -> None:
        """Makes the table's comment the description of its schema."""
        statement = table_comment(schema.table_name, schema.description)
        self.session.connection().exec_driver_sql(statement.as_string().replace("%", "%%"))

    def tables(self) -> dict[str, str]:
        """Returns qualified table (`public.ds_orders`) → schema id for all schemas of the tenant."""
        rows = self.session.execute(self.owned().with_only_columns(DataSchema.table_name, DataSchema.id))
        return {f"{TABLE_SCHEMA}.{table}": schema_id for table, schema_id in rows}

    def _changed(self, schema: DataSchema) -> None:
        schema.updated_at = datetime.now(UTC)
        self.session.execute(delete(SchemaStatistics).where(SchemaStatistics.schema_id == schema.id))
        self.session.flush()

    def _refuse_taken(self, schema: DataSchema, name: str) -> None:
        if any(field.name.lower() == name.lower() for field in schema.fields):
            raise Conflict(f"The schema '{schema.name}' has a field '{name}' already")

    def _create_table(self, table: str, fields: Sequence[FieldDefinition], comment: str | None) -> None:
        connection = self.session.connection()
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:table, 0))"), {"table": table})
        if table_exists(connection, table):
            raise Conflict(f"The table {TABLE_SCHEMA}.{table} exists already and does not belong to a schema")
        with translate_ddl_errors("fields"):
            create_table(connection, table, fields)
            if comment:
                connection.exec_driver_sql(table_comment(table, comment).as_string().replace("%", "%%"))
            connection.execute(
                text("SELECT headrace.give_to_tenant(:tenant, :table)"), {"tenant": self.tenant_id, "table": table}
            )


def definition_of(field: SchemaField) -> FieldDefinition:
    """Returns the definition of a stored field."""
    return FieldDefinition(**{each.name: getattr(field, each.name) for each in fields_of(FieldDefinition)})


def _field(definition: FieldDefinition, ordinal: int) -> SchemaField:
    return SchemaField(id=new_id("field"), ordinal=ordinal, **_columns(definition))


def _columns(definition: FieldDefinition) -> dict[str, Any]:
    return {each.name: getattr(definition, each.name) for each in fields_of(FieldDefinition)}


def _fixed_key() -> Problem:
    message = "The primary key is fixed when the schema is created"
    return Problem("isPrimaryKey", "immutable", message, "create another schema, or use isUnique")
