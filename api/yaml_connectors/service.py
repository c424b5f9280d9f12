"""Operations on connector documents: list, read, save versions, publish, compare, delete."""

from __future__ import annotations

from typing import Any

import jsonpatch

from headrace.api.context import RequestContext
from headrace.api.errors import invalid, not_found
from headrace.api.pagination import PageOf, PageRequest, page_of
from headrace.api.yaml_connectors.body import GivenDocument
from headrace.api.yaml_connectors.followers import followers, refuse_breaking
from headrace.api.yaml_connectors.schemas import (
    ShippedConnector,
    ShippedConnectorItem,
    ShippedConnectors,
    YamlConnectorDifference,
    YamlConnectorItem,
    YamlConnectorVersion,
    YamlConnectorVersionItem,
)
from headrace.catalog.models import YamlConnector
from headrace.catalog.models import YamlConnectorVersion as StoredVersion
from headrace.catalog.repositories import TenantCatalog
from headrace.connectors.http.definition.build import secrets_of, variables_of
from headrace.connectors.http.shipped.documents import shipped_documents


def list_documents(context: RequestContext, request: PageRequest) -> PageOf[YamlConnectorItem]:
    """A page of the tenant's documents, newest first."""
    with context.reading() as catalog:
        page = catalog.yaml_connectors.page(limit=request.limit, after=request.after)
        newest = catalog.yaml_connectors.newest_versions(page.items)
        return page_of(page, request, lambda each: _item(each, newest.get(each.id, each.live_version)))


def list_shipped(context: RequestContext) -> ShippedConnectors:
    """The documents that come with Headrace, by id."""
    with context.reading() as catalog:
        own = frozenset(catalog.yaml_connectors.names())
    return ShippedConnectors(data=[ShippedConnectorItem(**_shipped(name, own)) for name in shipped_documents()])


def get_shipped(context: RequestContext, document_id: str) -> ShippedConnector:
    """A document that comes with Headrace. Raises ApiError 404."""
    document = shipped_documents().get(document_id)
    if document is None:
        raise not_found("connector document")
    with context.reading() as catalog:
        facts = _shipped(document_id, frozenset(catalog.yaml_connectors.names()))
    return ShippedConnector(**facts, document=document, variables=variables_of(document), secrets=secrets_of(document))


def get_document(context: RequestContext, document_id: str, version: int | None, *, live: bool) -> YamlConnectorVersion:
    """A version: the newest by default, or with `live` the live one. Raises ApiError 404, also when `version` is given
    with `live` and is not the live one."""
    with context.reading() as catalog:
        found = _owned(catalog, document_id)
        if live:
            if version not in (None, found.live_version):
                raise not_found("version")
            version = found.live_version
        return _shown(found, _version(catalog, found, version))


def list_versions(context: RequestContext, document_id: str) -> list[YamlConnectorVersionItem]:
    """The versions, newest first. Raises ApiError 404."""
    with context.reading() as catalog:
        found = _owned(catalog, document_id)
        return [_version_item(found, each) for each in catalog.yaml_connectors.versions(found)]


def create_document(
    context: RequestContext, given: GivenDocument, comment: str | None, *, confirm: bool
) -> YamlConnectorVersion:
    """Stores a document as version 1, which is live. Errors: 400 with every problem, or when something that reads with
    the document of Headrace that it replaces would fail, unless `confirm`; 409 for a taken id."""
    given.refuse_invalid()
    with context.catalog() as catalog:
        if given.document["id"] in shipped_documents():
            following = followers(catalog, given.document["id"])
            if not confirm:
                refuse_breaking(following, given.document)
            catalog.yaml_connectors.forget_columns(following.nodes)
        stored = catalog.yaml_connectors.create(given.document, authored_by=context.principal.actor, comment=comment)
        return _shown(_owned(catalog, given.document["id"]), stored)


