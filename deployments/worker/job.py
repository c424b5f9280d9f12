"""The job configuration that a worker derives from a deployment."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from prefect.workers.base import BaseJobConfiguration
from pydantic import PrivateAttr

from headrace.deployments.prefect.registered_pipeline import (
    ENTRYPOINT,
    PARAMETER_SCHEMA,
    REPLICATION_ENTRYPOINT,
    REPLICATION_PARAMETER_SCHEMA,
)
from headrace.deployments.worker.admission import Flows, refusal_reason

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse


class HeadraceJobConfiguration(BaseJobConfiguration):
    """A job: the worker's own environment and one of `flows`; settings of deployment, run and pool are not used."""

    flows: ClassVar[Flows] = {
        ENTRYPOINT: PARAMETER_SCHEMA,
        REPLICATION_ENTRYPOINT: REPLICATION_PARAMETER_SCHEMA,
    }
    _entrypoint: str | None = PrivateAttr(default=None)
    _refusal_reason: str = PrivateAttr(default="it has not been checked")

    @classmethod
    async def resolve_for_flow_run(
        cls,
        flow_run: FlowRun,
        *,
        client: PrefectClient,
        work_pool: WorkPool,
        worker_name: str,
        worker_id: UUID | None = None,
        deployment: DeploymentResponse | None = None,
    ) -> HeadraceJobConfiguration:
        """Like Prefect's, without the template: no value of it, of a block or of a variable gets into the job."""
        if deployment is None and flow_run.deployment_id is not None:
            deployment = await client.read_deployment(flow_run.deployment_id)
        job = cls()
        job.decide(flow_run, deployment, work_pool)
        flow = await client.read_flow(flow_run.flow_id)
        job.prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id)
        return job

    def decide(self, flow_run: FlowRun, deployment: DeploymentResponse | None, work_pool: WorkPool) -> None:
        """Decides whether the run is executed: sets `entrypoint` or `refusal_reason`."""
        found = refusal_reason(flow_run, deployment, work_pool, self.flows)
        self._refusal_reason = found or ""
        self._entrypoint = deployment.entrypoint if found is None and deployment is not None else None

    @property
    def refusal_reason(self) -> str:
        """Why the run is refused; empty when it is allowed."""
        return "" if self._entrypoint is not None else self._refusal_reason

    @property
    def entrypoint(self) -> str:
        """The module path of the flow: the run does not ask Prefect for it. Raises PermissionError when refused."""
        if self._entrypoint is None:
            raise PermissionError(self._refusal_reason)
        return self._entrypoint

    @property
    def only_waits(self) -> bool:
        """Whether the run only waits for other runs, and so takes none of the worker's places from them."""
        return self._entrypoint == REPLICATION_ENTRYPOINT

    @classmethod
    def _base_environment(cls) -> dict[str, str]:
        return dict(_own_settings())


@cache
def _own_settings() -> dict[str, str]:
    """The worker's Prefect settings as variables; cached, since computing them takes 80 ms."""
    return BaseJobConfiguration._base_environment()
