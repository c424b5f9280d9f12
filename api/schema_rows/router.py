"""`/schemas/{id}/data` and `/schemas/{id}/stats`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from headrace.api.context import Context
from headrace.api.parameters import SchemaIdPath
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.schema_rows import service
from headrace.api.schema_rows.schemas import DataPage, InsertedRows, InsertRows, SchemaStats

router = guarded_router("schemas")


@router.get("/schemas/{schema_id}/data", responses={200: {"model": DataPage}}, openapi_extra=allow(*READ))
def read_rows(
    context: Context,
    schema_id: SchemaIdPath,
    limit: Annotated[int, Query(ge=1, le=500, description="The most rows of a page")] = 50,
    offset: Annotated[int, Query(ge=0, le=2**53 - 1, description="How many rows to skip")] = 0,
) -> Response:
    """Rows of the schema's table in the order of its key. `total` is an estimate above a million rows."""
    return service.read_rows(context, schema_id, limit=limit, offset=offset)


@router.post("/schemas/{schema_id}/data", status_code=201, openapi_extra=allow(*WRITE))
def insert_rows(context: Context, schema_id: SchemaIdPath, body: InsertRows) -> InsertedRows:
    """Inserts rows; rows whose key already exists are skipped and not counted."""
    return service.insert_rows(context, schema_id, body)


@router.get("/schemas/{schema_id}/stats", response_model_exclude_unset=True, openapi_extra=allow(*READ))
def read_stats(context: Context, schema_id: SchemaIdPath) -> SchemaStats:
    """Statistics per column, at most five minutes old; of a large table from a sample (`sampled`)."""
    return service.read_stats(context, schema_id)
