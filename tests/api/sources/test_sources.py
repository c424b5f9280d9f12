"""Columns last found in a pipeline's sources: they are used to check documents, and changes are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.catalog.found_columns import Seen, source_key
from headrace.ir.schema import Field
from tests.api.conftest import IR, Facade, error_of

pytestmark = pytest.mark.postgres


def document(rule: str = "amount", **changes: Any) -> dict[str, Any]:
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}}
    check = {
        "id": "check",
        "kind": "validate",
        "input": "src",
        "rowLevel": [{"id": "positive", "field": rule, "rule": "gt:0", "onFail": "skip"}],
    }
    target = {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_orders", "loadMode": "append"}
    return {**IR, "nodes": [source | changes, check, target]}


@pytest.fixture
def files(facade: Facade, tmp_path: Path) -> Iterator[Path]:
    services = facade.app.state.services
    changed = services.settings.model_copy(update={"files_root": tmp_path})
    facade.app.state.services = replace(services, settings=changed)
    (tmp_path / "orders.csv").write_text("amount,note\n1,a\n2,b\n")
    yield tmp_path
    facade.app.state.services = replace(facade.app.state.services, settings=services.settings)


@pytest.fixture
def path(facade: Facade, files: Path) -> str:
    return f"{BASE_PATH}/pipelines/{facade.pipeline(ir=document())['id']}"


def source(facade: Facade, path: str) -> dict[str, Any]:
    [found] = facade.viewer.get(f"{path}/sources").json()["data"]
    return dict(found)


def test_nobody_has_looked_yet(facade: Facade, path: str) -> None:
    found = source(facade, path)
    assert (found["node"], found["columns"], found["foundAt"], found["changes"]) == ("src", None, None, [])
    assert facade.editor.post(f"{path}/ir", json={"ir": document("amuont")}).status_code == 201
    lineage = facade.viewer.get(f"{path}/ir/lineage").json()
    assert (lineage["targets"], "foundAt" in lineage) == ([], False)


@pytest.mark.parametrize("how", ["plan", "preview"])
def test_what_a_plan_finds_refuses_a_misspelt_column(facade: Facade, path: str, how: str) -> None:
    assert facade.viewer.post(f"{path}/plan").status_code == 200
    assert facade.editor.post(f"{path}/{how}").status_code == 200
    found = source(facade, path)
    assert [(each["name"], each["dataType"], each["guessed"]) for each in found["columns"]] == [
        ("amount", "integer", True),
        ("note", "text", True),
    ]
    assert found["foundBy"] == how
    wrong = document("amuont")
    error = error_of(facade.editor.post(f"{path}/ir", json={"ir": wrong}), 400)
    [problem] = error["details"]
    assert (problem["path"], problem["code"]) == ("nodes[1].rowLevel[0].field", "unknown_column")
    assert "did you mean 'amount'?" in problem["hint"]
    assert "the columns of 'src' as found at 20" in problem["message"]
    checked = facade.viewer.post(f"{BASE_PATH}/ir/validate", params={"pipelineId": path[-37:]}, json=wrong).json()
    assert (checked["valid"], checked["issues"]) == (False, [problem])
    assert facade.viewer.post(f"{BASE_PATH}/ir/validate", json=wrong).json()["valid"] is True
    assert facade.viewer.post(f"{path}/ir/check", json={"ir": wrong}).json()["issues"] == [problem]
    confirmed = facade.editor.post(f"{path}/ir", params={"confirm": "true"}, json={"ir": wrong})
    assert (confirmed.status_code, confirmed.json()["warnings"]) == (201, [problem])
    assert "warnings" not in facade.viewer.get(f"{path}/ir").json()


def test_another_name_or_type_is_only_a_warning(facade: Facade, path: str) -> None:
    facade.viewer.post(f"{path}/plan")
    saved = facade.editor.post(f"{path}/ir", json={"ir": document("brand_new_thing")})
    assert saved.status_code == 201
    assert [each["code"] for each in saved.json()["warnings"]] == ["unknown_column"]
    assert "warnings" not in facade.editor.post(f"{path}/ir", json={"ir": document()}).json()


def test_another_config_was_not_looked_at(facade: Facade, path: str) -> None:
    facade.viewer.post(f"{path}/plan")
    other = document("amuont", config={"path": "others.csv"})
    assert facade.editor.post(f"{path}/ir", json={"ir": other}).status_code == 201
    assert source(facade, path)["columns"] is None


def test_a_plan_that_fails_remembers_what_it_found(facade: Facade, path: str, files: Path) -> None:
    (files / "orders.csv").write_text("total,note\n1,a\n")
    error_of(facade.viewer.post(f"{path}/plan"), 422)
    assert [each["name"] for each in source(facade, path)["columns"]] == ["total", "note"]


def test_discovery_looks_for_the_nodes_that_read_it(facade: Facade, path: str) -> None:
    connector = facade.viewer.get(path).json()["connectorId"]
    found = facade.editor.get(f"{BASE_PATH}/connectors/{connector}/stream", params={"name": "orders.csv"})
    assert found.status_code == 200
    assert source(facade, path)["foundBy"] == "discover"
    lineage = facade.viewer.get(f"{path}/ir/lineage").json()
    assert lineage["targets"][0]["fields"][0]["inputFields"][0]["field"] == "amount"
    assert list(lineage["foundAt"]) == ["src"]


@pytest.mark.parametrize(("contract", "status"), [("freeze", 422), ("discard_value", 200)])
def test_a_plan_for_a_frozen_table_fails_when_a_column_is_gone(
    facade: Facade, path: str, files: Path, contract: str, status: int
) -> None:
    nodes = [document()["nodes"][0], document()["nodes"][2] | {"input": "src", "schemaContract": contract}]
    assert facade.editor.post(f"{path}/ir", json={"ir": {**IR, "nodes": nodes}}).status_code == 201
    columns = (Field("id", "integer"), Field("amount", "integer"))
    remember_run(facade, path, Seen("src", key_of_source(facade, path), columns))
    (files / "orders.csv").write_text("id\n1\n")
    answer = facade.viewer.post(f"{path}/plan")
    assert (answer.status_code, "has no column 'amount' any more" in answer.text) == (status, status == 422)


def key_of_source(facade: Facade, path: str) -> str:
    connector = facade.viewer.get(f"{BASE_PATH}/connectors/{facade.viewer.get(path).json()['connectorId']}").json()

    class Record:
        id, config = connector["id"], connector["config"]

    return source_key(document()["nodes"][0], Record())


def remember_run(facade: Facade, path: str, seen: Seen) -> None:
    pipeline = facade.viewer.get(path).json()["id"]
    assert facade.store.sources.found(pipeline, "run_1", [seen]) == {}
    facade.store.sources.ran(pipeline, "run_1", [seen])


def test_what_has_changed_since_the_last_run_is_shown(facade: Facade, path: str) -> None:
    columns = (Field("amount", "decimal", 8, 2), Field("gone", "text"))
    remember_run(facade, path, Seen("src", key_of_source(facade, path), columns))
    assert source(facade, path)["changes"] == []
    facade.viewer.post(f"{path}/plan")
    found = source(facade, path)
    assert (found["lastRunId"], found["foundBy"]) == ("run_1", "plan")
    assert found["changes"] == [
        {"name": "amount", "before": "decimal(8, 2)", "after": "integer"},
        {"name": "gone", "before": "text", "after": None},
        {"name": "note", "before": None, "after": "text"},
    ]
