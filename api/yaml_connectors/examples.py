"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

YAML = """\
kind: connector
version: "1.0"
id: github
displayName: GitHub
url: https://api.github.com
variables:
  owner: {description: Whose repositories}
auth:
- {type: bearer, tokenRef: "{{secrets.token}}"}
endpoints:
- id: repositories
  path: /orgs/{{owner}}/repos
  pagination: {type: link}
  key: [id]
"""
DOCUMENT: dict[str, Any] = {
    "kind": "connector",
    "version": "1.0",
    "id": "github",
    "displayName": "GitHub",
    "url": "https://api.github.com",
    "variables": {"owner": {"description": "Whose repositories"}},
    "auth": [{"type": "bearer", "tokenRef": "{{secrets.token}}"}],
    "endpoints": [
        {"id": "repositories", "path": "/orgs/{{owner}}/repos", "pagination": {"type": "link"}, "key": ["id"]}
    ],
}
_VERSION = {
    "version": 1,
    "authoredBy": "admin",
    "comment": None,
    "createdAt": "2026-01-15T09:00:00.000Z",
    "live": True,
}
_SHIPPED = {
    "id": "stripe",
    "displayName": "Stripe",
    "description": "Customers, payments, invoices, subscriptions and events of a Stripe account.",
    "endpoints": ["customers", "charges"],
    "replaced": False,
}
EXAMPLES: dict[str, Any] = {
    "ShippedConnectorItem": _SHIPPED,
    "ShippedConnectors": {"data": [_SHIPPED]},
    "ShippedConnector": {**_SHIPPED, "document": DOCUMENT, "variables": {}, "secrets": ["token"]},
    "YamlConnectorItem": {
        "id": "github",
        "displayName": "GitHub",
        "liveVersion": 1,
        "newestVersion": 2,
        "createdAt": "2026-01-15T09:00:00.000Z",
        "updatedAt": "2026-01-15T09:00:00.000Z",
    },
    "YamlConnectorVersionItem": _VERSION,
    "YamlConnectorVersion": {
        **_VERSION,
        "id": "github",
        "document": DOCUMENT,
        "variables": {"owner": None},
        "secrets": ["token"],
        "endpoints": ["repositories"],
    },
    "PublishYamlConnector": {"version": 1},
    "YamlConnectorDifference": {
        "from": 1,
        "to": 2,
        "patch": [{"op": "replace", "path": "/endpoints/0/pagination/type", "value": "page"}],
    },
}
