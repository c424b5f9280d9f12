"""The one door to Prefect for everybody who is not a flow: register pipelines, start runs, read their states.

Prefect is imported on first use: it takes about a second, and the command line and the facade's start need none of it.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import httpx
from pydantic import ValidationError

from deployments.pipeline import ENTRYPOINT, PARAMETER_SCHEMA, RegisteredPipeline
from deployments.schedules import to_prefect
from deployments.states import RunState, failure_reason, status_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.context import SettingsContext

__all__ = [
    "Orchestrator",
    "OrchestratorAway",
    "OrchestratorRefused",
    "RegisteredPipeline",
    "RunState",
    "StartedRun",
    "UnknownDeployment",
]

_T = TypeVar("_T")
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 15.0
_WAITING = timedelta(minutes=1)
_ONE_DEPLOYMENT = re.compile(r"/deployments/[0-9a-f]{8}-[0-9a-f-]{27}")
_PAGE = 200
"""Prefect gives no more at once."""
_SCHEDULED_SOON = 2
"""How many runs of one schedule can be due within `_WAITING`."""


class OrchestratorAway(Exception):
    """Prefect cannot be reached, or is too busy or too broken to answer. Trying again later may work."""


class OrchestratorRefused(Exception):
    """Prefect answered, and will not do it however often it is asked; the text says why."""


class UnknownDeployment(Exception):
    """Prefect has no such deployment (any more): register the pipeline again."""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run Prefect took: its id (`run_` and 32 hex digits), the name it got, when it was created (aware, UTC)."""

    run_id: str
    name: str
    created_at: datetime


