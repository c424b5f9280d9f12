"""Every published example, sent with another host and key, gets a response with the documented keys and types."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.catalog.bootstrap import ensure_tenant, issue_key
from tests.api.conftest import PEPPER, Facade, created
from tests.api.contract import documented
from tests.api.contract.conftest import World, new_world

pytestmark = pytest.mark.postgres

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_SHOWN_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def replay(client: TestClient, command: str, **values: str) -> httpx.Response:
    """Sends a curl command; `values` replace `$NAME` and `<name>`."""
    for name, value in values.items():
        command = command.replace(f"${name.upper()}", value).replace(f"<{name.replace('_', '-')}>", value)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl"
    options: dict[str, list[str]] = {"-X": [], "-H": [], "-d": []}
    urls, position = [], 1
    while position < len(words):
        if words[position] in options:
            options[words[position]].append(words[position + 1])
            position += 2
        else:
            urls.append(words[position])
            position += 1
    headers = dict(header.split(": ", 1) for header in options["-H"])
    [url], [method], [body] = urls, options["-X"], options["-d"]
    return client.request(method, urlsplit(url).path, content=body, headers=headers)


def agree(shown: Any, given: Any, where: str = "answer", *, more: frozenset[str] = frozenset()) -> None:
    """Checks for the same keys, except those in `more`, and types; null matches any scalar and vice versa."""
    if isinstance(shown, dict):
        assert isinstance(given, dict), where
        assert set(given) - more == set(shown), where
        for name, value in shown.items():
            agree(value, given[name], f"{where}.{name}", more=more)
    elif isinstance(shown, list):
        assert isinstance(given, list), where
        for number, item in enumerate(given if shown else ()):
            agree(shown[min(number, len(shown) - 1)], item, f"{where}[{number}]", more=more)
    elif shown is None or given is None:
        assert not isinstance(given, list), where
    elif isinstance(shown, str) and _SHOWN_TIMESTAMP.fullmatch(shown):
        assert _TIMESTAMP.fullmatch(given), where
    elif isinstance(shown, bool) or isinstance(given, bool):
        assert type(shown) is type(given), where
    elif isinstance(shown, int | float):
        assert isinstance(given, int | float), where
    else:
        assert isinstance(given, type(shown)), where


@pytest.fixture(scope="module")
def world(contract: Facade) -> World:
    return new_world(contract)


def test_the_pipeline_of_the_page_is_created_and_listed_as_shown(contract: Facade) -> None:
    ensure_tenant(contract.engine, "my-tenant")
    key = issue_key(contract.engine, tenant_id="my-tenant", name="docs", role="editor", pepper=PEPPER)
    client = TestClient(contract.app, headers={"X-API-Key": key})
    config = {"account": "xy12345.us-east-1", "warehouse": "COMPUTE_WH", "database": "ANALYTICS"}
    connector = {"name": "Production Snowflake", "type": "snowflake", "config": config}
    ids = {
        "connectors": created(client, f"{BASE_PATH}/connectors", connector)["id"],
        "schemas": created(client, f"{BASE_PATH}/schemas", {"name": "customers", "displayName": "Customers"})["id"],
    }
    with contract.engine.begin() as connection:  # the ids of the page
        for table, shown in (("connectors", "conn_001"), ("schemas", "schema_001")):
            connection.execute(
                text(f"UPDATE headrace.{table} SET id = :shown WHERE id = :id"), {"shown": shown, "id": ids[table]}
            )
    response = replay(client, documented.CREATE_PIPELINE)
    assert response.status_code == 201, response.text
    [shown] = documented.PIPELINES["data"]
    made = response.json()
    agree({**shown, "nodes": [], "edges": []}, made, more=frozenset({"irVersion", "issues"}))
    assert [node["id"] for node in made["nodes"]] == ["n1", "n2", "n3"]
    assert [(edge["source"], edge["target"]) for edge in made["edges"]] == [("n1", "n2"), ("n2", "n3")]
    assert made["connector"] == {"id": "conn_001", "name": "Production Snowflake", "type": "snowflake"}
    assert (made["schedule"], made["executionConfig"]) == (shown["schedule"], shown["executionConfig"])
    listed = client.get(f"{BASE_PATH}/pipelines", params={"limit": 50})
    agree(documented.PIPELINES, listed.json())
    assert replay(client, documented.CREATE_PIPELINE).status_code == 409


def test_the_ir_native_pipeline_of_the_page_is_created(contract: Facade) -> None:
    client = contract.editor
    connector = created(client, f"{BASE_PATH}/connectors", {"name": f"docs {uuid4().hex}", "type": "local_fs"})
    schema = client.post(f"{BASE_PATH}/schemas", json={"name": "orders", "displayName": "Orders"}).json()
    key = client.headers["X-API-Key"]
    response = replay(
        TestClient(contract.app),
        documented.CREATE_IR_PIPELINE,
        api_key=key,
        tenant_id="default",
        connector_id=connector["id"],
        schema_id=schema["id"],
    )
    assert response.status_code == 201, response.text
    [shown] = documented.PIPELINES["data"]
    agree(shown | {"executionConfig": {}}, response.json(), more=frozenset({"irVersion", "issues"}))
    assert response.json()["irVersion"] == "1.0"
    ir = client.get(f"{BASE_PATH}/pipelines/{response.json()['id']}/ir").json()["ir"]
    assert ir == json.loads(shlex.split(documented.CREATE_IR_PIPELINE.replace("\\\n", " "))[-1])["ir"]


def test_versions_are_as_shown(contract: Facade, world: World) -> None:
    given = contract.viewer.get(f"{BASE_PATH}/pipelines/{world.ids['pipeline_id']}/ir/versions").json()
    agree(documented.IR_VERSIONS, given)
    assert [version["version"] for version in given] == [2, 1]


def test_a_run_its_list_and_its_retry_are_as_shown(contract: Facade, world: World) -> None:
    path = f"{BASE_PATH}/pipelines/{world.ids['pipeline_id']}"
    run = contract.editor.post(f"{path}/run")
    assert run.status_code == 201
    agree(documented.STARTED_RUN, run.json())
    agree(documented.RUNS, contract.viewer.get(f"{path}/runs").json())
    retried = contract.editor.post(f"{path}/runs/{world.ids['run_id']}/retry")
    assert retried.status_code == 201, retried.text
    agree(documented.RETRIED_RUN, retried.json())


def test_the_progress_of_the_page_is_shown_as_there(contract: Facade, world: World) -> None:
    """The run in the documentation, report by report."""
    run_id = f"run_{uuid4().hex}"
    pipeline_id, store, shown = world.ids["pipeline_id"], contract.store, documented.PROGRESS
    facts: dict[str, Any] = {"ir_version": 1, "retry_of": None, "load_strategy": "upsert", "status": "running"}
    store.open(run_id, tenant_id="default", pipeline_id=pipeline_id, root_run_id=run_id, **facts)
    partitions = [(0, index, 12_500) for index in range(4)]
    store.started(run_id, total_rows=50_000, fingerprint={}, plan={}, partitions=partitions)
    for index, (status, read, out, failed, skipped) in enumerate(
        [("completed", 12_500, 12_500, 0, 0), ("completed", 12_500, 12_485, 12, 3), ("running", 7_000, 7_000, 0, 0)]
    ):
        counts = {"rows_in": read, "rows_out": out, "failed": failed, "skipped": skipped}
        store.counts.report(run_id, 0, index, status=status, **counts, nodes={})
    shown_error = shown["validationErrors"][0]
    cell = {"row": 142, "column": "email", "value": "not-an-email", "error": shown_error["error"], "rule": "email"}
    store.cells.add(run_id, run_id, "v", 0, 1, cells=json.dumps([cell]))
    store.log(run_id, "extract", shown["log"][0]["message"])
    path = f"{BASE_PATH}/pipelines/{pipeline_id}/runs/{run_id}"
    given = contract.viewer.get(f"{path}/progress").json()
    agree(shown, given)
    # rowsOut of the page counts the skipped rows as well (31,988 + 12 = 32,000)
    varying = ("eta", "durationMs", "log", "rowsOut")
    assert {name: given[name] for name in shown if name not in varying} == {
        name: value for name, value in shown.items() if name not in varying
    }
    beyond = frozenset({"node", "rule", "kind", "stage", "file", "source", "sources"})
    agree(documented.ERRORS, contract.viewer.get(f"{path}/errors").json(), more=beyond)
    csv = contract.viewer.get(f"{path}/errors", headers={"Accept": "text/csv"})
    assert csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert csv.headers["Content-Disposition"] == f'attachment; filename="pipeline-run-{run_id}-errors.csv"'
    assert csv.text.splitlines()[0] == "Row,Column,Value,Error"


def test_connectors_schemas_and_rows_are_as_shown(contract: Facade, world: World) -> None:
    listed = _without(contract.viewer.get(f"{BASE_PATH}/connectors").json(), "config")
    agree(documented.CONNECTORS, listed, more=frozenset({"hookUrl"}))  # of a webhook
    path = f"{BASE_PATH}/schemas/{world.ids['schema_id']}"
    agree(documented.SCHEMA, contract.viewer.get(path).json())
    rows = {"rows": [{"amount": 18, "note": "high_value"}, {"amount": 85, "note": "low_value"}]}
    inserted = contract.editor.post(f"{path}/data", json=rows)
    assert inserted.status_code == 201
    agree(documented.INSERTED_ROWS, inserted.json())
    data = contract.viewer.get(f"{path}/data").json()
    agree(documented.ROWS, data)
    assert (data["limit"], data["offset"]) == (50, 0)
    stats = {field["name"]: field for field in contract.viewer.get(f"{path}/stats").json()["fields"]}
    numeric, textual = documented.STATS["fields"]
    agree(numeric, stats["amount"])
    agree(textual, stats["note"])


def _without(page: dict[str, Any], name: str) -> dict[str, Any]:
    """The documented items, with an empty object for the config of a specific connector type."""
    shown = documented.CONNECTORS["data"][0][name]
    return {**page, "data": [{**item, name: shown} for item in page["data"]]}


def test_keys_and_the_audit_log_are_as_shown(contract: Facade) -> None:
    made = contract.admin.post(f"{BASE_PATH}/api-keys", json={"name": f"docs-{uuid4().hex}"})
    assert made.status_code == 201
    agree(documented.CREATED_KEY, made.json(), more=frozenset({"role"}))
    assert made.json()["warning"] == documented.CREATED_KEY["warning"]
    listed = contract.admin.get(f"{BASE_PATH}/api-keys").json()
    agree(documented.KEYS, listed, more=frozenset({"role", "pagination"}))
    logs = contract.admin.get(f"{BASE_PATH}/audit-logs", params={"entityType": "api_key", "limit": 1}).json()
    [entry] = logs["logs"]
    agree(documented.AUDIT_LOGS, logs | {"logs": [entry | {"after": {}}]})
    agree(
        documented.AUDIT_VERIFICATION,
        contract.admin.get(f"{BASE_PATH}/audit-logs/verify").json(),
        more=frozenset({"headHash", "sealed"}),
    )


def test_quarantine_and_lineage_are_as_shown(contract: Facade, world: World) -> None:
    dlq = contract.viewer.get(f"{BASE_PATH}/pipeline-runs/{world.ids['run_id']}/dlq", params={"node": "v", "limit": 50})
    agree(documented.DLQ, dlq.json(), more=frozenset({"residual"}))
    lineage = contract.viewer.get(f"{BASE_PATH}/lineage", params={"schema": "public", "table": world.ids["table"]})
    agree(documented.LINEAGE, lineage.json())
