"""Operations on schemas and their tables: list, read, create, update, delete."""

from __future__ import annotations

from datetime import UTC, datetime

from headrace.api.confirmation import require_confirmation
from headrace.api.context import RequestContext
from headrace.api.errors import invalid, not_found
from headrace.api.pagination import PageOf, PageRequest, page_of
from headrace.api.schemas.schemas import CreateSchema, FieldBody, SchemaItem, UpdateSchema
from headrace.catalog.models import DataSchema
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.schemas.names import FieldDefinition, sanitised

_CUSTOMER = "customer"


def list_schemas(context: RequestContext, request: PageRequest) -> PageOf[SchemaItem]:
    """A page of the tenant's schemas, newest first."""
    with context.catalog() as catalog:
        page = catalog.schemas.page(limit=request.limit, after=request.after)
        return page_of(page, request, SchemaItem.model_validate)


def get_schema(context: RequestContext, schema_id: str) -> SchemaItem:
    """One schema. Raises ApiError 404."""
    with context.catalog() as catalog:
        return SchemaItem.model_validate(owned_schema(catalog, schema_id))


def create_schema(context: RequestContext, body: CreateSchema) -> SchemaItem:
    """Creates the schema and its table in one transaction. Errors: 400 for invalid columns, 409 for a taken name."""
    with context.catalog() as catalog:
        _check_link(catalog, body.linked_schema_id)
        schema = catalog.schemas.create(
            name=body.name,
            display_name=body.display_name,
            description=body.description,
            entity_type=body.entity_type,
            schema_type=body.schema_type,
            linked_schema_id=body.linked_schema_id,
            join_mapping=body.join_mapping,
            summary_columns=body.summary_columns,
            auto_enrich=body.auto_enrich,
            fields=[definition(field) for field in body.fields],
        )
        return SchemaItem.model_validate(schema)


def update_schema(context: RequestContext, body: UpdateSchema) -> SchemaItem:
    """Updates the fields given in the body. Errors: 404, 400 for another name or an invalid link."""
    with context.catalog() as catalog:
        schema = owned_schema(catalog, body.id)
        changes = body.model_dump(include=body.model_fields_set - {"id", "name"})
        if "name" in body.model_fields_set and sanitised(body.name) != schema.name:
            raise invalid("name", "immutable", "The name is the table's and cannot change", "use displayName")
        if "linked_schema_id" in changes:
            _check_link(catalog, body.linked_schema_id, schema)
        for name, value in changes.items():
            setattr(schema, name, value)
        schema.updated_at = datetime.now(UTC)
        catalog.session.flush()
        if "description" in changes:
            catalog.schemas.describe(schema)
        return SchemaItem.model_validate(schema)


def delete_schema(context: RequestContext, schema_id: str, *, confirm: bool) -> None:
    """Deletes a schema and its table. Errors: 404, 400 without confirmation, 409 while it is in use."""
    with context.catalog() as catalog:
        schema = owned_schema(catalog, schema_id)
        require_confirmation(confirm, f"The table {schema.table_name} and its rows would be lost")
        catalog.schemas.remove(schema)


def owned_schema(catalog: TenantCatalog, schema_id: str) -> DataSchema:
    """The tenant's schema. Raises ApiError 404."""
    schema = catalog.schemas.get(schema_id)
    if schema is None:
        raise not_found("schema")
    return schema


def definition(body: FieldBody) -> FieldDefinition:
    """The column of a body; the display name defaults to the name."""
    return FieldDefinition(**{**body.model_dump(), "display_name": body.display_name or body.name})


def _check_link(catalog: TenantCatalog, linked_id: str | None, schema: DataSchema | None = None) -> None:
    if linked_id is None:
        return
    linked = catalog.schemas.get(linked_id)
    if linked is None:
        raise invalid("linkedSchemaId", "unknown_schema", f"There is no schema '{linked_id}'")
    if schema is not None and linked.id == schema.id:
        raise invalid("linkedSchemaId", "self_link", "A schema cannot be linked to itself")
    if linked.schema_type != _CUSTOMER:
        message = f"'{linked.name}' is not a schema of type {_CUSTOMER}, as required for a link"
        raise invalid("linkedSchemaId", "wrong_schema_type", message)
