"""`/schemas`."""

from __future__ import annotations

from api.auth import READ, WRITE, allow, guarded_router
from api.context import Context
from api.pagination import Paged, PageOf
from api.schemas import service
from api.schemas.schemas import CreateSchema, SchemaItem

router = guarded_router("schemas")


@router.get("/schemas", openapi_extra=allow(*READ))
def list_schemas(context: Context, page: Paged) -> PageOf[SchemaItem]:
    """The tenant's schemas, newest first."""
    return service.list_schemas(context, page)


@router.post("/schemas", status_code=201, openapi_extra=allow(*WRITE))
def create_schema(context: Context, body: CreateSchema) -> SchemaItem:
    """Creates a schema and its table `public.ds_<name>`."""
    return service.create_schema(context, body)


@router.get("/schemas/{schema_id}", openapi_extra=allow(*READ))
def get_schema(context: Context, schema_id: str) -> SchemaItem:
    """One schema with its columns."""
    return service.get_schema(context, schema_id)
