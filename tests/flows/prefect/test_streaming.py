"""A stream on a whole stack: it continues after whatever ends a run, and stops on request."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import RunningStack, started_stack
from tests.connectors.kafka.brokers import Topics
from tests.connectors.kafka.conftest import broker
from tests.rest import Api, eventually, process_of

__all__ = ["broker"]
pytestmark = [pytest.mark.stack, pytest.mark.own_stack, pytest.mark.slow]


@pytest.fixture(scope="module")
def own_stack() -> Iterator[RunningStack]:
    """One whose operator lets connectors dial this machine, where the broker is."""
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.1/32"]') as running:
        yield running


class Flood(Api):
    """A pipeline that streams a topic of its own."""

    def __init__(self, stack: RunningStack, broker: Topics, **execution: Any) -> None:
        self.topic, self.broker, self.sent = f"s-{uuid4().hex[:8]}", broker, 0
        broker.make(self.topic, 2)
        source = {"connector": "kafka_consumer", "config": {"topic": self.topic}}
        config = {"mode": "streaming", "parallelism": 2, **execution}
        super().__init__(stack, None, source=source, execution=config)
        place = {"bootstrapServers": broker.servers, "securityProtocol": "PLAINTEXT"}
        made = self.make("/connectors", {"name": f"{self.name}_k", "type": "kafka", "config": place})
        self.body["connectorId"] = made["id"]
        self.create()

    def sends(self, many: int, *, bad: bool = False) -> None:
        for number in range(self.sent + 1, self.sent + many + 1):
            self.broker.put(self.topic, b'{"amount": %d, "note": "n"}' % number, partition=number % 2)
        if bad:
            self.broker.put(self.topic, b'{"amount": "x", "note": "n"}')
        self.broker.flush()
        self.sent += many

    def arrives(self) -> None:
        """All that was sent is there, each once."""
        eventually(lambda: True if len(self.amounts()) >= self.sent else None)
        assert self.amounts() == list(range(1, self.sent + 1))

    def amounts(self) -> list[int]:
        return [amount for (amount,) in self.rows("SELECT amount FROM {table} ORDER BY amount")]

    def running(self, but: str = "") -> str:
        """The run that streams, another one than `but`."""

        def found() -> str | None:
            return next((r["id"] for r in self.runs() if r["status"] == "running" and r["id"] != but), None)

        return eventually(found)

    def change(self, **fields: Any) -> None:
        answer = self.put("/pipelines", json={"id": self.pipeline, **fields})
        assert answer.status_code == 200, answer.text

    def settled(self, run_id: str) -> str:
        return str(self.finished(run_id)["status"])


@pytest.fixture
def flood(own_stack: RunningStack, broker: Topics) -> Iterator[Flood]:
    api = Flood(own_stack, broker, maxLagSeconds=600)
    yield api
    api.close()


def test_a_stream_goes_on_behind_whatever_ends_its_run(flood: Flood) -> None:
    first = flood.start()
    flood.sends(50, bad=True)
    flood.arrives()
    again = flood.post(f"/pipelines/{flood.pipeline}/run", json={})
    assert again.status_code == 409
    assert first in again.text

    def lag() -> dict[str, Any] | None:
        found = flood.progress(first).get("lag") or {}
        return found if found.get("src", {}).get("seconds") is not None else None

    assert eventually(lag)["src"]["rows"] >= 0
    told = flood.progress(first)
    assert (told["eta"], told["rowsIn"], told["failedRows"]) == (None, 51, 1)
    metrics = flood.get(flood.stack.api_url.replace("/api/v1", "/metrics")).text
    assert f'headrace_source_lag_seconds{{pipeline="{flood.pipeline}",source="src"}}' in metrics

    # a new version
    ir = flood.body["ir"]
    ir["metadata"]["description"] = "another"
    saved = flood.post(f"/pipelines/{flood.pipeline}/ir", json={"ir": ir})
    assert saved.status_code in (200, 201), saved.text
    assert flood.settled(first) == "completed_with_errors"
    second = flood.running(first)
    eventually(lambda: flood.detail(second)["irVersion"] == 2 or None)
    flood.sends(20)
    flood.arrives()

    # its process dies
    flood.sends(20)
    os.kill(process_of(flood, second), signal.SIGKILL)
    flood.sends(20)
    assert flood.settled(second) == "failed"
    third = flood.running(second)
    assert flood.detail(third)["retryOf"] == second
    flood.arrives()

    # paused, and active again
    flood.change(status="paused")
    assert flood.settled(third) == "completed"
    flood.sends(10)
    flood.change(status="active")
    fourth = flood.running(third)
    flood.arrives()

    # cancelled, when its lag was too great
    tagged = f"/flow_runs/{fourth.removeprefix('run_')}"
    tags = flood.stack.prefect.get(tagged).json()["tags"]
    assert flood.stack.prefect.patch(tagged, json={"tags": [*tags, "lagging"]}).is_success
    assert flood.post(f"/pipelines/{flood.pipeline}/runs/{fourth}/cancel").is_success
    assert flood.settled(fourth) == "failed"
    eventually(lambda: "lagging" not in flood.stack.prefect.get(tagged).json()["tags"] or None)
    assert flood.stack.pid
    quiet(flood, fourth)

    # failed rows of the first run
    replay = flood.post(f"/pipelines/{flood.pipeline}/runs/{first}/retry")
    assert replay.status_code in (200, 201), replay.text
    done = flood.finished(replay.json()["id"])
    assert (done["rowsIn"], done["failedRows"]) == (1, 1)


def test_a_run_is_followed_by_another_after_its_time(own_stack: RunningStack, broker: Topics) -> None:
    api = Flood(own_stack, broker, rolloverSeconds=10)
    first = api.start()
    while api.progress(first)["status"] in ("pending", "running"):
        api.sends(5)
    api.running(first)
    api.arrives()
    api.change(status="paused")
    eventually(lambda: None if {r["status"] for r in api.runs()} & {"pending", "running"} else True)
    runs = api.runs()
    assert {run["status"] for run in runs} == {"completed"}
    assert sum(api.progress(run["id"])["rowsIn"] for run in runs) == api.sent
    api.close()


def quiet(api: Flood, last: str) -> None:
    """No run follows `last`: two passes of whoever starts streams find none to start."""
    from headrace.catalog.engine import make_engine
    from headrace.catalog.runs.streams import StreamStore
    from headrace.flows.prefect.names import CANCELLED

    engine = make_engine(api.stack.database_url)
    try:
        assert StreamStore(engine).ended(CANCELLED, api.pipeline) == []
    finally:
        engine.dispose()
    assert api.runs()[0]["id"] == last
