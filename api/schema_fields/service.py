"""The columns of a schema: listed, added, changed and dropped together with those of its table."""

from __future__ import annotations

from dataclasses import replace

from api.context import RequestContext
from api.errors import not_found
from api.schema_fields.schemas import FieldList, UpdateField
from api.schemas.confirmation import require_confirmation
from api.schemas.schemas import FieldBody, FieldItem
from api.schemas.service import definition, owned_schema
from catalog.models import DataSchema, SchemaField
from catalog.repositories import TenantCatalog
from catalog.repositories.schemas import definition_of
from catalog.schemas_alter import can_lose
from catalog.schemas_ddl import FieldDefinition

_UNSIZED = {"length": None, "precision": None, "scale": None}


def list_fields(context: RequestContext, schema_id: str) -> FieldList:
    """The columns in order, or 404."""
    with context.catalog() as catalog:
        fields = owned_schema(catalog, schema_id).fields
        return FieldList(data=[FieldItem.model_validate(field) for field in fields])


def add_field(context: RequestContext, schema_id: str, body: FieldBody) -> FieldItem:
    """Adds a column; 404, 400 for what cannot be one, 409 for a taken name or rows that forbid it."""
    with context.catalog() as catalog:
        schema = _locked(catalog, schema_id)
        return FieldItem.model_validate(catalog.schemas.add_field(schema, definition(body)))


def change_field(context: RequestContext, schema_id: str, body: UpdateField, *, confirm: bool) -> FieldItem:
    """Changes a column; 404, 400 also without the confirmation it needs, 409 where names or rows forbid it."""
    with context.catalog() as catalog:
        schema = _locked(catalog, schema_id)
        field = _field(schema, body.id)
        before = definition_of(field)
        after = _changed(before, body)
        if lost := can_lose(before, after):
            require_confirmation(confirm, f"The change may lose {lost}")
        return FieldItem.model_validate(catalog.schemas.change_field(schema, field, after))


def drop_field(context: RequestContext, schema_id: str, field_id: str, *, confirm: bool) -> None:
    """Drops a column; 404, 400 without confirmation, 409 for one of the primary key or that something else needs."""
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
