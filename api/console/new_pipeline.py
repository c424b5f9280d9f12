"""`/pipelines/new`: from a connector to a stream, its columns and a table; the document is written from that."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import Form, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from headrace.api.connectors import discovery
from headrace.api.connectors import service as connectors
from headrace.api.connectors.stream_schemas import StreamItem
from headrace.api.console.connectors import types
from headrace.api.console.document_problems import Text, too_long_to_check
from headrace.api.console.document_text import typed, written
from headrace.api.console.edit import checked_text
from headrace.api.console.guard import asked_by, done_by, pages, plain, see_other, seen_by
from headrace.api.console.guided_document import (
    MAX_COLUMNS,
    MODES,
    SEPARATORS,
    chosen_columns,
    document_of,
    likely_separator,
    proposed,
    separated_by,
    settings_in,
    table_for,
)
from headrace.api.console.pipeline import validated
from headrace.api.console.rendering import HEADERS, fragment, render
from headrace.api.context import Context, RequestContext
from headrace.api.errors import ApiError, answer_of, invalid
from headrace.api.pagination import MAX_LIMIT, PageRequest
from headrace.api.pipelines.free_names import free_names
from headrace.api.pipelines.schemas import CreatePipeline, PipelineDetail
from headrace.api.pipelines.service import create_pipeline
from headrace.api.requests.auth import WRITE
from headrace.api.schemas import service as schemas
from headrace.api.schemas.schemas import SchemaItem
from headrace.catalog.errors import Conflict, Invalid
from headrace.ir.schema import DATA_TYPES

router = pages()

_STREAMS = 50
_SKELETON: dict[str, Any] = {
    "kind": "pipeline",
    "version": "1.0",
    "id": "orders",
    "metadata": {"name": "Orders"},
    "nodes": [
        {"id": "source", "kind": "source", "connector": "postgresql", "config": {"table": "public.orders"}},
        {"id": "target", "kind": "target", "input": "source", "schema": "public.ds_orders", "loadMode": "append"},
    ],
}
"""A document to begin with: the least that runs."""
_ALL = PageRequest(MAX_LIMIT, None)
_Name = Annotated[str, Query(max_length=2000)]
_Id = Annotated[str, Query(max_length=128)]


@router.get("/pipelines/new", name="console_new_pipeline", openapi_extra=seen_by(*WRITE))
def show_new(request: Request, context: Context, connector: _Id = "", stream: _Name = "", schema: _Id = "") -> Response:
    """One of three steps: the connector, what is read through it, or the columns; discovery is loaded afterwards."""
    chosen = connectors.get_connector(context, connector) if connector else None
    kinds = types()
    listed = None if chosen is not None else connectors.list_connectors(context, _ALL)
    return render(
        request,
        "new_pipeline.html",
        title="New pipeline",
        chosen=chosen,
        stream=stream,
        schema=schema,
        listed=listed,
        kinds=kinds,
        readable=[each for each in (listed.data if listed else ()) if kinds[each.type].status == "ready"],
        schemas=schemas.list_schemas(context, _ALL).data if stream else [],
    )


@router.get("/pipelines/new/streams", name="console_new_streams", openapi_extra=seen_by(*WRITE))
async def show_streams(
    request: Request,
    context: Context,
    connector: _Id,
    text: Annotated[str, Query(alias="filter", max_length=2000)] = "",
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> Response:
    """What the connection can be read for, each with a link to its columns."""
    found = await discovery.list_streams(context, request, connector, text, _STREAMS, cursor)
    links = {"choose": f"/pipelines/new?connector={connector}", "more": "/pipelines/new/streams"}
    return plain(fragment("streams.html", found=found, connector=connector, text=text, links=links, cursor=cursor))


@router.get("/pipelines/new/columns", name="console_new_columns", openapi_extra=seen_by(*WRITE))
async def show_columns(
    request: Request,
    context: Context,
    connector: _Id,
    stream: _Name,
    schema: _Id = "",
    separator: Literal["", ",", ";", "|", "tab"] = "",
) -> Response:
    """The form of the columns, as a run would find them."""
    found = await discovery.get_stream(context, request, connector, stream, separated_by(separator))
    chosen = separator or likely_separator(found)
    if chosen != separator:
        found = await discovery.get_stream(context, request, connector, stream, separated_by(chosen))
    if not found.fields or len(found.fields) > MAX_COLUMNS:
        count = len(found.fields or ())
        message = f"'{stream}' has {count:,} columns: this form is for at most {MAX_COLUMNS}, and at least one"
        raise ApiError(422, message)
    target = await run_in_threadpool(schemas.get_schema, context, schema) if schema else None
    name, table = await run_in_threadpool(free_names, context, _short(found))
    settings = found.settings | ({"format": found.format} if found.format else {})
    return plain(
        fragment(
            "new_columns.html",
            connector=connector,
            stream=found,
            separator=chosen,
            separators=SEPARATORS if found.format == "csv" else {},
            schema=schema,
            settings=json.dumps(settings, ensure_ascii=False),
            columns=proposed(found, target),
            target=target,
            name=name,
            table=table,
            modes=MODES,
            types=[each for each in DATA_TYPES if each != "decimal"],
        )
    )


@router.post("/pipelines/new", name="console_create_guided", openapi_extra=done_by(*WRITE, action="create_pipeline"))
async def create_guided(request: Request, context: Context) -> Response:
    """Creates the table if it is a new one, then the pipeline; leads to the editor with the document. Nothing runs."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    made = await run_in_threadpool(_create, context, form)
    place = f"/pipelines/{made.id}/edit"
    if "HX-Request" in request.headers:  # so that the form stays in the page when it is refused
        return Response(status_code=204, headers={**HEADERS, "HX-Redirect": place})
    return see_other(place)


