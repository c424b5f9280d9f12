"""Compares an object of each kind with its document: what differs, what would be lost, what cannot change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from headrace.deployments.cli.apply.differences import differences, immutable
from headrace.deployments.cli.apply.field_changes import field_changes
from headrace.deployments.cli.apply.tenant import Ir, Item, Tenant
from headrace.deployments.cli.documents.load import Document, Fault
from headrace.deployments.cli.documents.models import YAML_CONNECTOR
from headrace.ir.diff import ir_diff

Action = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """One object to create, update or delete. `details` are the differences; `losses` the data that would be lost,
    which must be confirmed. Of an update of a pipeline, the last `in_ir` details are made by a new version of its IR,
    and the others by a change of the pipeline."""

    action: Action
    kind: str
    name: str
    document: Document | None = None
    item: Item | None = None
    details: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    in_ir: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `--json`."""
        return {
            "action": self.action,
            "kind": self.kind,
            "name": self.name,
            "details": list(self.details),
            "losses": list(self.losses),
        }


def facts_of(document: Document) -> tuple[str, ...]:
    """What is said of an object that will be created."""
    match document.kind:
        case "yaml-connector":
            return (f"{len((document.described or {})['endpoints'])} endpoints",)
        case "connector":
            return (f"type {document.connector.type}",)
        case "schema":
            return (f"{len(document.schema.fields)} fields",)
        case "replication":
            copies = document.copies or {}
            return (f"{', '.join(copies['sources']['include'])} of {copies['connection']}",)
    nodes = (document.ir or {}).get("nodes", ())
    shape = document.pipeline
    return (f"{len(nodes)} nodes, from {shape.connector} to {shape.schema_}",)


def _connector(document: Document, item: Item, _: Tenant, faults: list[Fault], resend_secrets: bool) -> Change:
    shape = document.connector
    if shape.type != item["type"]:
        faults.append(immutable(document, "type", f"The type of a connector cannot change (it is {item['type']})"))
    # The API does not return settings that it treats as secrets.
    settings = {
        name: value
        for name, value in shape.config.items()
        if name in item["config"] or name not in document.secret_settings
    }
    details = [*differences("description", item["description"], shape.description)]
    details += differences("config", item["config"], settings)
    details += differences("authMethod", item["authMethod"], shape.auth_method)
    if resend_secrets and (shape.auth_config is not None or document.secret_settings):
        details.append("credentials: sent again")
    return Change("update", "connector", document.name, document, item, tuple(details))


def _yaml_connector(document: Document, item: Item, tenant: Tenant, faults: list[Fault], _: bool) -> Change:
    del faults
    before, after = tenant.described(item), dict(document.described or {})
    details: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        details += differences(name, before.get(name), after.get(name))
    left = {each["id"] for each in after["endpoints"]}
    losses = [
        f"the endpoint '{each['id']}' for what reads it" for each in before["endpoints"] if each["id"] not in left
    ]
    if before.get("url") != after.get("url"):
        losses.append("the connectors with its earlier address, until they have the new one")
    return Change("update", YAML_CONNECTOR, document.name, document, item, tuple(details), tuple(losses))


def _schema(document: Document, item: Item, tenant: Tenant, faults: list[Fault], _: bool) -> Change:
    shape = document.schema
    details: list[str] = []
    for name, wanted in (
        ("displayName", shape.display_name or shape.name),
        ("description", shape.description),
        ("entityType", shape.entity_type),
        ("schemaType", shape.schema_type),
        ("joinMapping", shape.join_mapping),
        ("summaryColumns", shape.summary_columns),
        ("autoEnrich", shape.auto_enrich),
    ):
        details += differences(name, item[name], wanted)
    details += differences("linkedSchema", tenant.name_of_schema(item["linkedSchemaId"]), shape.linked_schema)
    losses: list[str] = []
    for change in field_changes(document, item):
        details += change.details
        losses += change.losses
        if change.fault is not None:
            faults.append(change.fault)
    return Change("update", "schema", document.name, document, item, tuple(details), tuple(losses))


def _pipeline(document: Document, item: Item, tenant: Tenant, faults: list[Fault], _: bool) -> Change:
    shape = document.pipeline
    for path, wanted in (("connector", shape.connector), ("schema", shape.schema_)):
        if item[path]["name"] != wanted:
            what = f"The {path} of a pipeline cannot change (it is '{item[path]['name']}')"
            faults.append(immutable(document, path, what))
    details = [*differences("description", item["description"], shape.description)]
    details += differences("executionConfig", item["executionConfig"], shape.execution_config)
    details += differences("cron", item["schedule"], shape.cron)
    if shape.active is not None:
        details += differences("active", item["status"] != "paused", shape.active)
    in_ir = _ir_details(tenant.ir(item), document)
    return Change("update", "pipeline", document.name, document, item, (*details, *in_ir), in_ir=len(in_ir))


def _replication(document: Document, item: Item, _: Tenant, faults: list[Fault], resend_secrets: bool) -> Change:
    del faults, resend_secrets
    details: list[str] = []
    before, after = item["document"], dict(document.copies or {})
    for name in dict.fromkeys([*before, *after]):
        details += differences(name, before.get(name), after.get(name))
    active = document.replication.active
    if active is not None:
        details += differences("active", item["status"] != "paused", active)
    return Change("update", "replication", document.name, document, item, tuple(details))


COMPARE = {
    YAML_CONNECTOR: _yaml_connector,
    "connector": _connector,
    "schema": _schema,
    "pipeline": _pipeline,
    "replication": _replication,
}
"""By kind: the update that makes an object match its document; without details there is nothing to change."""


def _ir_details(found: Ir | None, document: Document) -> list[str]:
    """What a new version of the IR changes."""
    if found is None:
        return ["legacy nodes and edges are replaced by an IR"]
    details: list[str] = []
    for each in ir_diff(found.document, dict(document.ir or {})).changes:
        place = f"node {each.node}" if each.node is not None else "ir"
        details += [f"{place} {each.change}: {detail}" for detail in each.details]
    if not found.live and not details:
        details.append("no version of this IR is live: publish it")
    return details
