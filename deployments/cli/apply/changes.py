"""The changes that make a tenant match files: compared by name, described, with the losses of data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any, Literal

from headrace.deployments.cli.apply.tenant import Ir, Item, Tenant, definition
from headrace.deployments.cli.documents.load import Document, DocumentsInvalid, Fault
from headrace.deployments.cli.documents.models import YAML_CONNECTOR
from headrace.ir.diff import ir_diff
from headrace.ir.problems import Problem, nearest
from headrace.ir.yaml_connectors import reference_of

Action = Literal["create", "update", "delete"]
KINDS = (YAML_CONNECTOR, "connector", "schema", "pipeline", "replication")

_SIZES = ("length", "precision", "scale")
_MAX_SHOWN = 60


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


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes in the order in which they can be made; `orphans` belong to the set and are not in the files."""

    changes: tuple[Change, ...]
    orphans: tuple[tuple[str, str], ...]


def find_changes(
    documents: Sequence[Document], tenant: Tenant, owned: set[str], *, prune: bool, resend_secrets: bool
) -> Changes:
    """Compares files with a tenant; `owned` are the ids of the set's objects. Raises DocumentsInvalid with everything
    that cannot be applied."""
    faults = list(_references(documents, tenant))
    changes: list[Change] = []
    for document in _dependency_order(documents):
        item = tenant.of(document.kind).get(document.name)
        if item is None:
            changes.append(Change("create", document.kind, document.name, document, details=_facts(document)))
            continue
        compare = {
            YAML_CONNECTOR: _yaml_connector,
            "connector": _connector,
            "schema": _schema,
            "pipeline": _pipeline,
            "replication": _replication,
        }[document.kind]
        change = compare(document, item, tenant, faults, resend_secrets)
        if change.details:
            changes.append(change)
    pending = {(each.kind, each.name) for each in changes}
    changes = [_with_losses(change, tenant, faults, pending) for change in changes]
    if faults:
        raise DocumentsInvalid(faults)
    wanted = {(each.kind, each.name) for each in documents}
    orphans = [
        (kind, name, item)
        for kind in reversed(KINDS)
        for name, item in sorted(tenant.of(kind).items())
        if item["id"] in owned and (kind, name) not in wanted
    ]
    if prune:
        changes += [
            Change("delete", kind, name, item=item, losses=_deletion_losses(kind, item)) for kind, name, item in orphans
        ]
    return Changes(tuple(changes), tuple((kind, name) for kind, name, _ in orphans))


def _deletion_losses(kind: str, item: Item) -> tuple[str, ...]:
    return (f"the table {item['tableName']} with its rows",) if kind == "schema" else ()


def _dependency_order(documents: Sequence[Document]) -> list[Document]:
    """Connectors, then schemas (linked schemas first), then pipelines and replications."""
    schemas = {each.name: each for each in documents if each.kind == "schema"}

    def depth(document: Document) -> int:
        count = 0
        while document.kind == "schema" and document.schema.linked_schema in schemas and count < len(schemas):
            document, count = schemas[document.schema.linked_schema], count + 1
        return count

    return sorted(documents, key=lambda each: (KINDS.index(each.kind), depth(each)))


def _references(documents: Sequence[Document], tenant: Tenant) -> Iterator[Fault]:
    for document in documents:
        named: dict[str, tuple[str, str | None]] = {}
        if document.kind == "pipeline":
            shape = document.pipeline
            named = {"connector": ("connector", shape.connector), "schema": ("schema", shape.schema_)}
        elif document.kind == "schema":
            named = {"linkedSchema": ("schema", document.schema.linked_schema)}
        elif document.kind == "replication" and document.copies is not None:
            connection = str(document.copies["connection"])
            if connection not in {each["id"] for each in tenant.of("connector").values()}:
                named = {"connection": ("connector", connection)}
        for path, (kind, name) in named.items():
            known = {*tenant.of(kind), *(each.name for each in documents if each.kind == kind)}
            if name is not None and name not in known:
                message = f"There is no {kind} '{name}', neither in the files nor in the tenant"
                yield Fault(document.origin, Problem(path, f"unknown_{kind}", message, nearest(name, known)))