@router.get("/pipelines/new/document", name="console_new_document", openapi_extra=seen_by(*WRITE))
def show_document(request: Request, context: Context) -> Response:
    """An editor for a document that somebody has already."""
    return _document_page(request, context, {"text": written(_SKELETON)})


@router.post(
    "/pipelines/new/document", name="console_create_document", openapi_extra=done_by(*WRITE, action="create_pipeline")
)
def create_from_document(
    request: Request,
    context: Context,
    text: Text = "",
    connector: Annotated[str, Form(max_length=128)] = "",
    schema_id: Annotated[str, Form(alias="schema", max_length=128)] = "",
    name: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Creates the pipeline of the text; what is refused is shown beside it."""
    form = {"text": text, "connector": connector, "schema": schema_id, "name": name}
    given = typed(text)
    if given.document is None:
        return _document_page(request, context, form, status=400, problem=given.reason)
    metadata = given.document.get("metadata")
    named = name.strip() or (metadata.get("name") if isinstance(metadata, dict) else None)
    facts = {"name": named, "connectorId": connector, "schemaId": schema_id, "irVersion": "1.0", "ir": given.document}
    try:
        made = create_pipeline(context, validated(CreatePipeline, facts))
    except (ApiError, Conflict, Invalid) as error:
        status, message, _ = answer_of(error)
        if status >= 500:
            raise
        return _document_page(request, context, form, status=status, problem=message)
    return see_other(f"/pipelines/{made.id}/edit")


@router.post("/pipelines/new/problems", name="console_check_new", openapi_extra=asked_by(*WRITE))
def check_new(context: Context, text: Text = "", now: Annotated[bool, Form()] = False) -> Response:
    """The problems of a text that is no pipeline's yet."""
    checked = None if too_long_to_check(text, now=now) else checked_text(context, typed(text), None)
    return plain(fragment("document_problems.html", checked=checked, place="/pipelines/new/problems"))


def _create(context: RequestContext, form: dict[str, str]) -> PipelineDetail:
    connector = connectors.get_connector(context, form.get("connector", ""))
    columns = chosen_columns(form)
    settings = settings_in(form.get("settings", ""))
    reader = types()[connector.type].source
    if reader is None:
        raise invalid("connector", "unreadable", f"Connectors of type {connector.type} are not read", "choose another")
    name, mode = form.get("name", "").strip(), form.get("mode", "")
    # before anything is created: the same document with any table is refused for the same reasons
    document_of(name, reader, settings, columns, "x", mode)
    new = not form.get("schema")
    target: SchemaItem
    if new:
        target = schemas.create_schema(context, table_for(form.get("table", ""), columns))
    else:
        target = schemas.get_schema(context, form["schema"])
    try:
        document = document_of(name, reader, settings, columns, target.table_name, mode)
        references = {"connectorId": connector.id, "schemaId": target.id}
        body = validated(CreatePipeline, {"name": name, **references, "irVersion": "1.0", "ir": document})
        return create_pipeline(context, body)
    except (ApiError, Conflict, Invalid):
        if new:  # its table is empty: nobody else knows of it yet
            with suppress(ApiError, Conflict):
                schemas.delete_schema(context, target.id, confirm=True)
        raise


def _document_page(
    request: Request, context: RequestContext, form: dict[str, str], *, status: int = 200, problem: str = ""
) -> Response:
    shown: dict[str, Any] = {"text": "", "connector": "", "schema": "", "name": ""}
    return render(
        request,
        "new_document.html",
        status_code=status,
        title="New pipeline from a document",
        connectors=connectors.list_connectors(context, _ALL).data,
        schemas=schemas.list_schemas(context, _ALL).data,
        problem=problem,
        **{**shown, **form},
    )


def _short(stream: StreamItem) -> str:
    """A name for the pipeline and its table: `orders` for the table `shop.orders` and the file `in/orders.csv`."""
    line = "".join(letter for letter in stream.name if letter.isprintable()).strip("/ ")
    last = line.rsplit("/", 1)[-1]
    first, _, after = last.partition(".")
    return (first if stream.format is not None or not after else last.rsplit(".", 1)[-1])[:100] or "pipeline"
