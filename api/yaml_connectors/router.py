"""`/yaml-connectors`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from headrace.api.confirmation import Confirmed
from headrace.api.context import Context
from headrace.api.ir.schemas import VersionNumber
from headrace.api.pagination import Paged, PageOf
from headrace.api.parameters import IfMatch, NewerVersion, NewestVersion, OlderVersion, Publishing
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.requests.if_match import expected_version
from headrace.api.yaml_connectors import service
from headrace.api.yaml_connectors.body import read_document
from headrace.api.yaml_connectors.examples import DOCUMENT, YAML
from headrace.api.yaml_connectors.schemas import (
    DocumentId,
    PublishYamlConnector,
    ShippedConnector,
    ShippedConnectors,
    YamlConnectorDifference,
    YamlConnectorItem,
    YamlConnectorVersion,
    YamlConnectorVersionItem,
)

router = guarded_router("connector documents")

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A connector document: an object as in its JSON Schema at /api/v1/ir/schema/connector",
        "content": {
            "application/json": {"schema": {"type": "object", "additionalProperties": True}, "example": DOCUMENT},
            "application/yaml": {"schema": {"type": "string", "format": "binary"}, "example": YAML},
        },
    }
}
_Version = Annotated[VersionNumber, Path(description="A saved version")]
_Comment = Annotated[str | None, Query(max_length=2000, description="Why the document was changed")]


@router.get("/yaml-connectors", openapi_extra=allow(*READ))
def list_yaml_connectors(context: Context, page: Paged) -> PageOf[YamlConnectorItem]:
    """The tenant's connector documents, newest first."""
    return service.list_documents(context, page)


@router.post("/yaml-connectors", status_code=201, openapi_extra=allow(*WRITE) | _BODY)
async def create_yaml_connector(
    context: Context, request: Request, response: Response, comment: _Comment = None, confirm: Confirmed = False
) -> YamlConnectorVersion:
    """Creates a connector document, as JSON or YAML. It has no secrets: it names them. All problems are listed at once,
    with JSON Pointers, and with the lines of YAML. One with the `id` of a document that comes with Headrace replaces
    it; if that would break connectors or pipelines, it needs `confirm=true`."""
    given = await read_document(request)
    found = await run_in_threadpool(partial(service.create_document, context, given, comment, confirm=confirm))
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/shipped-connectors", openapi_extra=allow(*READ))
def list_shipped_connectors(context: Context) -> ShippedConnectors:
    """The connector documents that come with Headrace, by id."""
    return service.list_shipped(context)


@router.get("/shipped-connectors/{shipped_id}", openapi_extra=allow(*READ))
def get_shipped_connector(context: Context, shipped_id: DocumentId) -> ShippedConnector:
    """A connector document that comes with Headrace, to be copied and changed."""
    return service.get_shipped(context, shipped_id)


@router.get("/yaml-connectors/{document_id}", openapi_extra=allow(*READ))
def get_yaml_connector(
    context: Context,
    document_id: DocumentId,
    response: Response,
    version: NewestVersion = None,
    live: Annotated[bool, Query(description="The version that is read where none is named")] = False,
) -> YamlConnectorVersion:
    """A connector document: the newest version by default, the given `version`, or with `live` the live one."""
    found = service.get_document(context, document_id, version, live=live)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.put(
    "/yaml-connectors/{document_id}",
    status_code=201,
    responses={200: {"model": YamlConnectorVersion, "description": "Unchanged: the newest version is the same"}},
    openapi_extra=allow(*WRITE) | _BODY,
)
async def save_yaml_connector(
    context: Context,
    document_id: DocumentId,
    request: Request,
    response: Response,
    publish: Publishing = True,
    comment: _Comment = None,
    if_match: IfMatch = None,
    confirm: Confirmed = False,
) -> YamlConnectorVersion:
    """Saves the document as the next version and makes it live; an unchanged one returns the existing version, with
    200. A version that would break connectors or pipelines that follow the live one needs `confirm=true`."""
    expected = expected_version(if_match)
    given = await read_document(request)

    def save() -> tuple[YamlConnectorVersion, bool]:
        return service.save_document(
            context, document_id, given, comment=comment, publish=publish, expected=expected, confirm=confirm
        )

    saved, new = await run_in_threadpool(save)
    response.status_code = 201 if new else 200
    response.headers["ETag"] = f'"{saved.version}"'
    return saved


@router.delete("/yaml-connectors/{document_id}", status_code=204, openapi_extra=allow(*WRITE))
def delete_yaml_connector(context: Context, document_id: DocumentId) -> None:
    """Deletes a connector document with its versions, if no connector and no pipeline uses it."""
    service.delete_document(context, document_id)


@router.get("/yaml-connectors/{document_id}/versions", openapi_extra=allow(*READ))
def list_yaml_connector_versions(context: Context, document_id: DocumentId) -> list[YamlConnectorVersionItem]:
    """The versions of a connector document, newest first."""
    return service.list_versions(context, document_id)


@router.get("/yaml-connectors/{document_id}/versions/{version}", openapi_extra=allow(*READ))
def get_yaml_connector_version(
    context: Context, document_id: DocumentId, version: _Version, response: Response
) -> YamlConnectorVersion:
    """One version of a connector document."""
    found = service.get_document(context, document_id, version, live=False)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/yaml-connectors/{document_id}/diff", openapi_extra=allow(*READ))
def compare_yaml_connector(
    context: Context,
    document_id: DocumentId,
    before: OlderVersion,
    after: NewerVersion,
) -> YamlConnectorDifference:
    """The changes from one version to another, as an RFC 6902 patch."""
    return service.compare(context, document_id, before, after)


@router.post("/yaml-connectors/{document_id}/publish", openapi_extra=allow(*WRITE))
def publish_yaml_connector(
    context: Context, document_id: DocumentId, body: PublishYamlConnector, confirm: Confirmed = False
) -> YamlConnectorVersion:
    """Makes a version live: what names no version reads with it from then on. Publish an older one to roll back. A
    version that would break connectors or pipelines that follow the live one needs `confirm=true`."""
    return service.publish_version(context, document_id, body.version, confirm=confirm)
