"""The rows behind a schema: some to look at, some to put in, and what is in its columns."""

from __future__ import annotations

from fastapi import Response

from api.context import RequestContext
from api.schema_rows.schemas import InsertedRows, InsertRows, SchemaStats
from api.schemas.service import owned_schema
from catalog.schemas_rows import insert_rows as insert
from catalog.schemas_rows import read_rows as read
from catalog.schemas_statistics import statistics_of


def read_rows(context: RequestContext, schema_id: str, *, limit: int, offset: int) -> Response:
    """A page of rows, or 404. PostgreSQL writes the JSON itself, so that no number loses a digit on the way."""
    with context.catalog() as catalog:
        schema = owned_schema(catalog, schema_id)
        rows = read(catalog.session.connection(), schema.table_name, limit=limit, offset=offset)
    body = f'{{"total":{rows.total},"limit":{limit},"offset":{offset},"rows":{rows.array}}}'
    return Response(body, media_type="application/json")


def insert_rows(context: RequestContext, schema_id: str, body: InsertRows) -> InsertedRows:
    """Inserts all rows or none; 404, or 400 with the row that does not fit."""
    with context.catalog() as catalog:
        schema = owned_schema(catalog, schema_id)
        inserted = insert(catalog.session.connection(), schema.table_name, body.rows)
        catalog.audit.append("insert_rows", "schema", schema_id, schema.name, after={"inserted": inserted})
        return InsertedRows(inserted=inserted, table_name=schema.table_name)


def read_stats(context: RequestContext, schema_id: str) -> SchemaStats:
    """Statistics of the schema's columns, or 404."""
    with context.catalog() as catalog:
        return SchemaStats.model_validate(statistics_of(catalog.session, owned_schema(catalog, schema_id)))
