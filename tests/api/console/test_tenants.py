"""Tenants see nothing of each other, and what somebody changes on a page is in the tenant's audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, error_of
from tests.api.console.people import People, elements, key_of, signed_in, visitor
from tests.api.console.worlds import new_world

pytestmark = pytest.mark.postgres


def test_a_mistyped_address_is_a_page_for_browsers_and_json_for_programs(facade: Facade) -> None:
    page = facade.anonymous.get("/nothing", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert page.headers["X-Request-ID"] in page.text
    for path, accept in (("/nothing", "*/*"), (f"{BASE_PATH}/nothing", "text/html")):
        error_of(facade.anonymous.get(path, headers={"Accept": accept}), 404)


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/runs/a/b/c", 404), ("/docs", 200)])
def test_there_is_a_way_back_from_a_page_for_everybody(facade: Facade, people: People, path: str, status: int) -> None:
    def ways(client: TestClient) -> set[str]:
        page = client.get(path, headers={"Accept": "text/html,*/*"})
        assert page.status_code == status
        return {each.attributes.get("href", "") for each in elements(page.text, "a")}

    assert ways(people.viewer) >= {"/", "/connectors", "/schemas"}
    assert "/keys" not in ways(people.viewer)
    assert ways(people.admin) >= {"/", "/connectors", "/keys"}
    assert {"/", "/login"} <= ways(visitor(facade.app)) - {"/docs", "/openapi.json"} == {"#main", "/", "/login"}
    ended = signed_in(facade.app, key_of(facade.viewer))
    ended.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in ended.cookies.items())
    assert ended.post("/logout").status_code == 303
    assert "/login" in ways(ended)


def test_the_pages_of_another_tenant_show_nothing_of_this_one(facade: Facade, people: People) -> None:
    world = new_world(facade, "only mine")
    page = people.foreign.get("/").text
    assert "only mine" not in page
    assert world.pipeline_id not in page
    assert "There are no pipelines yet" in page
    assert "only mine" in people.viewer.get("/").text


def test_what_a_page_changed_is_in_the_audit_log_with_its_author(facade: Facade, people: People) -> None:
    world = new_world(facade)
    changing: list[Callable[[], Any]] = [
        lambda: people.editor.post(f"/runs/{world.waiting_id}/cancel"),
        lambda: people.editor.post(f"/pipelines/{world.pipeline_id}/status", data={"status": "paused"}),
        lambda: people.editor.post(f"/pipelines/{world.pipeline_id}/run"),
        lambda: people.editor.post(f"/pipelines/{world.pipeline_id}/publish", data={"version": "1"}),
    ]
    for change in changing:
        response = change()
        assert response.status_code == 303, response.text
        logs = facade.admin.get(f"{BASE_PATH}/audit-logs", params={"limit": 20}).json()["logs"]
        [entry, *_] = [each for each in logs if each["requestId"] == response.headers["X-Request-ID"]]
        assert entry["userName"] == "editor" if "userName" in entry else "editor" in str(entry)


def test_logins_and_logouts_are_in_the_audit_log_which_stays_intact(facade: Facade) -> None:
    client = signed_in(facade.app, key_of(facade.editor))
    client.post("/logout")
    newest = facade.admin.get(f"{BASE_PATH}/audit-logs", params={"limit": 5}).json()["logs"]
    actions = [entry["action"] for entry in newest]
    assert actions[:2] == ["log_out", "log_in"]
    assert facade.admin.get(f"{BASE_PATH}/audit-logs/verify").json()["intact"]
