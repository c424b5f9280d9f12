"""Makes the changes, one request each, and records which objects belong to the set, also after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.deployments.cli.apply.comparison import Change
from headrace.deployments.cli.apply.field_changes import field_changes
from headrace.deployments.cli.apply.tenant import COLLECTIONS, Item, Tenant
from headrace.deployments.cli.documents.load import Document
from headrace.deployments.cli.documents.models import YAML_CONNECTOR
from headrace.deployments.cli.rest import ApiRefused, Rest
from headrace.deployments.errors import HeadraceError

Report = Callable[[Change], None]


def read_owned(rest: Rest, name: str) -> dict[str, str]:
    """Id → kind of the objects that belong to the set."""
    return {each["id"]: each["kind"] for each in rest.get("/applied-sets", name=name)["objects"]}


def perform(
    changes: tuple[Change, ...],
    documents: list[Document],
    tenant: Tenant,
    owned: dict[str, str],
    set_name: str | None,
    report: Report,
) -> None:
    """Makes the changes in order, and stops at the first that is refused with a StackError that names it.

    Completed changes stay, and their objects belong to the set, if there is one; applying again continues from there.
    """
    before = dict(owned)
    there = {each["id"] for kind in COLLECTIONS for each in tenant.of(kind).values()}
    for gone in owned.keys() - there:  # deleted by hand
        del owned[gone]
    try:
        for change in changes:
            try:
                item = _ACTIONS[change.action](change, tenant)
            except ApiRefused as error:
                raise HeadraceError(
                    f"{change.action} {change.kind} {change.name}: {error.message}", error.hint
                ) from None
            if item is None and change.item is not None:
                owned.pop(change.item["id"], None)
            elif item is not None:
                owned[item["id"]] = change.kind
            report(change)
        for document in documents:
            owned[tenant.of(document.kind)[document.name]["id"]] = document.kind
    finally:
        if owned != before and set_name is not None:
            objects = [{"kind": kind, "id": object_id} for object_id, kind in sorted(owned.items())]
            tenant.rest.put("/applied-sets", {"objects": objects}, name=set_name)


def _create(change: Change, tenant: Tenant) -> Item:
    document = _document(change)
    made: Item = tenant.rest.post(COLLECTIONS[change.kind], _new_body(document, tenant))
    if document.kind == "pipeline" and document.pipeline.active is False:
        tenant.rest.put("/pipelines", {"id": made["id"], "status": "paused"})
    if document.kind == "replication" and document.replication.active is False:
        tenant.rest.put("/replications", {"id": made["id"], "status": "paused"})
    tenant.remember(change.kind, made)
    return made


def _update(change: Change, tenant: Tenant) -> Item:
    document, item = _document(change), change.item
    assert item is not None, "an update has an item"
    rest = tenant.rest
    match change.kind:
        case "yaml-connector":
            query = {"comment": "headrace apply", "confirm": "true" if change.losses else None}
            rest.put(f"{COLLECTIONS[change.kind]}/{item['id']}", document.described, **query)
        case "connector":
            shape = document.connector
            body: dict[str, Any] = {"id": item["id"], "description": shape.description, "authMethod": shape.auth_method}
            if any(each.startswith(("config", "credentials", "authMethod")) for each in change.details):
                body["config"] = shape.config
                if shape.auth_config is not None:
                    body["authConfig"] = shape.auth_config
            item = rest.put("/connectors", body)
        case "schema":
            path = f"/schemas/{item['id']}/fields"
            for each in field_changes(document, item):
                confirm = "true" if each.losses else None
                if each.body is None:
                    rest.delete(path, id=each.field_id, confirm=confirm)
                elif each.field_id is None:
                    rest.post(path, each.body)
                else:
                    rest.put(path, {"id": each.field_id} | each.body, confirm=confirm)
            body = _schema_facts(document, tenant)
            item = rest.put("/schemas", {"id": item["id"]} | body)
        case "replication":
            status = _status(document.replication.active)
            item = rest.put("/replications", {"id": item["id"], "document": document.copies} | status)
        case _:
            if len(change.details) > change.in_ir:
                status = _status(document.pipeline.active)
                rest.put("/pipelines", {"id": item["id"]} | _pipeline_facts(document) | status)
            if change.in_ir:
                body = {"ir": document.ir, "comment": "headrace apply"}
                rest.post(f"/pipelines/{item['id']}/ir", body, confirm="true" if change.losses else None)
    assert item is not None
    return item


def _status(active: bool | None) -> dict[str, str]:
    """The note about whether a schedule fires; empty if the file does not set it."""
    return {} if active is None else {"status": "active" if active else "paused"}


def _delete(change: Change, tenant: Tenant) -> None:
    assert change.item is not None, "a deletion has an item"
    confirm = "true" if change.losses else None
    if change.kind == YAML_CONNECTOR:
        tenant.rest.delete(f"{COLLECTIONS[change.kind]}/{change.item['id']}")
        return
    tenant.rest.delete(COLLECTIONS[change.kind], id=change.item["id"], confirm=confirm)


_ACTIONS: dict[str, Callable[[Change, Tenant], Item | None]] = {
    "create": _create,
    "update": _update,
    "delete": _delete,
}


def _document(change: Change) -> Document:
    assert change.document is not None, "only deletions are without one"
    return change.document


def _new_body(document: Document, tenant: Tenant) -> dict[str, Any]:
    match document.kind:
        case "yaml-connector":
            return dict(document.described or {})
        case "connector":
            shape = document.connector
            return {
                "name": shape.name,
                "type": shape.type,
                "description": shape.description,
                "config": shape.config,
                "authMethod": shape.auth_method,
                "authConfig": shape.auth_config or {},
            }
        case "schema":
            fields = [each.model_dump(by_alias=True, exclude_none=True) for each in document.schema.fields]
            return {"name": document.schema.name, "fields": fields} | _schema_facts(document, tenant)
        case "replication":
            return {"document": document.copies}
    references = {
        "connectorId": tenant.of("connector")[document.pipeline.connector]["id"],
        "schemaId": tenant.of("schema")[document.pipeline.schema_]["id"],
    }
    return {"name": document.name, "irVersion": "1.0", "ir": document.ir} | references | _pipeline_facts(document)


def _schema_facts(document: Document, tenant: Tenant) -> dict[str, Any]:
    shape = document.schema
    linked = None if shape.linked_schema is None else tenant.of("schema")[shape.linked_schema]["id"]
    return {
        "displayName": shape.display_name or shape.name,
        "description": shape.description,
        "entityType": shape.entity_type,
        "schemaType": shape.schema_type,
        "linkedSchemaId": linked,
        "joinMapping": shape.join_mapping,
        "summaryColumns": shape.summary_columns,
        "autoEnrich": shape.auto_enrich,
    }


def _pipeline_facts(document: Document) -> dict[str, Any]:
    shape = document.pipeline
    return {"description": shape.description, "executionConfig": shape.execution_config, "schedule": shape.cron}
