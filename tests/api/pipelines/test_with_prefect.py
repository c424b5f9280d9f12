"""Pipelines and their deployments with a real API server and Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from headrace.catalog.engine import make_engine
from headrace.catalog.models import Pipeline, new_id
from headrace.catalog.repositories import TenantCatalog
from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack


@pytest.fixture
def api(stack: RunningStack) -> Iterator[Api]:
    api = Api(stack)
    yield api
    api.close()


def deployments(stack: RunningStack, pipeline_id: str) -> list[dict[str, Any]]:
    tagged = {"deployments": {"tags": {"all_": [f"pipeline:{pipeline_id}"]}}}
    found: list[dict[str, Any]] = stack.prefect.post("/deployments/filter", json=tagged, timeout=30).json()
    return found


def test_legacy_nodes_run_and_load(api: Api) -> None:
    api.file.write_text("amt,note\n1,a\n2,b\n-3,c\n")
    nodes = [
        {"id": "n1", "nodeType": "source", "config": {"path": api.file.name}},
        {
            "id": "n2",
            "nodeType": "transform",
            "config": {"type": "rename_field", "oldName": "amt", "newName": "amount"},
        },
        {"id": "n3", "nodeType": "filter", "config": {"field": "amount", "operator": "gt", "value": 0}},
        {"id": "n4", "nodeType": "target", "config": {}},
    ]
    edges = [{"source": f"n{number}", "target": f"n{number + 1}"} for number in (1, 2, 3)]
    legacy = {key: api.body[key] for key in ("name", "connectorId", "schemaId")}
    made = api.make("/pipelines", legacy | {"nodes": nodes, "edges": edges})
    assert (made["irVersion"], made["issues"]) == (None, [])
    api.pipeline = made["id"]
    progress = api.run()
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"], progress["skippedRows"]) == (
        *("completed", 3, 2, 1),
    )
    assert api.rows() == [(1, "a"), (2, "b")]


def test_a_pipeline_that_was_only_saved_gets_its_deployment_from_the_reconciler(stack: RunningStack, api: Api) -> None:
    engine = make_engine(stack.database_url)
    with Session(engine) as session, session.begin():  # what the API does while Prefect is unreachable
        catalog = TenantCatalog(session, "default")
        pipeline = Pipeline(
            id=new_id("pipe"),
            name=f"{api.name} saved",
            status="draft",
            schedule="0 2 * * *",
            connector_id=api.body["connectorId"],
            schema_id=api.body["schemaId"],
            execution_config={},
            nodes=[],
            edges=[],
        )
        catalog.pipelines.add(pipeline)
        catalog.pipelines.save_ir(pipeline, api.body["ir"], authored_by="me")
        api.pipeline = pipeline.id
    engine.dispose()
    [deployment] = eventually(lambda: deployments(stack, api.pipeline) or None)
    assert [each["schedule"]["cron"] for each in deployment["schedules"]] == ["0 2 * * *"]
    assert api.run()["rowsOut"] == 2
    assert len(deployments(stack, api.pipeline)) == 1


def test_a_rename_moves_the_deployment_and_keeps_its_runs(stack: RunningStack, api: Api) -> None:
    api.create()
    first = api.start()
    assert api.put("/pipelines", json={"id": api.pipeline, "name": f"{api.name} renamed"}).status_code == 200
    assert api.finished(first)["rowsOut"] == 2
    second = api.start()
    assert api.finished(second)["rowsOut"] == 2
    assert {first, second} <= {run["id"] for run in api.runs()}
    [deployment] = eventually(lambda: found if len(found := deployments(stack, api.pipeline)) == 1 else None)
    assert deployment["name"] == f"{api.name} renamed"


def test_publishing_an_older_version_takes_its_schedule_back(stack: RunningStack, api: Api) -> None:
    api.create()
    every = api.body["ir"] | {"schedule": {"kind": "interval", "minutes": 1440}}
    assert api.make(f"/pipelines/{api.pipeline}/ir", every)["version"] == 2
    [deployment] = deployments(stack, api.pipeline)
    assert [each["schedule"]["interval"] for each in deployment["schedules"]] == [86400.0]
    assert api.post(f"/pipelines/{api.pipeline}/ir/publish", json={"version": 1}).json()["live"]
    [deployment] = deployments(stack, api.pipeline)
    assert deployment["schedules"] == []


def test_a_running_pipeline_is_deleted_by_force_alone(stack: RunningStack, api: Api) -> None:
    api.file.write_text("amount,note\n" + "".join(f"{number},note\n" for number in range(400_000)))
    api.body["executionConfig"] = {"parallelism": 1, "batchSize": 50}
    api.create()
    run_id = api.start()
    eventually(lambda: api.progress(run_id)["status"] == "running" or None)
    assert api.delete(f"/pipelines?id={api.pipeline}").status_code == 409
    assert api.delete(f"/pipelines?id={api.pipeline}&force=true").status_code == 204
    assert api.get(f"/pipelines/{api.pipeline}").status_code == 404
    eventually(lambda: deployments(stack, api.pipeline) == [] or None)
    flow_run = f"/flow_runs/{run_id.removeprefix('run_')}"
    ended = eventually(
        lambda: s if (s := stack.prefect.get(flow_run).json()["state"]["type"]) != "CANCELLING" else None
    )
    assert ended == "CANCELLED"


def test_lineage_names_the_run_of_each_row(api: Api) -> None:
    api.create()
    run_id = api.start()
    api.finished(run_id)
    schema, _, table = api.table.partition(".")
    found = api.get("/lineage", params={"schema": schema, "table": table}).json()
    assert found["count"] == 2
    expected = {"runId": run_id, "pipelineId": api.pipeline, "sourceNodeId": "src"}
    assert all(row["lineage"] == expected for row in found["rows"])
