"""The guided way to a pipeline: from a connector to what it has, its columns and a table; and from a document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.api.connectors.stream_schemas import StreamField, StreamItem
from headrace.api.console.document_text import written
from headrace.api.console.guided_document import ColumnChoice, document_of, proposed, table_for
from headrace.api.errors import ApiError
from headrace.ir import parse_ir
from tests.api.conftest import IR, Facade, created
from tests.api.console.looking import with_files
from tests.api.console.people import People, elements


def choice(name: str, into: str = "", **facts: Any) -> ColumnChoice:
    given: dict[str, Any] = {"data_type": "text", "precision": None, "scale": None, "used": True, "key": False}
    return ColumnChoice(name=name, into=into or name, **{**given, **facts})


def test_the_document_drops_what_is_not_loaded_and_maps_what_has_another_name() -> None:
    columns = [
        choice("id", data_type="bigint", key=True),
        choice("Amount due", "amount", data_type="decimal", precision=18, scale=2),
        choice("note", used=False),
    ]
    document = document_of("orders", "postgresql", {"table": "shop.orders"}, columns, "ds_orders", "upsert")
    parsed = parse_ir(document)
    assert parsed.ir is not None, parsed.problems
    source, dropped, target = document["nodes"]
    assert source["fields"][1] == {"name": "Amount due", "dataType": "decimal", "precision": 18, "scale": 2}
    assert dropped["ops"] == [{"type": "drop", "fields": ["note"]}]
    assert (target["input"], target["upsertKey"]) == ("columns", ["id"])
    assert target["mapping"] == {"amount": "Amount due"}
    fields = table_for("orders", columns).fields
    assert [(each.name, each.data_type, each.is_primary_key) for each in fields] == [
        ("id", "bigint", True),
        ("amount", "decimal", False),
    ]


def test_updating_by_key_needs_a_key() -> None:
    with pytest.raises(ApiError, match="needs a key"):
        document_of("x", "local_fs", {}, [choice("a")], "x", "upsert")
    with pytest.raises(ApiError, match="not a load mode"):
        document_of("x", "local_fs", {}, [choice("a")], "x", "cdc_mirror")


def test_names_that_a_table_cannot_have_are_proposed_as_others_without_a_collision() -> None:
    names = ["Amount due", "amount_due", "1st", "x" * 80]
    fields = [StreamField(name=each, data_type="text") for each in names]
    stream = StreamItem(
        name="s", kind="table", settings={}, format=None, size=None, rows=None, key=["1st"], comment="", fields=fields,
        guessed=[],
    )  # fmt: skip
    columns = proposed(stream, None)
    into = [each.into.lower() for each in columns]
    assert len(set(into)) == len(names)
    assert all(len(each.encode()) <= 63 for each in into)
    assert [each.key for each in columns] == [False, False, True, False]
    table_for("t", columns)


def form_of(html: str) -> dict[str, str]:
    """The form as a browser would send it."""
    form: dict[str, str] = {}
    select = ""
    for each in elements(html):
        given = each.attributes
        if each.tag == "input" and "name" in given:
            if given.get("type") in ("checkbox", "radio") and "checked" not in given:
                continue
            form[given["name"]] = given.get("value", "")
        elif each.tag == "select":
            select = given["name"]
        elif each.tag == "option" and "selected" in given:
            form[select] = given.get("value", "")
    return form


@pytest.mark.postgres
class TestGuided:
    @pytest.fixture
    def looking(self, facade: Facade, tmp_path: Path) -> Iterator[Facade]:
        with with_files(facade, tmp_path) as found:
            yield found

    @pytest.fixture
    def files(self, looking: Facade) -> str:
        body = {"name": "drop", "type": "local_fs", "config": {"basePath": "in"}}
        return str(created(looking.editor, f"{BASE_PATH}/connectors", body)["id"])

    def test_from_a_file_to_the_editor(self, looking: Facade, people: People, files: str) -> None:
        first = people.editor.get("/pipelines/new").text
        assert f"/pipelines/new?connector={files}" in first
        streams = people.editor.get("/pipelines/new/streams", params={"connector": files, "filter": "ORD"}).text
        assert f"/pipelines/new?connector={files}&amp;stream=orders.csv" in streams
        assert "customers" not in streams
        columns = people.editor.get("/pipelines/new/columns", params={"connector": files, "stream": "orders.csv"}).text
        form = form_of(columns)
        assert (form["table"], form["name"], form["mode"]) == ("orders", "orders", "append")
        assert (form["name.1"], form["into.1"], form["use.1"]) == ("Amount due", "Amount_due", "1")
        form |= {"into.1": "amount", "type.1": "decimal(18,2)", "key.0": "1", "mode": "upsert", "name": "nightly"}
        del form["use.2"]
        refused = people.editor.post("/pipelines/new", data=form | {"table": ""}, headers={"HX-Request": "true"})
        assert refused.status_code == 400
        assert "<html" not in refused.text  # it is shown in the form, which stays as it is
        made = people.editor.post("/pipelines/new", data=form, headers={"HX-Request": "true"})
        assert made.status_code == 204, made.text
        place = made.headers["HX-Redirect"]
        assert place.endswith("/edit")
        assert "upsertKey" in people.editor.get(place).text
        pipeline = looking.viewer.get(f"{BASE_PATH}{place.removesuffix('/edit')}").json()
        assert (pipeline["name"], pipeline["status"], pipeline["lastRunAt"]) == ("nightly", "draft", None)
        schema = looking.viewer.get(f"{BASE_PATH}/schemas/{pipeline['schemaId']}").json()
        assert [(each["name"], each["isPrimaryKey"]) for each in schema["fields"]] == [("id", True), ("amount", False)]
        [_, dropped, target] = looking.viewer.get(f"{BASE_PATH}/pipelines/{pipeline['id']}/ir").json()["ir"]["nodes"]
        assert (dropped["ops"][0]["fields"], target["mapping"]) == (["note"], {"amount": "Amount due"})
        plan = looking.editor.post(f"{BASE_PATH}/pipelines/{pipeline['id']}/plan", json={}).json()
        assert plan["estimatedRows"] == 2, plan

    @pytest.mark.parametrize(("mark", "option"), [(";", ";"), ("\t", "tab"), ("|", "|")])
    def test_values_that_other_marks_separate_are_found_and_the_document_says_so(
        self, looking: Facade, people: People, files: str, tmp_path: Path, mark: str, option: str
    ) -> None:
        (tmp_path / "in" / "marks.csv").write_text(f"id{mark}Amount due\n1{mark}2\n")
        query = {"connector": files, "stream": "marks.csv"}
        form = form_of(people.editor.get("/pipelines/new/columns", params=query).text)
        assert [form[f"name.{n}"] for n in range(2)] == ["id", "Amount due"]
        assert json.loads(form["settings"])["options"] == {"delimiter": option}
        place = people.editor.post("/pipelines/new", data=form).headers["location"].removesuffix("/edit")
        plan = looking.editor.post(f"{BASE_PATH}{place}/plan", json={}).json()
        assert plan["estimatedRows"] == 1, plan
        by_commas = people.editor.get("/pipelines/new/columns", params={**query, "separator": ","}).text
        assert "name.1" not in form_of(by_commas)  # whoever chooses, is not overruled

    def test_the_names_that_it_proposes_are_free(self, looking: Facade, people: People, files: str) -> None:
        query = {"connector": files, "stream": "orders.csv"}
        for name in ("orders", "orders_2", "orders_3"):
            form = form_of(people.editor.get("/pipelines/new/columns", params=query).text)
            assert (form["name"], form["table"]) == (name, name)
            assert people.editor.post("/pipelines/new", data=form).status_code == 303

    def test_a_folder_is_opened_or_read_as_a_whole(self, looking: Facade, people: People) -> None:
        whole = created(looking.editor, f"{BASE_PATH}/connectors", {"name": "all", "type": "local_fs", "config": {}})
        query = {"connector": whole["id"]}
        page = people.editor.get("/pipelines/new/streams", params=query).text
        [opens] = [e.attributes["hx-get"] for e in elements(page, "button") if "filter=in" in e.attributes["hx-get"]]
        assert "in/orders.csv" in people.editor.get(opens).text
        assert f"connector={whole['id']}&amp;stream=in" in page

    def test_into_a_table_that_exists(self, looking: Facade, people: People, files: str) -> None:
        fields = [{"name": "ID", "dataType": "bigint"}, {"name": "amount_due", "dataType": "decimal"}]
        body = {"name": "there", "displayName": "There", "fields": fields}
        schema = created(looking.editor, f"{BASE_PATH}/schemas", body)
        query = {"connector": files, "stream": "orders.csv", "schema": schema["id"]}
        form = form_of(people.editor.get("/pipelines/new/columns", params=query).text)
        loaded = {form[f"name.{n}"]: form.get(f"into.{n}", "") for n in range(3) if f"use.{n}" in form}
        assert {name: into.lower() for name, into in loaded.items()} == {"id": "id", "Amount due": "amount_due"}

    def test_what_is_refused_leaves_no_table_behind(self, looking: Facade, people: People, files: str) -> None:
        query = {"connector": files, "stream": "orders.csv"}
        form = form_of(people.editor.get("/pipelines/new/columns", params=query).text)
        for change, reason in (
            ({"name": "x" * 300}, "at most 200"),
            ({"mode": "upsert"}, "needs a key"),
            ({"type.0": "money"}, "is not a type"),
            ({"settings": "[1]"}, "are not an object"),
            ({"into.0": "note"}, "note"),
            ({f"into.{n}": "" for n in range(3)}, "No column is chosen"),
        ):
            refused = people.editor.post("/pipelines/new", data=form | change)
            assert refused.status_code == 400, change
            assert reason in refused.text
        assert looking.viewer.get(f"{BASE_PATH}/schemas").json()["data"] == []
        assert looking.viewer.get(f"{BASE_PATH}/pipelines").json()["data"] == []

    def test_a_source_that_cannot_be_looked_at_says_why(self, looking: Facade, people: People) -> None:
        body = {"name": "gone", "type": "local_fs", "config": {"basePath": "nowhere"}}
        gone = created(looking.editor, f"{BASE_PATH}/connectors", body)["id"]
        headers = {"HX-Request": "true"}
        part = people.editor.get("/pipelines/new/streams", params={"connector": gone}, headers=headers)
        assert part.status_code == 422
        assert "nowhere" in part.text
        assert "<html" not in part.text


@pytest.mark.postgres
def test_from_a_document(facade: Facade, people: People) -> None:
    like = facade.pipeline()
    page = people.editor.get("/pipelines/new/document").text
    assert like["connectorId"] in page
    good = written(IR)
    assert "It can be saved" in people.editor.post("/pipelines/new/problems", data={"text": good}).text
    form = {"text": good, "connector": like["connectorId"], "schema": like["schemaId"], "name": "second"}
    refused = people.editor.post("/pipelines/new/document", data=form | {"text": "kind: ["})
    assert refused.status_code == 400
    assert "kind: [" in refused.text
    taken = people.editor.post("/pipelines/new/document", data=form | {"name": "orders"})
    assert taken.status_code == 409
    assert "already" in taken.text
    made = people.editor.post("/pipelines/new/document", data=form)
    assert made.status_code == 303
    assert people.editor.get(made.headers["location"]).status_code == 200
