"""What schemas can do: be listed, found and made together with their tables."""

from __future__ import annotations

from api.context import RequestContext
from api.errors import invalid, not_found
from api.pagination import PageOf, PageRequest, page_of
from api.schemas.schemas import CreateSchema, FieldBody, SchemaItem
from catalog.schemas_ddl import FieldDefinition


def list_schemas(context: RequestContext, request: PageRequest) -> PageOf[SchemaItem]:
    """A page of the tenant's schemas, newest first."""
    with context.catalog() as catalog:
        page = catalog.schemas.page(limit=request.limit, after=request.after)
        return page_of(page, request, SchemaItem.model_validate)


def get_schema(context: RequestContext, schema_id: str) -> SchemaItem:
    """One schema, or 404."""
    with context.catalog() as catalog:
        schema = catalog.schemas.get(schema_id)
        if schema is None:
            raise not_found("schema")
        return SchemaItem.model_validate(schema)


def create_schema(context: RequestContext, body: CreateSchema) -> SchemaItem:
    """Creates the table and the schema in one transaction; 400 for what cannot be a table, 409 for a taken name."""
    with context.catalog() as catalog:
        if body.linked_schema_id is not None and catalog.schemas.get(body.linked_schema_id) is None:
            raise invalid("linkedSchemaId", "unknown_schema", f"There is no schema '{body.linked_schema_id}'")
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
            fields=[_definition(field) for field in body.fields],
        )
        return SchemaItem.model_validate(schema)


def _definition(field: FieldBody) -> FieldDefinition:
    return FieldDefinition(**{**field.model_dump(), "display_name": field.display_name or field.name})
