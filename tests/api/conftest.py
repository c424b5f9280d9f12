"""The API on a real catalog, with an in-process orchestrator in tests that do not need Prefect."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import Engine, text

from headrace.api.app import create_app
from headrace.catalog.bootstrap import ensure_tenant, issue_key
from headrace.catalog.engine import make_engine
from headrace.catalog.runs.records import TERMINAL
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.api_keys import ROLES, Role
from headrace.catalog.security.credentials import generate_encryption_key
from headrace.catalog.settings import Settings
from headrace.connectors.errors import SourceError
from headrace.deployments.prefect.orchestrator import (
    OrchestratorAway,
    OrchestratorRefused,
    RegisteredPipeline,
    RunState,
    StartedRun,
    UnknownDeployment,
)
from headrace.deployments.stack.database.server import EmbeddedPostgres
from headrace.deployments.sync.reconciler import Reconciler
from tests.databases import Roles, in_public, new_copy

PEPPER = "a pepper for tests"
ENCRYPTION_KEY = generate_encryption_key()

SCHEMA = {"name": "orders", "displayName": "Orders", "fields": [{"name": "amount", "dataType": "integer"}]}
CONNECTOR = {"name": "files", "type": "local_fs", "config": {}}
IR: dict[str, Any] = {
    "kind": "pipeline",
    "version": "1.0",
    "id": "orders",
    "metadata": {"name": "orders"},
    "nodes": [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv", "format": "csv"}},
        {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders", "loadMode": "append"},
    ],
}


@dataclass
class LocalOrchestrator:
    """Keeps deployments and runs in memory, with the behaviour of Prefect that the API relies on."""

    away: bool = False
    refuses: str = ""
    has_worker: bool = True
    registrations: list[RegisteredPipeline] = field(default_factory=list)
    deployments: set[str] = field(default_factory=set)
    states: dict[str, RunState] = field(default_factory=dict)
    keys: dict[str, StartedRun] = field(default_factory=dict)
    parameters: list[dict[str, Any]] = field(default_factory=list)
    questions: int = 0

    def credentials(self, credentials: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
        """Has no blocks."""
        raise SourceError("block_not_found", "There is no such block.")

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str:
        self._reach()
        if self.refuses:
            raise OrchestratorRefused(self.refuses)
        self.registrations.append(pipeline)
        deployment_id = f"deployment of {pipeline.id}"
        self.deployments.add(deployment_id)
        return deployment_id

    def retire(self, pipeline_id: str, *, keep: str) -> bool:
        self._reach()
        return True

    def unregister(self, pipeline_id: str) -> bool:
        self._reach()
        self.deployments.discard(f"deployment of {pipeline_id}")
        return True

    def registered(self) -> dict[str, str]:
        self._reach()
        return {pipeline.id: pipeline.standing for pipeline in self.registrations}

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun:
        self._reach()
        if deployment_id not in self.deployments:
            raise UnknownDeployment(deployment_id)
        key = idempotency_key or uuid4().hex
        if key not in self.keys:
            self.parameters.append(parameters)
            state = self.put(deployment_id)
            self.keys[key] = StartedRun(state.run_id, state.name, state.created_at)
        return self.keys[key]

    def put(self, deployment_id: str, **changes: Any) -> RunState:
        """Adds a run as Prefect would have it, started elsewhere."""
        waiting = RunState(
            run_id=f"run_{uuid4().hex}",
            name="calm-otter",
            deployment_id=deployment_id,
            status="pending",
            state_name="Scheduled",
            message=None,
            created_at=datetime.now(UTC),
            started_at=None,
            ended_at=None,
            failure_reason=None,
        )
        state = replace(waiting, **changes)
        self.states[state.run_id] = state
        return state

    def state(self, run_id: str) -> RunState | None:
        self._reach()
        self.questions += 1
        return self.states.get(run_id)

    def cancel(self, run_id: str) -> bool:
        self._reach()
        if self.states[run_id].status in TERMINAL:
            return self.states[run_id].failure_reason == "cancelled"
        changes = {"status": "failed", "state_name": "Cancelled", "failure_reason": "cancelled"}
        self.states[run_id] = replace(self.states[run_id], **changes)
        return True

    def runs(self, deployment_id: str, limit: int = 20) -> list[RunState]:
        self._reach()
        of_deployment = [state for state in self.states.values() if state.deployment_id == deployment_id]
        return sorted(of_deployment, key=lambda state: state.created_at, reverse=True)[:limit]

    def active_runs(self, deployment_id: str) -> list[RunState]:
        return [run for run in self.runs(deployment_id, len(self.states)) if run.status not in TERMINAL]

    def healthy(self) -> bool:
        return not self.away

    def served(self) -> bool:
        self._reach()
        return self.has_worker

    def _reach(self) -> None:
        if self.away:
            raise OrchestratorAway("nobody answers")


@dataclass
class Facade:
    """The application under test, a client per role of the tenant `default`, and one of another tenant. With
    `engine` tests bypass the application, as the owner of the database."""

    app: FastAPI
    engine: Engine
    orchestrator: LocalOrchestrator
    store: RunStore
    admin: TestClient
    editor: TestClient
    viewer: TestClient
    foreign: TestClient
    anonymous: TestClient

    def pipeline(self, name: str = "orders", *, client: TestClient | None = None, **body: Any) -> dict[str, Any]:
        """A new IR-native pipeline with its own connector and schema."""
        client = client or self.editor
        connector = created(client, "/api/v1/connectors", CONNECTOR | {"name": f"files of {name}"})
        schema = created(client, "/api/v1/schemas", SCHEMA | {"name": name} | body.pop("schema", {}))
        references = {"connectorId": connector["id"], "schemaId": schema["id"]}
        return created(client, "/api/v1/pipelines", {"name": name, **references, "irVersion": "1.0", "ir": IR, **body})

    @property
    def reconciler(self) -> Reconciler:
        """Does a step of the background thread."""
        return Reconciler(self.engine, self.orchestrator)

    def references(self, pipeline_id: str, ir: dict[str, Any]) -> dict[str, Any]:
        """The body of another pipeline with the same connector and schema."""
        like = self.editor.get(f"/api/v1/pipelines/{pipeline_id}").json()
        ids = {key: like[key] for key in ("connectorId", "schemaId")}
        return {"name": "another", **ids, "irVersion": "1.0", "ir": ir}


def created(client: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


def error_of(response: Any, status: int) -> dict[str, Any]:
    """The error of a response, after checking that it is in the envelope."""
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"code", "message", "status", "requestId", "details"}
    assert error["status"] == status
    assert error["requestId"] == response.headers["X-Request-ID"]
    assert all(set(detail) == {"path", "code", "message", "hint"} for detail in error["details"])
    return error


@pytest.fixture(scope="session")
def facade_roles(postgres_server: EmbeddedPostgres) -> Roles:
    """A migrated database that the tests of this folder share: each conftest that imports this has one of its own."""
    return new_copy(postgres_server, f"headrace_api_{uuid4().hex[:8]}", migrated=True)


@pytest.fixture(scope="session")
def facade_url(facade_roles: Roles) -> str:
    """The URL with which the API connects to it."""
    return facade_roles.api


def settings_for(database_url: str, **changes: Any) -> Settings:
    facts: dict[str, Any] = {
        "database_url": database_url,
        "key_pepper": SecretStr(PEPPER),
        "encryption_keys": SecretStr(ENCRYPTION_KEY),
        "audit_witness": Path(tempfile.mkdtemp(prefix="headrace-witness-")) / "audit-heads.json",
        "unauthenticated_limit": 0,  # tests send hundreds of refused requests from one address
    }
    return Settings(**facts | changes)


@contextmanager
def connected(app: FastAPI) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of an application, which have one event loop: without it each request starts one, and a thread,
    which takes longer than to answer it."""
    first = TestClient(app)
    with start_blocking_portal(**first.async_backend) as portal:

        def client(**options: Any) -> TestClient:
            made = TestClient(app, raise_server_exceptions=False, **options)
            made.portal = portal
            return made

        yield client


