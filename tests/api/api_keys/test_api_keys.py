"""API keys over REST: issued and shown once, listed without the secret, revoked permanently."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH, create_app
from headrace.catalog.bootstrap import issue_key
from tests.api.conftest import PEPPER, Facade, LocalOrchestrator, created, error_of

pytestmark = pytest.mark.postgres

KEYS = f"{BASE_PATH}/api-keys"


def speaking(facade: Facade, key: str) -> TestClient:
    return TestClient(facade.app, headers={"X-API-Key": key}, raise_server_exceptions=False)


def test_a_new_key_is_shown_once_and_works_with_its_role(facade: Facade) -> None:
    made = created(facade.admin, KEYS, {"name": "nightly", "role": "editor"})
    assert re.fullmatch(r"hr_[A-Za-z0-9_-]{43}", made["key"])
    assert made["prefix"] == made["key"][:11]
    assert made["warning"]
    assert made["key"] not in facade.admin.get(KEYS).text
    client = speaking(facade, made["key"])
    assert client.post(f"{BASE_PATH}/connectors", json={"name": "x", "type": "local_fs"}).status_code == 201
    error_of(client.get(KEYS), 403)


def test_without_a_body_a_key_has_a_name_may_read_and_does_not_expire(facade: Facade) -> None:
    response = facade.admin.post(KEYS)
    assert response.status_code == 201
    made = response.json()
    assert re.fullmatch(r"key-\d{13}", made["name"])
    assert (made["role"], made["expiresAt"]) == ("viewer", None)


def test_the_list_shows_keys_newest_first_by_pages(facade: Facade) -> None:
    names = [created(facade.admin, KEYS, {"name": f"n{number}"})["name"] for number in range(3)]
    first = facade.admin.get(KEYS, params={"limit": 2}).json()
    assert [key["name"] for key in first["data"]] == names[:0:-1]
    assert first["total"] == first["pagination"]["total"] >= 3
    assert set(first["data"][0]) == {"id", "name", "role", "prefix", "expiresAt", "lastUsedAt", "createdAt"}
    second = facade.admin.get(KEYS, params={"limit": 2, "cursor": first["pagination"]["cursor"]}).json()
    assert second["data"][0]["name"] == names[0]


def test_a_revoked_key_is_401_at_once_and_gone_from_the_list(facade: Facade) -> None:
    made = created(facade.admin, KEYS, {"name": "lost"})
    client = speaking(facade, made["key"])
    assert client.get(f"{BASE_PATH}/pipelines").status_code == 200
    response = facade.admin.request("DELETE", KEYS, params={"id": made["id"]}, json={"reason": "the laptop was lost"})
    assert (response.status_code, response.content) == (204, b"")
    error_of(client.get(f"{BASE_PATH}/pipelines"), 401)
    assert made["id"] not in facade.admin.get(KEYS, params={"limit": 100}).text
    error_of(facade.admin.delete(KEYS, params={"id": made["id"]}), 404)
    [entry] = facade.admin.get(f"{BASE_PATH}/audit-logs", params={"entityId": made["id"], "limit": 1}).json()["logs"]
    assert entry["changes"]["revokedReason"] == {"from": None, "to": "the laptop was lost"}
    assert made["key"] not in str(entry)


def test_a_key_revoked_by_another_process_works_only_as_long_as_it_is_remembered(facade: Facade) -> None:
    settings = facade.app.state.services.settings.model_copy(update={"key_cache_s": 60})
    clock = {"now": 0.0}
    app = create_app(settings, orchestrator=LocalOrchestrator(), engine=facade.engine)
    app.state.services.key_cache._clock = lambda: clock["now"]
    made = created(facade.admin, KEYS, {"name": "short"})
    client = TestClient(app, headers={"X-API-Key": made["key"]})
    assert client.get(f"{BASE_PATH}/pipelines").status_code == 200
    assert facade.admin.delete(KEYS, params={"id": made["id"]}).status_code == 204
    clock["now"] = 59.9
    assert client.get(f"{BASE_PATH}/pipelines").status_code == 200
    clock["now"] = 60.0
    error_of(client.get(f"{BASE_PATH}/pipelines"), 401)


def test_a_remembered_key_still_expires_at_its_second(facade: Facade) -> None:
    for seconds in (1, 5, 25):
        soon = datetime.now(UTC) + timedelta(seconds=seconds)
        key = issue_key(
            facade.engine, tenant_id="default", name=f"soon {seconds}", role="viewer", pepper=PEPPER, expires_at=soon
        )
        client = speaking(facade, key)
        answer = client.get(f"{BASE_PATH}/pipelines")
        if datetime.now(UTC) < soon:  # else the machine was busy for as long as the key lived
            break
    assert answer.status_code == 200
    while datetime.now(UTC) <= soon:
        client.get("/healthz")
    error_of(client.get(f"{BASE_PATH}/pipelines"), 401)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "role": "root"},
        {"name": ""},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "2099-01-01T00:00:00"},
        {"expiresAt": "soon"},
        {"scopes": ["everything"]},
    ],
)
def test_what_cannot_be_a_key_is_400(facade: Facade, body: dict[str, str]) -> None:
    error_of(facade.admin.post(KEYS, json=body), 400)


def test_a_foreign_key_cannot_be_revoked(facade: Facade) -> None:
    made = created(facade.admin, KEYS, {"name": "mine"})
    error_of(facade.foreign.delete(KEYS, params={"id": made["id"]}), 404)
    assert speaking(facade, made["key"]).get(f"{BASE_PATH}/pipelines").status_code == 200
