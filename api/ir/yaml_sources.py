"""Checks of sources that read with a connector document (`yaml:github`), before an IR is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace.catalog.models import Connector
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.connectors import chosen
from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.http.definition.used import TYPE, use_problems, wanted_document
from headrace.connectors.http.shipped.connectors import endpoint_problems
from headrace.connectors.http.shipped.documents import document_of, shipped_documents
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import SourceNode
from headrace.ir.problems import nearest
from headrace.ir.yaml_connectors import PREFIX, Document, is_document, reference_in, reference_of


def document_source_problems(
    ir: PipelineIR, catalog: TenantCatalog, records: Sequence[Connector], own: Connector | None
) -> Iterator[Problem]:
    """Problems of sources whose connector document does not exist, does not fit their connector, or has no such
    endpoint. `own` is the pipeline's connector, if it is known."""
    sources: list[tuple[int, SourceNode, Connector | None]] = []
    for position, node in enumerate(ir.nodes):
        if isinstance(node, SourceNode):
            record = own if node.connection is None else chosen(node.connection, records)
            shipped = record is not None and node.connector in (record.type, f"{PREFIX}{record.type}")
            if shipped and record is not None and record.type in shipped_documents():
                if is_document(node.connector):  # by the type's own name, its settings are checked with the node's
                    for each in endpoint_problems(record.type, node.config):
                        yield replace(each, path=f"nodes[{position}].{each.path}")
                continue
            if is_document(node.connector) or (record is not None and reference_in(record.config) is not None):
                sources.append((position, node, record))
    if not sources:
        return
    documents = catalog.yaml_connectors.documents({ref for _, node, record in sources for ref in _named(node, record)})
    for position, node, record in sources:
        yield from _problems(position, node, record, documents, catalog)


def endpoint_problem(config: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[str, str] | None:
    """The message and hint for an endpoint that the document does not have; None if it has it."""
    wanted = config.get("endpoint")
    known = [str(each["id"]) for each in document["endpoints"]]
    if not isinstance(wanted, str) or wanted in known or PARAMETER.search(wanted):
        return None
    return f"The connector document '{document['id']}' has no endpoint '{wanted}'", nearest(wanted, known)


def _named(node: SourceNode, record: Connector | None) -> Iterator[str]:
    for each in (reference_of(node.connector), reference_in(record.config) if record is not None else None):
        if each is not None:
            yield str(each)


def _problems(
    position: int,
    node: SourceNode,
    record: Connector | None,
    documents: Mapping[str, Mapping[str, Any]],
    catalog: TenantCatalog,
) -> Iterator[Problem]:
    path = f"nodes[{position}]"
    wanted: Document | None = reference_of(node.connector)
    if record is not None:
        try:
            wanted = wanted_document(node.connector, record.type, record.config)
        except SourceError as error:
            if error.code == "wrong_connection":  # a bad name is a problem of the node's shape
                place = f"{path}.connection" if node.connection is not None else f"{path}.connector"
                yield Problem(place, error.code, error.message, error.hint)
            return
    if wanted is None:
        return
    document = document_of(wanted, documents)
    if document is None:
        message = f"There is no connector document '{wanted}'"
        known = (*catalog.yaml_connectors.names(), *shipped_documents())
        yield Problem(f"{path}.connector", "unknown_document", message, nearest(wanted.id, known))
        return
    if is_document(node.connector) and "endpoint" not in node.config:
        endpoints = [str(each["id"]) for each in document["endpoints"]]
        message = f"The source names no endpoint of the connector document '{wanted.id}'"
        yield Problem(f"{path}.config.endpoint", "missing_field", message, nearest("", endpoints))
    if (missing := endpoint_problem(node.config, document)) is not None:
        yield Problem(f"{path}.config.endpoint", "unknown_endpoint", *missing)
    if record is not None and record.type == TYPE:
        for each in use_problems(record.config, document):
            message = f"The connector '{record.name}' does not fit the document '{wanted}': {each.path}: {each.message}"
            yield Problem(f"{path}.connector", each.code, message, each.hint)
