"""A job runs Headrace's flow in the worker's own environment, or is refused."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse

from headrace.deployments.prefect.registered_pipeline import ENTRYPOINT, REPLICATION_ENTRYPOINT, RegisteredPipeline
from headrace.deployments.worker.job import HeadraceJobConfiguration
from headrace.deployments.worker.type import HeadraceWorker

IDS = {"pipeline_id": "pipe_1", "tenant_id": "default"}


class Prefect:
    """What a job asks Prefect: for its deployment and its flow, and nothing else."""

    def __init__(self, deployment: DeploymentResponse) -> None:
        self._deployment = deployment

    async def read_deployment(self, _id: Any) -> DeploymentResponse:
        return self._deployment

    async def read_flow(self, flow_id: Any) -> Flow:
        return Flow(id=flow_id, name="orders")


def job(
    deployment: dict[str, Any] | None = None, run: dict[str, Any] | None = None, template: dict[str, Any] | None = None
) -> HeadraceJobConfiguration:
    made = DeploymentResponse(name="orders", flow_id=uuid4(), **{"entrypoint": ENTRYPOINT, **(deployment or {})})
    asked = FlowRun(
        flow_id=made.flow_id, name="orders", **{"deployment_id": uuid4(), "parameters": dict(IDS), **(run or {})}
    )
    pool = WorkPool(
        name="headrace", type="headrace", base_job_template=template or HeadraceWorker.get_default_base_job_template()
    )
    client = cast(Any, Prefect(made))
    return asyncio.run(
        HeadraceJobConfiguration.resolve_for_flow_run(asked, client=client, work_pool=pool, worker_name="mine")
    )


@pytest.mark.parametrize(
    "parameters",
    [
        RegisteredPipeline("pipe_1", "Orders", "default").parameters,
        IDS | {"ir_version": 3, "retry_of": "run_1", "parameters": {"day": "2026-11-01", "n": 1, "all": True}},
        IDS | {"ir_version": None, "retry_of": None, "parameters": None},
    ],
    ids=["a schedule's", "all", "nulls"],
)
def test_a_run_of_ours_is_one(parameters: dict[str, Any]) -> None:
    found = job(run={"parameters": parameters})
    assert (found.refusal_reason, found.entrypoint) == ("", ENTRYPOINT)


def test_a_run_of_a_replication_is_one_that_takes_no_place_from_those_it_waits_for() -> None:
    parameters = {"replication_id": "repl_1", "tenant_id": "default", "retry_of": None}
    found = job({"entrypoint": REPLICATION_ENTRYPOINT}, {"parameters": parameters})
    assert (found.refusal_reason, found.entrypoint, found.only_waits) == ("", REPLICATION_ENTRYPOINT, True)
    assert not job().only_waits
    assert "parameters" in job({"entrypoint": REPLICATION_ENTRYPOINT}).refusal_reason  # those of a pipeline


def test_labels_and_names_of_infrastructure_do_no_harm() -> None:
    assert job({"job_variables": {"name": "n", "labels": {"a": "b"}, "env": {}}}).refusal_reason == ""


@pytest.mark.parametrize(
    ("name", "default"),
    [("command", "sh"), ("env", {"LD_PRELOAD": "x"})],
)
def test_a_pool_that_would_change_jobs_has_none(name: str, default: Any) -> None:
    given = HeadraceWorker.get_default_base_job_template()
    by_default = HeadraceWorker.get_default_base_job_template()
    given["job_configuration"][name] = default
    by_default["variables"]["properties"][name]["default"] = default
    for template in (given, by_default):
        assert (
            job(template=template).refusal_reason
            == f"its work pool sets '{name}'; set the worker's environment instead"
        )


def test_the_environment_of_a_job_is_the_workers() -> None:
    own = HeadraceJobConfiguration._base_environment()
    added = {name for name, value in job().env.items() if own.get(name) != value}
    assert added
    assert all(name.startswith("PREFECT__") for name in added)
    refused = job({"job_variables": {"env": {"LD_PRELOAD": "x"}, "command": "sh"}})
    assert "LD_PRELOAD" not in refused.env
    assert refused.command == HeadraceJobConfiguration._base_flow_run_command()
    with pytest.raises(PermissionError, match="job variables"):
        _ = refused.entrypoint


def test_a_job_that_nobody_evaluated_is_refused() -> None:
    # As Prefect makes one for a flow that is handed over in a bundle.
    made = HeadraceJobConfiguration(command="sh", env={"A": "b"})
    assert made.refusal_reason == "it has not been checked"
    with pytest.raises(PermissionError):
        _ = made.entrypoint