class Orchestrator:
    """Prefect's REST API at `prefect_api_url` (ends in `/api`). Sync and safe to share between threads.

    Every method raises OrchestratorAway when Prefect does not answer in time; nothing is retried for long, since a
    client is waiting.
    """

    def __init__(self, prefect_api_url: str, work_pool: str = "headrace") -> None:
        self._url, self._work_pool = prefect_api_url, work_pool
        self._lock = threading.Lock()
        self._client: SyncPrefectClient | None = None
        self._settings: SettingsContext | None = None

    def healthy(self) -> bool:
        """Whether Prefect answers and its database does."""
        try:
            return httpx.get(f"{self._url}/ready", timeout=_CONNECT_SECONDS).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def register(self, pipeline: RegisteredPipeline) -> str:
        """Makes the pipeline's flow and deployment what they should be; returns the deployment's id.

        Sends nothing when the deployment already carries this fingerprint: Prefect would delete and re-create its
        schedules and the runs already scheduled. A renamed pipeline gets a new one; `retire` then removes the old.
        Raises OrchestratorRefused.
        """
        return self._call(lambda client: _register(client, pipeline, self._work_pool))

    def retire(self, pipeline_id: str, *, keep: str) -> bool:
        """Removes the pipeline's deployments but `keep`; False while runs of one have not ended: it fires no more, and
        goes when it is asked again after their end. (Prefect would delete the runs that wait.)"""
        return self._call(lambda client: _retire(client, pipeline_id, keep))

    def unregister(self, pipeline_id: str) -> None:
        """Removes the pipeline's deployments, and with them their schedules and the runs that have not begun."""

        def remove(client: SyncPrefectClient) -> None:
            for deployment in _deployments(client, pipeline_id):
                _delete(client, deployment)

        self._call(remove)

    def registered(self) -> dict[str, str]:
        """Pipeline id → fingerprint of its deployment, of every deployment of Headrace that Prefect has."""
        return self._call(_registered)

    def start(self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None) -> StartedRun:
        """Starts a run. Raises UnknownDeployment.

        The same key gives the same run for ever; keys are unique per flow in Prefect, so bring your own prefix.
        """
        # Even without a caller's key: a request whose answer got lost can then be sent again.
        key = idempotency_key or f"once-{uuid4().hex}"

        def create(client: SyncPrefectClient) -> FlowRun:
            return client.create_flow_run_from_deployment(
                UUID(deployment_id), parameters=parameters, idempotency_key=key
            )

        run = self._call(create)
        return StartedRun(_run_id(run.id), run.name, _time(run.created))

    def state(self, run_id: str) -> RunState | None:
        """The run's state; None when Prefect has no such run."""
        from prefect.exceptions import ObjectNotFound

        flow_run_id = _flow_run_id(run_id)
        if flow_run_id is None:
            return None
        try:
            return _state(self._call(lambda client: client.read_flow_run(flow_run_id)))
        except ObjectNotFound:
            return None

    def runs(self, deployment_id: str, limit: int = 20) -> list[RunState]:
        """The deployment's latest runs, whoever started them, newest first.

        Runs that a schedule will only start later are left out.
        """
        from prefect.client.schemas.filters import FlowRunFilter
        from prefect.client.schemas.sorting import FlowRunSort

        now = datetime.now(UTC)
        wanted = FlowRunFilter.model_validate(
            {
                "deployment_id": {"any_": [deployment_id]},
                # A run that waits for the one before it is expected a little later than now.
                "expected_start_time": {"before_": (now + _WAITING).isoformat()},
            }
        )
        found = self._call(
            lambda client: client.read_flow_runs(
                flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=limit + _SCHEDULED_SOON
            )
        )
        return [_state(run) for run in found if not _only_scheduled(run, now)][:limit]

    def cancel(self, run_id: str) -> None:
        """Asks for the run to be cancelled; the worker stops it and it ends as Cancelled. A finished run stays so."""
        from prefect.states import Cancelling

        flow_run_id = _flow_run_id(run_id)
        if flow_run_id is not None:
            self._call(lambda client: client.set_flow_run_state(flow_run_id, Cancelling()))

    def close(self) -> None:
        """Closes its connections."""
        with self._lock:
            if self._client is not None:
                self._client.__exit__(None, None, None)
                self._client = None

    def _call(self, action: Callable[[SyncPrefectClient], _T]) -> _T:
        from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

        client, settings = self._connected()
        for attempt in (1, 2):
            try:
                with settings.model_copy():
                    return action(client)
            except httpx.TransportError as error:
                # A connection that a restarted Prefect had closed costs the first request on it; every call is safe
                # to repeat.
                if attempt == 2 or isinstance(error, httpx.ConnectError | httpx.TimeoutException):
                    raise OrchestratorAway(f"Prefect at {self._url} does not answer ({error!r}).") from error
            except ObjectNotFound:
                raise
            except PrefectHTTPStatusError as error:
                code = error.response.status_code
                if code >= httpx.codes.INTERNAL_SERVER_ERROR or code == httpx.codes.TOO_MANY_REQUESTS:
                    raise OrchestratorAway(f"Prefect at {self._url} answered {code}.") from error
                if code == httpx.codes.NOT_FOUND and _ONE_DEPLOYMENT.search(error.request.url.path):
                    raise UnknownDeployment(str(error.request.url)) from error
                raise OrchestratorRefused(_reason(error.response)) from error
            except ValidationError as error:  # Prefect's client found the fault before the server could
                raise OrchestratorRefused("; ".join(each["msg"] for each in error.errors())) from error
        raise AssertionError("unreachable")

    def _connected(self) -> tuple[SyncPrefectClient, SettingsContext]:
        with self._lock:
            if self._client is None or self._settings is None:
                from prefect.client.orchestration import SyncPrefectClient
                from prefect.context import SettingsContext
                from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

                # Prefect brings half a million objects; a collection that looks through them stops every request
                # of this process for 0.1 s.
                gc.collect()
                gc.freeze()
                timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
                self._client = SyncPrefectClient(self._url, httpx_settings={"timeout": timeout}).__enter__()
                current = SettingsContext.get()
                assert current is not None, "importing prefect makes one"
                # Prefect's own client retries for a minute; nobody waits that long for an HTTP answer.
                self._settings = SettingsContext(
                    profile=current.profile,
                    settings=current.settings.copy_with_update({PREFECT_CLIENT_MAX_RETRIES: 0}),
                )
            return self._client, self._settings