def _with_losses(change: Change, tenant: Tenant, faults: list[Fault], pending: set[tuple[str, str]]) -> Change:
    """The change with the API's check of its IR: errors (columns, types, expressions, load modes) become faults,
    changes that need confirmation become losses. What the API finds wrong with connectors and connector documents that
    are `pending` is checked when the IR is saved, after them."""
    document = change.document
    if document is None or document.ir is None:
        return change
    if change.item is None:
        found = tenant.rest.post("/ir/validate", document.ir) | {"losses": []}
    else:
        found = tenant.rest.post(f"/pipelines/{change.item['id']}/ir/check", {"ir": document.ir})
    for each in found["issues"]:
        if _is_pending(each["path"], document, pending):
            continue
        problem = Problem(each["path"], each["code"], each["message"], each.get("hint") or "")
        faults.append(Fault(document.origin, problem))
    return changed(change, losses=(*change.losses, *(each["message"] for each in found["losses"])))


_OF_CONNECTIONS = re.compile(r"nodes\[(\d{1,6})\]\.(?:connection|connector|config\.endpoint)")


def _is_pending(path: str, document: Document, pending: set[tuple[str, str]]) -> bool:
    """Whether a problem is of a node's connector or connector document, and one of them is about to change."""
    found = _OF_CONNECTIONS.fullmatch(path)
    if found is None or document.ir is None:
        return False
    node = document.ir["nodes"][int(found[1])]
    read = reference_of(str(node.get("connector")))
    connector = str(node.get("connection") or document.pipeline.connector)
    if read is not None and (YAML_CONNECTOR, read.id) in pending:
        return True
    return ("connector", connector) in pending


def _facts(document: Document) -> tuple[str, ...]:
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
        faults.append(_immutable(document, "type", f"The type of a connector cannot change (it is {item['type']})"))
    # The API does not return settings that it treats as secrets.
    settings = {
        name: value
        for name, value in shape.config.items()
        if name in item["config"] or name not in document.secret_settings
    }
    details = [*_differences("description", item["description"], shape.description)]
    details += _differences("config", item["config"], settings)
    details += _differences("authMethod", item["authMethod"], shape.auth_method)
    if resend_secrets and (shape.auth_config is not None or document.secret_settings):
        details.append("credentials: sent again")
    return Change("update", "connector", document.name, document, item, tuple(details))


