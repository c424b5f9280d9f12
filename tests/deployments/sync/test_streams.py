"""Who starts streams again, when, and behind which run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from headrace.catalog.runs.records import RunStatus
from headrace.catalog.runs.store import RunStore
from headrace.deployments.prefect.orchestrator import StartedRun, UnknownDeployment
from headrace.deployments.sync.streams import StreamKeeper, failing, starts_at
from tests.deployments.reconciling import engine, save

pytestmark = pytest.mark.postgres

__all__ = ["engine"]


@dataclass
class Prefect:
    """Started runs by their keys."""

    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_paused: bool = False
    gone: bool = False

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun:
        if self.gone:
            raise UnknownDeployment(deployment_id)
        assert idempotency_key is not None
        run_id = self.started.setdefault(idempotency_key, {**parameters, "id": f"run_{uuid4().hex}"})["id"]
        return StartedRun(run_id, name or "", datetime.now(UTC))

    def paused(self, deployment_id: str) -> bool:
        return self.is_paused


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def store(engine: Engine) -> RunStore:
    return RunStore(engine)


@pytest.fixture
def pipeline(engine: Engine) -> str:
    made = save(engine)
    with engine.begin() as connection:
        connection.execute(text('UPDATE headrace.pipelines SET execution_config = \'{"mode": "streaming"}\''))
    return made


@pytest.fixture
def keeper(store: RunStore, prefect: Prefect) -> StreamKeeper:
    return StreamKeeper(store, prefect, lambda pipeline_id: f"deployment of {pipeline_id}")


def ended(
    store: RunStore, pipeline: str, run_id: str, status: RunStatus, *, ago: float, reason: str | None = None
) -> None:
    """A run that lasted a moment, so long ago."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    store.open(
        run_id,
        tenant_id="default",
        pipeline_id=pipeline,
        ir_version=1,
        root_run_id="run_root",
        retry_of=None,
        load_strategy="append",
        parameters={"day": "today"},
        created_at=at,
        streams=True,
    )
    store.finished(run_id, status=status, failure_reason=reason, at=at)


def test_one_that_failed_is_retried_with_its_parameters(
    store: RunStore, pipeline: str, keeper: StreamKeeper, prefect: Prefect
) -> None:
    ended(store, pipeline, "run_a", "failed", ago=60, reason="the worker died")
    keeper.step()
    [run] = prefect.started.values()
    assert (run["pipeline_id"], run["retry_of"], run["parameters"]) == (pipeline, "run_a", {"day": "today"})
    found = store.snapshot(run["id"])
    assert found is not None
    assert (found.status, found.retry_of, found.root_run_id, found.lags) == ("pending", "run_a", "run_root", {})
    keeper.step()
    assert len(prefect.started) == 1


def test_one_that_ended_well_is_followed_by_a_new_run(
    store: RunStore, pipeline: str, keeper: StreamKeeper, prefect: Prefect
) -> None:
    ended(store, pipeline, "run_a", "completed_with_errors", ago=1)
    keeper.step()
    assert not prefect.started, "it starts the next run itself"
    ended(store, pipeline, "run_b", "completed", ago=0.5)
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE headrace.pipeline_runs SET finished_at = finished_at - interval '1 minute'"))
    keeper.step()
    [(key, run)] = prefect.started.items()
    assert key.endswith("behind-run_b")
    assert run["retry_of"] is None


def test_failures_in_a_row_are_tried_again_later_and_later(
    store: RunStore, pipeline: str, keeper: StreamKeeper, prefect: Prefect
) -> None:
    for number in range(4):
        ended(store, pipeline, f"run_{number}", "failed", ago=30 - number, reason="no table")
    keeper.step()
    assert not prefect.started
    [found] = store.streams.ended("cancelled")
    assert found.failures == 4
    assert starts_at(found) - found.ended_at == timedelta(seconds=40)
    told = failing(found)
    assert told is not None
    assert "4 times in a row" in told
    assert "no table" in told
    for number in range(4, 15):
        ended(store, pipeline, f"run_{number:02}", "failed", ago=20 - number, reason="no table")
    [found] = store.streams.ended("cancelled")
    assert starts_at(found) - found.ended_at == timedelta(seconds=600)


@pytest.mark.parametrize("obstacle", ["cancelled", "paused", "paused in Prefect", "gone", "another mode"])
def test_what_is_not_started_again(
    store: RunStore, pipeline: str, keeper: StreamKeeper, prefect: Prefect, engine: Engine, obstacle: str
) -> None:
    ended(store, pipeline, "run_a", "failed", ago=60, reason="cancelled" if obstacle == "cancelled" else "it died")
    prefect.is_paused, prefect.gone = obstacle == "paused in Prefect", obstacle == "gone"
    changes = {"paused": "status = 'paused'", "another mode": "execution_config = '{}'"}
    if obstacle in changes:
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE headrace.pipelines SET {changes[obstacle]}"))
    keeper.step()
    assert not prefect.started


def test_several_processes_start_one_run(
    store: RunStore, pipeline: str, keeper: StreamKeeper, prefect: Prefect
) -> None:
    ended(store, pipeline, "run_a", "failed", ago=60, reason="it died")
    [found] = store.streams.ended("cancelled")
    keeper._start(found)
    keeper._start(found)
    assert len(prefect.started) == 1
    assert store.streams.streaming(pipeline) == next(iter(prefect.started.values()))["id"]
