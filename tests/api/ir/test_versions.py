"""Versions of an IR: save, compare, publish, roll back."""

from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonpatch
import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres


def changed(number: int) -> dict[str, Any]:
    ir = copy.deepcopy(IR)
    ir["nodes"][0]["config"]["path"] = f"orders-{number}.csv"
    return ir


@pytest.fixture
def path(facade: Facade) -> str:
    return f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/ir"


def versions(facade: Facade, path: str) -> list[int]:
    return [each["version"] for each in facade.viewer.get(f"{path}/versions").json()]


class TestSave:
    def test_a_change_is_the_next_version_and_live(self, facade: Facade, path: str) -> None:
        response = facade.editor.post(path, json={"ir": changed(2), "comment": "another file"})
        saved = response.json()
        assert (response.status_code, response.headers["ETag"]) == (201, '"2"')
        assert list(saved) == ["version", "ir", "authoredBy", "comment", "createdAt", "live"]
        assert (saved["version"], saved["ir"], saved["comment"], saved["live"]) == (2, changed(2), "another file", True)
        assert facade.viewer.get(path).json() == saved
        first = facade.viewer.get(f"{path}?version=1").json()
        assert (first["ir"], first["live"]) == (IR, False)
        assert facade.orchestrator.registrations[-1].ir_version == 2

    def test_a_bare_ir_is_taken_too(self, facade: Facade, path: str) -> None:
        assert facade.editor.post(path, json=changed(2)).json()["version"] == 2

    def test_the_same_again_is_the_same_version(self, facade: Facade, path: str) -> None:
        again = facade.editor.post(path, json={"ir": IR, "comment": "again"})
        assert (again.status_code, again.json()["version"], again.json()["comment"]) == (200, 1, None)
        assert versions(facade, path) == [1]

    def test_an_archive_node_is_kept_as_it_was_written(self, facade: Facade, path: str) -> None:
        ir = copy.deepcopy(IR)
        ir["nodes"].append({"id": "arc", "kind": "archive", "input": ir["nodes"][-1]["id"], "path": "done/"})
        assert [facade.editor.post(path, json=ir).status_code for _ in range(2)] == [201, 200]
        assert facade.viewer.get(path).json()["ir"] == ir

    def test_one_and_true_are_not_the_same(self, facade: Facade, path: str) -> None:
        for number, value in enumerate((1, True), 2):
            ir = copy.deepcopy(IR)
            ir["nodes"][0]["config"]["options"] = {"header": value}
            assert facade.editor.post(path, json=ir).json()["version"] == number

    def test_unpublished_it_waits_until_it_is_published(self, facade: Facade, path: str) -> None:
        saved = facade.editor.post(f"{path}?publish=false", json=changed(2)).json()
        assert (saved["version"], saved["live"]) == (2, False)
        created(facade.editor, path.removesuffix("ir") + "run", {})
        assert facade.orchestrator.parameters[-1]["ir_version"] == 1
        published = facade.editor.post(f"{path}/publish", json={"version": 2})
        assert (published.status_code, published.json()) == (200, saved | {"live": True})
        created(facade.editor, path.removesuffix("ir") + "run", {})
        assert facade.orchestrator.parameters[-1]["ir_version"] == 2

    def test_the_live_version_can_be_asked_for(self, facade: Facade, path: str) -> None:
        facade.editor.post(f"{path}?publish=false", json=changed(2))
        assert facade.viewer.get(path).json()["version"] == 2
        live = facade.viewer.get(f"{path}?live=true")
        assert (live.json()["version"], live.json()["live"], live.headers["ETag"]) == (1, True, '"1"')
        error_of(facade.viewer.get(f"{path}?live=true&version=2"), 404)

    def test_what_is_wrong_is_400_with_every_problem(self, facade: Facade, path: str) -> None:
        broken = {**IR, "nodes": [IR["nodes"][0] | {"connector": 3}, IR["nodes"][1] | {"input": "scr"}]}
        error = error_of(facade.editor.post(path, json={"ir": broken}), 400)
        assert {detail["path"] for detail in error["details"]} >= {"nodes[0].connector", "nodes[1].input"}
        assert versions(facade, path) == [1]

    @pytest.mark.parametrize("stale", ['"1"', "1", 'W/"1"', "0"])
    def test_a_lost_update_is_409(self, facade: Facade, path: str, stale: str) -> None:
        created(facade.editor, path, changed(2))
        error_of(facade.editor.post(path, json=changed(3), headers={"If-Match": stale}), 409)
        assert versions(facade, path) == [2, 1]
        fresh = facade.editor.post(path, json=changed(3), headers={"If-Match": '"2"'})
        assert (fresh.status_code, fresh.json()["version"]) == (201, 3)

    @pytest.mark.parametrize("nonsense", ["", "two", '"1', "-1", "1.5"])
    def test_an_if_match_that_is_no_version_is_400(self, facade: Facade, path: str, nonsense: str) -> None:
        error_of(facade.editor.post(path, json=changed(2), headers={"If-Match": nonsense}), 400)

    def test_many_at_once_count_up_without_gaps(self, facade: Facade, path: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            saved = list(pool.map(lambda number: facade.editor.post(path, json=changed(number)), range(20)))
        assert {each.status_code for each in saved} == {201}
        assert sorted(each.json()["version"] for each in saved) == list(range(2, 22))
        assert facade.viewer.get(path).json()["live"] is True

    def test_of_many_on_the_same_version_one_wins(self, facade: Facade, path: str) -> None:
        def save(number: int) -> int:
            return facade.editor.post(path, json=changed(number), headers={"If-Match": '"1"'}).status_code

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(save, range(6))) == [201, *[409] * 5]

    def test_foreign_is_missing_and_viewers_may_not(self, facade: Facade, path: str) -> None:
        for suffix in ("", "/versions", "/diff?from=1&to=1", "?version=1"):
            error_of(facade.foreign.get(path + suffix), 404)
        error_of(facade.foreign.post(path, json=IR), 404)
        error_of(facade.foreign.post(f"{path}/publish", json={"version": 1}), 404)
        error_of(facade.viewer.post(path, json=IR), 403)
        error_of(facade.viewer.post(f"{path}/publish", json={"version": 1}), 403)

    def test_a_comment_beside_a_bare_ir_is_its_comment(self, facade: Facade, path: str) -> None:
        saved = facade.editor.post(path, json=changed(2) | {"comment": "another file"}).json()
        assert (saved["ir"], saved["comment"]) == (changed(2), "another file")
        for how in (path, f"{path}/check"):
            error = error_of(facade.editor.post(how, json=changed(3) | {"comment": {"a": 1}}), 400)
            assert error["details"][0]["path"] == "comment"


