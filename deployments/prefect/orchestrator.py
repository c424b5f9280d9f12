"""Prefect for everything that is not a flow: registers pipelines, starts and cancels runs, reads their states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

import httpx

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.prefect.connection import (
    CONNECT_SECONDS,
    OrchestratorAway,
    OrchestratorRefused,
    PrefectConnection,
    UnknownDeployment,
    import_prefect,
)
from headrace.deployments.prefect.deployments import PAGE_SIZE, register, registered, retire
from headrace.deployments.prefect.flow_runs import (
    StartedRun,
    UpcomingRun,
    active_runs,
    find,
    flow_run_id,
    last_scheduled,
    late,
    runs_of,
    started,
    state_of,
    unsuccessful_since,
    upcoming,
)
from headrace.deployments.prefect.registered_pipeline import RegisteredPipeline, queue_of
from headrace.deployments.prefect.run_states import RunState
from headrace.deployments.prefect.work_queues import OverdueRun, ensure_queue, limit_queues, overdue, overdue_count
from headrace.flows.prefect.names import GIVEN_UP

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import OrchestrationResult

__all__ = [
    "Orchestrator",
    "OrchestratorAway",
    "OrchestratorRefused",
    "OverdueRun",
    "RegisteredPipeline",
    "RunState",
    "StartedRun",
    "UnknownDeployment",
    "UpcomingRun",
]


class Orchestrator:
    """Prefect's REST API. Synchronous; safe to share between threads.

    Every method raises OrchestratorAway when Prefect does not answer in time. Requests are not retried for long: a
    client waits for the answer.
    """

    def __init__(
        self, prefect: PrefectApi, work_pool: str = "headrace", running_limit: Callable[[str], int] | None = None
    ) -> None:
        """`running_limit` gives the number of runs of a tenant that may run at a time; without it there is no limit."""
        self._api, self._work_pool, self._running_limit = prefect, work_pool, running_limit
        self._limited: set[str] = set()
        self._connection = PrefectConnection(prefect)
        self._call = self._connection.call

    def healthy(self) -> bool:
        """Whether Prefect and its database answer and accept our credentials."""
        try:
            with self._api.client(CONNECT_SECONDS) as client:
                return client.get("/ready").is_success and client.get("/admin/version").is_success
        except httpx.HTTPError:
            return False

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str:
        """Creates or updates the pipeline's flow and deployment; returns the deployment's id.

        Sends nothing when the deployment already has this fingerprint: Prefect would delete and re-create its
        schedules and scheduled runs. A renamed pipeline gets a new deployment; `retire` then removes the old one.
        `first`: the pipeline was never registered, so existing deployments are not looked up. Raises
        OrchestratorRefused.
        """
        queue = pipeline.work_queue
        if queue not in self._limited:
            limited = self._running_limit is not None and queue == queue_of(pipeline.tenant_id)
            limit = self._running_limit(pipeline.tenant_id) if self._running_limit and limited else None
            self._call(lambda client: ensure_queue(client, self._work_pool, queue, limit))
            self._limited.add(queue)
        return self._call(lambda client: register(client, pipeline, self._work_pool, first=first))

    def retire(self, pipeline_id: str, *, keep: str) -> bool:
        """Removes the pipeline's deployments except `keep`. Returns False while one has unfinished runs: it is paused,
        and a later call removes it. (Prefect would delete the runs that wait.)"""
        return self._call(lambda client: retire(client, pipeline_id, keep))

    def unregister(self, pipeline_id: str) -> bool:
        """Removes the pipeline's deployments with their schedules and scheduled runs; False while one has unfinished
        runs, as for `retire`. (Without its deployment a run could not end: Prefect fails to release its concurrency
        slot, and refuses every state that would.)"""
        return self._call(lambda client: retire(client, pipeline_id, None))

    def registered(self) -> dict[str, str]:
        """Pipeline id → `standing` of its deployment, for all of Headrace's deployments in Prefect."""
        return self._call(registered)

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun:
        """Starts a run, called `name` in Prefect's lists. Raises UnknownDeployment.

        The same key always gives the same run. Keys are unique per flow in Prefect, so callers need a prefix of their
        own.
        """
        # Also without a caller's key, so that a request whose answer was lost can be repeated.
        key = idempotency_key or f"once-{uuid4().hex}"

        def create(client: SyncPrefectClient) -> FlowRun:
            return client.create_flow_run_from_deployment(
                UUID(deployment_id), parameters=parameters, idempotency_key=key, name=name
            )

        return started(self._call(create))

    def state(self, run_id: str) -> RunState | None:
        """The run's state; None when Prefect has no such run."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound

        found = flow_run_id(run_id)
        if found is None:
            return None
        try:
            return state_of(self._call(lambda client: client.read_flow_run(found)))
        except ObjectNotFound:
            return None

    def paused(self, deployment_id: str) -> bool:
        """Whether the deployment is paused in Prefect. Raises UnknownDeployment."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound

        try:
            return self._call(lambda client: client.read_deployment(UUID(deployment_id))).paused
        except ObjectNotFound:
            raise UnknownDeployment(deployment_id) from None

    def runs(self, deployment_id: str, limit: int = 20) -> list[RunState]:
        """The deployment's latest runs, newest first, without those that a schedule has only created for later."""
        return self._call(lambda client: runs_of(client, deployment_id, limit))

    def active_runs(self, deployment_id: str) -> list[RunState]:
        """All runs of the deployment that have not ended, without those that a schedule has only created for later."""
        return self._call(lambda client: active_runs(client, deployment_id))

    def states(self, run_ids: Sequence[str]) -> dict[str, RunState]:
        """The states of at most 200 runs by id, without those that Prefect does not have."""
        ids = [str(found) for run_id in run_ids if (found := flow_run_id(run_id)) is not None]
        states = self._call(lambda client: find(client, {"id": {"any_": ids}}, "ID_DESC", PAGE_SIZE))
        return {state.run_id: state for state in states}

    def unsuccessful_since(self, since: datetime, limit: int, offset: int = 0) -> list[RunState]:
        """Headrace's runs that failed, crashed or were cancelled since then, the latest first, after `offset` of
        them."""
        return self._call(lambda client: unsuccessful_since(client, since, limit, offset))

    def upcoming(self, before: datetime, limit: int) -> list[UpcomingRun]:
        """Runs that schedules have created and that are due before then, the next first."""
        return self._call(lambda client: upcoming(client, before, limit))

    def late(self, before: datetime, limit: int, offset: int = 0) -> list[RunState]:
        """Scheduled runs that were due before then and have not started, the longest waiting first, after `offset` of
        them."""
        return self._call(lambda client: late(client, before, limit, offset))

    def last_scheduled(self, deployment_id: str, before: datetime) -> datetime | None:
        """The latest time before that for which the deployment's schedule has created a run; None without one."""
        return self._call(lambda client: last_scheduled(client, deployment_id, before))

    def create_missed(self, deployment_id: str, since: datetime, until: datetime, most: int) -> None:
        """Creates the runs of the deployment's schedule that are missing in the interval (both ends included); at most
        `most`, the oldest."""
        window = {"start_time": since.isoformat(), "end_time": until.isoformat(), "min_runs": most, "max_runs": most}
        path: Literal["/deployments/{id}/schedule"] = "/deployments/{id}/schedule"
        self._call(lambda client: client.request("POST", path, path_params={"id": deployment_id}, json=window))

    def served(self) -> bool:
        """Whether a live worker serves the work pool. Raises OrchestratorAway, and OrchestratorRefused when there is no
        such pool."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound

        try:
            pool = self._call(lambda client: client.read_work_pool(self._work_pool))
        except ObjectNotFound:
            raise OrchestratorRefused(f"Prefect has no work pool '{self._work_pool}'") from None
        return pool.status is None or pool.status.value == "READY"

    def limit_queues(self, limit: Callable[[str], int]) -> int:
        """Sets the concurrency limit of each tenant's work queue to `limit`; returns how many changed. A missing queue
        is created with its limit before the first pipeline is registered in it."""
        self._limited.clear()  # a queue may have been deleted in Prefect
        return self._call(lambda client: limit_queues(client, self._work_pool, limit))

    def overdue_count(self) -> int:
        """How many runs `overdue` would return, or a few more: those due within a minute."""
        return self._call(overdue_count)

    def overdue(self) -> list[OverdueRun]:
        """Scheduled runs that are due and have not started, the longest due first."""
        return self._call(overdue)

    def give_up(self, run_id: str, reason: str) -> None:
        """Cancels a run that has not started; does nothing when it has, or when it is gone."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Cancelled

        found = flow_run_id(run_id)
        if found is None:
            return
        with suppress(ObjectNotFound, OrchestratorRefused):  # deleted meanwhile
            now = self._call(lambda client: client.read_flow_run(found)).state
            if now is not None and now.is_scheduled():
                message = f"{GIVEN_UP}{reason}"
                self._call(lambda client: client.set_flow_run_state(found, Cancelled(message=message)))

    def rename(self, run_id: str, name: str) -> None:
        """Changes the run's name in Prefect's lists; does nothing when Prefect has no such run."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound

        found = flow_run_id(run_id)
        if found is not None:
            with suppress(ObjectNotFound, OrchestratorRefused):  # deleted meanwhile
                self._call(lambda client: client.set_flow_run_name(found, name))

    def remove_tag(self, run_id: str, tag: str) -> None:
        """Removes a tag from the run; does nothing when Prefect has no such run."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound

        found = flow_run_id(run_id)
        if found is not None:
            with suppress(ObjectNotFound, OrchestratorRefused):  # deleted meanwhile
                tags = self._call(lambda client: client.read_flow_run(found)).tags
                self._call(lambda client: client.update_flow_run(found, tags=[each for each in tags if each != tag]))

    def emit(self, event: dict[str, Any]) -> None:
        """Sends an event to Prefect; `occurred` and `id` are added."""
        self._connection.emit({"occurred": datetime.now(UTC).isoformat(), "id": str(uuid4()), **event})

    def cancel(self, run_id: str) -> bool:
        """Requests the run's cancellation; the worker stops it and it ends as Cancelled. False when it had already
        ended otherwise, or when there is no such run."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Cancelling

        found = flow_run_id(run_id)
        if found is None:
            return False
        try:
            answer: OrchestrationResult[Any] = self._call(lambda client: client.set_flow_run_state(found, Cancelling()))
            # A run that has not started is Cancelled at once; one that is Cancelling keeps its state.
            state = answer.state or self._call(lambda client: client.read_flow_run(found)).state
        except ObjectNotFound:
            return False
        return state is not None and (state.is_cancelling() or state.is_cancelled())

    def credentials(self, credentials: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
        """Credentials with the values of the blocks they refer to, in the clear: never log or return them. `allowed`
        are patterns of `type/name`.

        Raises SourceError for a block that does not exist or is not allowed, OrchestratorAway.
        """
        import_prefect()
        from headrace.flows.prefect.blocks import credentials_from

        return self._call(lambda client: credentials_from(client, credentials, allowed))

    def close(self) -> None:
        """Closes its connections."""
        self._connection.close()
