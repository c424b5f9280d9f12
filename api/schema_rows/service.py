"""Operations on the rows of a schema's table: read, insert, statistics."""

from __future__ import annotations

from fastapi import Response

from headrace.api.context import RequestContext
from headrace.api.schema_rows.schemas import InsertedRows, InsertRows, SchemaStats
from headrace.api.schemas.service import owned_schema
from headrace.catalog.schemas.rows import insert_rows as insert
from headrace.catalog.schemas.rows import read_rows as read
from headrace.catalog.schemas.statistics import statistics_of


def read_rows(context: RequestContext, schema_id: str, *, limit: int, offset: int) -> Response:
    """A page of rows. PostgreSQL produces the JSON, so that numbers keep all digits. Raises ApiError 404."""
    with context.catalog() as catalog:
        schema = owned_schema(catalog, schema_id)
        rows = read(catalog.session.connection(), schema.table_name, limit=limit, offset=offset)
    body = f'{{"total":{rows.total},"limit":{limit},"offset":{offset},"rows":{rows.array}}}'
    return Response(body, media_type="application/json")


def insert_rows(context: RequestContext, schema_id: str, body: InsertRows) -> InsertedRows:
    """Inserts all rows or none. Errors: 404, 400 with the row that cannot be inserted."""
    with context.catalog() as catalog:
        schema = owned_schema(catalog, schema_id)
        inserted = insert(catalog.session.connection(), schema.table_name, body.rows)
        catalog.audit.append("insert_rows", "schema", schema_id, schema.name, after={"inserted": inserted})
        return InsertedRows(inserted=inserted, table_name=schema.table_name)


def read_stats(context: RequestContext, schema_id: str) -> SchemaStats:
    """Statistics of the schema's columns. Raises ApiError 404."""
    with context.catalog() as catalog:
        return SchemaStats.model_validate(statistics_of(catalog.session, owned_schema(catalog, schema_id)))
