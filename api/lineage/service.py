"""Lineage of the rows of a tenant's table."""

from __future__ import annotations

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, not_found
from headrace.api.lineage.schemas import Lineage, LineagePage, LineageRow
from headrace.api.pipelines.schemas import SchemaRef
from headrace.catalog.schemas.ddl import LOAD_ID_COLUMN
from headrace.catalog.schemas.lineage import NoLineage, RowLineage, newest_rows
from headrace.ir.problems import Problem

MAX_ROWS = 1000


def trace(context: RequestContext, schema: str, table: str, limit: int) -> LineagePage:
    """The newest rows of a table with their lineage; `limit` is clamped to 1 to 1,000. Raises ApiError: 404 unless
    it is the table of one of the tenant's schemas, 400 when it has no lineage column."""
    qualified = f"{schema}.{table}"
    with context.catalog() as catalog:
        schema_id = catalog.schemas.tables().get(qualified)
        found = catalog.schemas.get(schema_id) if schema_id is not None else None
        if found is None:
            raise not_found("table")
        owner = SchemaRef.model_validate(found)
        try:
            rows = newest_rows(catalog.session.connection(), found.table_name, min(max(limit, 1), MAX_ROWS))
        except LookupError:
            raise not_found("table") from None
        except NoLineage:
            hint = "run a pipeline that loads it: the load adds the column and sets it on every row it loads"
            message = f"The table {qualified} has no column {LOAD_ID_COLUMN}, so the lineage of its rows is unknown"
            raise ApiError(400, message, details=[Problem("table", "no_lineage", message, hint)]) from None
    return LineagePage(
        schema_=owner,
        table=qualified,
        lineage_column=LOAD_ID_COLUMN,
        rows=[LineageRow(row=each.row, lineage=_lineage(each)) for each in rows],
        count=len(rows),
    )


def _lineage(found: RowLineage) -> Lineage | None:
    if found.run_id is None or found.pipeline_id is None or found.source_node_id is None:
        return None
    return Lineage(run_id=found.run_id, pipeline_id=found.pipeline_id, source_node_id=found.source_node_id)
