"""Replications over REST: documents, plans, created objects, and permissions."""

from __future__ import annotations

import pytest
from httpx import Response
from sqlalchemy import text

from tests.api.conftest import CONNECTOR, Facade, created, error_of
from tests.api.replications.copying import CONNECTORS, PIPELINES, REPLICATIONS, SCHEMAS, Copying, copying
from tests.replicated import document, replicated, server

__all__ = ["copying", "replicated", "server"]

pytestmark = pytest.mark.postgres

TABLES = {"sales.customers", "sales.empty", "sales.log", "sales.nothing", "sales.orders", "sales.totals"}


def test_a_replication_is_stored_listed_changed_and_registered(copying: Copying) -> None:
    replication = copying.replication(schedule={"kind": "interval", "minutes": 15})
    [registered] = copying.facade.orchestrator.registrations
    assert (registered.id, registered.deployment_name, registered.tags) == (
        replication,
        "replication: shop",
        ["headrace", "tenant:default", f"replication:{replication}", "catchup:latest"],
    )
    assert (registered.work_queue, registered.firing) == ("replications:default", "interval 900")
    item = copying.facade.viewer.get(f"{REPLICATIONS}/{replication}").json()
    assert (item["name"], item["version"], item["tables"], item["connector"]["name"]) == ("shop", 1, 0, "shop db")
    assert copying.facade.viewer.get(REPLICATIONS, params={"q": "SHO"}).json()["data"] == [item]
    assert copying.facade.viewer.get(REPLICATIONS, params={"q": "%"}).json()["data"] == []
    changed = document("renamed", "shop db", parallelism=2)
    put = copying.editor.put(REPLICATIONS, json={"id": replication, "document": changed, "status": "paused"}).json()
    assert (put["name"], put["version"], put["status"], put["document"]) == ("renamed", 2, "paused", changed)
    again = copying.editor.put(REPLICATIONS, json={"id": replication, "document": changed}).json()
    assert again["version"] == 2
    assert copying.editor.delete(REPLICATIONS, params={"id": replication}).status_code == 204
    assert copying.facade.orchestrator.deployments == set()
    error_of(copying.editor.get(f"{REPLICATIONS}/{replication}"), 404)


def test_a_change_of_an_older_version_is_refused(copying: Copying) -> None:
    copying.connector()
    made = copying.editor.post(REPLICATIONS, json={"document": document("shop", "shop db")})
    replication = made.json()["id"]
    read = copying.facade.viewer.get(f"{REPLICATIONS}/{replication}")
    assert made.headers["ETag"] == read.headers["ETag"] == '"1"'

    def put(name: str, if_match: str) -> Response:
        body = {"id": replication, "document": document(name, "shop db")}
        return copying.editor.put(REPLICATIONS, json=body, headers={"If-Match": if_match})

    mine = put("mine", read.headers["ETag"])
    assert (mine.status_code, mine.headers["ETag"]) == (200, '"2"')
    for stale in ('"1"', "1", 'W/"1"'):
        error_of(put("theirs", stale), 409)
    error_of(put("theirs", "two"), 400)
    kept = copying.facade.viewer.get(f"{REPLICATIONS}/{replication}").json()
    assert (kept["version"], kept["name"]) == (2, "mine")
    assert put("over it", "*").json()["version"] == 3


