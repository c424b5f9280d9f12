"""`/connectors`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request, Response

from headrace.api.connectors import discovery, service, testing, uploads
from headrace.api.connectors.schemas import (
    ConnectorItem,
    CreateConnector,
    TestConnector,
    TestResult,
    UpdateConnector,
    UploadedFile,
    UploadedFiles,
)
from headrace.api.connectors.stream_schemas import StreamItem, StreamRows
from headrace.api.context import Context
from headrace.api.pagination import DEFAULT_LIMIT, Cursor, Limit, Paged, PageOf
from headrace.api.parameters import ConnectorIdPath, ConnectorIdQuery
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router

router = guarded_router("connectors")

_NAME = 2000


@router.get("/connectors", openapi_extra=allow(*READ))
def list_connectors(context: Context, page: Paged) -> PageOf[ConnectorItem]:
    """The tenant's connectors, newest first."""
    return service.list_connectors(context, page)


@router.post("/connectors", status_code=201, openapi_extra=allow(*WRITE))
def create_connector(context: Context, body: CreateConnector) -> ConnectorItem:
    """Creates a connector."""
    return service.create_connector(context, body)


@router.put("/connectors", openapi_extra=allow(*WRITE))
def update_connector(context: Context, body: UpdateConnector) -> ConnectorItem:
    """Updates a connector; omitted fields are unchanged."""
    return service.update_connector(context, body)


@router.delete("/connectors", status_code=204, openapi_extra=allow(*WRITE))
def delete_connector(context: Context, connector_id: ConnectorIdQuery) -> None:
    """Deletes a connector that no pipeline uses."""
    service.delete_connector(context, connector_id)


@router.post("/connectors/test", response_model_exclude_none=True, openapi_extra=allow(*WRITE))
async def test_connection(context: Context, request: Request, body: TestConnector) -> TestResult:
    """Tests a connection that is not stored."""
    return await testing.try_connection(context, request, body)


@router.get("/connectors/{connector_id}", openapi_extra=allow(*READ))
def get_connector(context: Context, connector_id: ConnectorIdPath) -> ConnectorItem:
    """One connector."""
    return service.get_connector(context, connector_id)


_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary", "description": "The file"}},
            }
        }
    },
}


@router.get("/connectors/{connector_id}/files", openapi_extra=allow(*READ))
def list_files(context: Context, connector_id: ConnectorIdPath) -> UploadedFiles:
    """The files that were uploaded to a connector of type `csv_upload`, by name."""
    return UploadedFiles(data=uploads.list_files(context, connector_id))


@router.post(
    "/connectors/{connector_id}/files",
    status_code=201,
    responses={200: {"model": UploadedFile, "description": "The file already existed, or was replaced"}},
    openapi_extra=allow(*WRITE) | {"requestBody": _FORM},
)
async def upload_file(
    context: Context,
    request: Request,
    response: Response,
    connector_id: ConnectorIdPath,
    replace: Annotated[bool, Query(description="Replace a file of this name that has other content; else 409")] = False,
) -> UploadedFile:
    """Uploads one file. The same content under an existing name is answered 200; other content needs `replace`."""
    file, new = await uploads.receive(context, request, connector_id, replace=replace)
    response.status_code = 201 if new else 200
    return file


@router.delete("/connectors/{connector_id}/files/{name}", status_code=204, openapi_extra=allow(*WRITE))
def delete_file(
    context: Context,
    connector_id: ConnectorIdPath,
    name: Annotated[str, Path(description="The file's name, as listed")],
) -> None:
    """Deletes an uploaded file."""
    uploads.delete_file(context, connector_id, name)


@router.post("/connectors/{connector_id}/test", response_model_exclude_none=True, openapi_extra=allow(*WRITE))
async def test_connector(context: Context, request: Request, connector_id: ConnectorIdPath) -> TestResult:
    """Tests a stored connection; the result is kept in `status`, `lastTestedAt` and `lastError`."""
    return await testing.try_connector(context, request, connector_id)


@router.get("/connectors/{connector_id}/streams", responses={422: {}}, openapi_extra=allow(*WRITE))
async def list_streams(
    context: Context,
    request: Request,
    connector_id: ConnectorIdPath,
    text: Annotated[
        str,
        Query(
            alias="filter",
            max_length=_NAME,
            description="Only those with this text in their name; of files, `folder/text`",
        ),
    ] = "",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageOf[StreamItem]:
    """The streams of the connection, by name: tables and views, files and folders. It connects like a run, and changes
    nothing."""
    return await discovery.list_streams(context, request, connector_id, text, limit, cursor)


@router.get("/connectors/{connector_id}/stream", responses={422: {}}, openapi_extra=allow(*WRITE))
async def get_stream(
    context: Context,
    request: Request,
    connector_id: ConnectorIdPath,
    name: Annotated[str, Query(min_length=1, max_length=_NAME, description="The whole name, as `…/streams` lists it")],
) -> StreamItem:
    """One thing that the connection can be read for, with its columns as a run would discover them."""
    return await discovery.get_stream(context, request, connector_id, name)


@router.get("/connectors/{connector_id}/stream/rows", responses={422: {}}, openapi_extra=allow(*WRITE))
async def sample_rows(
    context: Context,
    request: Request,
    connector_id: ConnectorIdPath,
    name: Annotated[str, Query(min_length=1, max_length=_NAME, description="The whole name, as `…/streams` lists it")],
    limit: Annotated[int, Query(ge=1, le=100, description="The most rows")] = 20,
) -> StreamRows:
    """The first rows of one thing that the connection can be read for, with their types. It connects like a run, and
    changes nothing: messages of a stream stay new."""
    return await discovery.sample_rows(context, request, connector_id, name, limit)
