"""Pipelines as deployments in Prefect, with a client that is open: made, found, paused, removed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

from deployments.pipeline import ENTRYPOINT, RegisteredPipeline
from deployments.schedules import to_prefect

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

PAGE = 200
"""Prefect gives no more at once."""


def register(client: SyncPrefectClient, pipeline: RegisteredPipeline, work_pool: str, *, first: bool) -> str:
    """See `Orchestrator.register`."""
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions

    for deployment in [] if first else deployments_of(client, pipeline.id):
        as_it_is = _standing(deployment.model_dump(mode="json"))
        if as_it_is == pipeline.standing and deployment.work_pool_name == work_pool:
            return str(deployment.id)
    flow_id = client.create_flow_from_name(pipeline.flow_name)
    deployment_id = client.create_deployment(
        flow_id=flow_id,
        name=pipeline.deployment_name,
        version=pipeline.version,
        description=pipeline.description,
        entrypoint=ENTRYPOINT,
        pull_steps=[],
        work_pool_name=work_pool,
        tags=pipeline.tags,
        parameters=pipeline.parameters,
        parameter_openapi_schema=pipeline.parameter_schema,
        enforce_parameter_schema=True,
        schedules=to_prefect(
            pipeline.schedule, active=pipeline.active, since=pipeline.scheduled_since or datetime.now(UTC)
        ),
        paused=not pipeline.active,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
    )
    return str(deployment_id)


def retire(client: SyncPrefectClient, pipeline_id: str, keep: str | None) -> bool:
    """See `Orchestrator.retire` and `unregister`."""
    # A count is one statement, a list five. `keep` is there: it alone, unless the pipeline was renamed.
    count = client.request("POST", "/deployments/count", json={"deployments": _tagged(pipeline_id)}).json()
    if count <= (0 if keep is None else 1):
        return True
    retired = True
    for deployment in deployments_of(client, pipeline_id):
        if str(deployment.id) == keep:
            continue
        if _unfinished(client, deployment.id):
            if not deployment.paused:
                client.pause_deployment(deployment.id)
            retired = False
        else:
            delete(client, deployment)
    return retired


def delete(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
    """Removes a deployment, with its schedules and the runs that have not begun."""
    from prefect.exceptions import ObjectNotFound

    with suppress(ObjectNotFound):  # somebody was faster
        client.delete_deployment(deployment.id)


def _unfinished(client: SyncPrefectClient, deployment_id: UUID) -> bool:
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [str(deployment_id)]},
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]}},
        }
    )
    now = datetime.now(UTC)
    return any(not only_scheduled(run, now) for run in client.read_flow_runs(flow_run_filter=wanted, limit=200))


def registered(client: SyncPrefectClient) -> dict[str, str]:
    """See `Orchestrator.registered`."""
    found: dict[str, str] = {}
    for offset in count(0, PAGE):
        wanted = {"deployments": {"tags": {"all_": ["headrace"]}}, "limit": PAGE, "offset": offset, "sort": "NAME_ASC"}
        # As they come: making a thousand of the client's models takes seconds.
        page: list[dict[str, Any]] = client.request("POST", "/deployments/filter", json=wanted).json()
        for deployment in page:
            pipeline_id = tagged_pipeline(deployment["tags"])
            if pipeline_id is not None:
                found[pipeline_id] = _standing(deployment)
        if len(page) < PAGE:
            break
    return found


def _standing(deployment: dict[str, Any]) -> str:
    """`RegisteredPipeline.standing`, as the deployment has it."""
    fingerprint = (deployment["version"] or "").rpartition("+")[2]
    firing = []
    for each in deployment["schedules"]:
        schedule = each["schedule"]
        if "cron" in schedule:
            when = f"cron {schedule['cron']} {schedule['timezone']}"
        elif "rrule" in schedule:
            when = f"rrule {schedule['rrule']} {schedule['timezone']}"
        else:
            when = f"interval {float(schedule['interval']):.0f}"
        active = each["active"] and not deployment["paused"]
        firing.append(when if active else f"paused {when}")
    return f"{fingerprint} {', '.join(firing) or 'never'}"


def tagged_pipeline(tags: Iterable[str]) -> str | None:
    """The pipeline that tags name, None when they name none."""
    return next((tag[9:] for tag in tags if tag.startswith("pipeline:")), None)


def deployments_of(client: SyncPrefectClient, pipeline_id: str) -> list[DeploymentResponse]:
    """The pipeline's deployments by its tag: one, or two in the middle of a rename."""
    from prefect.client.schemas.filters import DeploymentFilter

    return client.read_deployments(deployment_filter=DeploymentFilter.model_validate(_tagged(pipeline_id)))


def _tagged(pipeline_id: str) -> dict[str, Any]:
    """The filter for the pipeline's deployments."""
    return {"tags": {"all_": ["headrace", f"pipeline:{pipeline_id}"]}}


def only_scheduled(run: FlowRun, now: datetime) -> bool:
    """Whether nothing has happened to the run yet but that a schedule made it for later."""
    expected = run.expected_start_time
    return bool(run.auto_scheduled) and run.state_name == "Scheduled" and expected is not None and expected > now
