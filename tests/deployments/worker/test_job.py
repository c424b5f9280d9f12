"""A run asks Prefect for its deployment only where its flow has to be fetched."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from deployments.worker.job import HeadraceJobConfiguration


def importable(**deployment: Any) -> dict[str, str]:
    job = HeadraceJobConfiguration()
    made = DeploymentResponse(name="orders", flow_id=uuid4(), **deployment)
    job.prepare_for_flow_run(flow_run=FlowRun(flow_id=made.flow_id, name="orders"), deployment=made)
    return job.importable


def test_a_module_path_is_imported_as_it_is() -> None:
    assert importable(entrypoint="flows.run.run_pipeline") == {"PREFECT__FLOW_ENTRYPOINT": "flows.run.run_pipeline"}


@pytest.mark.parametrize(
    "deployment",
    [
        {"entrypoint": "flows/run.py:run_pipeline"},
        {"entrypoint": None},
        {"entrypoint": "flows.run.run_pipeline", "pull_steps": [{"prefect.deployments.steps.git_clone": {}}]},
    ],
    ids=["a file", "none", "pulled first"],
)
def test_anything_else_is_left_to_prefect(deployment: dict[str, Any]) -> None:
    assert importable(**deployment) == {}
