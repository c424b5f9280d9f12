"""The connection to Prefect's REST API: one client for all threads, and its failures as three exceptions.

Prefect is imported on first use: it takes about a second, and the command line and the API's start do not need it.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import httpx
from pydantic import ValidationError

from headrace.deployments.prefect.api import NotAuthorized, PrefectApi
from headrace.flows.fork_lock import ForkLock

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.context import SettingsContext

CONNECT_SECONDS = 3.0
READ_SECONDS = 15.0

_T = TypeVar("_T")
_ONE_DEPLOYMENT = re.compile(r"/deployments/[0-9a-f]{8}-[0-9a-f-]{27}")
_IMPORTING = ForkLock()


def import_prefect() -> None:
    """Imports Prefect's client; called before any other part of Prefect is imported. Threads that begin with different
    parts wait for each other's locks, and Python then gives one of them a half-initialised module."""
    with _IMPORTING:
        import prefect.client.orchestration  # noqa: F401


class OrchestratorAway(Exception):
    """Prefect cannot be reached, or is too busy or too broken to answer. A later attempt may work."""


class OrchestratorRefused(Exception):
    """Prefect rejects the request, and would reject it again; the text gives the reason."""


class UnknownDeployment(Exception):
    """Prefect does not have the deployment (any more): register the pipeline again."""


class PrefectConnection:
    """A lazily opened client of Prefect's API. Safe to share between threads."""

    def __init__(self, prefect: PrefectApi) -> None:
        self._api = prefect
        self._lock = threading.Lock()
        self._client: SyncPrefectClient | None = None
        self._settings: SettingsContext | None = None

    def call(self, action: Callable[[SyncPrefectClient], _T]) -> _T:
        """The result of `action`, which must be safe to repeat. Raises OrchestratorAway, OrchestratorRefused,
        UnknownDeployment, and Prefect's ObjectNotFound."""
        import_prefect()
        from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

        client, settings = self._connected()
        for attempt in (1, 2):
            try:
                with settings.model_copy():
                    return action(client)
            except httpx.TransportError as error:
                # The first request on a connection that a restarted Prefect had closed fails.
                if attempt == 2 or isinstance(error, httpx.ConnectError | httpx.TimeoutException):
                    raise OrchestratorAway(f"Prefect at {self._api.url} does not answer ({error!r}).") from error
            except ObjectNotFound:
                raise
            except PrefectHTTPStatusError as error:
                code = error.response.status_code
                if code >= httpx.codes.INTERNAL_SERVER_ERROR or code == httpx.codes.TOO_MANY_REQUESTS:
                    raise OrchestratorAway(f"Prefect at {self._api.url} answered {code}.") from error
                self._let_in(error.response)
                if code == httpx.codes.NOT_FOUND and _ONE_DEPLOYMENT.search(error.request.url.path):
                    raise UnknownDeployment(str(error.request.url)) from error
                raise OrchestratorRefused(_reason(error.response)) from error
            except ValidationError as error:  # Prefect's client validates before it sends
                raise OrchestratorRefused("; ".join(each["msg"] for each in error.errors())) from error
        raise AssertionError("unreachable")

    def emit(self, event: dict[str, object]) -> None:
        """Sends one event to Prefect. Raises OrchestratorAway, OrchestratorRefused."""
        url = self._api.url
        try:
            answer = httpx.post(f"{url}/events", json=[event], headers=self._api.headers, timeout=READ_SECONDS)
        except httpx.HTTPError as error:
            raise OrchestratorAway(f"Prefect at {url} does not answer ({error!r}).") from error
        if answer.is_error:
            self._let_in(answer)
            raise OrchestratorRefused(_reason(answer))

    def close(self) -> None:
        """Closes the client."""
        with self._lock:
            if self._client is not None:
                self._client.__exit__(None, None, None)
                self._client = None

    def _let_in(self, answer: httpx.Response) -> None:
        try:
            self._api.let_in(answer)
        except NotAuthorized as error:
            raise OrchestratorAway(str(error)) from error

    def _connected(self) -> tuple[SyncPrefectClient, SettingsContext]:
        with self._lock:
            if self._client is None or self._settings is None:
                from prefect.client.orchestration import SyncPrefectClient
                from prefect.context import SettingsContext
                from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

                # Prefect creates half a million objects; a garbage collection that visits them stops every request
                # of this process for 0.1 s.
                gc.collect()
                gc.freeze()
                timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
                self._client = SyncPrefectClient(
                    self._api.url,
                    auth_string=self._api.auth_string,
                    api_key=self._api.api_key,
                    httpx_settings={"timeout": timeout},
                ).__enter__()
                current = SettingsContext.get()
                assert current is not None, "importing prefect makes one"
                # Prefect's client would retry for a minute; a client of the API does not wait that long.
                self._settings = SettingsContext(
                    profile=current.profile,
                    settings=current.settings.copy_with_update({PREFECT_CLIENT_MAX_RETRIES: 0}),
                )
            return self._client, self._settings


def _reason(response: httpx.Response) -> str:
    """The error text of an answer of Prefect."""
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