def _register(client: SyncPrefectClient, pipeline: RegisteredPipeline, work_pool: str) -> str:
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions

    known = _deployments(client, pipeline.id)
    for deployment in known:
        if deployment.version == pipeline.version and deployment.work_pool_name == work_pool:
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
        parameter_openapi_schema=PARAMETER_SCHEMA,
        enforce_parameter_schema=True,
        schedules=to_prefect(
            pipeline.schedule, active=pipeline.active, since=pipeline.scheduled_since or datetime.now(UTC)
        ),
        paused=not pipeline.active,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
    )
    return str(deployment_id)


def _retire(client: SyncPrefectClient, pipeline_id: str, keep: str) -> bool:
    retired = True
    for deployment in _deployments(client, pipeline_id):
        if str(deployment.id) == keep:
            continue
        if _unfinished(client, deployment.id):
            if not deployment.paused:
                client.pause_deployment(deployment.id)
            retired = False
        else:
            _delete(client, deployment)
    return retired


def _delete(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
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
    return any(not _only_scheduled(run, now) for run in client.read_flow_runs(flow_run_filter=wanted, limit=200))


def _registered(client: SyncPrefectClient) -> dict[str, str]:
    from prefect.client.schemas.filters import DeploymentFilter
    from prefect.client.schemas.sorting import DeploymentSort

    ours = DeploymentFilter.model_validate({"tags": {"all_": ["headrace"]}})
    found: dict[str, str] = {}
    for offset in count(0, _PAGE):
        page = client.read_deployments(deployment_filter=ours, limit=_PAGE, offset=offset, sort=DeploymentSort.NAME_ASC)
        for deployment in page:
            pipeline_id = next((tag[9:] for tag in deployment.tags if tag.startswith("pipeline:")), None)
            if pipeline_id is not None:
                found[pipeline_id] = (deployment.version or "").rpartition("+")[2]
        if len(page) < _PAGE:
            break
    return found


def _deployments(client: SyncPrefectClient, pipeline_id: str) -> list[DeploymentResponse]:
    """The pipeline's deployments by its tag: one, or two in the middle of a rename."""
    from prefect.client.schemas.filters import DeploymentFilter

    tagged = DeploymentFilter.model_validate({"tags": {"all_": ["headrace", f"pipeline:{pipeline_id}"]}})
    return client.read_deployments(deployment_filter=tagged)


def _reason(response: httpx.Response) -> str:
    """What Prefect says is wrong, in its words."""
    try:
        detail = response.json()
    except ValueError:
        detail = None
    for key in ("detail", "exception_detail"):
        if isinstance(detail, dict) and isinstance(detail.get(key), str):
            return f"Prefect answered {response.status_code}: {detail[key]}"
    if isinstance(detail, dict) and isinstance(detail.get("exception_detail"), list):
        said = "; ".join(str(each.get("msg")) for each in detail["exception_detail"] if isinstance(each, dict))
        return f"Prefect answered {response.status_code}: {said}"
    return f"Prefect answered {response.status_code}"


def _only_scheduled(run: FlowRun, now: datetime) -> bool:
    """Whether nothing has happened to the run yet but that a schedule made it for later."""
    expected = run.expected_start_time
    return bool(run.auto_scheduled) and run.state_name == "Scheduled" and expected is not None and expected > now


def _state(run: FlowRun) -> RunState:
    state_type = run.state.type.value if run.state is not None else None
    state_name = run.state.name if run.state is not None else None
    message = run.state.message if run.state is not None else None
    return RunState(
        run_id=_run_id(run.id),
        name=run.name,
        deployment_id=str(run.deployment_id) if run.deployment_id is not None else None,
        status=status_of(state_type, state_name),
        state_name=state_name or "Scheduled",
        message=message,
        created_at=_time(run.created),
        started_at=run.start_time,
        ended_at=run.end_time,
        failure_reason=failure_reason(state_type, state_name, message),
    )


def _run_id(flow_run_id: UUID) -> str:
    return f"run_{flow_run_id.hex}"


def _flow_run_id(run_id: str) -> UUID | None:
    """The Prefect id inside a run id; None for a text that is none."""
    try:
        return UUID(hex=run_id.removeprefix("run_"))
    except ValueError:
        return None


def _time(created: datetime | None) -> datetime:
    assert created is not None, "the server sets it"
    return created