def _yaml_connector(document: Document, item: Item, tenant: Tenant, faults: list[Fault], _: bool) -> Change:
    del faults
    before, after = tenant.described(item), dict(document.described or {})
    details: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        details += _differences(name, before.get(name), after.get(name))
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
        details += _differences(name, item[name], wanted)
    details += _differences("linkedSchema", tenant.name_of_schema(item["linkedSchemaId"]), shape.linked_schema)
    losses: list[str] = []
    for change in field_changes(document, item):
        details += change.details
        losses += change.losses
        if change.fault is not None:
            faults.append(change.fault)
    return Change("update", "schema", document.name, document, item, tuple(details), tuple(losses))


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One column to add (`field_id` None), change, or drop (`body` None)."""

    field_id: str | None
    body: dict[str, Any] | None
    details: tuple[str, ...]
    losses: tuple[str, ...] = ()
    fault: Fault | None = None


def field_changes(document: Document, item: Item) -> list[FieldChange]:
    """The differences of a schema's columns. Sizes and nullability that the file omits are not compared."""
    from headrace.catalog.schemas.alter import possible_loss

    found: list[FieldChange] = []
    before = {each["name"]: each for each in item["fields"]}
    wanted = {each.name: (index, each) for index, each in enumerate(document.schema.fields)}
    for name, each in before.items():
        if name not in wanted:
            path = f"fields.{name}"
            fault = _immutable(document, path, f"'{name}' is of the primary key") if each["isPrimaryKey"] else None
            found.append(FieldChange(each["id"], None, (f"field {name} removed",), (f"the values of '{name}'",), fault))
    for name, (index, shape) in wanted.items():
        body = shape.model_dump(by_alias=True, exclude_none=True)
        after = definition(shape)
        if name not in before:
            path = f"fields[{index}].isPrimaryKey"
            fault = _immutable(document, path, "The primary key is fixed") if shape.is_primary_key else None
            found.append(FieldChange(None, body, (f"field {name} added: {shape.data_type}",), fault=fault))
            continue
        old = before[name]
        facts = {
            "displayName": after.display_name,
            "dataType": after.data_type,
            "length": shape.length,
            "precision": shape.precision,
            "scale": shape.scale,
            "isNullable": shape.is_nullable,
            "isPrimaryKey": after.is_primary_key,
            "isUnique": after.is_unique,
            "isPredictor": after.is_predictor,
            "defaultValue": after.default_value,
            "description": after.description,
        }
        left_out = {key for key in ("length", "precision", "scale", "isNullable") if facts[key] is None}
        details = [
            detail
            for key, value in facts.items()
            if key not in left_out
            for detail in _differences(f"field {name}.{key}", old[key], value)
        ]
        if not details:
            continue
        fault = None
        if old["isPrimaryKey"] != after.is_primary_key:
            fault = _immutable(document, f"fields[{index}].isPrimaryKey", "The primary key cannot change")
        kept = {key: old[key] for key in _SIZES if key in left_out and after.data_type == old["dataType"]}
        now = changed(after, data_type=old["dataType"], **{key: old[key] for key in _SIZES})
        lost = possible_loss(now, changed(after, **kept))
        sent = {key: value for key, value in facts.items() if key not in left_out}
        found.append(FieldChange(old["id"], sent, tuple(details), (lost,) if lost else (), fault))
    return found


def _pipeline(document: Document, item: Item, tenant: Tenant, faults: list[Fault], _: bool) -> Change:
    shape = document.pipeline
    for path, wanted in (("connector", shape.connector), ("schema", shape.schema_)):
        if item[path]["name"] != wanted:
            what = f"The {path} of a pipeline cannot change (it is '{item[path]['name']}')"
            faults.append(_immutable(document, path, what))
    details = [*_differences("description", item["description"], shape.description)]
    details += _differences("executionConfig", item["executionConfig"], shape.execution_config)
    details += _differences("cron", item["schedule"], shape.cron)
    if shape.active is not None:
        details += _differences("active", item["status"] != "paused", shape.active)
    in_ir = _ir_details(tenant.ir(item), document)
    return Change("update", "pipeline", document.name, document, item, (*details, *in_ir), in_ir=len(in_ir))


def _replication(document: Document, item: Item, _: Tenant, faults: list[Fault], resend_secrets: bool) -> Change:
    del faults, resend_secrets
    details: list[str] = []
    before, after = item["document"], dict(document.copies or {})
    for name in dict.fromkeys([*before, *after]):
        details += _differences(name, before.get(name), after.get(name))
    active = document.replication.active
    if active is not None:
        details += _differences("active", item["status"] != "paused", active)
    return Change("update", "replication", document.name, document, item, tuple(details))


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


def _immutable(document: Document, path: str, message: str) -> Fault:
    hint = "delete it and apply again, or give the new one another name"
    return Fault(document.origin, Problem(path, "immutable", message, hint))


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in after:
                yield f"{path}.{key} removed: {_shown(before[key])}"
            elif key not in before:
                yield f"{path}.{key} added: {_shown(after[key])}"
            else:
                yield from _differences(f"{path}.{key}", before[key], after[key])
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield f"{path}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
