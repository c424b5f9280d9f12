"""What connectors can do: be listed, found and made; their secrets are sealed on the way in."""

from __future__ import annotations

import re
from typing import Any

from api.connectors.schemas import ConnectorItem, CreateConnector
from api.context import RequestContext
from api.errors import not_found
from api.pagination import PageOf, PageRequest, page_of
from catalog.credentials import seal
from catalog.models import Connector, new_id

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|api[_-]?key|private_?key|credential|authorization", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def list_connectors(context: RequestContext, request: PageRequest) -> PageOf[ConnectorItem]:
    """A page of the tenant's connectors, newest first."""
    with context.catalog() as catalog:
        page = catalog.connectors.page(limit=request.limit, after=request.after)
        return page_of(page, request, ConnectorItem.model_validate)


def get_connector(context: RequestContext, connector_id: str) -> ConnectorItem:
    """One connector, or 404."""
    with context.catalog() as catalog:
        connector = catalog.connectors.get(connector_id)
        if connector is None:
            raise not_found("connector")
        return ConnectorItem.model_validate(connector)


def create_connector(context: RequestContext, body: CreateConnector) -> ConnectorItem:
    """Stores a connector; 409 when its name is taken."""
    connector_id = new_id("conn")
    config, secrets = split_secrets(body.config | body.connection_config)
    credentials = secrets | body.auth_config
    with context.catalog() as catalog:
        connector = catalog.connectors.add(
            Connector(
                id=connector_id,
                name=body.name,
                type=body.type,
                description=body.description,
                config=config,
                auth_method=body.auth_method,
                auth_sealed=seal(credentials, connector_id=connector_id, pepper=context.pepper),
                status="active",
            )
        )
        return ConnectorItem.model_validate(connector)


def split_secrets(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a config may be shown, and what looks like a secret and belongs to the credentials (passwords, tokens,
    URLs with a password in them), by top-level key."""
    secrets = {key: value for key, value in config.items() if _is_secret(key, value)}
    return {key: value for key, value in config.items() if key not in secrets}, secrets


def _is_secret(key: str, value: object) -> bool:
    if isinstance(value, dict):
        return any(_is_secret(inner, content) for inner, content in value.items())
    if isinstance(value, list):
        return any(_is_secret(key, content) for content in value)
    return isinstance(value, str) and bool(_SECRET_KEY.search(key) or _SECRET_VALUE.search(value))
