"""Pipelines as Prefect deployments with their schedules: registered, listed, paused, deleted. The functions take an
open client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.deployments.prefect.registered_pipeline import (
    RegisteredPipeline,
    catchup_tags,
    cron_text,
    owner_from_tags,
    owner_tag,
)
from headrace.ir.schedules.cron import for_prefect
from headrace.ir.schedules.fire_times import INTERVAL_ANCHOR, with_dtstart
from headrace.ir.schedules.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse


def to_prefect(schedule: Schedule | None, *, active: bool, since: datetime) -> list[DeploymentScheduleCreate]:
    """The schedules of a deployment. `since` is when the schedule was set: the start of an rrule that has none."""
    from prefect.client.schemas import schedules as prefect_schedules
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    made: list[prefect_schedules.SCHEDULE_TYPES] = []
    match schedule:
        case None:
            pass
        case CronSchedule():
            made = [
                prefect_schedules.CronSchedule(cron=each.expression, day_or=each.day_or, timezone=schedule.timezone)
                for each in for_prefect(schedule.expression)
            ]
        case IntervalSchedule():
            beat = timedelta(minutes=schedule.minutes)
            made = [prefect_schedules.IntervalSchedule(interval=beat, anchor_date=INTERVAL_ANCHOR, timezone="UTC")]
        case RRuleSchedule():
            rule = with_dtstart(schedule, since)
            made = [prefect_schedules.RRuleSchedule(rrule=rule, timezone=schedule.timezone)]
    # Without a slug, Prefect's UI shows the times.
    return [DeploymentScheduleCreate(schedule=each, active=active) for each in made]


PAGE_SIZE = 200
"""The most that Prefect returns at once."""


def register(client: SyncPrefectClient, pipeline: RegisteredPipeline, work_pool: str, *, first: bool) -> str:
    """Creates or updates the pipeline's deployment unless it is up to date; returns its id."""
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions

    for deployment in [] if first else deployments_of(client, pipeline.id):
        as_it_is = _registered_state(deployment.model_dump(mode="json"))
        if as_it_is == pipeline.standing and deployment.work_pool_name == work_pool:
            return str(deployment.id)
    flow_id = client.create_flow_from_name(pipeline.flow_name)
    deployment_id = client.create_deployment(
        flow_id=flow_id,
        name=pipeline.deployment_name,
        version=pipeline.version,
        description=pipeline.description,
        entrypoint=pipeline.entrypoint,
        pull_steps=[],
        work_pool_name=work_pool,
        work_queue_name=pipeline.work_queue,
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
    """Deletes the pipeline's deployments except `keep`; pauses those with unfinished runs and then returns False."""
    # A count is one SQL statement, a list five. `keep` exists, alone unless the pipeline was renamed.
    count = client.request("POST", "/deployments/count", json={"deployments": _tagged(pipeline_id)}).json()
    if count <= (0 if keep is None else 1):
        return True
    retired = True
    for deployment in deployments_of(client, pipeline_id):
        if str(deployment.id) == keep:
            continue
        if any(unfinished_runs(client, deployment.id)):
            if not deployment.paused:
                client.pause_deployment(deployment.id)
            retired = False
        else:
            delete(client, deployment)
    return retired


def delete(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
    """Deletes a deployment, with its schedules and the runs that have not started."""
    from prefect.exceptions import ObjectNotFound

    with suppress(ObjectNotFound):  # deleted meanwhile
        client.delete_deployment(deployment.id)


def unfinished_runs(client: SyncPrefectClient, deployment_id: UUID) -> Iterator[FlowRun]:
    """All runs of a deployment that have not ended, without those that are only scheduled for later."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [str(deployment_id)]},
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]}},
        }
    )
    now = datetime.now(UTC)
    for offset in count(0, PAGE_SIZE):
        sort = FlowRunSort.ID_DESC
        page = client.read_flow_runs(flow_run_filter=wanted, sort=sort, limit=PAGE_SIZE, offset=offset)
        yield from (run for run in page if not not_due_yet(run, now))
        if len(page) < PAGE_SIZE:
            return


def registered(client: SyncPrefectClient) -> dict[str, str]:
    """Id of a pipeline or replication → `standing` of its deployment, for all of Headrace's deployments."""
    found: dict[str, str] = {}
    for offset in count(0, PAGE_SIZE):
        wanted = {
            "deployments": {"tags": {"all_": ["headrace"]}},
            "limit": PAGE_SIZE,
            "offset": offset,
            "sort": "NAME_ASC",
        }
        # As plain JSON: building a thousand of the client's models takes seconds.
        page: list[dict[str, Any]] = client.request("POST", "/deployments/filter", json=wanted).json()
        for deployment in page:
            owner = owner_from_tags(deployment["tags"])
            if owner is not None:
                found[owner] = _registered_state(deployment)
        if len(page) < PAGE_SIZE:
            break
    return found


def _registered_state(deployment: dict[str, Any]) -> str:
    """`RegisteredPipeline.standing`, derived from the deployment."""
    fingerprint = (deployment["version"] or "").rpartition("+")[2]
    firing = []
    for each in deployment["schedules"]:
        schedule = each["schedule"]
        if "cron" in schedule:
            when = cron_text(schedule["cron"], schedule["day_or"], schedule["timezone"])
        elif "rrule" in schedule:
            when = f"rrule {schedule['rrule']} {schedule['timezone']}"
        else:
            when = f"interval {float(schedule['interval']):.0f}"
        active = each["active"] and not deployment["paused"]
        firing.append(when if active else f"paused {when}")
    where = f"in {deployment['work_queue_name']}{catchup_tags(deployment['tags'])}"
    return f"{fingerprint} {', '.join(sorted(firing)) or 'never'} {where}"


def pipeline_from_tags(tags: Iterable[str]) -> str | None:
    """The pipeline named by the tags; None without one."""
    return next((tag[9:] for tag in tags if tag.startswith("pipeline:")), None)


def deployments_of(client: SyncPrefectClient, pipeline_id: str) -> list[DeploymentResponse]:
    """The pipeline's deployments by its tag: one, or two during a rename."""
    from prefect.client.schemas.filters import DeploymentFilter

    return client.read_deployments(deployment_filter=DeploymentFilter.model_validate(_tagged(pipeline_id)))


def _tagged(pipeline_id: str) -> dict[str, Any]:
    """The filter for the pipeline's deployments."""
    return {"tags": {"all_": ["headrace", owner_tag(pipeline_id)]}}


def not_due_yet(run: FlowRun, now: datetime) -> bool:
    """Whether a schedule has created the run for a later time and nothing else has happened to it."""
    expected = run.expected_start_time
    return bool(run.auto_scheduled) and run.state_name == "Scheduled" and expected is not None and expected > now