class TestPublish:
    def test_an_older_version_rolls_back_with_its_schedule(self, facade: Facade, path: str) -> None:
        created(facade.editor, path, changed(2) | {"schedule": {"kind": "interval", "minutes": 5}})
        assert facade.orchestrator.registrations[-1].schedule is not None
        assert facade.editor.post(f"{path}/publish", json={"version": 1}).json()["live"] is True
        assert facade.orchestrator.registrations[-1].schedule is None
        assert [each["live"] for each in (facade.viewer.get(f"{path}?version={v}").json() for v in (1, 2))] == [
            True,
            False,
        ]

    @pytest.mark.parametrize(("body", "status"), [({"version": 9}, 404), ({"version": 0}, 400), ({}, 400)])
    def test_what_there_is_not_cannot_be_published(
        self, facade: Facade, path: str, body: dict[str, Any], status: int
    ) -> None:
        error_of(facade.editor.post(f"{path}/publish", json=body), status)


class TestDiff:
    def test_it_is_a_patch_and_words(self, facade: Facade, path: str) -> None:
        created(facade.editor, path, changed(2))
        found = facade.viewer.get(f"{path}/diff?from=1&to=2").json()
        assert jsonpatch.apply_patch(IR, found["patch"]) == changed(2)
        assert found == {
            "from": 1,
            "to": 2,
            "patch": [{"op": "replace", "path": "/nodes/0/config/path", "value": "orders-2.csv"}],
            "summary": [{"node": "src", "change": "changed", "details": ["config.path: orders.csv → orders-2.csv"]}],
        }

    @pytest.mark.parametrize(("query", "status"), [("from=1&to=7", 404), ("from=1", 400), ("from=0&to=1", 400)])
    def test_versions_there_are_not(self, facade: Facade, path: str, query: str, status: int) -> None:
        error_of(facade.viewer.get(f"{path}/diff?{query}"), status)


class TestValidate:
    @pytest.mark.parametrize("body", [IR, {"ir": IR}])
    def test_a_valid_ir_says_so(self, facade: Facade, body: dict[str, Any]) -> None:
        answer = facade.viewer.post(f"{BASE_PATH}/ir/validate", json=body).json()
        assert answer == {"valid": True, "issues": [], "nodes": {}}

    def test_the_columns_after_each_node_are_reported_as_far_as_they_are_known(self, facade: Facade) -> None:
        ir = copy.deepcopy(IR)
        ir["nodes"][0]["fields"] = [{"name": "a", "dataType": "integer"}, {"name": "b", "dataType": "text"}]
        clean = [{"type": "expression", "field": "c", "expression": "a * 1.5"}, {"type": "drop", "fields": ["b"]}]
        ir["nodes"].insert(1, {"id": "clean", "kind": "transform", "input": "src", "ops": clean})
        ir["nodes"][2]["input"] = "clean"
        answer = facade.viewer.post(f"{BASE_PATH}/ir/validate", json=ir).json()
        assert answer["valid"]
        assert {
            node: [(f["name"], f["dataType"]) for f in each["schema"]] for node, each in answer["nodes"].items()
        } == {
            "src": [("a", "integer"), ("b", "text")],
            "clean": [("a", "integer"), ("c", "decimal")],
        }

    @pytest.mark.parametrize("body", [{}, [], "text", 3, {"ir": None}, {**IR, "nodes": [{"id": "x"}]}])
    def test_whatever_it_is_it_is_answered(self, facade: Facade, body: Any) -> None:
        response = facade.viewer.post(f"{BASE_PATH}/ir/validate", json=body)
        assert response.status_code == 200
        assert not response.json()["valid"]
        assert response.json()["issues"]

    @pytest.mark.parametrize(
        ("body", "places"),
        [
            ({**IR, "id": "a\u0000"}, ["id"]),
            ({"ir": {**IR, "metadata": {"name": "a", "tags": ["b", "\ud800"]}}}, ["metadata.tags[1]"]),
            ({**IR, "\u0000": 1, "nodes": [{"config": {"\udfff": "\u0000"}, "id": "\u0000"}]}, ["", "nodes[0].config"]),
        ],
    )
    def test_texts_that_cannot_be_stored_are_reported_with_their_place(
        self, facade: Facade, body: Any, places: list[str]
    ) -> None:
        response = facade.viewer.post(
            f"{BASE_PATH}/ir/validate", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 200
        issues = response.json()["issues"]
        assert [issue["path"] for issue in issues][: len(places)] == places
        assert {issue["code"] for issue in issues} == {"unstorable_text"}

    def test_nothing_is_saved(self, facade: Facade) -> None:
        facade.viewer.post(f"{BASE_PATH}/ir/validate", json=IR)
        assert facade.viewer.get(f"{BASE_PATH}/pipelines").json()["pagination"]["total"] == 0
