"""A dry run executes the requests on the server and rolls them back: it reports the same errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.deployments.cli.documents.yaml_format import write_yaml
from headrace.deployments.cli.output import EXIT_ATTENTION
from tests.api.conftest import Facade, created, error_of
from tests.deployments.cli.catalog_state import state
from tests.deployments.cli.conftest import CONNECTOR, SCHEMA, Terminal, pipeline_document

pytestmark = pytest.mark.postgres

REHEARSAL = f"{BASE_PATH}/applied-sets/rehearsal"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "all.yaml"


def write(file: Path, *documents: dict[str, Any]) -> Path:
    file.write_text("---\n".join(write_yaml(each) for each in documents))
    return file


def target(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return document | {"nodes": [document["nodes"][0], document["nodes"][1] | changes]}


def declared(document: dict[str, Any], *fields: tuple[str, str]) -> dict[str, Any]:
    shown = [{"name": name, "dataType": kind} for name, kind in fields]
    return document | {"nodes": [document["nodes"][0] | {"fields": shown}, document["nodes"][1]]}


def test_nothing_is_left_of_it(headrace: Terminal, facade: Facade, file: Path) -> None:
    every = {"schedule": {"kind": "interval", "minutes": 5}}
    write(file, pipeline_document(active=False, **every), SCHEMA, CONNECTOR)
    before = state(facade)
    reported = headrace("apply", "-f", file, "--dry-run", code=EXIT_ATTENTION)
    assert "3 to create" in reported.output
    assert "could not" not in reported.output
    assert state(facade) == before
    headrace("apply", "-f", file)
    more = SCHEMA | {
        "fields": [SCHEMA["fields"][0], {"name": "amount", "dataType": "bigint"}, {"name": "x", "dataType": "text"}]
    }
    write(
        file,
        pipeline_document(description="new", executionConfig={"parallelism": 2}),
        more,
        CONNECTOR | {"description": "d"},
    )
    before = state(facade)
    assert "3 to update" in headrace("apply", "-f", file, "--dry-run", code=EXIT_ATTENTION).output
    write(file, CONNECTOR)
    assert "2 to delete" in headrace("apply", "-f", file, "--dry-run", "--prune", code=EXIT_ATTENTION).output
    assert state(facade) == before


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (
            [target(pipeline_document(), schema="public.ds_other"), SCHEMA, CONNECTOR],
            "'public.ds_other' is not a table of one of your schemas",
        ),
        ([declared(pipeline_document(), ("nothing", "text")), SCHEMA, CONNECTOR], "have no column in common"),
        ([declared(pipeline_document(), ("id", "date")), SCHEMA, CONNECTOR], "'id' to 'id'"),
        ([declared(pipeline_document(), ("amount", "integer")), SCHEMA, CONNECTOR], "needs id, which the data lack"),
        (
            [
                target(declared(pipeline_document(), ("id", "bigint")), loadMode="upsert", upsertKey=["nr"]),
                SCHEMA,
                CONNECTOR,
            ],
            "nr",
        ),
        ([target(pipeline_document(), mapping={"nope": "x"}), SCHEMA, CONNECTOR], "nope"),
        ([SCHEMA | {"fields": [{"name": "xmin", "dataType": "text"}]}], "'xmin' is reserved"),
        ([SCHEMA | {"fields": [{"name": "a", "dataType": "integer", "defaultValue": "x"}]}], "x"),
    ],
)
def test_what_runs_would_fail_for_is_refused_by_a_dry_run_and_by_main(
    headrace: Terminal, facade: Facade, file: Path, documents: list[dict[str, Any]], message: str
) -> None:
    before = state(facade)
    write(file, *documents)
    for more in (["--dry-run"], []):
        reported = headrace.fails("apply", "-f", file, *more)
        assert message in reported
        assert f"{file}" in reported
        assert "nothing was changed" in reported
        assert state(facade) == before


def test_a_table_in_the_way_is_reported_in_the_words_of_main(headrace: Terminal, facade: Facade, file: Path) -> None:
    write(file, pipeline_document(), SCHEMA, CONNECTOR)
    with facade.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE public.ds_orders (x int)")
    try:
        reported = headrace.fails("apply", "-f", file, "--dry-run")
        assert "create schema orders: The table public.ds_orders exists already" in reported
        assert "pipeline" not in reported  # it was not tried
        assert reported.splitlines()[1].split(": ", 2)[-1].strip() in headrace.fails("apply", "-f", file)
    finally:
        with facade.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE public.ds_orders")


def test_rows_that_forbid_a_change_are_met(headrace: Terminal, facade: Facade, file: Path) -> None:
    write(file, SCHEMA)
    headrace("apply", "-f", file)
    with facade.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO public.ds_orders (id) VALUES (1)")
    more = SCHEMA | {"fields": [*SCHEMA["fields"], {"name": "must", "dataType": "text", "isNullable": False}]}
    write(file, more)
    dry, real = (headrace.fails("apply", "-f", file, *more) for more in (["--dry-run"], []))
    assert dry.split("orders: ")[-1] in real


def test_a_table_in_use_is_not_waited_for(headrace: Terminal, facade: Facade, file: Path) -> None:
    write(file, SCHEMA)
    headrace("apply", "-f", file)
    write(file, SCHEMA | {"fields": [*SCHEMA["fields"], {"name": "more", "dataType": "text"}]})
    with facade.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE public.ds_orders IN ROW EXCLUSIVE MODE")
        reported = headrace("apply", "-f", file, "--dry-run", code=EXIT_ATTENTION).output
    assert "schema orders could not be checked" in " ".join(reported.split())


def test_credentials_that_would_go_elsewhere_are_asked_for_as_on_main(
    headrace: Terminal, facade: Facade, file: Path
) -> None:
    shop = {
        **{"kind": "connector", "name": "shop", "type": "postgresql", "authMethod": "basic"},
        "config": {"host": "db.example.com", "port": 5432, "database": "shop"},
        "authConfig": {"username": "reader", "password": "x"},
    }
    headrace("apply", "-f", write(file, shop))
    moved = {name: value for name, value in shop.items() if name != "authConfig"} | {
        "config": {"host": "other.example.com", "port": 5432, "database": "shop"}
    }
    write(file, moved)
    assert "The stored credentials are not kept" in headrace.fails("apply", "-f", file, "--dry-run")


def test_the_columns_last_found_are_those_of_a_source_that_declares_none(
    headrace: Terminal, facade: Facade, file: Path
) -> None:
    write(file, pipeline_document(), SCHEMA, CONNECTOR)
    headrace("apply", "-f", file)
    [pipeline] = facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"]
    run_id = created(facade.editor, f"{BASE_PATH}/pipelines/{pipeline['id']}/run", {})["id"]
    plan = {"schemas": {"src": [{"name": "amount", "data_type": "text"}]}}
    facade.store.started(str(run_id), total_rows=0, fingerprint={}, plan=plan, partitions=[])
    write(file, pipeline_document(executionConfig={"parallelism": 2}), SCHEMA, CONNECTOR)
    assert "needs id, which the data lack" in headrace.fails("apply", "-f", file, "--dry-run")


def test_a_viewer_is_reported_what_was_not_tried(headrace: Terminal, facade: Facade, file: Path) -> None:
    viewer = str(facade.viewer.headers["X-API-Key"])
    write(file, pipeline_document(), SCHEMA, CONNECTOR)
    reported = headrace("apply", "-f", file, "--dry-run", code=EXIT_ATTENTION, HEADRACE_API_KEY=viewer)
    assert "not tried on the server" in reported.output
    error_of(facade.viewer.post(REHEARSAL, json={"requests": []}), 403)


def test_only_requests_of_apply_are_tried_and_only_on_the_own_tenant_s_objects(facade: Facade) -> None:
    connector = created(facade.editor, f"{BASE_PATH}/connectors", {"name": "mine", "type": "local_fs"})["id"]
    gone = {"method": "DELETE", "path": "/connectors", "query": {"id": connector}}
    keys = {"method": "POST", "path": "/api-keys", "body": {"name": "x", "role": "admin"}}
    answer = facade.foreign.post(REHEARSAL, json={"requests": [gone, keys]})
    assert [each["status"] for each in answer.json()["refused"]] == [404, 404]
    answer = facade.editor.post(REHEARSAL, json={"requests": [gone, gone, keys]})
    assert [(each["index"], each["status"]) for each in answer.json()["refused"]] == [(1, 404), (2, 404)]
    assert facade.viewer.get(f"{BASE_PATH}/connectors/{connector}").status_code == 200
    for bad in ({"method": "GET", "path": "/connectors"}, {"method": "POST", "path": "../x"}, {"method": "POST"}):
        error_of(facade.editor.post(REHEARSAL, json={"requests": [bad]}), 400)


def test_json_says_the_same(headrace: Terminal, facade: Facade, file: Path) -> None:
    write(file, pipeline_document(), SCHEMA, CONNECTOR)
    found = json.loads(headrace("apply", "-f", file, "--dry-run", "--json", code=EXIT_ATTENTION).stdout)
    assert (found["applied"], len(found["changes"])) == (False, 3)