@pytest.fixture(scope="session")
def running_facade(facade_url: str, facade_roles: Roles) -> Iterator[Facade]:
    engine, after = make_engine(facade_url), make_engine(in_public(facade_roles.owner))
    app = create_app(settings_for(facade_url), orchestrator=LocalOrchestrator(), engine=engine)

    with connected(app) as new_client:

        def client(tenant: str, role: Role) -> TestClient:
            ensure_tenant(engine, tenant)
            key = issue_key(engine, tenant_id=tenant, name=role, role=role, pepper=PEPPER)
            return new_client(headers={"X-API-Key": key})

        admin, editor, viewer = (client("default", role) for role in ROLES)
        clients = admin, editor, viewer, client("other", "admin"), new_client()
        yield Facade(app, after, LocalOrchestrator(), RunStore(engine), *clients)
    engine.dispose()
    after.dispose()


@pytest.fixture
def facade(running_facade: Facade) -> Facade:
    """The API with only tenants and keys in its catalog, and a new orchestrator."""
    return emptied(running_facade)


def emptied(running_facade: Facade) -> Facade:
    """The API as the fixture `facade` has it; for fixtures of a whole module."""
    with running_facade.engine.begin() as connection:
        tables = connection.scalars(text("SELECT table_name FROM headrace.schemas")).all()
        for statement in (
            *(f'DROP TABLE IF EXISTS public."{table}"' for table in tables),
            *(
                f"DELETE FROM headrace.{name}"
                for name in (
                    "pipelines",
                    "replications",
                    "deployment_changes",
                    "schemas",
                    "connectors",
                    "yaml_connectors",
                )
            ),
        ):
            connection.execute(text(statement))
    running_facade.orchestrator = LocalOrchestrator()
    running_facade.app.state.services = replace(
        running_facade.app.state.services, orchestrator=running_facade.orchestrator
    )
    return running_facade
