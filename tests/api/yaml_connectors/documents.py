"""A connector document for the API server of the tests, a connector that names it, and an IR that reads with it."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import IR


def shop(url: str, /, **changes: Any) -> dict[str, Any]:
    """A document with the endpoints `orders` and `items`, whose path has a variable."""
    return {
        "kind": "connector",
        "version": "1.0",
        "id": "shop",
        "displayName": "The shop",
        "url": url,
        "variables": {"what": {"description": "What is sold"}},
        "auth": [{"type": "bearer", "tokenRef": "{{secrets.token}}"}],
        "endpoints": [
            {"id": "orders", "path": "/whole/orders"},
            {"id": "items", "path": "/whole/{{what}}"},
        ],
        **changes,
    }


def connector(url: str, /, **config: Any) -> dict[str, Any]:
    """The body of a connector of the document."""
    return {
        "name": "the shop",
        "type": "rest_api",
        "config": {
            "url": url,
            "auth": {"type": "bearer"},
            "insecureLogin": True,
            "document": "shop",
            "variables": {"what": "pens"},
            **config,
        },
        "authMethod": "token",
        "authConfig": {"token": "t-very-secret"},
    }


def reading(endpoint: str = "orders", source: str = "yaml:shop", connection: str = "the shop") -> dict[str, Any]:
    """An IR that reads an endpoint."""
    node = {
        "id": "src",
        "kind": "source",
        "connector": source,
        "connection": connection,
        "config": {"endpoint": endpoint},
    }
    return {**IR, "nodes": [node, IR["nodes"][1]]}


def without_endpoint() -> dict[str, Any]:
    """An IR whose source names a document and no endpoint of it."""
    source, target = reading()["nodes"]
    return {**reading(), "nodes": [{**source, "config": {}}, target]}
