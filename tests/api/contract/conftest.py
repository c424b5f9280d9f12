"""An API for the contract tests, with files to read and objects of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH, create_app
from headrace.catalog.bootstrap import ensure_tenant, issue_key
from headrace.catalog.engine import make_engine
from headrace.catalog.replications.store import ReplicationRunStore
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.api_keys import ROLES
from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.api.conftest import IR, PEPPER, Facade, LocalOrchestrator, connected, created, settings_for
from tests.databases import new_copy
from tests.replicated import document

Document = dict[str, Any]


@dataclass(frozen=True)
class World:
    """One object of every kind, by the name of its path parameter (and some others)."""

    ids: dict[str, str]
    ir: Document
    replication: Document

    def missing(self) -> World:
        """A World of ids that do not exist."""
        return World({name: value[:-4] + "0bad" for name, value in self.ids.items()}, self.ir, self.replication)


@pytest.fixture(scope="module")
def contract(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facade]:
    """The API with three roles of the tenant `default` and an admin of another; its catalog only has keys."""
    url = new_copy(postgres_server, f"headrace_contract_{uuid4().hex[:8]}", migrated=True).api
    files = tmp_path_factory.mktemp("files")
    Path(files, "orders.csv").write_text("amount\n1\n2\n")
    engine = make_engine(url)
    settings = settings_for(url, files_root=files, rate_limit=0)
    orchestrator = LocalOrchestrator()
    app = create_app(settings, orchestrator=orchestrator, engine=engine)

    with connected(app) as new_client:

        def client(tenant: str, role: Any) -> TestClient:
            ensure_tenant(engine, tenant)
            key = issue_key(engine, tenant_id=tenant, name=role, role=role, pepper=PEPPER)
            return new_client(headers={"X-API-Key": key})

        admin, editor, viewer = (client("default", role) for role in ROLES)
        clients = admin, editor, viewer, client("other", "admin"), new_client()
        yield Facade(app, engine, orchestrator, RunStore(engine), *clients)
    engine.dispose()


def yaml_document(name: str) -> Document:
    """A connector document."""
    return {
        "kind": "connector",
        "version": "1.0",
        "id": name,
        "displayName": "A shop",
        "url": "https://shop.example",
        "endpoints": [{"id": "orders", "path": "/orders"}],
    }


def new_world(facade: Facade) -> World:
    """New objects of the tenant `default`, created over REST."""
    name = f"w{uuid4().hex[:12]}"
    fields = [{"name": "amount", "dataType": "integer"}, {"name": "note", "dataType": "text"}]
    schema = {"name": name, "displayName": name, "fields": fields}
    pipeline = facade.pipeline(name, schema=schema)
    table = facade.admin.get(f"{BASE_PATH}/schemas/{pipeline['schemaId']}").json()
    rule = {"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "quarantine"}
    check = {"id": "v", "kind": "validate", "input": "src", "rowLevel": [rule], "quarantine": {"table": "dlq.orders"}}
    source, target = IR["nodes"]
    source = {**source, "fields": [{"name": "amount", "dataType": "integer"}]}
    target = {**target, "input": "v", "schema": f"public.{table['tableName']}"}
    ir = {**IR, "nodes": [source, check, target]}
    path = f"{BASE_PATH}/pipelines/{pipeline['id']}"
    assert facade.editor.post(f"{path}/ir", json={"ir": ir}).is_success
    failed, waiting = (created(facade.editor, f"{path}/run", {})["id"] for _ in range(2))
    facade.store.started(failed, total_rows=2, fingerprint={}, plan={}, partitions=[(0, 0, 2)])
    facade.store.finished(failed, status="failed", failure_reason="for the test")
    uploads = created(facade.editor, f"{BASE_PATH}/connectors", {"name": f"sent {name}", "type": "csv_upload"})["id"]
    file = facade.editor.post(f"{BASE_PATH}/connectors/{uploads}/files", files={"file": (f"{name}.csv", b"id")})
    assert file.status_code == 201, file.text
    database = {
        "name": f"shop {name}",
        "type": "postgresql",
        "config": {"host": "127.0.0.1", "port": 1, "database": "shop"},
    }
    database |= {"authConfig": {"username": "reader", "password": "hunter2"}}
    shop = created(facade.editor, f"{BASE_PATH}/connectors", database)["id"]
    copied = document(name, shop)
    replication = created(facade.editor, f"{BASE_PATH}/replications", {"document": copied})["id"]
    copies = f"{BASE_PATH}/replications/{replication}/run"
    failed_copy, waiting_copy = (created(facade.editor, copies, {})["id"] for _ in range(2))
    ReplicationRunStore(facade.engine).finished(failed_copy, status="failed", failure_reason="for the test")
    spare = {"name": f"spare {name}", "type": "local_fs", "config": {}}
    ids = {
        "pipeline_id": pipeline["id"],
        "idle_pipeline_id": facade.pipeline(f"{name}_idle")["id"],
        "connector_id": pipeline["connectorId"],
        "schema_id": pipeline["schemaId"],
        "run_id": failed,
        "waiting_run_id": waiting,
        "replication_id": replication,
        "failed_copy_id": failed_copy,
        "waiting_copy_id": waiting_copy,
        "hook_id": created(facade.editor, f"{BASE_PATH}/connectors", {"name": f"hook {name}", "type": "webhook"})["id"],
        "uploads_id": uploads,
        "upload_name": f"{name}.csv",
        "field_id": table["fields"][-1]["id"],
        "table": table["tableName"],
        "spare_connector_id": created(facade.editor, f"{BASE_PATH}/connectors", spare)["id"],
        "spare_schema_id": created(
            facade.editor, f"{BASE_PATH}/schemas", {"name": f"{name}_spare", "displayName": "Spare"}
        )["id"],
        "document_id": created(facade.editor, f"{BASE_PATH}/yaml-connectors", yaml_document(name))["id"],
        "spare_document_id": created(facade.editor, f"{BASE_PATH}/yaml-connectors", yaml_document(f"{name}_spare"))[
            "id"
        ],
        "key_id": created(facade.admin, f"{BASE_PATH}/api-keys", {"name": name})["id"],
    }
    return World(ids, ir, copied)
