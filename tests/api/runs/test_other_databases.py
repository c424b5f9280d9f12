"""Runs into the database of a connector: quarantine, cursors and retries are read from that database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.cursors import CursorKey, create_cursors, move_cursor, read_cursors
from headrace.connectors.postgresql.load.prepare import create_schemas
from headrace.connectors.postgresql.tables.quarantine import create_quarantine
from headrace.connectors.registry import source_for
from headrace.flows.tenant_files import files_of
from tests.api.conftest import IR, Facade, created, error_of
from tests.second_database import LOGIN, SecondDatabase, network_postgres, second

__all__ = ["network_postgres", "second"]

pytestmark = pytest.mark.postgres

SOURCE = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}}
CHECK = {
    "id": "check",
    "kind": "validate",
    "input": "src",
    "rowLevel": [{"id": "small", "field": "amount", "rule": "lt:100", "onFail": "quarantine"}],
    "quarantine": {"table": "dlq.orders"},
}


def target(node: str, **options: Any) -> dict[str, Any]:
    return {"id": node, "kind": "target", "input": "check", "schema": "public.ds_orders", **options}


@pytest.fixture
def dialling(facade: Facade, tmp_path: Path) -> Iterator[Facade]:
    """A facade whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"files_root": tmp_path, "connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


@pytest.fixture
def path(dialling: Facade, second: SecondDatabase) -> str:
    """A pipeline with one target in the warehouse and one in the database of the connector `shop`."""
    body = {"name": "shop", "type": "postgresql", "config": second.config, "authConfig": LOGIN}
    created(dialling.editor, f"{BASE_PATH}/connectors", body)
    created(dialling.editor, f"{BASE_PATH}/connectors", {"name": "a folder", "type": "local_fs", "config": {}})
    nodes = [SOURCE, CHECK, target("here"), target("there", connection="shop")]
    pipeline = dialling.pipeline(ir=IR | {"nodes": nodes})["id"]
    return f"{BASE_PATH}/pipelines/{pipeline}"


def test_cursors_are_shown_set_and_reset_in_both(
    dialling: Facade, facade_url: str, path: str, second: SecondDatabase
) -> None:
    pipeline = path.rpartition("/")[2]
    for database, node in ((facade_url, "here"), (second.superuser, "there")):
        with connect(database, autocommit=True) as connection:
            create_cursors(connection)
            move_cursor(connection, CursorKey(pipeline, "src", "default", node), {"id": 7}, "run_1")
    second.give("_headrace")

    def shown() -> dict[str, Any]:
        return {each["target"]: each["position"] for each in dialling.viewer.get(f"{path}/cursors").json()["data"]}

    assert shown() == {"here": {"id": 7}, "there": {"id": 7}}
    dialling.editor.post(f"{path}/cursors", json={"source": "src", "position": {"id": 9}}).raise_for_status()
    assert shown() == {"here": {"id": 9}, "there": {"id": 9}}
    with connect(second.superuser) as connection:
        assert [(each.target_node, each.position) for each in read_cursors(connection, pipeline)] == [
            ("there", {"id": 9})
        ]
    dialling.editor.post(f"{path}/cursors", json={"reset": True}).raise_for_status()
    assert shown() == {}


def run_of(facade: Facade, path: str) -> str:
    run_id = created(facade.editor, f"{path}/run", {})["id"]
    facade.store.started(run_id, total_rows=1, fingerprint={}, plan={"stages": []}, partitions=[(0, 0, 1)])
    return str(run_id)


def test_quarantined_rows_are_found_there(dialling: Facade, path: str, second: SecondDatabase) -> None:
    run_id = run_of(dialling, path)
    with connect(second.superuser, autocommit=True) as connection:
        create_schemas(second.superuser)
        create_quarantine(connection, ["dlq.orders"])
        connection.execute(
            'INSERT INTO dlq.orders (root_run_id, run_id, node_id, row_number, rule_id, error, "row") '
            "VALUES (%s, %s, 'check', 3, 'small', 'too large', '{\"amount\": 300}')",
            (run_id, run_id),
        )
    second.give("dlq")
    found = dialling.viewer.get(f"{path}/runs/{run_id}/dlq").json()
    assert (found["count"], found["rows"][0]["row"]) == (1, {"amount": 300})


