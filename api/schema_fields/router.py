"""`/schemas/{id}/fields`."""

from __future__ import annotations

from headrace.api.confirmation import Confirmed
from headrace.api.context import Context
from headrace.api.parameters import FieldIdQuery, SchemaIdPath
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.schema_fields import service
from headrace.api.schema_fields.schemas import FieldList, UpdateField
from headrace.api.schemas.schemas import FieldBody, FieldItem

router = guarded_router("schemas")


@router.get("/schemas/{schema_id}/fields", openapi_extra=allow(*READ))
def list_fields(context: Context, schema_id: SchemaIdPath) -> FieldList:
    """The columns of a schema, in order."""
    return service.list_fields(context, schema_id)


@router.post("/schemas/{schema_id}/fields", status_code=201, openapi_extra=allow(*WRITE))
def add_field(context: Context, schema_id: SchemaIdPath, body: FieldBody) -> FieldItem:
    """Adds a column to the schema and its table."""
    return service.add_field(context, schema_id, body)


@router.put("/schemas/{schema_id}/fields", openapi_extra=allow(*WRITE))
def change_field(context: Context, schema_id: SchemaIdPath, body: UpdateField, confirm: Confirmed = False) -> FieldItem:
    """Updates a column; omitted fields are unchanged. A rename, or a possible loss of values, needs `confirm=true`."""
    return service.change_field(context, schema_id, body, confirm=confirm)


@router.delete("/schemas/{schema_id}/fields", status_code=204, openapi_extra=allow(*WRITE))
def drop_field(
    context: Context,
    schema_id: SchemaIdPath,
    field_id: FieldIdQuery,
    confirm: Confirmed = False,
) -> None:
    """Drops a column and its values."""
    service.drop_field(context, schema_id, field_id, confirm=confirm)
