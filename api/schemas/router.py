"""`/schemas`."""

from __future__ import annotations

from headrace.api.confirmation import Confirmed
from headrace.api.context import Context
from headrace.api.pagination import Paged, PageOf
from headrace.api.parameters import SchemaIdPath, SchemaIdQuery
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.schemas import service
from headrace.api.schemas.schemas import CreateSchema, SchemaItem, UpdateSchema

router = guarded_router("schemas")


@router.get("/schemas", openapi_extra=allow(*READ))
def list_schemas(context: Context, page: Paged) -> PageOf[SchemaItem]:
    """The tenant's schemas, newest first."""
    return service.list_schemas(context, page)


@router.post("/schemas", status_code=201, openapi_extra=allow(*WRITE))
def create_schema(context: Context, body: CreateSchema) -> SchemaItem:
    """Creates a schema and its table `public.ds_<name>`."""
    return service.create_schema(context, body)


@router.put("/schemas", openapi_extra=allow(*WRITE))
def update_schema(context: Context, body: UpdateSchema) -> SchemaItem:
    """Updates a schema's metadata; omitted fields are unchanged. Columns change at `/schemas/{id}/fields`."""
    return service.update_schema(context, body)


@router.delete("/schemas", status_code=204, openapi_extra=allow(*WRITE))
def delete_schema(
    context: Context,
    schema_id: SchemaIdQuery,
    confirm: Confirmed = False,
) -> None:
    """Deletes a schema that no pipeline uses, and drops its table with its rows."""
    service.delete_schema(context, schema_id, confirm=confirm)


@router.get("/schemas/{schema_id}", openapi_extra=allow(*READ))
def get_schema(context: Context, schema_id: SchemaIdPath) -> SchemaItem:
    """One schema with its columns."""
    return service.get_schema(context, schema_id)