def test_a_document_that_is_wrong_is_refused_with_every_problem(copying: Copying) -> None:
    copying.connector()
    created(copying.editor, CONNECTORS, CONNECTOR)
    wrong = document("shop", "shop bd", parallelism=0)
    details = error_of(copying.editor.post(REPLICATIONS, json={"document": wrong}), 400)["details"]
    assert [(each["path"], each["code"]) for each in details] == [("parallelism", "greater_than_equal")]
    unknown = document("shop", "shop bd")
    [detail] = error_of(copying.editor.post(REPLICATIONS, json={"document": unknown}), 400)["details"]
    assert (detail["path"], detail["hint"]) == ("connection", "did you mean 'shop db'?")
    files = document("shop", "files")
    [detail] = error_of(copying.editor.post(REPLICATIONS, json={"document": files}), 400)["details"]
    assert (detail["path"], detail["code"]) == ("connection", "lists_files")
    odd = document("shop", "shop db", defaults={"config": {"colums": []}, "cursor": {"column": "id", "lag": "soon"}})
    details = error_of(copying.editor.post(REPLICATIONS, json={"document": odd}), 400)["details"]
    assert {(each["path"], each["code"]) for each in details} == {
        ("defaults.config.colums", "unknown_field"),
        ("defaults.cursor.lag", "bad_lag"),
    }
    copying.editor.post(REPLICATIONS, json={"document": document("shop", "shop db")})
    error_of(copying.editor.post(REPLICATIONS, json={"document": document("shop", "shop db")}), 409)


def test_the_plan_shows_the_ddl_of_each_table_and_changes_nothing(copying: Copying) -> None:
    replication = copying.replication(sources={"include": ["sales.*", "Stock-Room.*"]})
    planned = copying.plan(replication)
    assert planned.keys() == TABLES | {"Stock-Room.Order Lines"}  # `secrets` may not be read
    assert {each["change"] for each in planned.values()} == {"new"}
    assert planned["sales.customers"]["ddl"] == [
        'CREATE TABLE "public"."ds_sales_customers" ("id" bigint NOT NULL, "name" varchar(80), "vip" boolean, '
        '"joined" date, "updated_at" timestamptz, PRIMARY KEY ("id"), "_headrace_load_id" bigint);',
        'COMMENT ON TABLE "public"."ds_sales_customers" IS \'Who buys\';',
        'COMMENT ON COLUMN "public"."ds_sales_customers"."name" IS \'As on the invoice: it\'\'s "free" text, 100%\';',
    ]
    assert planned["sales.orders"]["ddl"] == [
        'CREATE TABLE "public"."ds_sales_orders" ("region" text NOT NULL, "number" integer NOT NULL, '
        '"total" numeric(12, 2), "precise" numeric, "doc" jsonb, "docs" jsonb, "token" uuid, "raw" text, '
        '"tags" text, "span" text, "at" timestamp, "updated_at" timestamptz, PRIMARY KEY ("region", "number"), '
        '"_headrace_load_id" bigint);'
    ]
    assert planned["Stock-Room.Order Lines"]["ddl"] == [
        'CREATE TABLE "public"."ds_stock_room_order_lines" ("Line_No" integer NOT NULL, "line_no_" text, '
        '"select" integer, "größe" text, PRIMARY KEY ("Line_No"), "_headrace_load_id" bigint);'
    ]
    assert planned["sales.totals"]["loadMode"] == "replace"
    assert copying.facade.viewer.get(SCHEMAS).json()["data"] == []
    assert copying.facade.viewer.get(PIPELINES).json()["data"] == []
    other = copying.plan(replication, document=document("shop", "shop db", sources={"include": "sales.log"}))
    assert other.keys() == {"sales.log"}


def test_a_source_that_cannot_be_looked_at_is_reported_without_its_password(copying: Copying) -> None:
    replication = copying.replication()
    wrong = {"username": "reader", "password": "another secret"}
    copying.editor.put(
        CONNECTORS, json={"id": copying.editor.get(CONNECTORS).json()["data"][0]["id"], "authConfig": wrong}
    )
    answer = copying.editor.post(f"{REPLICATIONS}/{replication}/plan")
    assert "password authentication failed" in error_of(answer, 422)["message"]
    assert "another secret" not in answer.text


