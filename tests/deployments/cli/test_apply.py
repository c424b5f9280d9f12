"""`headrace apply`: changes are shown, made once, pruned by set; losses need a confirmation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.api.app import BASE_PATH
from headrace.deployments.cli.apply.set_names import set_name_for
from headrace.deployments.cli.documents.yaml_format import write_yaml
from headrace.deployments.cli.output import EXIT_ATTENTION
from tests.api.conftest import Facade, created
from tests.api.legacy_pipeline import LEGACY
from tests.deployments.cli.catalog_state import state
from tests.deployments.cli.conftest import CONNECTOR, SCHEMA, Terminal, pipeline_document

pytestmark = pytest.mark.postgres


class Files:
    """A folder of documents; `write` replaces them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, *documents: dict[str, Any]) -> None:
        (self.folder / "all.yaml").write_text("---\n".join(write_yaml(each) for each in documents))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    found.write(pipeline_document(), SCHEMA, CONNECTOR)
    return found


def changes(headrace: Terminal, *arguments: str | Path, **environment: str) -> list[tuple[str, str, str]]:
    """What a dry run would do, from its JSON."""
    result = headrace("apply", "-f", *arguments, "--dry-run", "--json", code=EXIT_ATTENTION, **environment)
    return [(each["action"], each["kind"], each["name"]) for each in json.loads(result.stdout)["changes"]]


def names(facade: Facade, collection: str) -> set[str]:
    return {each["name"] for each in facade.viewer.get(f"{BASE_PATH}/{collection}").json()["data"]}


def test_what_is_not_there_is_made_in_the_order_it_needs_and_then_there_is_nothing_to_do(
    headrace: Terminal, facade: Facade, files: Files
) -> None:
    expected = [("create", "connector", "files"), ("create", "schema", "orders"), ("create", "pipeline", "Orders")]
    assert changes(headrace, files.folder) == expected
    assert names(facade, "connectors") == set()
    result = headrace("apply", "-f", files.folder)
    assert "3 to create, 0 to update, 0 to delete" in result.output
    assert names(facade, "pipelines") == {"Orders"}
    for arguments in ((), ("--dry-run",), ("--prune", "--dry-run")):
        assert "nothing to do" in headrace("apply", "-f", files.folder, *arguments).output


def test_changes_are_shown_in_words_and_made(headrace: Terminal, facade: Facade, files: Files) -> None:
    headrace("apply", "-f", files.folder)
    amount = {"name": "amount", "dataType": "bigint", "description": "in cents"}
    schema = SCHEMA | {"description": "Sold", "fields": [SCHEMA["fields"][0], amount, {"name": "note"}]}
    pipeline = pipeline_document(executionConfig={"parallelism": 2}, schedule={"kind": "interval", "minutes": 5})
    pipeline["nodes"][0]["config"] = {"path": "new.csv"}
    files.write(CONNECTOR | {"config": {"basePath": "in"}}, schema, pipeline)
    shown = headrace("apply", "-f", files.folder, "--dry-run", code=EXIT_ATTENTION).output
    for line in (
        "~ connector files",
        "config.basePath added: in",
        "description: null → Sold",
        "field amount.dataType: integer → bigint",
        "field note added: varchar",
        "executionConfig.parallelism added: 2",
        "node src changed: config.path: orders.csv → new.csv",
        "ir changed: schedule added: interval (minutes 5)",
        "0 to create, 3 to update, 0 to delete",
    ):
        assert line in shown
    headrace("apply", "-f", files.folder)
    assert "nothing to do" in headrace("apply", "-f", files.folder).output
    [item] = facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"]
    assert item["executionConfig"] == {"parallelism": 2}
    found = facade.viewer.get(f"{BASE_PATH}/pipelines/{item['id']}/ir").json()
    assert (found["version"], found["live"], found["comment"]) == (2, True, "headrace apply")


