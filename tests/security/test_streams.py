"""Event streams end when the key becomes invalid, are counted, and need no thread while they wait."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.catalog.bootstrap import issue_key
from tests.api.conftest import PEPPER, Facade, created
from tests.security.served import PATIENCE_S, Served, closed, eventually, read_all, request, served

pytestmark = pytest.mark.postgres


@pytest.fixture
def run(facade: Facade) -> str:
    """The path of a run that goes on for ever."""
    pipeline = facade.pipeline()["id"]
    run_id = created(facade.editor, f"{BASE_PATH}/pipelines/{pipeline}/run", {})["id"]
    facade.store.started(run_id, total_rows=10, fingerprint={}, plan={}, partitions=[(0, 0, 10)])
    return f"{BASE_PATH}/pipelines/{pipeline}/runs/{run_id}"


@pytest.fixture
def api(facade: Facade) -> Iterator[Served]:
    limits = {"max_event_streams_per_key": 3, "max_event_streams": 5, "max_event_streams_in_all": 7}
    with served(facade, **limits) as api:
        yield api


def key_of(facade: Facade, tenant: str = "default", **facts: Any) -> str:
    return issue_key(facade.engine, tenant_id=tenant, name=f"watcher {uuid4()}", role="viewer", pepper=PEPPER, **facts)


def change_key(facade: Facade, assignment: str, key: str) -> None:
    with facade.engine.begin() as connection:
        changed = connection.execute(
            text(f"UPDATE headrace.api_keys SET {assignment} WHERE prefix = :prefix"), {"prefix": key[:11]}
        )
        assert changed.rowcount == 1


def watch(api: Served, run: str, key: str) -> socket.socket:
    """A stream of which the first event has been read."""
    client = api.connect()
    client.sendall(request(f"{run}/progress/stream", key))
    received = b""
    while b"event: progress" not in received:
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return client


def reason_of(client: socket.socket) -> str:
    """Why the stream was closed; it is before anybody loses patience."""
    kind, _, data = read_all(client).decode().partition("event: closed")
    assert data, kind
    found: str = json.loads(data.partition("data: ")[2].splitlines()[0])["reason"]
    return found


@pytest.mark.parametrize(
    "change",
    ["revoked_at = now()", "expires_at = now()", "role = 'editor'", "tenant_id = 'other'"],
)
def test_a_stream_ends_when_its_key_does(facade: Facade, api: Served, run: str, change: str) -> None:
    key, other = key_of(facade), key_of(facade)
    with watch(api, run, key) as client, watch(api, run, other) as kept:
        change_key(facade, change, key)
        assert reason_of(client) == "The API key is not valid any more"
        assert not closed(kept, within_s=0.1)


def test_a_stream_ends_when_its_key_expires_by_itself(facade: Facade, api: Served, run: str) -> None:
    key = key_of(facade, expires_at=datetime.now(UTC) + timedelta(seconds=3))
    with watch(api, run, key) as client:
        assert reason_of(client) == "The API key is not valid any more"


def test_a_key_that_is_revoked_over_the_api_ends_its_streams(facade: Facade, api: Served, run: str) -> None:
    made = created(facade.admin, f"{BASE_PATH}/api-keys", {"name": "watcher", "role": "viewer"})
    with watch(api, run, made["key"]) as client:
        assert facade.admin.delete(f"{BASE_PATH}/api-keys?id={made['id']}").status_code == 204
        assert reason_of(client) == "The API key is not valid any more"


def test_a_stream_ends_with_its_run_and_with_what_the_run_belongs_to(facade: Facade, api: Served, run: str) -> None:
    with watch(api, run, api.key) as client:
        with facade.engine.begin() as connection:
            connection.execute(text("DELETE FROM headrace.pipelines"))
        assert reason_of(client).startswith("There is no such")


def test_streams_end_when_the_server_stops(facade: Facade, run: str) -> None:
    with served(facade) as api, ExitStack() as streams:
        clients = [streams.enter_context(watch(api, run, api.key)) for _ in range(3)]
        api.server.should_exit = True
        for client in clients:
            client.settimeout(PATIENCE_S)
            assert reason_of(client) == "The server stops; connect again"


def test_there_are_so_many_streams_of_a_key_a_tenant_and_a_process(facade: Facade, api: Served, run: str) -> None:
    path = f"{run}/progress/stream"
    first, second, other = key_of(facade), key_of(facade), key_of(facade, "other")
    with ExitStack() as streams:
        clients = [streams.enter_context(watch(api, run, first)) for _ in range(3)]
        answer = api.ask(path, key=first)
        assert (answer.status, answer.error["code"]) == (429, "too_many_requests")
        assert "The key has 3 streams" in answer.error["message"]
        assert answer.headers["retry-after"].isdigit()
        for _ in range(2):
            streams.enter_context(watch(api, run, second))
        answer = api.ask(path, key=second)
        assert answer.status == 429
        assert "The tenant has 5 streams" in answer.error["message"]
        assert api.ask(run, key=second).status == 200  # everything else is answered
        assert api.ask(path, key=other).status == 404  # and nobody learns of another tenant's run
        assert api.refusals["event_streams"] == 2
        clients[0].close()
        eventually(lambda: not refused(api, path, second))


def refused(api: Served, path: str, key: str) -> bool:
    """Whether one more stream is; the head of the answer says it."""
    with api.connect() as client:
        client.sendall(request(path, key))
        return b" 429 " in client.recv(65536)


def test_the_streams_of_all_tenants_have_a_limit_too(facade: Facade, run: str) -> None:
    with served(facade, max_event_streams_in_all=2) as api, ExitStack() as streams:
        for _ in range(2):
            streams.enter_context(watch(api, run, api.key))
        answer = api.ask(f"{run}/progress/stream")
        assert (answer.status, answer.error["code"]) == (503, "unavailable")


def test_streams_are_no_requests_that_others_wait_for(facade: Facade, run: str) -> None:
    """Forty of them hold no thread, no connection of the database and no place among the requests."""
    limits = {"max_event_streams_per_key": 40, "max_event_streams": 40, "max_requests": 4, "max_requests_per_tenant": 4}
    with served(facade, **limits) as api, ExitStack() as streams:
        for _ in range(40):
            streams.enter_context(watch(api, run, api.key))
        services = api.app.state.services
        eventually(lambda: services.engine.pool.checkedout() == 0)
        assert services.admission.under_way("default") == 0
        for _ in range(10):
            assert api.ask(run).status == 200


def test_a_stream_that_nobody_reads_is_ended(facade: Facade, run: str) -> None:
    with served(facade, write_timeout_s=1) as api, watch(api, run, api.key) as client:
        connection = next(each for each in api.connections if each.client == client.getsockname())
        # What months of events would fill: the buffers of both kernels.
        connection.loop.call_soon_threadsafe(connection.transport.write, b": \n\n" * 4_000_000)
        eventually(lambda: api.refusals.get("slow_reader") == 1)
        eventually(lambda: not api.connections)
        assert closed(client)
