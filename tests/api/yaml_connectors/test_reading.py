"""Connection tests, discovery and previews through a connector that names a document, as for any other connector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of
from tests.api.yaml_connectors.documents import connector, reading, shop
from tests.connectors.http.api_server import ApiServer, numbered

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"
SHOP = f"{BASE_PATH}/yaml-connectors/shop"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    server.records = {"orders": numbered(3), "pens": numbered(2), "ink": numbered(1)}
    server.key = ("Authorization", "Bearer t-very-secret")
    yield server
    server.close()


@pytest.fixture
def looking(facade: Facade, api: ApiServer) -> Iterator[Facade]:
    """A facade whose operator allows loopback, with the document and a connector of it."""
    services = facade.app.state.services
    changes = {"connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    created(facade.editor, f"{BASE_PATH}/yaml-connectors", shop(api.url))
    yield facade
    facade.app.state.services = services


def record(looking: Facade, api: ApiServer, **config: Any) -> str:
    return f"{CONNECTORS}/{created(looking.editor, CONNECTORS, connector(api.url, **config))['id']}"


def rows(looking: Facade, pipeline: dict[str, Any]) -> int:
    path = f"{BASE_PATH}/pipelines/{pipeline['id']}/preview"
    answer = looking.editor.post(path, json={"node": "src"})
    assert answer.status_code == 200, answer.text
    [node] = answer.json()["nodes"]
    return int(node["rowsIn"])


def test_the_connection_is_tested_and_its_endpoints_are_listed(looking: Facade, api: ApiServer) -> None:
    unsaved = looking.editor.post(
        f"{CONNECTORS}/test", json={k: v for k, v in connector(api.url).items() if k != "name"}
    ).json()
    assert (unsaved["ok"], unsaved["message"]) == (True, "3 records; it is the last page")
    path = record(looking, api, test={"endpoint": "items"})
    assert looking.editor.post(f"{path}/test").json()["message"] == "2 records; it is the last page"
    assert [each["name"] for each in looking.editor.get(f"{path}/streams").json()["data"]] == ["items", "orders"]
    found = looking.editor.get(f"{path}/stream", params={"name": "orders"}).json()
    assert found["settings"] == {"endpoint": "orders"}
    assert "id" in [each["name"] for each in found["fields"]]
    assert "t-very-secret" not in looking.editor.get(path).text


def test_a_source_follows_the_live_version_or_names_one(looking: Facade, api: ApiServer) -> None:
    record(looking, api)
    following = looking.pipeline("following", ir=reading("items"), schema={"name": "orders"})
    pinned = looking.pipeline("pinned", ir=reading("items", source="yaml:shop@1"), schema={"name": "others"})
    plain = looking.pipeline("plain", ir=reading("items", source="rest_api"), schema={"name": "more"})
    assert [rows(looking, each) for each in (following, pinned, plain)] == [2, 2, 2]
    changed = shop(api.url)
    changed["endpoints"][1]["path"] = "/whole/ink"
    assert looking.editor.put(SHOP, json=changed, params={"publish": "false"}).status_code == 201
    assert rows(looking, following) == 2
    assert looking.editor.post(f"{SHOP}/publish", json={"version": 2}).status_code == 200
    assert [rows(looking, each) for each in (following, pinned, plain)] == [1, 2, 1]


def test_a_version_that_no_longer_fits_fails_with_a_reason_and_sends_nothing(looking: Facade, api: ApiServer) -> None:
    path = record(looking, api)
    made = looking.pipeline("following", ir=reading(), schema={"name": "orders"})
    elsewhere = shop(f"{api.url}/elsewhere")
    assert looking.editor.put(SHOP, json=elsewhere, params={"confirm": "true"}).status_code == 201
    api.asked.clear()
    result = looking.editor.post(f"{path}/test").json()
    assert (result["ok"], "config.url" in result["message"]) == (False, True)
    refused = error_of(looking.editor.post(f"{BASE_PATH}/pipelines/{made['id']}/preview", json={}), 422)
    assert [each["code"] for each in refused["details"]] == ["changed_address"]
    error_of(looking.editor.get(f"{path}/streams"), 422)
    assert api.asked == []
