"""A facade that may connect to loopback, and runs of replications without Prefect: the flow's steps are called
directly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH
from headrace.api.replications.prepare import Preparer
from headrace.catalog.replications.store import ReplicationRunStore
from headrace.connectors.connector import Connection, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.flows.replication.discover import discover
from headrace.flows.replication.found import FOUND_TABLES
from headrace.ir.replication import parse_replication
from tests.api.conftest import Facade, created
from tests.replicated import Replicated, document

REPLICATIONS, CONNECTORS, PIPELINES, SCHEMAS = (
    f"{BASE_PATH}/{name}" for name in ("replications", "connectors", "pipelines", "schemas")
)


@dataclass
class Copying:
    """The facade, the source, and the replication `shop` of it."""

    facade: Facade
    source: Replicated

    @property
    def editor(self) -> TestClient:
        return self.facade.editor

    @property
    def store(self) -> ReplicationRunStore:
        services = self.facade.app.state.services
        return ReplicationRunStore(services.engine, keyring=services.settings.keyring)

    @property
    def preparer(self) -> Preparer:
        return Preparer(self.facade.app.state.services)

    def connector(self) -> str:
        return str(created(self.editor, CONNECTORS, self.source.connector("shop db"))["id"])

    def replication(self, **more: Any) -> str:
        self.connector()
        return str(created(self.editor, REPLICATIONS, {"document": document("shop", "shop db", **more)})["id"])

    def plan(self, replication: str, **body: Any) -> dict[str, dict[str, Any]]:
        """The tables of the plan by name."""
        answer = self.editor.post(f"{REPLICATIONS}/{replication}/plan", json=body)
        assert answer.status_code == 200, answer.text
        return {each["name"]: each for each in answer.json()["tables"]}

    def begin(self, replication: str, run_id: str | None = None) -> str:
        """What the flow does first: it looks at the source."""
        run_id = run_id or created(self.editor, f"{REPLICATIONS}/{replication}/run", {})["id"]
        record = self.store.load(replication, "default")
        self.store.open(
            run_id,
            replication_id=replication,
            tenant_id="default",
            version=record.version,
            retry_of=None,
            begins=True,
        )
        parsed = parse_replication(record.document).document
        run = self.store.snapshot(run_id)
        assert parsed is not None
        assert run is not None
        settings = self.facade.app.state.services.settings
        connection = Connection("conn", "postgresql", self.source.config, self.source.credentials)
        surroundings = Surroundings(FilesRoot(settings.files_root), settings.connector_networks)
        found = discover(connection, surroundings, parsed, run.only_tables)
        self.store.found(run_id, FOUND_TABLES.dump_python(tuple(found), mode="json", exclude_defaults=True))
        return run_id

    def prepared(self, replication: str) -> dict[str, Any]:
        """A run whose pipelines are made."""
        run_id = self.begin(replication)
        assert self.preparer.prepare(run_id)
        return self.run(replication, run_id)

    def run(self, replication: str, run_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.editor.get(f"{REPLICATIONS}/{replication}/runs/{run_id}").json()
        return answer

    def statuses(self, run: dict[str, Any]) -> dict[str, str]:
        return {each["name"]: each["status"] for each in run["results"]}


@pytest.fixture
def copying(facade: Facade, replicated: Replicated) -> Iterator[Copying]:
    services = facade.app.state.services
    loopback = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    settings = services.settings.model_copy(update={"connector_networks": loopback})
    facade.app.state.services = replace(services, settings=settings)
    yield Copying(facade, replicated)
    facade.app.state.services = services
