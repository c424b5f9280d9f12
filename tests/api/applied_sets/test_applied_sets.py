"""Applied sets: by name and tenant, replaced as a whole."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, error_of

pytestmark = pytest.mark.postgres

SETS = f"{BASE_PATH}/applied-sets"
OBJECTS = [{"kind": "pipeline", "id": "pipe_1"}, {"kind": "schema", "id": "schema_1"}]


def test_a_set_is_empty_until_written_and_then_what_was_written_last(facade: Facade) -> None:
    orders = {"name": "orders"}
    assert facade.viewer.get(SETS, params=orders).json() == orders | {"objects": [], "updatedAt": None}
    for objects in (OBJECTS, OBJECTS[:1]):
        put = facade.editor.put(SETS, params=orders, json={"objects": objects})
        assert put.status_code == 200
        assert facade.viewer.get(SETS, params=orders).json() == put.json()
        assert put.json()["objects"] == objects
    assert facade.viewer.get(SETS, params={"name": "bills"}).json()["objects"] == []
    assert facade.foreign.get(SETS, params=orders).json()["objects"] == []


def test_an_object_belongs_to_the_set_that_named_it_last(facade: Facade) -> None:
    for name, objects in (("one", OBJECTS), ("two", OBJECTS[1:])):
        facade.editor.put(SETS, params={"name": name}, json={"objects": objects})
    facade.foreign.put(SETS, params={"name": "two"}, json={"objects": OBJECTS})
    held = {name: facade.viewer.get(SETS, params={"name": name}).json()["objects"] for name in ("one", "two")}
    assert held == {"one": OBJECTS[:1], "two": OBJECTS[1:]}


def test_viewers_do_not_write_and_nonsense_is_400(facade: Facade) -> None:
    error_of(facade.viewer.put(SETS, params={"name": "x"}, json={"objects": []}), 403)
    error_of(facade.editor.put(SETS, params={"name": "a/b"}, json={"objects": []}), 400)
    error_of(facade.editor.put(SETS, params={"name": "x"}, json={"objects": [{"kind": "run", "id": "r"}]}), 400)


def test_requests_that_need_what_could_not_be_tried_are_reported_too(facade: Facade) -> None:
    pipeline = {"name": "p", "irVersion": "1.0", "ir": IR}
    requests = [
        {"method": "POST", "path": "/connectors", "body": {"name": "c", "type": "local_fs"}, "knownAs": "new:0"},
        {"method": "POST", "path": "/schemas", "body": {"name": "s", "displayName": "S"}, "knownAs": "new:1"},
        {
            "method": "POST",
            "path": "/pipelines",
            "body": pipeline | {"connectorId": "new:0", "schemaId": "new:1"},
            "knownAs": "new:2",
        },
        {"method": "PUT", "path": "/pipelines", "body": {"id": "new:2", "status": "paused"}},
        {"method": "POST", "path": "/connectors", "body": {"name": "", "type": "local_fs"}, "knownAs": "new:4"},
        {"method": "PUT", "path": "/connectors", "body": {"id": "new:4", "description": "d"}},
    ]
    with facade.engine.begin() as busy:
        busy.execute(text("LOCK TABLE headrace.schemas IN EXCLUSIVE MODE"))
        answer = facade.editor.post(f"{BASE_PATH}/applied-sets/rehearsal", json={"requests": requests}).json()
    assert [each["index"] for each in answer["refused"]] == [4]
    assert [each["index"] for each in answer["unknown"]] == [1, 2, 3]
    assert "could not be tried" in answer["unknown"][1]["reason"]