def test_files_say_what_is_live_whatever_was_saved_besides(
    headrace: Terminal, facade: Facade, files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    live = tmp_path_factory.mktemp("live") / "all.yaml"
    headrace("apply", "-f", files.folder)
    files.write(pipeline_document(schedule={"kind": "interval", "minutes": 5}), SCHEMA, CONNECTOR)
    headrace("apply", "-f", files.folder)
    [item] = facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"]
    path = f"{BASE_PATH}/pipelines/{item['id']}/ir"
    assert facade.editor.post(f"{path}/publish", json={"version": 1}).is_success
    live.write_text(headrace("export").stdout)
    assert "nothing to do" in headrace("apply", "-f", live, "--dry-run").output
    assert "ir changed: schedule" in headrace("apply", "-f", files.folder).output
    versions = facade.viewer.get(f"{path}/versions").json()
    assert (len(versions), facade.viewer.get(path).json()["live"]) == (2, True)


def test_an_ir_that_is_saved_and_not_live_is_published(headrace: Terminal, facade: Facade, files: Files) -> None:
    headrace("apply", "-f", files.folder)
    old = facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"][0]
    document = pipeline_document("Returns", description="later")
    kept = {name: document[name] for name in ("kind", "version", "id", "metadata", "nodes")}
    made = created(
        facade.editor,
        f"{BASE_PATH}/pipelines",
        LEGACY | {"name": "Returns", "connectorId": old["connectorId"], "schemaId": old["schemaId"]},
    )
    path = f"{BASE_PATH}/pipelines/{made['id']}/ir"
    assert facade.editor.post(path, json={"ir": kept}, params={"publish": "false"}).is_success
    files.write(pipeline_document(), document, SCHEMA, CONNECTOR)
    assert "no version of this IR is live: publish it" in headrace("apply", "-f", files.folder).output
    assert facade.viewer.get(path).json()["live"]
    assert "nothing to do" in headrace("apply", "-f", files.folder).output


def test_a_pipeline_is_paused_by_files_and_left_alone_by_files_that_do_not_say(
    headrace: Terminal, facade: Facade, files: Files
) -> None:
    def status() -> str:
        return str(facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"][0]["status"])

    every = {"schedule": {"kind": "interval", "minutes": 5}}
    files.write(pipeline_document(active=False, **every), SCHEMA, CONNECTOR)
    headrace("apply", "-f", files.folder)
    assert status() == "paused"
    assert "active: false" in headrace("export").stdout
    files.write(pipeline_document(**every), SCHEMA, CONNECTOR)
    assert "nothing to do" in headrace("apply", "-f", files.folder).output
    files.write(pipeline_document(active=True, **every), SCHEMA, CONNECTOR)
    assert "active: false → true" in headrace("apply", "-f", files.folder).output
    assert status() == "draft"
    assert "nothing to do" in headrace("apply", "-f", files.folder).output


def test_nothing_is_lost_without_confirmation(headrace: Terminal, facade: Facade, files: Files) -> None:
    headrace("apply", "-f", files.folder)
    narrow = {"name": "amount", "dataType": "smallint"}
    files.write(pipeline_document(description="new"), SCHEMA | {"fields": [SCHEMA["fields"][0], narrow]}, CONNECTOR)
    message = headrace.fails("apply", "-f", files.folder)
    assert "nothing was changed" in message
    assert "values of 'amount'" in message
    [item] = facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"]
    assert item["description"] is None
    assert "loses values of 'amount'" in headrace("apply", "-f", files.folder, "--confirm").output
    files.write(pipeline_document(description="new"), SCHEMA | {"fields": [SCHEMA["fields"][0]]}, CONNECTOR)
    assert "the values of 'amount'" in headrace.fails("apply", "-f", files.folder)
    headrace("apply", "-f", files.folder, "--confirm")
    assert "nothing to do" in headrace("apply", "-f", files.folder).output


def test_pruning_deletes_what_files_brought_and_nothing_else(
    headrace: Terminal, facade: Facade, files: Files, tmp_path: Path
) -> None:
    created(facade.editor, f"{BASE_PATH}/connectors", {"name": "by hand", "type": "local_fs"})
    other = tmp_path / "other"
    other.mkdir()
    Files(other).write(CONNECTOR | {"name": "of another set"})
    headrace("apply", "-f", other / "all.yaml", "--set", "other")
    headrace("apply", "-f", files.folder / "all.yaml")
    files.write(CONNECTOR)
    kept = headrace("apply", "-f", files.folder / "all.yaml")
    assert "nothing to do" in kept.output
    assert "pipeline Orders, schema orders; --prune deletes them" in kept.output
    all_file = files.folder / "all.yaml"
    assert changes(headrace, all_file, "--prune") == [("delete", "pipeline", "Orders"), ("delete", "schema", "orders")]
    assert "the table ds_orders with its rows" in headrace.fails("apply", "-f", all_file, "--prune")
    headrace("apply", "-f", all_file, "--prune", "--confirm")
    assert names(facade, "pipelines") == names(facade, "schemas") == set()
    assert names(facade, "connectors") == {"by hand", "files", "of another set"}
    assert "nothing to do" in headrace("apply", "-f", all_file, "--prune").output


def test_what_cannot_be_done_is_reported_at_once_and_before_anything_is(
    headrace: Terminal, facade: Facade, files: Files
) -> None:
    headrace("apply", "-f", files.folder)
    wrong = pipeline_document("Bills", schema="odrers")
    check = {"id": "v", "kind": "validate", "input": "src"}
    check["rowLevel"] = [{"id": "r", "field": "nope", "rule": "gt:0"}]  # type: ignore[assignment]
    source, target = wrong["nodes"]
    source["fields"] = [{"name": "amount", "dataType": "integer"}]
    wrong["nodes"] = [source, check, target | {"input": "v"}]
    keyed = [{"name": "id", "dataType": "bigint"}, {"name": "k", "dataType": "bigint", "isPrimaryKey": True}]
    files.write(
        CONNECTOR | {"type": "csv_upload"},
        SCHEMA | {"fields": keyed},
        wrong,
        CONNECTOR | {"name": "new"},
        pipeline_document(),
    )
    message = headrace.fails("apply", "-f", files.folder)
    for part in (
        "type: The type of a connector cannot change",
        "fields[0].isPrimaryKey: The primary key cannot change",
        "fields[1].isPrimaryKey: The primary key is fixed",
        "schema: There is no schema 'odrers'",
        "did you mean 'orders'?",
        "nodes[1].rowLevel[0]",
    ):
        assert part in message
    assert names(facade, "connectors") == {"files"}


def test_secrets_come_from_the_environment_and_are_sent_again_only_when_asked(
    headrace: Terminal, facade: Facade, files: Files
) -> None:
    database = {"kind": "connector", "name": "shop db", "type": "postgresql", "authMethod": "basic"}
    database["config"] = {"host": "db.example", "port": 5432, "database": "shop"}  # type: ignore[assignment]
    database["authConfig"] = {"username": "reader", "password": "${SHOP_PASSWORD}"}  # type: ignore[assignment]
    files.write(database)
    missing = headrace.fails("apply", "-f", files.folder)
    assert "all.yaml:" in missing
    assert "authConfig.password: The environment has no variable SHOP_PASSWORD" in missing
    result = headrace("apply", "-f", files.folder, SHOP_PASSWORD="correct horse")
    assert "correct horse" not in result.output

    def sealed() -> bytes:
        with facade.engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT auth_sealed FROM headrace.connectors").scalar_one()
        return bytes(found)

    first = sealed()
    assert "nothing to do" in headrace("apply", "-f", files.folder, SHOP_PASSWORD="another").output
    assert sealed() == first
    assert "credentials: sent again" in headrace("apply", "-f", files.folder, "--secrets", SHOP_PASSWORD="x").output
    assert sealed() != first


def test_an_export_is_applied_without_a_difference_and_holds_no_secret(
    headrace: Terminal, facade: Facade, files: Files, tmp_path: Path
) -> None:
    legacy = facade.pipeline("by hand", irVersion=None, ir=None, schema={"name": "hand"})
    facade.pipeline("Named apart", schema={"name": "apart", "entityType": "thing", "autoEnrich": True})
    body: dict[str, Any] = {"name": "shop db", "type": "postgresql", "authMethod": "basic"}
    body["config"] = {"host": "db.example", "port": 5432, "database": "${literally}"}
    body["authConfig"] = {"username": "u", "password": "correct horse"}
    created(facade.editor, f"{BASE_PATH}/connectors", body)
    fields = [
        {"name": "price", "dataType": "decimal", "precision": 12, "scale": 2, "isNullable": False, "defaultValue": 0},
        {"name": "code", "dataType": "varchar", "length": 10, "isUnique": True, "displayName": "The code"},
    ]
    files.write(pipeline_document(), SCHEMA | {"fields": SCHEMA["fields"] + fields}, CONNECTOR)
    headrace("apply", "-f", files.folder)
    secrets = {"SHOP_DB_USERNAME": "u", "SHOP_DB_PASSWORD": "correct horse"}
    result = headrace("export", "-o", tmp_path / "out")
    assert f"pipeline {legacy['name']} has legacy nodes" in result.output
    exported = "".join(each.read_text() for each in (tmp_path / "out").iterdir())
    assert "correct horse" not in exported
    assert "${SHOP_DB_PASSWORD}" in exported
    applied = headrace("apply", "-f", tmp_path / "out", "--dry-run", **secrets)
    assert "nothing to do" in applied.output
    (tmp_path / "all.json").write_text(headrace("export", "--json").stdout)
    (tmp_path / "all.yml").write_text(headrace("export").stdout)
    for name in ("all.json", "all.yml"):
        assert "nothing to do" in headrace("apply", "-f", tmp_path / name, "--dry-run", **secrets).output


def test_what_was_done_before_a_refusal_belongs_to_the_files(headrace: Terminal, facade: Facade, files: Files) -> None:
    """A table in use cannot be tried, so what is before it in the files is done when it refuses."""
    files.write(SCHEMA)
    headrace("apply", "-f", files.folder)
    files.write(CONNECTOR, SCHEMA | {"fields": [*SCHEMA["fields"], {"name": "more", "dataType": "text"}]})
    with facade.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE public.ds_orders IN ROW EXCLUSIVE MODE")
        assert headrace.fails("apply", "-f", files.folder).startswith("update schema orders: ")
    mine = {"name": set_name_for([files.folder])}
    owned = facade.viewer.get(f"{BASE_PATH}/applied-sets", params=mine).json()["objects"]
    assert sorted(each["kind"] for each in owned) == ["connector", "schema"]
    assert "0 to create, 1 to update" in headrace("apply", "-f", files.folder).output


def test_what_the_server_would_refuse_is_refused_before_anything_is_changed(
    headrace: Terminal, facade: Facade, files: Files
) -> None:
    with facade.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE public.ds_orders (x int)")
    before = state(facade)
    try:
        message = headrace.fails("apply", "-f", files.folder)
        assert "nothing was changed" in message
        assert "create schema orders: The table public.ds_orders exists already" in message
        assert state(facade) == before
    finally:
        with facade.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE public.ds_orders")


def test_a_key_or_role_that_will_not_do_says_so(headrace: Terminal, facade: Facade, files: Files) -> None:
    assert "not valid" in headrace.fails("apply", "-f", files.folder, HEADRACE_API_KEY="hr_nonsense")
    viewer = str(facade.viewer.headers["X-API-Key"])
    assert len(changes(headrace, files.folder, HEADRACE_API_KEY=viewer)) == 3
    assert "may not do this" in headrace.fails("apply", "-f", files.folder, HEADRACE_API_KEY=viewer)


def test_a_change_of_load_mode_is_shown_confirmed_and_made(
    headrace: Terminal, facade: Facade, files: Files, facade_url: str
) -> None:
    headrace("apply", "-f", files.folder)
    [schema] = facade.viewer.get(f"{BASE_PATH}/schemas").json()["data"]
    with psycopg.connect(facade_url, autocommit=True) as connection:
        connection.execute(f"INSERT INTO public.{schema['tableName']} (id) VALUES (1)")
    replacing = pipeline_document()
    replacing["nodes"][-1]["loadMode"] = "replace"
    files.write(replacing, SCHEMA, CONNECTOR)
    shown = headrace("apply", "-f", files.folder, "--dry-run", code=EXIT_ATTENTION).output
    assert "the next run replaces all rows that are in public.ds_orders (needs --confirm)" in shown
    assert "--confirm" in str(headrace("apply", "-f", files.folder, code=1).exception)
    headrace("apply", "-f", files.folder, "--confirm")
    assert "nothing to do" in headrace("apply", "-f", files.folder).output


def test_columns_that_were_found_are_those_a_change_is_checked_by(
    headrace: Terminal, facade: Facade, files: Files
) -> None:
    headrace("apply", "-f", files.folder)
    [pipeline] = facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"]
    run_id = headrace("run", "Orders").stdout.strip()
    plan = {"schemas": {"src": [{"name": "amount", "data_type": "integer"}]}}
    facade.store.started(run_id, total_rows=0, fingerprint={}, plan=plan, partitions=[])
    changed = pipeline_document()
    step = {"id": "more", "kind": "transform", "input": "src"}
    changed["nodes"][0].pop("fields", None)
    changed["nodes"][1:1] = [step | {"ops": [{"type": "expression", "field": "x", "expression": "amuont + 1"}]}]
    changed["nodes"][-1]["input"] = "more"
    files.write(changed, SCHEMA, CONNECTOR)
    assert "There is no column 'amuont' here" in headrace.fails("apply", "-f", files.folder, "--dry-run")
    assert pipeline["name"] == "Orders"
