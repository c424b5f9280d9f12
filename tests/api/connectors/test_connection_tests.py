"""Connection tests over REST: before and after a connector is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from headrace.api.app import BASE_PATH
from headrace.connectors.http.shipped.documents import shipped_documents
from tests.api.conftest import Facade, created, error_of
from tests.network_postgres import NetworkPostgres, network_postgres

__all__ = ["network_postgres"]

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"


@pytest.fixture
def dialling(facade: Facade, tmp_path: Path) -> Iterator[Facade]:
    """A facade whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"files_root": tmp_path, "connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


def test_a_connection_is_tried_before_it_is_stored(dialling: Facade, network_postgres: NetworkPostgres) -> None:
    body = {"type": "postgresql", "config": network_postgres.config, "authConfig": network_postgres.credentials}
    result = dialling.editor.post(f"{CONNECTORS}/test", json=body).json()
    assert list(result) == ["ok", "latencyMs", "message", "sample"]
    assert (result["ok"], result["sample"]) == (True, {"tables": ["public.orders"]})
    assert 0 <= result["latencyMs"] < 10_000
    wrong = dialling.editor.post(
        f"{CONNECTORS}/test", json=body | {"authConfig": {"username": "reader", "password": "x"}}
    )
    assert wrong.status_code == 200
    assert list(wrong.json()) == ["ok", "latencyMs", "message"]
    assert "password authentication failed" in wrong.json()["message"]
    assert dialling.viewer.get(CONNECTORS).json()["data"] == []


def test_a_method_that_the_type_does_not_have_is_refused_as_when_it_is_stored(facade: Facade) -> None:
    body = {"type": "postgresql", "config": {"host": "h", "port": 1, "database": "d"}, "authMethod": "iam_role"}
    tried, stored = (
        error_of(facade.editor.post(path, json=given), 400)
        for path, given in ((f"{CONNECTORS}/test", body), (CONNECTORS, body | {"name": "db"}))
    )
    assert tried["details"] == stored["details"]
    assert [(each["path"], each["code"]) for each in tried["details"]] == [("authMethod", "unknown_auth_method")]


def test_the_outcome_stays_with_a_stored_connector(dialling: Facade, network_postgres: NetworkPostgres) -> None:
    body = {"name": "db", "type": "postgresql", "config": network_postgres.config}
    made = created(dialling.editor, CONNECTORS, body | {"authConfig": {"username": "reader", "password": "wrong"}})
    assert dialling.editor.post(f"{CONNECTORS}/{made['id']}/test").json()["ok"] is False
    tested = dialling.viewer.get(f"{CONNECTORS}/{made['id']}").json()
    assert (tested["status"], "password authentication failed" in tested["lastError"]) == ("error", True)
    assert tested["lastTestedAt"] is not None
    dialling.editor.put(CONNECTORS, json={"id": made["id"], "authConfig": network_postgres.credentials})
    assert dialling.editor.post(f"{CONNECTORS}/{made['id']}/test").json()["ok"] is True
    tested = dialling.viewer.get(f"{CONNECTORS}/{made['id']}").json()
    assert (tested["status"], tested["lastError"]) == ("active", None)


def test_the_servers_own_network_is_not_dialled(facade: Facade, network_postgres: NetworkPostgres) -> None:
    body = {"type": "postgresql", "config": network_postgres.config, "authConfig": network_postgres.credentials}
    result = facade.editor.post(f"{CONNECTORS}/test", json=body).json()
    assert (result["ok"], "may not reach" in result["message"]) == (False, True)


def test_local_files_are_listed(dialling: Facade, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("a\n1\n")
    made = created(dialling.editor, CONNECTORS, {"name": "files", "type": "local_fs"})
    result = dialling.editor.post(f"{CONNECTORS}/{made['id']}/test").json()
    assert (result["ok"], result["sample"]["files"][0]["name"]) == (True, "orders.csv")
    missing = {"type": "local_fs", "config": {"basePath": "nowhere"}}
    assert "orders.csv" in dialling.editor.post(f"{CONNECTORS}/test", json=missing).json()["message"]


def test_a_wrong_config_or_type_is_400(facade: Facade) -> None:
    error_of(facade.editor.post(f"{CONNECTORS}/test", json={"type": "postgresql", "config": {}}), 400)
    error_of(facade.editor.post(f"{CONNECTORS}/test", json={"type": "postgre"}), 400)


def test_every_type_is_listed_with_what_it_needs(facade: Facade) -> None:
    listed = {each["type"]: each for each in facade.viewer.get(f"{BASE_PATH}/connector-types").json()["data"]}
    assert list(listed) == sorted(listed)
    files = {"local_fs", "csv_upload", "aws_s3", "gcs", "azure_blob", "sftp", "http_pull"}
    databases = {"postgresql", "mysql", "snowflake", "redshift", "mongodb", "bigquery", "databricks"}
    ready = (
        files | databases | {"kafka", "confluent_kafka", "amazon_kinesis", "rest_api", "webhook", *shipped_documents()}
    )
    assert {name for name, each in listed.items() if each["status"] == "ready"} == ready
    assert {name for name, each in listed.items() if each["testable"]} == ready
    assert listed["aws_s3"]["source"] == "s3"
    schema = listed["postgresql"]["configSchema"]
    assert schema["required"] == ["host", "port", "database"]
    assert listed["postgresql"]["authConfigSchema"]["properties"]["password"]["writeOnly"] is True


def test_tests_are_counted_by_their_result(dialling: Facade) -> None:
    def counted(result: str) -> float:
        name, labels = "headrace_connection_tests_total", {"type": "local_fs", "result": result}
        return dialling.app.state.services.metrics.registry.get_sample_value(name, labels) or 0.0

    before = counted("ok"), counted("failed")
    dialling.editor.post(f"{CONNECTORS}/test", json={"type": "local_fs"})
    for _ in range(2):
        dialling.editor.post(f"{CONNECTORS}/test", json={"type": "local_fs", "config": {"basePath": "nowhere"}})
    error_of(dialling.editor.post(f"{CONNECTORS}/test", json={"type": "local_fs", "config": {"x": 1}}), 400)
    assert (counted("ok"), counted("failed")) == (before[0] + 1, before[1] + 2)
