"""A source that reads with a connector document, on the real stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.yaml_connectors.documents import connector, reading, shop
from tests.conftest import RunningStack, started_stack
from tests.connectors.http.api_server import ApiServer, numbered
from tests.rest import eventually

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def dialling_stack() -> Iterator[RunningStack]:
    """A stack whose operator allows loopback."""
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.0/8", "::1/128"]') as stack:
        yield stack


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    server.key = ("Authorization", "Bearer t-very-secret")
    yield server
    server.close()


def test_runs_follow_the_live_version(dialling_stack: RunningStack, api: ApiServer) -> None:
    api.records = {"orders": numbered(500), "pens": numbered(10, begin=501)}
    headers = {"X-API-Key": dialling_stack.api_key}
    with httpx.Client(base_url=dialling_stack.api_url, headers=headers, timeout=60) as http:

        def made(path: str, body: Any, **query: str) -> dict[str, Any]:
            response = http.post(path, json=body, params=query)
            assert response.status_code in (200, 201), response.text
            found: dict[str, Any] = response.json()
            return found

        def ran(pipeline: str) -> dict[str, Any]:
            run = made(f"/pipelines/{pipeline}/run", {})["id"]

            def look() -> dict[str, Any] | None:
                found: dict[str, Any] = http.get(f"/pipelines/{pipeline}/runs/{run}/progress").json()
                return found if found["status"] not in ("pending", "running") else None

            return eventually(look)

        made("/yaml-connectors", shop(api.url))
        record = made("/connectors", connector(api.url))
        fields = [{"name": "id", "dataType": "bigint", "isPrimaryKey": True}, {"name": "name", "dataType": "text"}]
        schema = made("/schemas", {"name": "orders", "displayName": "Orders", "fields": fields})
        source, target = reading()["nodes"]
        ir = {**reading(), "nodes": [source, {**target, "mapping": {"id": "id", "name": "name"}}]}
        body = {"name": "orders", "connectorId": record["id"], "schemaId": schema["id"], "irVersion": "1.0", "ir": ir}
        pipeline = made("/pipelines", body)["id"]
        first = ran(pipeline)
        assert (first["status"], first["rowsOut"]) == ("completed", 500), first
        changed = shop(api.url)
        changed["endpoints"][0]["path"] = "/whole/pens"
        assert http.put("/yaml-connectors/shop", json=changed).status_code == 201
        second = ran(pipeline)
        assert (second["status"], second["rowsOut"]) == ("completed", 10), second
    with psycopg.connect(dialling_stack.database_url) as connection:
        rows = connection.execute("SELECT id FROM public.ds_orders ORDER BY id").fetchall()
    assert [row[0] for row in rows] == list(range(1, 511))