def test_what_a_run_makes_is_of_the_replication_alone(copying: Copying) -> None:
    replication = copying.replication()
    run = copying.prepared(replication)
    assert copying.statuses(run) == dict.fromkeys(TABLES, "waiting")
    assert run["phase"] == "loading"
    assert copying.facade.viewer.get(f"{REPLICATIONS}/{replication}").json()["tables"] == 6
    ordinary = copying.facade.pipeline("daily")
    owned = copying.facade.viewer.get(PIPELINES, params={"replicationId": replication}).json()["data"]
    assert {each["name"] for each in owned} == {f"shop: {name}" for name in TABLES}
    others = copying.facade.viewer.get(PIPELINES, params={"replicationId": ""}).json()["data"]
    assert [each["id"] for each in others] == [ordinary["id"]]
    assert "replicationId" not in others[0]
    first = owned[0]["id"]
    ir = copying.editor.get(f"{PIPELINES}/{first}/ir").json()["ir"]
    for refused in (
        copying.editor.put(PIPELINES, json={"id": first, "description": "mine"}),
        copying.editor.post(f"{PIPELINES}/{first}/ir", json={"ir": ir}),
        copying.editor.post(f"{PIPELINES}/{first}/ir/publish", json={"version": 1}),
        copying.editor.delete(PIPELINES, params={"id": first}),
    ):
        assert error_of(refused, 409)["message"] == "The pipeline is of the replication 'shop': change that instead"
    [orders] = [each for each in owned if each["name"] == "shop: sales.orders"]
    schema = copying.editor.get(f"{SCHEMAS}/{orders['schemaId']}").json()
    assert (schema["name"], schema["tableName"], schema["displayName"]) == (
        "sales_orders",
        "ds_sales_orders",
        "sales.orders",
    )
    assert [each["name"] for each in schema["fields"] if each["isPrimaryKey"]] == ["region", "number"]
    error_of(copying.editor.delete(REPLICATIONS, params={"id": replication}), 409)  # its run has not ended
    copying.store.finished(run["id"], status="failed", failure_reason="for the test")
    assert copying.editor.delete(REPLICATIONS, params={"id": replication}).status_code == 204
    assert copying.facade.viewer.get(PIPELINES).json()["data"][0]["id"] == ordinary["id"]
    assert len(copying.facade.viewer.get(SCHEMAS).json()["data"]) == 7  # tables and their rows stay


def test_the_same_again_changes_nothing_and_a_change_makes_new_versions_of_what_it_concerns(copying: Copying) -> None:
    replication = copying.replication()
    first = copying.prepared(replication)
    copying.store.finished(first["id"], status="completed", failure_reason=None)
    second = copying.prepared(replication)
    assert {each["irVersion"] for each in second["results"]} == {1}
    assert {each["change"] for each in second["results"]} == {"known"}
    copying.store.finished(second["id"], status="completed", failure_reason=None)
    changed = document("shop", "shop db", overrides=[{"tables": "sales.orders", "cursor": "updated_at"}])
    copying.editor.put(REPLICATIONS, json={"id": replication, "document": changed})
    third = copying.prepared(replication)
    assert {each["name"]: each["irVersion"] for each in third["results"] if each["irVersion"] > 1} == {
        "sales.orders": 2
    }


def test_a_table_that_cannot_be_copied_is_refused_alone(copying: Copying) -> None:
    taken = copying.facade.pipeline("sales_log")
    replication = copying.replication(overrides=[{"tables": "sales.totals", "loadMode": "upsert"}])
    run = copying.prepared(replication)
    found = {each["name"]: each for each in run["results"]}
    assert found["sales.totals"]["message"].startswith("Its rows have no known key, which upsert needs (name the key")
    assert found["sales.log"]["message"].startswith(
        f"The schema 'sales_log' is loaded by the pipeline '{taken['name']}'"
    )
    assert [name for name, each in found.items() if each["status"] == "refused"] == ["sales.log", "sales.totals"]
    copying.store.finished(run["id"], status="failed", failure_reason="for the test")
    corrected = document("shop", "shop db", newTables="fail", overrides=[{"tables": "sales.log", "target": "lines"}])
    copying.editor.put(REPLICATIONS, json={"id": replication, "document": corrected})
    copying.source.make("CREATE TABLE sales.later (id int PRIMARY KEY)")
    statuses = copying.statuses(copying.prepared(replication))
    assert statuses.pop("sales.later") == "refused"  # it is new; the other two were there before
    assert set(statuses.values()) == {"waiting"}


