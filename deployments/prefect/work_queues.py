"""The tenants' work queues in Prefect, with an open client: their concurrency limits and their overdue runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from headrace.deployments.prefect.registered_pipeline import QUEUE_OF_TENANT

if TYPE_CHECKING:
    from httpx import Response
    from prefect.client.orchestration import SyncPrefectClient

_PAGE_SIZE = 200
_WAITING = timedelta(minutes=1)
"""A run that waits for the previous one of its pipeline has an expected start a little in the future."""
_QUEUES: Literal["/work_pools/{work_pool_name}/queues"] = "/work_pools/{work_pool_name}/queues"
_QUEUE: Literal["/work_pools/{work_pool_name}/queues/{name}"] = "/work_pools/{work_pool_name}/queues/{name}"
_NOT_FOUND, _CONFLICT = 404, 409


@dataclass(frozen=True, slots=True)
class OverdueRun:
    """A scheduled run that is due and has not started; `due_at` is aware."""

    run_id: str
    tenant_id: str
    pipeline_id: str
    due_at: datetime


def ensure_queue(client: SyncPrefectClient, work_pool: str, name: str, limit: int | None) -> None:
    """Creates the queue or sets its limit; None keeps the limit. (Prefect would create it with its first
    deployment, and refuse all but one of several concurrent ones.)"""
    pool, queue = {"work_pool_name": work_pool}, {"work_pool_name": work_pool, "name": name}
    found = _json_unless(lambda: client.request("GET", _QUEUE, path_params=queue), besides=_NOT_FOUND)
    if found is None:
        wanted = {"name": name, "concurrency_limit": limit}
        _json_unless(lambda: client.request("POST", _QUEUES, path_params=pool, json=wanted), besides=_CONFLICT)
    elif limit is not None and found["concurrency_limit"] != limit:
        client.request("PATCH", _QUEUE, path_params=queue, json={"concurrency_limit": limit})


def _json_unless(ask: Callable[[], Response], *, besides: int) -> Any:
    """Prefect's answer; None when its status is `besides`."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        return ask().json()
    except PrefectHTTPStatusError as error:
        if error.response.status_code != besides:
            raise
        return None


def limit_queues(client: SyncPrefectClient, work_pool: str, limit: Callable[[str], int]) -> int:
    """Sets the limits of all tenants' queues; returns how many changed."""
    changed, offset = 0, 0
    pool = {"work_pool_name": work_pool}
    while True:
        wanted = {"limit": _PAGE_SIZE, "offset": offset}
        ask = partial(
            client.request, "POST", "/work_pools/{work_pool_name}/queues/filter", path_params=pool, json=wanted
        )
        page: list[dict[str, Any]] = _json_unless(ask, besides=_NOT_FOUND) or []  # no pool before the first worker
        for queue in page:
            name: str = queue["name"]
            tenant_id = name.removeprefix(QUEUE_OF_TENANT)
            if tenant_id != name and queue["concurrency_limit"] != limit(tenant_id):
                new = {"concurrency_limit": limit(tenant_id)}
                client.request("PATCH", _QUEUE, path_params={**pool, "name": name}, json=new)
                changed += 1
        if len(page) < _PAGE_SIZE:
            return changed
        offset += _PAGE_SIZE


def overdue_count(client: SyncPrefectClient) -> int:
    """How many runs `overdue` would return, or a few more: those due within a minute."""
    found: int = client.request("POST", "/flow_runs/count", json={"flow_runs": _overdue(datetime.now(UTC))}).json()
    return found


def overdue(client: SyncPrefectClient) -> list[OverdueRun]:
    """Scheduled runs that are due and have not started, the longest due first."""
    now, found, offset = datetime.now(UTC), [], 0
    while True:
        wanted = {"flow_runs": _overdue(now), "sort": "EXPECTED_START_TIME_ASC", "limit": _PAGE_SIZE, "offset": offset}
        # As plain JSON: building thousands of the client's models takes seconds.
        page: list[dict[str, Any]] = client.request("POST", "/flow_runs/filter", json=wanted).json()
        for run in page:
            due_at = datetime.fromisoformat(run["expected_start_time"])
            tags = dict(tag.split(":", 1) for tag in run["tags"] if ":" in tag)
            only_ahead = run["state_name"] == "Scheduled" and due_at > now
            if not only_ahead and "tenant" in tags and "pipeline" in tags:
                run_id = f"run_{UUID(run['id']).hex}"
                found.append(OverdueRun(run_id, tags["tenant"], tags["pipeline"], due_at))
        if len(page) < _PAGE_SIZE:
            return found
        offset += _PAGE_SIZE


def _overdue(now: datetime) -> dict[str, Any]:
    return {
        "tags": {"all_": ["headrace", "auto-scheduled"]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": (now + _WAITING).isoformat()},
    }
