"""How far sources were read: shown, set, reset; never while a run has not ended."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from headrace.api.app import BASE_PATH
from headrace.connectors.postgresql.cursors import CursorKey, create_cursors, move_cursor
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres


def source(name: str) -> dict[str, Any]:
    return {"id": name, "kind": "source", "connector": "local_fs", "config": {"path": f"{name}.csv"}}


def target(name: str, reads: str) -> dict[str, Any]:
    return {"id": name, "kind": "target", "input": reads, "schema": "public.ds_orders", "loadMode": "append"}


NODES = [source("a"), source("b"), target("one", "a"), target("two", "a"), target("three", "b")]


@pytest.fixture
def path(facade: Facade) -> str:
    return f"{BASE_PATH}/pipelines/{facade.pipeline(ir=IR | {'nodes': NODES})['id']}"


@pytest.fixture
def moved(facade: Facade, facade_url: str, path: str) -> str:
    """A pipeline whose run has moved its cursors."""
    pipeline = path.rpartition("/")[2]
    with psycopg.connect(facade_url, autocommit=True) as connection:
        create_cursors(connection)
        for node, to in (("a", "one"), ("a", "two"), ("b", "three")):
            move_cursor(connection, CursorKey(pipeline, node, "default", to), {"id": 7}, "run_1")
    return f"{path}/cursors"


def positions(facade: Facade, path: str) -> dict[str, Any]:
    found = facade.viewer.get(path).json()["data"]
    return {f"{each['source']}/{each['target']}": each["position"] for each in found}


def test_they_are_shown_with_the_run_that_moved_them(facade: Facade, moved: str) -> None:
    first = facade.viewer.get(moved).json()["data"][0]
    assert first.pop("updatedAt").startswith("20")
    assert first == {
        "source": "a",
        "cursor": "default",
        "target": "one",
        "position": {"id": 7},
        "runId": "run_1",
        "setBy": None,
    }


def test_one_is_set_for_the_targets_that_it_reaches(facade: Facade, moved: str) -> None:
    answer = facade.editor.post(moved, json={"source": "a", "position": {"id": 3}}).json()["data"]
    assert answer == facade.viewer.get(moved).json()["data"]
    assert positions(facade, moved) == {"a/one": {"id": 3}, "a/two": {"id": 3}, "b/three": {"id": 7}}
    assert (answer[0]["runId"], answer[0]["setBy"]) == (None, "editor")
    [entry] = facade.admin.get(f"{BASE_PATH}/audit-logs", params={"limit": 1}).json()["logs"]
    assert (entry["action"], entry["entityType"]) == ("set_cursors", "pipeline")
    assert [entry[when]["cursors"]["a/default/one"] for when in ("before", "after")] == [{"id": 7}, {"id": 3}]


def test_they_are_reset_by_source_or_all(facade: Facade, moved: str) -> None:
    facade.editor.post(moved, json={"source": "a", "reset": True})
    assert positions(facade, moved) == {"b/three": {"id": 7}}
    assert facade.editor.post(moved, json={"reset": True}).json() == {"data": []}
    [newest] = facade.admin.get(f"{BASE_PATH}/audit-logs", params={"limit": 1}).json()["logs"]
    assert newest["action"] == "reset_cursors"


def test_one_is_set_before_any_run(facade: Facade, path: str) -> None:
    assert facade.viewer.get(f"{path}/cursors").json() == {"data": []}
    facade.editor.post(f"{path}/cursors", json={"source": "b", "cursor": "shard-1", "position": 0})
    [found] = facade.viewer.get(f"{path}/cursors").json()["data"]
    assert (found["cursor"], found["position"]) == ("shard-1", 0)


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ({}, "either a position or reset"),
        ({"source": "a", "position": 1, "reset": True}, "either a position or reset"),
        ({"position": 1}, "'source' is required"),
        ({"cursor": "default", "reset": True}, "'source' is required"),
        ({"source": "aa", "position": 1}, "no source 'aa'"),
        ({"source": "aa", "reset": True}, "no source 'aa'"),
        ({"source": "one", "position": 1}, "no source 'one'"),
    ],
)
def test_what_there_is_not_is_reported(facade: Facade, moved: str, body: dict[str, Any], reported: str) -> None:
    assert reported in error_of(facade.editor.post(moved, json=body), 400)["message"]
    assert len(positions(facade, moved)) == 3


def test_of_several_cursors_one_is_named(facade: Facade, moved: str) -> None:
    facade.editor.post(moved, json={"source": "b", "cursor": "other", "position": 1})
    error = error_of(facade.editor.post(moved, json={"source": "b", "position": 1}), 400)
    assert error["details"][0]["hint"] == "name one of: default, other"


def test_nothing_is_changed_while_a_run_has_not_ended(facade: Facade, moved: str) -> None:
    run = created(facade.editor, moved.replace("/cursors", "/run"), {})["id"]
    for body in ({"reset": True}, {"source": "a", "position": 1}):
        assert run in error_of(facade.editor.post(moved, json=body), 409)["message"]
    facade.store.finished(run, status="failed", failure_reason="for the test")
    assert facade.editor.post(moved, json={"reset": True}).status_code == 200


def test_viewers_may_only_look(facade: Facade, moved: str) -> None:
    error_of(facade.viewer.post(moved, json={"reset": True}), 403)
