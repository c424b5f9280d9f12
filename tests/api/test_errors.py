"""Every error has the same envelope, and none discloses internals."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH, create_app
from tests.api.conftest import CONNECTOR, Facade, LocalOrchestrator, error_of, settings_for

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"


@pytest.mark.parametrize(
    "path", ["/a", "/nothing", f"{BASE_PATH}/nothing", f"{CONNECTORS}/", f"{BASE_PATH}/pipelines/a/b"]
)
def test_an_unknown_route_is_404(facade: Facade, path: str) -> None:
    assert error_of(facade.admin.get(path), 404)["code"] == "not_found"


def test_a_method_that_does_not_exist_is_405_and_names_those_that_do(facade: Facade) -> None:
    response = facade.admin.patch(CONNECTORS)
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize("body", ["{", "", "nonsense", '{"name": "a",}', "[" * 100_000])
def test_malformed_json_is_400(facade: Facade, body: str) -> None:
    response = facade.editor.post(CONNECTORS, content=body, headers={"Content-Type": "application/json"})
    assert error_of(response, 400)["code"] == "validation_error"


@pytest.mark.parametrize("body", ["null", "[]", '"text"', "3"])
def test_json_that_is_no_object_is_400(facade: Facade, body: str) -> None:
    error_of(facade.editor.post(CONNECTORS, content=body, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_a_body_that_is_not_declared_json_is_415(facade: Facade, media_type: str) -> None:
    response = facade.editor.post(CONNECTORS, content=json.dumps(CONNECTOR), headers={"Content-Type": media_type})
    assert error_of(response, 415)["code"] == "unsupported_media_type"


def test_a_body_with_a_charset_is_json_too(facade: Facade) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert facade.editor.post(CONNECTORS, content=json.dumps(CONNECTOR), headers=headers).status_code == 201


def test_a_body_that_is_too_large_is_413_declared_or_not(facade: Facade) -> None:
    small = create_app(
        settings_for("postgresql:///x", max_body_bytes=2048), orchestrator=LocalOrchestrator(), engine=facade.engine
    )
    client = TestClient(small, headers=facade.editor.headers)
    body = json.dumps(CONNECTOR | {"description": "x" * 3000}).encode()
    headers = {"Content-Type": "application/json"}
    assert error_of(client.post(CONNECTORS, content=body, headers=headers), 413)["code"] == "payload_too_large"
    pieces = (body[start : start + 500] for start in range(0, len(body), 500))
    assert error_of(client.post(CONNECTORS, content=pieces, headers=headers), 413)["code"] == "payload_too_large"


def test_all_problems_of_a_body_come_with_their_paths(facade: Facade) -> None:
    body = {"name": " ", "typ": "x", "config": 3}
    details = error_of(facade.editor.post(CONNECTORS, json=body), 400)["details"]
    assert {(detail["path"], detail["code"]) for detail in details} == {
        ("name", "string_too_short"),
        ("type", "missing_field"),
        ("typ", "unknown_field"),
        ("config", "dict_type"),
    }


@pytest.mark.parametrize("value", ['"a\\u0000b"', '"\\ud800"', "NaN", "Infinity", '{"deep": ["\\u0000"]}'])
def test_what_the_database_cannot_keep_is_400(facade: Facade, value: str) -> None:
    body = f'{{"name": "files", "type": "local_fs", "config": {{"x": {value}}}}}'
    error_of(facade.editor.post(CONNECTORS, content=body, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=W10", "cursor=WzEsMl0", "q=%00"]
)
def test_a_bad_query_is_400(facade: Facade, query: str) -> None:
    error_of(facade.viewer.get(f"{BASE_PATH}/pipelines?{query}"), 400)


@pytest.mark.parametrize("strange", ["%00", "%ff", "..%2f..", "a" * 500, "%F0%9F%92%A9"])
def test_a_strange_id_is_404(facade: Facade, strange: str) -> None:
    for path in (f"pipelines/{strange}", f"connectors/{strange}", f"schemas/{strange}", f"pipelines/{strange}/runs"):
        error_of(facade.viewer.get(f"{BASE_PATH}/{path}"), 404)


def test_a_request_id_is_kept_when_fit_and_made_otherwise(facade: Facade) -> None:
    given = facade.viewer.get("/healthz", headers={"X-Request-ID": "trace-1"})
    assert given.headers["X-Request-ID"] == "trace-1"
    made = facade.viewer.get("/healthz", headers={"X-Request-ID": "a b"})
    assert made.headers["X-Request-ID"].startswith("req_")


def test_a_database_that_is_away_is_503_and_readyz_says_which() -> None:
    settings = settings_for("postgresql://postgres@127.0.0.1:1/nothing")
    client = TestClient(create_app(settings, orchestrator=LocalOrchestrator()), raise_server_exceptions=False)
    response = client.get(f"{BASE_PATH}/pipelines", headers={"X-API-Key": "hr_" + "a" * 43})
    assert error_of(response, 503)["code"] == "unavailable"
    assert response.headers["Retry-After"].isdigit()
    assert [detail["path"] for detail in error_of(client.get("/readyz"), 503)["details"]] == ["database"]
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_names_prefect_and_a_database_that_is_not_migrated(facade: Facade, superuser_url: str) -> None:
    ready = {"status": "ready", "database": "ok", "prefect": "ok"}
    assert facade.anonymous.get("/readyz").json() == ready | {"worker": "ok"}
    facade.orchestrator.has_worker = False  # runs wait, and the API works
    assert facade.anonymous.get("/readyz").json() == ready | {"worker": "away"}
    facade.orchestrator.away = True
    assert [detail["path"] for detail in error_of(facade.anonymous.get("/readyz"), 503)["details"]] == ["prefect"]
    empty = create_app(settings_for(superuser_url), orchestrator=LocalOrchestrator())
    assert error_of(TestClient(empty).get("/readyz"), 503)["details"][0]["code"] == "not_migrated"


def test_a_fault_of_ours_is_500_without_its_story(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run_id: str) -> None:
        raise RuntimeError("the secret is a heron")

    pipeline = facade.pipeline()
    facade.orchestrator.put(f"deployment of {pipeline['id']}")
    monkeypatch.setattr(facade.orchestrator, "state", broken)
    response = facade.viewer.get(f"{BASE_PATH}/pipelines/{pipeline['id']}/runs/run_{'0' * 32}")
    assert error_of(response, 500)["code"] == "internal_error"
    assert "heron" not in response.text
