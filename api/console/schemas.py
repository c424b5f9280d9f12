"""`/schemas`: the tables that pipelines load, their columns, rows and statistics."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from headrace.api.console.guard import pages, plain, seen_by
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context
from headrace.api.pagination import PageRequest, page_request
from headrace.api.pipelines.service import list_pipelines
from headrace.api.requests.auth import READ
from headrace.api.schema_rows import service as rows
from headrace.api.schemas import service

router = pages()

PAGE = 50


class Digits(str):
    """A number as PostgreSQL wrote it."""


_ROWS = 20


async def _page(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return await page_request(PAGE, cursor)


@router.get("/schemas", name="console_schemas", openapi_extra=seen_by(*READ))
def show_schemas(request: Request, context: Context, page: Annotated[PageRequest, Depends(_page)]) -> Response:
    """The schemas, newest first."""
    found = service.list_schemas(context, page)
    return render(request, "schemas.html", title="Schemas", found=found, first=page.after is None)


@router.get("/schemas/{schema_id}", name="console_schema", openapi_extra=seen_by(*READ))
def show_schema(
    request: Request, context: Context, schema_id: str, offset: Annotated[int, Query(ge=0, le=2**53 - 1)] = 0
) -> Response:
    """The columns of a schema and a page of its rows; statistics are loaded after it."""
    found = service.get_schema(context, schema_id)
    loading = list_pipelines(
        context, PageRequest(20, None), status=None, connector_id=None, schema_id=schema_id, q=None
    )
    # numbers keep all their digits: they are shown as PostgreSQL wrote them
    page = rows.read_rows(context, schema_id, limit=_ROWS, offset=offset)
    exact: dict[str, Any] = json.loads(bytes(page.body), parse_float=Digits, parse_int=Digits)
    shown = [{name: text_of(value) for name, value in each.items()} for each in exact["rows"]]
    return render(
        request,
        "schema.html",
        title=found.display_name,
        schema=found,
        loading=loading,
        rows=shown,
        total=int(exact["total"]),
        offset=offset,
        limit=_ROWS,
        columns=list(dict.fromkeys(name for each in shown for name in each)),
    )


def text_of(value: Any) -> str | None:
    """A value as text; None for none. JSON is written as JSON, in which numbers keep their digits too."""
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    match value:
        case Digits():
            return value
        case dict():
            return "{" + ", ".join(f"{_json(name)}: {_json(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@router.get("/schemas/{schema_id}/statistics", name="console_statistics", openapi_extra=seen_by(*READ))
def show_statistics(context: Context, schema_id: str) -> Response:
    """The statistics of the columns, at most five minutes old."""
    return plain(fragment("schema_statistics.html", stats=rows.read_stats(context, schema_id)))
