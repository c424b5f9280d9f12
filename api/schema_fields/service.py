"""Operations on the columns of a schema and its table: list, add, change, drop."""

from __future__ import annotations

from dataclasses import replace

from headrace.api.confirmation import require_confirmation
from headrace.api.context import RequestContext
from headrace.api.errors import not_found
from headrace.api.schema_fields.schemas import FieldList, UpdateField
from headrace.api.schemas.schemas import FieldBody, FieldItem
from headrace.api.schemas.service import definition, owned_schema
from headrace.catalog.models import DataSchema, SchemaField
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.schemas import definition_of
from headrace.catalog.schemas.alter import possible_loss
from headrace.catalog.schemas.names import FieldDefinition

_UNSIZED = {"length": None, "precision": None, "scale": None}


def list_fields(context: RequestContext, schema_id: str) -> FieldList:
    """The columns in order. Raises ApiError 404."""
    with context.catalog() as catalog:
        fields = owned_schema(catalog, schema_id).fields
        return FieldList(data=[FieldItem.model_validate(field) for field in fields])


def add_field(context: RequestContext, schema_id: str, body: FieldBody) -> FieldItem:
    """Adds a column. Errors: 404, 400 for an invalid column, 409 for a taken name or rows that do not allow it."""
    with context.catalog() as catalog:
        schema = _locked(catalog, schema_id)
        return FieldItem.model_validate(catalog.schemas.add_field(schema, definition(body)))


def change_field(context: RequestContext, schema_id: str, body: UpdateField, *, confirm: bool) -> FieldItem:
    """Changes a column. Errors: 404, 400, also without a needed confirmation, 409 if names or rows do not allow it."""
    with context.catalog() as catalog:
        schema = _locked(catalog, schema_id)
        field = _field(schema, body.id)
        before = definition_of(field)
        after = _changed(before, body)
        if lost := possible_loss(before, after):
            require_confirmation(confirm, f"The change may lose {lost}")
        return FieldItem.model_validate(catalog.schemas.change_field(schema, field, after))


def drop_field(context: RequestContext, schema_id: str, field_id: str, *, confirm: bool) -> None:
    """Drops a column. Errors: 404, 400 without confirmation, 409 for the primary key or a column in use."""
    with context.catalog() as catalog:
        schema = _locked(catalog, schema_id)
        field = _field(schema, field_id)
        require_confirmation(confirm, f"The values of '{field.name}' would be lost")
        catalog.schemas.drop_field(schema, field)


def _changed(before: FieldDefinition, body: UpdateField) -> FieldDefinition:
    changes = body.model_dump(include=body.model_fields_set - {"id"})
    if changes.get("data_type", before.data_type) != before.data_type:
        changes = _UNSIZED | changes  # the sizes were those of the old type
    return replace(before, **changes)


def _locked(catalog: TenantCatalog, schema_id: str) -> DataSchema:
    schema = catalog.schemas.locked(schema_id)
    if schema is None:
        raise not_found("schema")
    return schema


def _field(schema: DataSchema, field_id: str) -> SchemaField:
    for field in schema.fields:
        if field.id == field_id:
            return field
    raise not_found("field")
