"""The changes that make a tenant match files: compared by name, described, with the losses of data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed

from headrace.deployments.cli.apply.comparison import COMPARE, Change, facts_of
from headrace.deployments.cli.apply.tenant import Item, Tenant
from headrace.deployments.cli.documents.load import Document, DocumentsInvalid, Fault
from headrace.deployments.cli.documents.models import YAML_CONNECTOR
from headrace.ir.problems import Problem, nearest
from headrace.ir.yaml_connectors import reference_of

KINDS = (YAML_CONNECTOR, "connector", "schema", "pipeline", "replication")


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
            changes.append(Change("create", document.kind, document.name, document, details=facts_of(document)))
            continue
        change = COMPARE[document.kind](document, item, tenant, faults, resend_secrets)
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
