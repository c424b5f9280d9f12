"""`/connectors`: the tenant's connections by category, the page of one, and making, changing and deleting them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from headrace.api.connector_types.schemas import ConnectorTypeItem
from headrace.api.connector_types.service import list_connector_types
from headrace.api.connectors import discovery, service, testing, uploads
from headrace.api.connectors.readers import readers_of
from headrace.api.connectors.schemas import ConnectorItem, CreateConnector, TestConnector, UpdateConnector
from headrace.api.connectors.secrets import split_secrets
from headrace.api.console.guard import done_by, pages, plain, see_other, seen_by, uploaded_by
from headrace.api.console.pipeline import validated
from headrace.api.console.rendering import fragment, render
from headrace.api.console.schema_form import fields_of, values_of
from headrace.api.context import Context
from headrace.api.errors import ApiError, answer_of, invalid
from headrace.api.pagination import MAX_LIMIT, PageRequest, page_request
from headrace.api.pipelines.service import list_pipelines
from headrace.api.requests.auth import READ, WRITE
from headrace.catalog.errors import Conflict, Invalid
from headrace.ir.problems import Problem

router = pages()

UPLOADS = "csv_upload"
_STREAMS = 50
_ROWS = 20
_REFERENCE = "prefect://type/name/field"
"""How a credential is named that is in a block of Prefect."""
_CATEGORIES = {"crm": "CRM"}
_Type = Annotated[str, Query(alias="type", max_length=64)]
_StreamName = Annotated[str, Query(min_length=1, max_length=2000)]


async def _page(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return await page_request(MAX_LIMIT, cursor)


@cache
def types() -> dict[str, ConnectorTypeItem]:
    """All types by name; they do not change while the process runs."""
    return {each.type: each for each in list_connector_types().data}


def category_words(category: str) -> str:
    """A category as a heading."""
    return _CATEGORIES.get(category, category.replace("_", " ").capitalize())


@router.get("/connectors", name="console_connectors", openapi_extra=seen_by(*READ))
def show_connectors(request: Request, context: Context, page: Annotated[PageRequest, Depends(_page)]) -> Response:
    """The connections by category."""
    found = service.list_connectors(context, page)
    known = types()
    by_category: dict[str, list[ConnectorItem]] = {}
    for each in found.data:
        by_category.setdefault(category_words(known[each.type].category), []).append(each)
    shown: dict[str, Any] = {
        "by_category": dict(sorted(by_category.items())),
        "known": known,
        "first": page.after is None,
    }
    return render(request, "connectors.html", title="Connectors", found=found, **shown)


@router.get("/connectors/new", name="console_new_connector", openapi_extra=seen_by(*WRITE))
def show_new(request: Request, kind: _Type = "") -> Response:
    """The types by category, then the form of one."""
    known = types()
    if kind:
        return _form(request, _known(kind), {}, {})
    by_category: dict[str, list[ConnectorTypeItem]] = {}
    for each in sorted(known.values(), key=lambda item: (item.status != "ready", item.category, item.title)):
        by_category.setdefault(category_words(each.category), []).append(each)  # what can be read comes first
    return render(request, "connector_types.html", title="New connector", by_category=by_category)


@router.post(
    "/connectors/new", name="console_create_connector", openapi_extra=done_by(*WRITE, action="create_connector")
)
async def create(request: Request, context: Context) -> Response:
    """Stores a connector. The form is shown again with what is wrong with it, without the secrets."""
    form = await _fields(request)
    kind = _known(form.get("type", ""))
    try:
        body = validated(CreateConnector, _connection(kind, form) | _names(form))
        made = await run_in_threadpool(service.create_connector, context, body)
    except (ApiError, Conflict, Invalid) as error:
        return _form(request, kind, form, {}, error=error)
    return see_other(f"/connectors/{made.id}")


@router.post("/connectors/test", name="console_test_form", openapi_extra=done_by(*WRITE, action="test_connection"))
async def test_form(request: Request, context: Context) -> Response:
    """Tests what a form has, without storing it."""
    form = await _fields(request)
    body = validated(TestConnector, _connection(_known(form.get("type", "")), form))
    return plain(fragment("connector_tested.html", result=await testing.try_connection(context, request, body)))


@router.get("/connectors/{connector_id}", name="console_connector", openapi_extra=seen_by(*READ))
def show_connector(request: Request, context: Context, connector_id: str) -> Response:
    """What is known of a connector, the pipelines that use it, and its files if it takes some."""
    found = service.get_connector(context, connector_id)
    kind = types()[found.type]
    using = list_pipelines(
        context, PageRequest(20, None), status=None, connector_id=connector_id, schema_id=None, q=None
    )
    files = uploads.list_files(context, connector_id) if found.type == UPLOADS else None
    shown: dict[str, Any] = {"connector": found, "kind": kind, "using": using, "files": files}
    settings = fields_of(kind.config_schema, "config.", found.config)
    return render(request, "connector.html", title=found.name, settings=settings, **shown)


@router.get("/connectors/{connector_id}/edit", name="console_edit_connector", openapi_extra=seen_by(*WRITE))
def show_edit(request: Request, context: Context, connector_id: str) -> Response:
    """The form of a connector; its credentials are not in it."""
    found = service.get_connector(context, connector_id)
    return _form(request, types()[found.type], _form_of(found), found.config, connector=found)


@router.post(
    "/connectors/{connector_id}/edit",
    name="console_update_connector",
    openapi_extra=done_by(*WRITE, action="update_connector"),
)
async def update(request: Request, context: Context, connector_id: str) -> Response:
    """Saves the form. Credentials that are not given again are kept."""
    form = await _fields(request)
    found = await run_in_threadpool(service.get_connector, context, connector_id)
    kind = types()[found.type]
    try:
        given = _connection(kind, form)
        if given["authMethod"] == found.auth_method:
            del given["authMethod"]
        if form.get("forget") == "true":
            given["authConfig"] = {}
        elif not given["authConfig"]:
            del given["authConfig"]
        if "authConfig" not in given and given["config"] == found.config and "authMethod" not in given:
            del given["config"]  # only the names change: nothing is decrypted and sealed again
        del given["type"]
        body = validated(UpdateConnector, {"id": connector_id, **given, **_names(form)})
        await run_in_threadpool(service.update_connector, context, body)
    except (ApiError, Conflict, Invalid) as error:
        return _form(request, kind, form, found.config, connector=found, error=error)
    return see_other(f"/connectors/{connector_id}")


@router.post(
    "/connectors/{connector_id}/delete",
    name="console_delete_connector",
    openapi_extra=done_by(*WRITE, action="delete_connector"),
)
def delete(context: Context, connector_id: str) -> Response:
    """Deletes a connector that no pipeline uses."""
    service.delete_connector(context, connector_id)
    return see_other("/connectors")


@router.post(
    "/connectors/{connector_id}/test",
    name="console_test_connector",
    openapi_extra=done_by(*WRITE, action="test_connector"),
)
async def test(request: Request, context: Context, connector_id: str) -> Response:
    """Tests the stored connection."""
    result = await testing.try_connector(context, request, connector_id)
    return plain(fragment("connector_tested.html", result=result))


@router.get("/connectors/{connector_id}/streams", name="console_streams", openapi_extra=seen_by(*WRITE))
async def show_streams(
    request: Request,
    context: Context,
    connector_id: str,
    text: Annotated[str, Query(alias="filter", max_length=2000)] = "",
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> Response:
    """What the connection can be read for, by name."""
    found = await discovery.list_streams(context, request, connector_id, text, _STREAMS, cursor)
    links = {"columns": f"/connectors/{connector_id}/stream", "more": f"/connectors/{connector_id}/streams"}
    shown: dict[str, Any] = {"found": found, "connector": connector_id, "text": text, "links": links, "cursor": cursor}
    return plain(fragment("streams.html", **shown))


@router.get("/connectors/{connector_id}/stream", name="console_stream", openapi_extra=seen_by(*WRITE))
async def show_stream(request: Request, context: Context, connector_id: str, name: _StreamName) -> Response:
    """The columns of one thing that the connection can be read for, and the pipelines that know others."""
    found = await discovery.get_stream(context, request, connector_id, name)
    readers = await run_in_threadpool(readers_of, context, connector_id, found)
    return plain(fragment("stream.html", stream=found, connector=connector_id, readers=readers))


@router.get("/connectors/{connector_id}/stream/rows", name="console_stream_rows", openapi_extra=seen_by(*WRITE))
async def show_rows(request: Request, context: Context, connector_id: str, name: _StreamName) -> Response:
    """Its first rows."""
    found = await discovery.sample_rows(context, request, connector_id, name, _ROWS)
    return plain(fragment("stream_rows.html", found=found))


@router.post(
    "/connectors/{connector_id}/files",
    name="console_upload",
    openapi_extra=uploaded_by(*WRITE, action="upload_file"),
)
async def upload(request: Request, context: Context, connector_id: str, replace: bool = False) -> Response:
    """Takes one file; another one of the same name only with `replace`."""
    await uploads.receive(context, request, connector_id, replace=replace)
    return see_other(f"/connectors/{connector_id}")


@router.post(
    "/connectors/{connector_id}/files/{name}/delete",
    name="console_delete_file",
    openapi_extra=done_by(*WRITE, action="delete_file"),
)
def delete_file(context: Context, connector_id: str, name: str) -> Response:
    """Deletes an uploaded file."""
    uploads.delete_file(context, connector_id, name)
    return see_other(f"/connectors/{connector_id}")


async def _fields(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


def _known(kind: str) -> ConnectorTypeItem:
    found = types().get(kind)
    if found is None:
        raise invalid("type", "unknown_type", f"There is no connector type '{kind[:64]}'", "choose one of the list")
    return found


def _connection(kind: ConnectorTypeItem, form: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": kind.type,
        "config": values_of(kind.config_schema, "config.", form),
        "authMethod": form.get("authMethod") or next(iter(kind.auth_methods), "none"),
        "authConfig": values_of(kind.auth_config_schema, "auth.", form),
    }


def _names(form: Mapping[str, str]) -> dict[str, Any]:
    return {"name": form.get("name", ""), "description": form.get("description", "").strip() or None}


def _form_of(found: ConnectorItem) -> dict[str, str]:
    return {"name": found.name, "description": found.description or "", "authMethod": found.auth_method}


def _form(
    request: Request,
    kind: ConnectorTypeItem,
    form: Mapping[str, str],
    config: Mapping[str, Any],
    *,
    connector: ConnectorItem | None = None,
    error: ApiError | Conflict | Invalid | None = None,
) -> Response:
    status, message, problems = answer_of(error) if error is not None else (200, "", ())
    if status == 404 or status >= 500:
        assert error is not None
        raise error
    values = config
    if error is not None:  # as it was typed, but for what looks like a secret
        typed = {name.removeprefix("config."): text for name, text in form.items() if name.startswith("config.")}
        values, _ = split_secrets(typed)
    shown: list[Problem] = [each for each in problems if each.message != message]
    hint = next((each.hint for each in problems if each.message == message), "")
    return render(
        request,
        "connector_form.html",
        status_code=status,
        title=connector.name if connector is not None else f"New connector: {kind.title}",
        kind=kind,
        connector=connector,
        form={"name": "", "description": "", "authMethod": "", **form},
        settings=fields_of(kind.config_schema, "config.", values),
        credentials=fields_of(kind.auth_config_schema, "auth.", {}, secret=True, optional=len(kind.auth_methods) > 1),
        problem=message,
        reference=_REFERENCE,
        hint=hint,
        problems=shown,
    )
