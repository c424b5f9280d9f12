"""The runs of a replication's tables in Prefect: each a subflow of the replication's run, under the name of its table,
and an ordinary run of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect import State, Task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Pending, Scheduled

from headrace.catalog.replications.records import RunTable
from headrace.flows.prefect.names import run_name

_AT_ONCE = 200


class Refused(Exception):
    """Prefect rejects the run of a table, and would reject it again."""


class Children:
    """The runs of the tables of one run of a replication. The client's methods raise httpx.HTTPError."""

    def __init__(self, client: PrefectClient, parent: FlowRun, tenant_id: str, replication: str) -> None:
        self._client, self._parent, self._tenant_id, self._replication = client, parent, tenant_id, replication

    async def start(self, table: RunTable) -> str | None:
        """Starts the run of a table's pipeline, or finds the one that was started; returns its run id. None where
        Prefect has no deployment of the pipeline. Raises Refused."""
        if table.deployment_id is None:
            return None
        as_subflow: Task[[], None] = Task(name=_task_name(table.name), fn=lambda: None)
        as_subflow.task_key = f"headrace.replication.{table.pipeline_id}"
        held: State[Any] = Pending()
        task_run = await self._client.create_task_run(
            task=as_subflow,
            flow_run_id=self._parent.id,
            dynamic_key=str(table.pipeline_id),
            name=_task_name(table.name),
            state=held,
        )
        scheduled: State[Any] = Scheduled()
        try:
            run = await self._client.create_flow_run_from_deployment(
                UUID(table.deployment_id),
                parameters={
                    "pipeline_id": table.pipeline_id,
                    "tenant_id": self._tenant_id,
                    "ir_version": table.ir_version,
                    "retry_of": table.retry_of,
                    "parameters": {},
                },
                state=scheduled,
                name=run_name(f"{self._replication}: {table.name}", datetime.now(UTC)),
                # Keys are unique per flow, and the flow is the pipeline's.
                idempotency_key=f"replication-{self._parent.id.hex}",
                parent_task_run_id=task_run.id,
            )
        except ObjectNotFound:
            return None
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            if error.response.is_client_error:
                raise Refused(f"Prefect refuses its run: {error.response.status_code}") from error
            raise
        return f"run_{run.id.hex}"

    async def states(self, run_ids: list[str]) -> Mapping[str, State[Any] | None]:
        """The states of runs by id; a run that Prefect does not have is left out."""
        found: dict[str, State[Any] | None] = {}
        for first in range(0, len(run_ids), _AT_ONCE):
            ids = [UUID(hex=each.removeprefix("run_")) for each in run_ids[first : first + _AT_ONCE]]
            wanted = FlowRunFilter.model_validate({"id": {"any_": ids}})
            for run in await self._client.read_flow_runs(flow_run_filter=wanted, limit=_AT_ONCE):
                found[f"run_{run.id.hex}"] = run.state
        return found

    async def cancel(self, run_id: str) -> None:
        """Asks for the end of a run; it does nothing to one that has ended."""
        try:
            await self._client.set_flow_run_state(UUID(hex=run_id.removeprefix("run_")), Cancelling())
        except ObjectNotFound:
            return


def _task_name(table: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in table)[:200] or "table"
