"""`/lineage`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from headrace.api.context import Context
from headrace.api.lineage import service
from headrace.api.lineage.schemas import LineagePage
from headrace.api.requests.auth import READ, allow, guarded_router

router = guarded_router("lineage")


@router.get("/lineage", responses={404: {}}, openapi_extra=allow(*READ))
def get_lineage(
    context: Context,
    table: Annotated[str, Query(min_length=1, max_length=63, description="The name of the table: `ds_…`")],
    schema: Annotated[
        str, Query(min_length=1, max_length=63, description="The PostgreSQL schema that the table is in")
    ] = "public",
    limit: Annotated[
        int, Query(description="The most rows; a number outside 1 to 1,000 is taken as the nearest in it")
    ] = 100,
) -> LineagePage:
    """The newest rows of a table, each with the run, the pipeline and the source node it came from."""
    return service.trace(context, schema, table, limit)
