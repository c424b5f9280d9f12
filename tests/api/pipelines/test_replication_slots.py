"""A replication slot goes with its pipeline, and doctor finds those that stayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH
from headrace.deployments.cli.doctor.slots import slots
from tests.api.conftest import IR, Facade, created, error_of
from tests.connectors.sql.postgresql.changes.origin import LOGIN, Origin, logical_server, origin

__all__ = ["logical_server", "origin"]
pytestmark = pytest.mark.postgres


@pytest.fixture
def dialling(facade: Facade) -> Iterator[Facade]:
    """A facade whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


def mirroring(node: str = "src") -> dict[str, Any]:
    source = {"id": node, "kind": "source", "connector": "postgresql", "connection": "origin"}
    source["config"] = {"table": "public.t", "changes": {}}  # type: ignore[assignment]
    target = {"id": "tgt", "kind": "target", "input": node, "schema": "public.ds_orders", "loadMode": "cdc_mirror"}
    return IR | {"nodes": [source, target | {"upsertKey": ["amount"]}]}


@pytest.fixture
def pipeline(dialling: Facade, origin: Origin) -> str:
    """A pipeline whose first run has made its slot."""
    origin.make("CREATE TABLE t (amount int PRIMARY KEY)")
    body = {"name": "origin", "type": "postgresql", "config": origin.config, "authConfig": LOGIN}
    created(dialling.editor, f"{BASE_PATH}/connectors", body)
    made = str(dialling.pipeline(ir=mirroring())["id"])
    origin.pipeline = made
    origin.run()
    assert len(origin.slots()) == 1
    return made


def test_the_slot_goes_with_the_pipeline(dialling: Facade, pipeline: str, origin: Origin) -> None:
    response = dialling.editor.delete(f"{BASE_PATH}/pipelines", params={"id": pipeline})
    assert response.status_code == 204, response.text
    assert origin.slots() == []
    assert origin.rows("SELECT pubname FROM pg_publication") == []


def test_a_slot_that_cannot_be_dropped_keeps_the_pipeline(dialling: Facade, pipeline: str, origin: Origin) -> None:
    origin.make("ALTER ROLE keeper NOLOGIN", user="postgres")
    try:
        error = error_of(dialling.editor.delete(f"{BASE_PATH}/pipelines", params={"id": pipeline}), 409)
        assert "What the runs keep at the server of the source 'src' cannot be removed" in error["message"]
        assert LOGIN["password"] not in error["message"]
        forced = dialling.editor.delete(f"{BASE_PATH}/pipelines", params={"id": pipeline, "force": True})
        assert forced.status_code == 204
    finally:
        origin.make("ALTER ROLE keeper LOGIN", user="postgres")
    assert len(origin.slots()) == 1


def test_doctor_names_the_slots_that_no_pipeline_reads(dialling: Facade, pipeline: str, origin: Origin) -> None:
    listed = dialling.editor.get(f"{BASE_PATH}/connectors").json()["data"]
    [connector] = [each["id"] for each in listed if each["name"] == "origin"]
    client: Any = TestClient(
        dialling.app, base_url=f"http://testserver{BASE_PATH}", headers=dict(dialling.editor.headers)
    )
    tested = client.post(f"/connectors/{connector}/test").json()
    assert "changes can be read: 1 of 20 replication slots are used" in tested["message"]
    [kept] = tested["sample"]["slots"]
    assert list(slots(client, "origin", [kept])) == []
    assert [each.found.partition(" for")[0] for each in slots(client, "origin", [kept | {"held": 3 << 30}])] == [
        "origin: the server keeps 3,221.2 MB of its log"]  # fmt: skip
    client.post(f"/pipelines/{pipeline}/ir", json=mirroring("renamed")).raise_for_status()
    [orphan] = slots(client, "origin", [kept])
    assert orphan.found.startswith(f"origin: no pipeline of this tenant reads {kept['name']}, for which")
    assert f"pg_drop_replication_slot('{kept['name']}')" in orphan.remedy
