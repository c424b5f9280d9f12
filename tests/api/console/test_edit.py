"""The editor of a pipeline's document: what it says while somebody types, saving, and conflicts that lose nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.api.console.document_text import MAX_LIVE_CHARACTERS, typed, written
from tests.api.conftest import IR, Facade
from tests.api.console.people import People, elements, text_of
from tests.api.console.worlds import checked_ir


def test_a_text_is_read_as_yaml_or_json_with_the_lines_of_its_values() -> None:
    yaml = "kind: pipeline\r\nnodes:\r\n- id: src\r\n  config: {path: a.csv}\r\n"
    found = typed(yaml)
    assert found.document == {"kind": "pipeline", "nodes": [{"id": "src", "config": {"path": "a.csv"}}]}
    assert [found.line_of(path) for path in ("nodes[0].config.path", "nodes[0].none.deeper", "nodes")] == [4, 3, 2]
    as_json = typed(json.dumps(found.document, indent=2))
    assert (as_json.document, as_json.line_of("nodes[0].id")) == (found.document, 5)
    assert typed('{"a": "\\ud83d\\ude00"}').document == {"a": "\N{GRINNING FACE}"}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: 1\nb: [", "expected", 2),
        ("a: 1\na: 2", "given twice", 2),
        ('{\n"a": 1,\n"a": 2}', "given twice", 1),
        ("- 1", "is an object", None),
        ("a: 1\n---\nb: 2", "several documents", 3),
        ("a: !!python/object:os.system x", "tag", 1),
        ('{"a": NaN}', "not JSON", 1),
    ],
)
def test_what_is_no_document_says_why_and_where(text: str, message: str, line: int | None) -> None:
    found = typed(text)
    assert found.document is None
    assert found.fault is not None
    assert message in found.fault.message
    assert found.lines.get("") == line


def test_a_document_is_written_in_the_order_in_which_people_read_it_and_reads_as_itself() -> None:
    stored = {"id": "x", "kind": "pipeline", "nodes": [{"config": {"on": "no", "n": 1.5}, "kind": "source", "id": "s"}]}
    for language in ("yaml", "json"):
        text = written(stored, language)
        assert typed(text).document == stored
    assert written(stored).splitlines()[:4] == ["kind: pipeline", "id: x", "nodes:", "- id: s"]


def field(page: str, name: str) -> str:
    [found] = [e.attributes["value"] for e in elements(page, "input") if e.attributes.get("name") == name]
    return found


def live(facade: Facade, pipeline: str) -> dict[str, Any]:
    found: dict[str, Any] = facade.viewer.get(f"{BASE_PATH}/pipelines/{pipeline}/ir?live=true").json()
    return found


@pytest.mark.postgres
class TestEditor:
    def test_what_is_saved_is_what_was_typed(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline(ir=checked_ir())["id"]
        path = f"/pipelines/{pipeline}/edit"
        for language in ("yaml", "json"):
            page = people.editor.get(path, params={"as": language}).text
            text = text_of(page).replace("gt:0", "gt:7")
            form = {"text": text.replace("\n", "\r\n"), "comment": "seven", "based_on": field(page, "based_on")}
            response = people.editor.post(path, data=form | {"publish": "true"})
            assert response.status_code == 303, response.text
        wanted = checked_ir()
        wanted["nodes"][1]["rowLevel"][0]["rule"] = "gt:7"
        now = live(facade, pipeline)
        assert (now["version"], now["ir"], now["comment"]) == (2, wanted, "seven")  # the second time it was the same
        assert "Version 2 is saved and live" in people.editor.get(response.headers["location"]).text

    def test_without_publishing_the_live_version_stays(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        path = f"/pipelines/{pipeline}/edit"
        text = written({**IR, "metadata": {"name": "other"}})
        done = people.editor.post(path, data={"text": text, "based_on": "1", "publish": "false"})
        assert "Runs still use version 1" in people.editor.get(done.headers["location"]).text
        assert live(facade, pipeline)["version"] == 1
        assert text_of(people.editor.get(path).text) == text
        assert text_of(people.editor.get(f"{path}?version=1").text) == written(IR)

    def test_problems_have_lines_hints_and_meanings_while_somebody_types(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline(ir=checked_ir())["id"]
        changed = checked_ir()
        changed["nodes"][1]["rowLevel"][0]["field"] = "amonut"
        text = written(changed)
        part = people.editor.post(f"/pipelines/{pipeline}/edit/problems", data={"text": text}).text
        assert "amonut" in part
        lines = [int(e.attributes["data-line"]) for e in elements(part, "button") if "data-line" in e.attributes]
        assert "amonut" in text.splitlines()[lines[0] - 1]
        assert "problem" in part
        assert "check" in part  # the node that differs from the live version
        good = people.editor.post(f"/pipelines/{pipeline}/edit/problems", data={"text": written(checked_ir())}).text
        assert "It can be saved" in good
        assert "No change." in good

    def test_a_long_text_is_checked_only_when_that_is_asked_for(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        text = written(IR) + "#" * MAX_LIVE_CHARACTERS
        path = f"/pipelines/{pipeline}/edit/problems"
        assert "not checked while you type" in people.editor.post(path, data={"text": text}).text
        assert "It can be saved" in people.editor.post(path, data={"text": text, "now": "true"}).text

    def test_checks_leave_no_trace_in_the_audit_log(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        before = facade.admin.get(f"{BASE_PATH}/audit-logs").json()["total"]
        for part in ("problems", "difference"):
            assert people.editor.post(f"/pipelines/{pipeline}/edit/{part}", data={"text": "a: 1"}).status_code == 200
        assert facade.admin.get(f"{BASE_PATH}/audit-logs").json()["total"] == before

    def test_a_refused_text_stays_in_the_page_with_the_reason(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        for text, reason in (("kind: [", "Nothing was saved"), ("kind: pipeline\nnodes: []\n", "is not valid")):
            form = {"text": text, "based_on": "1", "comment": "why"}
            refused = people.editor.post(f"/pipelines/{pipeline}/edit", data=form)
            assert refused.status_code == 400
            assert reason in refused.text
            assert text_of(refused.text) == text
            assert field(refused.text, "comment") == "why"
        assert live(facade, pipeline)["version"] == 1

    def test_a_conflict_shows_both_texts_and_can_be_resolved(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        path = f"/pipelines/{pipeline}/edit"
        theirs, mine = ({**IR, "metadata": {"name": name}} for name in ("theirs", "mine"))
        saved = facade.admin.post(f"{BASE_PATH}/pipelines/{pipeline}/ir", json={"ir": theirs, "comment": "hurry"})
        assert saved.status_code == 201
        form = {"text": written(mine), "based_on": "1", "comment": "calm", "publish": "true"}
        conflict = people.editor.post(path, data=form)
        assert conflict.status_code == 409
        assert text_of(conflict.text) == written(mine)
        for said in ("its newest version is 2", "by admin", "hurry", "name: theirs"):
            assert said in conflict.text
        assert live(facade, pipeline)["ir"] == theirs
        again = form | {"based_on": field(conflict.text, "based_on")}
        assert people.editor.post(path, data=again).status_code == 303
        assert live(facade, pipeline)["ir"] == mine

    def test_what_could_double_rows_is_saved_only_with_a_confirmation(self, facade: Facade, people: People) -> None:
        made = facade.pipeline()
        schema = facade.viewer.get(f"{BASE_PATH}/schemas/{made['schemaId']}").json()
        facade.editor.post(f"{BASE_PATH}/schemas/{schema['id']}/data", json={"rows": [{"amount": 1}]})
        source, target = IR["nodes"]
        text = written({**IR, "nodes": [source, {**target, "loadMode": "truncate"}]})
        path = f"/pipelines/{made['id']}/edit"
        asked = people.editor.post(path, data={"text": text, "based_on": "1", "publish": "true"})
        assert asked.status_code == 400
        assert [e for e in elements(asked.text, "input") if e.attributes.get("name") == "confirm"]
        assert "Needs a confirmation" in people.editor.post(f"{path}/problems", data={"text": text}).text
        done = people.editor.post(path, data={"text": text, "based_on": "1", "publish": "true", "confirm": "true"})
        assert done.status_code == 303
        assert live(facade, made["id"])["version"] == 2

    def test_viewers_read_the_text_and_have_no_form(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        page = people.viewer.get(f"/pipelines/{pipeline}/edit").text
        assert "loadMode: append" in page
        assert not [e for e in elements(page, "form") if "edit" in e.attributes.get("action", "")]
        assert not list(elements(page, "textarea"))

    def test_the_difference_is_shown_line_by_line(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        text = written({**IR, "metadata": {"name": "other"}})
        part = people.editor.post(f"/pipelines/{pipeline}/edit/difference", data={"text": text}).text
        assert '<td class="removed">  name: orders</td>' in part
        assert '<td class="added">  name: other</td>' in part