def save_document(
    context: RequestContext,
    document_id: str,
    given: GivenDocument,
    *,
    comment: str | None,
    publish: bool,
    expected: int | None,
    confirm: bool,
) -> tuple[YamlConnectorVersion, bool]:
    """Stores the next version; the second value is true if it is new (it differs from the newest one).

    Errors: 400 with every problem, or when something that follows the live version would fail, unless `confirm`; 404;
    409 when the newest version is not `expected`.
    """
    given.refuse_invalid()
    with context.catalog() as catalog:
        found = _owned(catalog, document_id, lock=True)
        if given.document["id"] != found.name:
            message = f"The id of a connector document cannot change (it is '{found.name}')"
            raise invalid("/id", "immutable", message, "create another one")
        stored, new = catalog.yaml_connectors.save_version(
            found, given.document, authored_by=context.principal.actor, comment=comment, expected=expected
        )
        if publish:
            _publish(catalog, found, stored, confirm=confirm)
        return _shown(found, stored), new


def publish_version(context: RequestContext, document_id: str, version: int, *, confirm: bool) -> YamlConnectorVersion:
    """Makes a version live. Raises ApiError: 404, 400 when something that follows it would fail, unless `confirm`."""
    with context.catalog() as catalog:
        found = _owned(catalog, document_id, lock=True)
        stored = _version(catalog, found, version)
        _publish(catalog, found, stored, confirm=confirm)
        return _shown(found, stored)


def compare(context: RequestContext, document_id: str, before: int, after: int) -> YamlConnectorDifference:
    """The difference of two versions. Raises ApiError 404."""
    with context.reading() as catalog:
        found = _owned(catalog, document_id)
        old, new = (_version(catalog, found, each).document for each in (before, after))
    patch: list[dict[str, Any]] = jsonpatch.make_patch(old, new).patch
    return YamlConnectorDifference(from_version=before, to_version=after, patch=patch)


def delete_document(context: RequestContext, document_id: str) -> None:
    """Deletes a document with its versions. Errors: 404, 409 while connectors or pipelines use it."""
    with context.catalog() as catalog:
        catalog.yaml_connectors.remove(_owned(catalog, document_id, lock=True))


def _publish(catalog: TenantCatalog, found: YamlConnector, stored: StoredVersion, *, confirm: bool) -> None:
    if found.live_version == stored.version:
        return
    following = followers(catalog, found.name)
    if not confirm:
        refuse_breaking(following, stored.document)
    catalog.yaml_connectors.publish(found, stored)
    catalog.yaml_connectors.forget_columns(following.nodes)


def _owned(catalog: TenantCatalog, document_id: str, *, lock: bool = False) -> YamlConnector:
    found = catalog.yaml_connectors.named(document_id, lock=lock)
    if found is None:
        raise not_found("connector document")
    return found


def _version(catalog: TenantCatalog, found: YamlConnector, version: int | None) -> StoredVersion:
    stored = catalog.yaml_connectors.version(found, version or catalog.yaml_connectors.newest_version(found))
    if stored is None:
        raise not_found("version")
    return stored


def _shipped(name: str, own: frozenset[str]) -> dict[str, Any]:
    document = shipped_documents()[name]
    return {
        "id": name,
        "display_name": document["displayName"],
        "description": document["description"],
        "endpoints": [str(each["id"]) for each in document["endpoints"]],
        "replaced": name in own,
    }


def _item(found: YamlConnector, newest: int) -> YamlConnectorItem:
    return YamlConnectorItem(
        id=found.name,
        display_name=found.display_name,
        live_version=found.live_version,
        newest_version=newest,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )


def _facts(found: YamlConnector, stored: StoredVersion) -> dict[str, Any]:
    return {
        "version": stored.version,
        "authored_by": stored.authored_by,
        "comment": stored.comment,
        "created_at": stored.created_at,
        "live": found.live_version == stored.version,
    }


def _version_item(found: YamlConnector, stored: StoredVersion) -> YamlConnectorVersionItem:
    return YamlConnectorVersionItem(**_facts(found, stored))


def _shown(found: YamlConnector, stored: StoredVersion) -> YamlConnectorVersion:
    try:
        variables, secrets = variables_of(stored.document), secrets_of(stored.document)
    except ValueError:  # saved by an earlier release with other rules: it is shown, and named when it is used
        variables, secrets = {}, []
    return YamlConnectorVersion(
        **_facts(found, stored),
        id=found.name,
        document=stored.document,
        variables=variables,
        secrets=secrets,
        endpoints=[str(each.get("id")) for each in stored.document.get("endpoints", ())],
    )
