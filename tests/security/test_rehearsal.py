"""A rehearsal grants no more permissions than its requests."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of, facade, facade_roles, facade_url, running_facade

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]

pytestmark = pytest.mark.postgres

PATH = f"{BASE_PATH}/applied-sets/rehearsal"


def tried(client: Any, *requests: dict[str, Any]) -> list[tuple[int, int, str]]:
    answer = client.post(PATH, json={"requests": list(requests)})
    assert answer.status_code == 200, answer.text
    return [(each["index"], each["status"], each["message"]) for each in answer.json()["refused"]]


def request(method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
    return {"method": method, "path": path, "query": query} | ({"body": body} if body is not None else {})


def test_objects_of_another_tenant_are_as_missing_as_those_that_are_not(facade: Facade) -> None:
    connector = created(facade.editor, f"{BASE_PATH}/connectors", {"name": "mine", "type": "local_fs"})["id"]
    schema = created(facade.editor, f"{BASE_PATH}/schemas", {"name": "mine", "displayName": "M"})["id"]
    for real, made_up in ((connector, "conn_x"), (schema, "schema_x")):
        path = "/connectors" if real == connector else "/schemas"
        here, there = (
            tried(
                facade.foreign,
                request("DELETE", path, id=each, confirm="true"),
                request("PUT", path, {"id": each, "description": "x"}),
                request("POST", f"/schemas/{each}/fields", {"name": "x", "dataType": "text"}),
                request("POST", f"/pipelines/{each}/ir", {"ir": {}}),
            )
            for each in (real, made_up)
        )
        assert here == there
        assert {status for _, status, _ in here} == {404}


def test_viewers_and_strangers_may_not(facade: Facade) -> None:
    error_of(facade.viewer.post(PATH, json={"requests": []}), 403)
    error_of(facade.anonymous.post(PATH, json={"requests": []}), 401)


@pytest.mark.parametrize(
    "path", ["/api-keys", "/audit-logs", "/schemas/x/data", "/pipelines/x/run", "/applied-sets", "/hooks/x"]
)
def test_there_is_no_way_to_other_requests(facade: Facade, path: str) -> None:
    [(_, status, _)] = tried(facade.admin, request("POST", path, {"name": "x"}))
    assert status == 404


def test_a_table_of_another_tenant_is_not_described(facade: Facade) -> None:
    created(facade.editor, f"{BASE_PATH}/schemas", {"name": "secret", "displayName": "S"})
    target = {"id": "t", "kind": "target", "input": "s", "schema": "public.ds_secret", "loadMode": "append"}
    fields = [{"name": "x", "dataType": "text"}]
    source = {"id": "s", "kind": "source", "connector": "local_fs", "config": {"path": "x.csv"}, "fields": fields}
    ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": [source, target]}
    answer = facade.foreign.post(
        PATH,
        json={
            "requests": [
                request("POST", "/connectors", {"name": "c", "type": "local_fs"}) | {"knownAs": "new:1"},
                request("POST", "/schemas", {"name": "s", "displayName": "S"}) | {"knownAs": "new:2"},
                request(
                    "POST",
                    "/pipelines",
                    {"name": "P", "connectorId": "new:1", "schemaId": "new:2", "ir": ir, "irVersion": "1.0"},
                ),
            ]
        },
    ).json()
    [refused] = answer["refused"]
    assert "is not a table of one of your schemas" in refused["details"][0]["message"]
    assert "secret" not in refused["details"][0]["hint"]


def test_text_of_authors_is_not_run(facade: Facade) -> None:
    fields = [{"name": "a", "dataType": "text", "defaultValue": "'); DROP SCHEMA headrace CASCADE; --"}]
    assert tried(facade.editor, request("POST", "/schemas", {"name": "x", "displayName": "X", "fields": fields})) == []
    with facade.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM headrace.schemas WHERE name = 'x'")).scalar() == 0
        assert connection.execute(text("SELECT to_regclass('public.ds_x')")).scalar() is None


def test_limits_hold(facade: Facade) -> None:
    requests = [request("POST", "/connectors", {"name": "c", "type": "local_fs"})] * 1_001
    error_of(facade.editor.post(PATH, json={"requests": requests}), 400)


def test_it_ends_however_much_is_asked_for(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.api.applied_sets.rehearsal.SECONDS", -1)
    answer = facade.editor.post(PATH, json={"requests": [request("POST", "/connectors", {"name": "c"})] * 3}).json()
    assert (answer["refused"], [each["index"] for each in answer["unknown"]]) == ([], [0])
