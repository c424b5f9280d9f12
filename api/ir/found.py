"""What was last found in the sources of a document: for its checks, its lineage, and to show what has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.catalog.found_columns import FoundSource, known, source_key
from headrace.catalog.models import Connector, Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.connectors import chosen


def source_nodes(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The source nodes of a well-formed document, by id."""
    nodes = (node for node in document.get("nodes", ()) if isinstance(node, dict))
    return {str(node.get("id")): node for node in nodes if node.get("kind") == "source"}


def connection_of(catalog: TenantCatalog, pipeline: Pipeline, node: Mapping[str, Any]) -> Connector | None:
    """The connector of a source node; None if there is none of that name."""
    named = node.get("connection")
    return pipeline.connector if named is None else chosen(str(named), catalog.connectors.all())


def all_found(catalog: TenantCatalog, pipeline: Pipeline, document: Mapping[str, Any]) -> dict[str, FoundSource]:
    """The known columns of the document's sources, by node."""
    keys = {
        name: source_key(node, connection)
        for name, node in source_nodes(document).items()
        if (connection := connection_of(catalog, pipeline, node)) is not None
    }
    return known(catalog.session, pipeline.id, keys)


def found_undeclared(
    catalog: TenantCatalog, pipeline: Pipeline | None, document: Mapping[str, Any]
) -> dict[str, FoundSource]:
    """The known columns of sources without `fields`; empty without a pipeline."""
    if pipeline is None:
        return {}
    nodes = source_nodes(document)
    return {
        node: each for node, each in all_found(catalog, pipeline, document).items() if not nodes[node].get("fields")
    }
