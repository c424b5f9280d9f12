"""The one door to Prefect for everybody who is not a flow: register pipelines, start runs, read their states.

Prefect is imported on first use: it takes about a second, and the command line and the facade's start need none of it.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import httpx
from pydantic import ValidationError

from deployments.pipeline import RegisteredPipeline
from deployments.prefect_deployments import (
    PAGE,
    only_scheduled,
    register,
    registered,
    retire,
    tagged_pipeline,
)
from deployments.states import RunState, failure_reason, status_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.context import SettingsContext

__all__ = [
    "Orchestrator",
    "OrchestratorAway",
    "OrchestratorRefused",
    "RegisteredPipeline",
    "RunState",
    "StartedRun",
    "UnknownDeployment",
    "UpcomingRun",
]

_T = TypeVar("_T")
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 15.0
_WAITING = timedelta(minutes=1)
_ONE_DEPLOYMENT = re.compile(r"/deployments/[0-9a-f]{8}-[0-9a-f-]{27}")
_IMPORTING = threading.Lock()
_SCHEDULED_SOON = 2
"""How many runs of one schedule can be due within `_WAITING`."""


def _import_prefect() -> None:
    """Before any part of Prefect is imported here. Threads that begin with different parts of it wait for each other's,
    which Python ends by giving one of them half a module."""
    with _IMPORTING:
        import prefect.client.orchestration  # noqa: F401


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


@dataclass(frozen=True, slots=True)
class UpcomingRun:
    """A run that a schedule has made for later; `due_at` is aware."""

    run_id: str
    name: str
    pipeline_id: str
    due_at: datetime


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

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str:
        """Makes the pipeline's flow and deployment what they should be; returns the deployment's id.

        Sends nothing when the deployment already carries this fingerprint: Prefect would delete and re-create its
        schedules and the runs already scheduled. A renamed pipeline gets a new one; `retire` then removes the old.
        `first`: nobody knows of a deployment yet, so Prefect is not asked for one. Raises OrchestratorRefused.
        """
        return self._call(lambda client: register(client, pipeline, self._work_pool, first=first))

    def retire(self, pipeline_id: str, *, keep: str) -> bool:
        """Removes the pipeline's deployments but `keep`; False while runs of one have not ended: it fires no more, and
        goes when it is asked again after their end. (Prefect would delete the runs that wait.)"""
        return self._call(lambda client: retire(client, pipeline_id, keep))

    def unregister(self, pipeline_id: str) -> bool:
        """Removes the pipeline's deployments, and with them their schedules and the runs made ahead; False while runs
        of one have not ended, as `retire`. (A run whose deployment is gone could not end: Prefect fails to give its
        slot back, and refuses every state that would.)"""
        return self._call(lambda client: retire(client, pipeline_id, None))

    def registered(self) -> dict[str, str]:
        """Pipeline id → `standing` of its deployment, of every deployment of Headrace that Prefect has."""
        return self._call(registered)

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun:
        """Starts a run, shown by `name` in Prefect's lists. Raises UnknownDeployment.

        The same key gives the same run for ever; keys are unique per flow in Prefect, so bring your own prefix.
        """
        # Even without a caller's key: a request whose answer got lost can then be sent again.
        key = idempotency_key or f"once-{uuid4().hex}"

        def create(client: SyncPrefectClient) -> FlowRun:
            return client.create_flow_run_from_deployment(
                UUID(deployment_id), parameters=parameters, idempotency_key=key, name=name
            )

        run = self._call(create)
        return StartedRun(_run_id(run.id), run.name, _time(run.created))

    def state(self, run_id: str) -> RunState | None:
        """The run's state; None when Prefect has no such run."""
        _import_prefect()
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
        _import_prefect()
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
        return [_state(run) for run in found if not only_scheduled(run, now)][:limit]

    def states(self, run_ids: Sequence[str]) -> dict[str, RunState]:
        """The states of at most 200 runs by id, without those that Prefect does not have."""
        ids = [str(found) for run_id in run_ids if (found := _flow_run_id(run_id)) is not None]
        return {state.run_id: state for state in self._find({"id": {"any_": ids}}, "ID_DESC", PAGE)}

    def broken_off_since(self, since: datetime, limit: int) -> list[RunState]:
        """Runs of Headrace that failed, crashed or were cancelled since then, the last first."""
        wanted = {
            "tags": {"all_": ["headrace"]},
            "state": {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED"]}},
            "end_time": {"after_": since.isoformat()},
        }
        return self._find(wanted, "END_TIME_DESC", limit)

    def upcoming(self, before: datetime, limit: int) -> list[UpcomingRun]:
        """Runs that schedules have made and that are due before then, the next first."""
        _import_prefect()
        from prefect.client.schemas.filters import FlowRunFilter
        from prefect.client.schemas.sorting import FlowRunSort

        wanted = FlowRunFilter.model_validate(
            {
                "tags": {"all_": ["headrace", "auto-scheduled"]},
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "expected_start_time": {"before_": before.isoformat()},
            }
        )
        found = self._call(
            lambda client: client.read_flow_runs(
                flow_run_filter=wanted, sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC, limit=limit
            )
        )
        return [
            UpcomingRun(_run_id(run.id), run.name, pipeline_id, run.expected_start_time)
            for run in found
            if run.expected_start_time is not None and (pipeline_id := tagged_pipeline(run.tags)) is not None
        ]

    def rename(self, run_id: str, name: str) -> None:
        """Changes what a run is called in Prefect's lists; nothing when Prefect has no such run."""
        _import_prefect()
        from prefect.exceptions import ObjectNotFound

        flow_run_id = _flow_run_id(run_id)
        if flow_run_id is not None:
            with suppress(ObjectNotFound, OrchestratorRefused):  # deleted meanwhile
                self._call(lambda client: client.set_flow_run_name(flow_run_id, name))

    def emit(self, event: dict[str, Any]) -> None:
        """Puts an event into Prefect's feed; `occurred` and `id` are made here."""
        whole = {"occurred": datetime.now(UTC).isoformat(), "id": str(uuid4()), **event}
        try:
            answer = httpx.post(f"{self._url}/events", json=[whole], timeout=_READ_SECONDS)
        except httpx.HTTPError as error:
            raise OrchestratorAway(f"Prefect at {self._url} does not answer ({error!r}).") from error
        if answer.is_error:
            raise OrchestratorRefused(_reason(answer))

    def cancel(self, run_id: str) -> None:
        """Asks for the run to be cancelled; the worker stops it and it ends as Cancelled. A finished run stays so."""
        _import_prefect()
        from prefect.states import Cancelling

        flow_run_id = _flow_run_id(run_id)
        if flow_run_id is not None:
            self._call(lambda client: client.set_flow_run_state(flow_run_id, Cancelling()))

    def _find(self, wanted: dict[str, Any], sort: str, limit: int) -> list[RunState]:
        _import_prefect()
        from prefect.client.schemas.filters import FlowRunFilter
        from prefect.client.schemas.sorting import FlowRunSort

        chosen = FlowRunFilter.model_validate(wanted)
        found = self._call(
            lambda client: client.read_flow_runs(flow_run_filter=chosen, sort=FlowRunSort(sort), limit=limit)
        )
        return [_state(run) for run in found]

    def credentials(self, credentials: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
        """Credentials with the values of the blocks they name, in the clear: never log or return them. `allowed` are
        patterns of `type/name`.

        Raises SourceError for a block that is not there or not allowed, OrchestratorAway.
        """
        _import_prefect()
        from flows.prefect.blocks import credentials_from

        return self._call(lambda client: credentials_from(client, credentials, allowed))

    def close(self) -> None:
        """Closes its connections."""
        with self._lock:
            if self._client is not None:
                self._client.__exit__(None, None, None)
                self._client = None

    def _call(self, action: Callable[[SyncPrefectClient], _T]) -> _T:
        _import_prefect()
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
        pipeline_id=tagged_pipeline(run.tags),
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
