"""Sources over the API server of the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.source import RestSource
from headrace.ir.schema import Schema
from tests.connectors.http.api_server import ApiServer
from tests.connectors.stores.places import LOOPBACK

PAGINATION: dict[str, dict[str, Any]] = {
    "page": {"type": "page", "param": "page", "pageSize": 100, "sizeParam": "limit"},
    "offset": {"type": "offset", "param": "at", "pageSize": 100, "sizeParam": "limit", "hasMore": "more"},
    "token": {"type": "cursor", "param": "at", "next": "meta.next"},
    "after": {"type": "cursor", "param": "after", "nextFromRecord": "id", "hasMore": "more"},
    "link": {"type": "link"},
    "next": {"type": "next_url", "next": "next"},
}
"""By the first part of the server's paths."""


def context(
    api: ApiServer,
    settings: dict[str, Any] | None = None,
    *,
    credentials: dict[str, Any] | None = None,
    fields: Schema = (),
    **config: Any,
) -> Context:
    connection = Connection("conn_1", "rest_api", {"url": api.url, "insecureLogin": True, **config}, credentials or {})
    return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), settings or {}, fields)


def paged(way: str, name: str = "orders", **more: Any) -> dict[str, Any]:
    """The settings of a way to page."""
    return {"path": f"/{way}/{name}", "records": "items", "pagination": PAGINATION[way], **more}


def source(
    api: ApiServer, settings: dict[str, Any], *, sleep: Callable[[float], None] | None = None, **more: Any
) -> RestSource:
    made = context(api, settings, **more)
    return RestSource(made) if sleep is None else RestSource(made, sleep=sleep)