def test_a_retry_asks_that_ledger_and_says_when_it_cannot(dialling: Facade, path: str, second: SecondDatabase) -> None:
    run_id = run_of(dialling, path)
    with connect(second.superuser, autocommit=True) as connection:
        create_schemas(second.superuser)
        connection.execute(
            "INSERT INTO _headrace.ledger (root_run_id, target_node, stage, partition, rows_done, rows_loaded, "
            "rows_failed, rows_skipped, counters) VALUES (%s, 'there', 0, 0, 40, 40, 0, 0, '{}')",
            (run_id,),
        )
    second.give("_headrace")
    files = files_of(dialling.app.state.services.settings, "default")
    (files / "orders.csv").write_text("amount\n1\n")
    connection = Connection("conn", "local_fs")
    read = source_for("local_fs", Context(connection, Surroundings(files), {"path": "orders.csv"}))
    plan = {
        "stages": [{"nodes": ["src", "there"], "source": {}}],
        "partitions": {"src": [[1, 100, {}]]},
        "fingerprints": {"src": read.fingerprint()},
    }
    dialling.store.started(run_id, total_rows=100, fingerprint={}, plan=plan, partitions=[(0, 0, 100)])
    dialling.store.finished(run_id, status="failed", failure_reason="it died")

    connector = next(
        each for each in dialling.viewer.get(f"{BASE_PATH}/connectors").json()["data"] if each["name"] == "shop"
    )
    change = {"id": connector["id"], "authConfig": {**LOGIN, "password": "not it"}}
    dialling.editor.put(f"{BASE_PATH}/connectors", json=change).raise_for_status()
    refused = error_of(dialling.editor.post(f"{path}/runs/{run_id}/retry"), 422)
    assert "password authentication failed" in refused["message"]
    assert "not it" not in refused["message"]

    change["authConfig"] = LOGIN
    dialling.editor.put(f"{BASE_PATH}/connectors", json=change).raise_for_status()
    retried = dialling.editor.post(f"{path}/runs/{run_id}/retry")
    assert retried.status_code == 201, retried.text
    assert retried.json()["metadata"]["resumeFromRow"] == 40


def test_a_connector_that_a_target_names_is_not_deleted(dialling: Facade, path: str) -> None:
    listed = dialling.viewer.get(f"{BASE_PATH}/connectors").json()["data"]
    connector = next(each["id"] for each in listed if each["name"] == "shop")
    refused = error_of(dialling.editor.delete(f"{BASE_PATH}/connectors?id={connector}"), 409)
    assert "is used by the pipeline" in refused["message"]


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (target("t", connection="nobody"), "unknown_connection"),
        (target("t", connection="a folder"), "wrong_connection"),
        (target("t", connection="shop") | {"schema": "orders"}, "unqualified_table"),
        (target("t", connection="shop") | {"schema": "pg_catalog.pg_class"}, "reserved_schema"),
        (target("t", connection="shop") | {"schema": "_headrace.ledger"}, "reserved_schema"),
    ],
)
def test_what_no_run_could_load_is_a_problem_at_save(
    dialling: Facade, path: str, node: dict[str, Any], code: str
) -> None:
    refused = error_of(dialling.editor.post(f"{path}/ir", json={"ir": IR | {"nodes": [SOURCE, CHECK, node]}}), 400)
    assert [each["code"] for each in refused["details"]] == [code]


def test_a_plan_looks_at_the_table_there(dialling: Facade, path: str, second: SecondDatabase) -> None:
    files = files_of(dialling.app.state.services.settings, "default")
    (files / "orders.csv").write_text("amount\n1\n")
    missing = error_of(dialling.editor.post(f"{path}/plan", json={}), 422)
    assert "ds_orders" in str(missing["details"])
    second.alter("CREATE TABLE public.ds_orders (amount integer)")
    planned = dialling.editor.post(f"{path}/plan", json={}).json()
    assert [each["node"] for each in planned["sql"]] == ["here", "there"]
    assert f"in the database {second.name} on 127.0.0.1" in planned["sql"][1]["sql"]
    assert LOGIN["password"] not in str(planned)
