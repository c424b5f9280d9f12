"""What a worker makes of a deployment before it starts one of its runs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from prefect.workers.base import BaseJobConfiguration
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse


class HeadraceJobConfiguration(BaseJobConfiguration):
    """A job, and the module its flow is in, where nothing has to be fetched to import it."""

    _entrypoint: str | None = PrivateAttr(default=None)

    def prepare_for_flow_run(
        self, flow_run: FlowRun, deployment: DeploymentResponse | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """As Prefect's."""
        super().prepare_for_flow_run(flow_run, deployment, *args, **kwargs)
        if deployment is not None and not deployment.pull_steps and ":" not in (deployment.entrypoint or ":"):
            self._entrypoint = deployment.entrypoint

    @classmethod
    def _base_environment(cls) -> dict[str, str]:
        return dict(_own_settings())

    @property
    def importable(self) -> dict[str, str]:
        """The environment's variable that spares the run asking Prefect for its deployment."""
        return {} if self._entrypoint is None else {"PREFECT__FLOW_ENTRYPOINT": self._entrypoint}


@cache
def _own_settings() -> dict[str, str]:
    """The worker's settings of Prefect as variables, which stay as they are; to write them down takes 80 ms."""
    return BaseJobConfiguration._base_environment()