def test_a_retry_copies_what_was_not_copied(copying: Copying) -> None:
    replication = copying.replication()
    run = copying.prepared(replication)
    error_of(copying.editor.post(f"{REPLICATIONS}/{replication}/runs/{run['id']}/retry"), 422)  # it has not ended
    for each in run["results"]:
        failed = each["name"] in ("sales.log", "sales.orders")
        copying.store.table_ended(run["id"], each["name"], "failed" if failed else "completed", None)
    copying.store.finished(run["id"], status="failed", failure_reason="for the test")
    again = created(copying.editor, f"{REPLICATIONS}/{replication}/runs/{run['id']}/retry", {})
    assert again["retryOf"] == run["id"]
    assert copying.facade.orchestrator.parameters[-1] == {
        "replication_id": replication,
        "tenant_id": "default",
        "retry_of": run["id"],
    }
    copying.begin(replication, again["id"])
    assert copying.preparer.prepare(again["id"])
    retried = copying.run(replication, again["id"])
    assert copying.statuses(retried) == {"sales.log": "waiting", "sales.orders": "waiting"}


def test_a_run_is_started_once_by_a_key_watched_and_cancelled(copying: Copying) -> None:
    replication = copying.replication()
    headers = {"Idempotency-Key": "monday"}
    answers = [copying.editor.post(f"{REPLICATIONS}/{replication}/run", headers=headers) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 200]
    [run_id] = {each.json()["id"] for each in answers}
    assert [each["id"] for each in copying.facade.viewer.get(f"{REPLICATIONS}/{replication}/runs").json()] == [run_id]
    progress = copying.facade.viewer.get(f"{REPLICATIONS}/{replication}/runs/{run_id}/progress").json()
    assert (progress["status"], progress["phase"], progress["percent"]) == ("pending", "discovering", 0.0)
    assert copying.editor.post(f"{REPLICATIONS}/{replication}/runs/{run_id}/cancel").status_code == 202
    ended = copying.run(replication, run_id)
    assert (ended["status"], ended["failureReason"]) == ("failed", "cancelled")
    error_of(copying.editor.post(f"{REPLICATIONS}/{replication}/runs/{run_id}/cancel"), 422)


def test_a_run_whose_process_died_is_ended_by_what_prefect_says(copying: Copying) -> None:
    replication = copying.replication()
    run_id = copying.begin(replication)
    crashed = copying.facade.orchestrator.states[run_id]
    copying.facade.orchestrator.states[run_id] = type(crashed)(
        **{
            **{name: getattr(crashed, name) for name in crashed.__dataclass_fields__},
            "status": "failed",
            "failure_reason": "The process died",
        }
    )
    assert copying.preparer.settle(silence_s=0.0) == 1
    assert copying.run(replication, run_id)["failureReason"] == "The process died"
    assert not copying.preparer.prepare(run_id)


def test_the_comment_of_a_schemas_table_and_columns_is_its_description(facade: Facade) -> None:
    fields = [{"name": "amount", "dataType": "integer", "description": "In cents"}]
    body = {"name": "paid", "displayName": "Paid", "description": "What was paid", "fields": fields}
    made = created(facade.editor, SCHEMAS, body)

    def comments() -> tuple[str | None, str | None]:
        with facade.engine.connect() as connection:
            row = connection.execute(text(_COMMENTS)).one()
        return row[0], row[1]

    assert comments() == ("What was paid", "In cents")
    assert facade.editor.put(SCHEMAS, json={"id": made["id"], "description": None}).status_code == 200
    field = {"id": made["fields"][0]["id"], "description": "In euros"}
    assert facade.editor.put(f"{SCHEMAS}/{made['id']}/fields", json=field).status_code == 200
    assert comments() == (None, "In euros")


_COMMENTS = """
    SELECT obj_description(c.oid), col_description(c.oid, a.attnum) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'amount' WHERE c.relname = 'ds_paid'
"""
