"""Runs that died without reporting end in the catalog; scheduled runs get a name."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from headrace.catalog.deployment_changes import DeploymentChanges
from headrace.catalog.runs.metrics import read_run_metrics
from headrace.catalog.runs.store import RunStore
from headrace.deployments.prefect.orchestrator import UpcomingRun
from headrace.deployments.prefect.run_states import RunState
from headrace.deployments.sync.run_sync import RunSync
from tests.deployments.reconciling import engine, save

pytestmark = pytest.mark.postgres

__all__ = ["engine"]


@dataclass
class Prefect:
    """Flow runs by id, events, names."""

    runs: dict[str, RunState] = field(default_factory=dict)
    scheduled: list[UpcomingRun] = field(default_factory=list)
    emitted: list[dict[str, Any]] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    untagged: list[tuple[str, str]] = field(default_factory=list)

    def states(self, run_ids: Sequence[str]) -> dict[str, RunState]:
        return {run_id: self.runs[run_id] for run_id in run_ids if run_id in self.runs}

    def unsuccessful_since(self, since: datetime, limit: int, offset: int = 0) -> list[RunState]:
        ended = [
            (run.ended_at, run) for run in self.runs.values() if run.status == "failed" and run.ended_at is not None
        ]
        latest = sorted(ended, key=lambda each: each[0], reverse=True)
        return [run for ended_at, run in latest if ended_at >= since][offset : offset + limit]

    def upcoming(self, before: datetime, limit: int) -> list[UpcomingRun]:
        return [run for run in self.scheduled if run.due_at < before][:limit]

    def late(self, before: datetime, limit: int, offset: int = 0) -> list[RunState]:
        waiting = [run for run in self.runs.values() if run.status == "pending" and run.created_at < before]
        return sorted(waiting, key=lambda run: run.created_at)[offset : offset + limit]

    def rename(self, run_id: str, name: str) -> None:
        self.renamed[run_id] = name

    def remove_tag(self, run_id: str, tag: str) -> None:
        self.untagged.append((run_id, tag))

    def emit(self, event: dict[str, Any]) -> None:
        self.emitted.append(event)

    def put(self, status: Any, pipeline: str | None, reason: str | None = None, run_id: str | None = None) -> str:
        run_id = run_id or f"run_{uuid4().hex}"
        now = datetime.now(UTC)
        ended = now if status == "failed" else None
        self.runs[run_id] = RunState(
            run_id, "calm-otter", "d", status, "Crashed", reason, now, now, ended, reason, pipeline
        )
        return run_id


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def store(engine: Engine) -> RunStore:
    return RunStore(engine)


@pytest.fixture
def follower(engine: Engine, store: RunStore, prefect: Prefect) -> RunSync:
    return RunSync(engine, store, prefect)


@pytest.fixture
def pipeline(engine: Engine) -> str:
    return save(engine)


def begin(engine: Engine, store: RunStore, pipeline: str, run_id: str, *, silent_s: int = 0) -> None:
    """A run that is under way, and has said nothing for so long."""
    store.open(
        run_id,
        tenant_id="default",
        pipeline_id=pipeline,
        ir_version=1,
        root_run_id=run_id,
        retry_of=None,
        load_strategy="append",
        status="running",
    )
    store.started(run_id, total_rows=10, fingerprint={}, plan={}, partitions=[(0, 0, 10)])
    ago = {"run": run_id, "ago": silent_s}
    with engine.begin() as connection:
        for table, columns in (
            ("pipeline_runs", "created_at = created_at - d, started_at = started_at - d, measured_from = now() - d"),
            ("run_partitions", "updated_at = now() - d"),
        ):
            key = "id" if table == "pipeline_runs" else "run_id"
            connection.execute(
                text(
                    f"UPDATE headrace.{table} SET {columns.replace(' d', ' make_interval(secs => :ago)')} "
                    f"WHERE {key} = :run"
                ),
                ago,
            )


def status(store: RunStore, run_id: str) -> tuple[str, str | None] | None:
    run = store.snapshot(run_id)
    return None if run is None else (run.status, run.failure_reason)


@pytest.mark.parametrize("state", ["failed", "pending"])
def test_however_many_runs_ended_or_are_late_none_is_forgotten(
    engine: Engine, store: RunStore, prefect: Prefect, pipeline: str, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr("headrace.deployments.sync.run_sync._AT_ONCE", 3)
    sync = RunSync(engine, store, prefect)
    for number in (7, 3):
        new = {prefect.put(state, pipeline, "out of memory") for _ in range(number)}
        for run_id in new:
            prefect.runs[run_id] = replace(prefect.runs[run_id], created_at=datetime.now(UTC) - timedelta(minutes=1))
        assert (sync.settle() if state == "failed" else sync.record_late_runs()) == number
        assert {(status(store, run_id) or ("",))[0] for run_id in new} == {state}


def test_a_run_that_crashed_ends_in_the_catalog_once_and_is_reported_to_automations(
    engine: Engine, store: RunStore, prefect: Prefect, pipeline: str
) -> None:
    run_id = prefect.put("failed", pipeline, "sent no heartbeat for 90 s")
    begin(engine, store, pipeline, run_id)
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: RunSync(engine, store, prefect).settle(), range(4)))
    assert sum(ended) == 1
    assert status(store, run_id) == ("failed", "sent no heartbeat for 90 s")
    [event] = prefect.emitted
    assert (event["event"], event["payload"]["runId"]) == ("headrace.run.failed", run_id)
    assert event["resource"]["prefect.resource.id"] == f"headrace.pipeline.{pipeline}"


def test_a_streaming_run_that_could_not_say_so_itself_is_no_longer_tagged_as_lagging(
    engine: Engine, store: RunStore, prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    killed, told, quick = (prefect.put("failed", pipeline, "cancelled") for _ in range(3))
    for run_id in (killed, told):
        begin(engine, store, pipeline, run_id)
        prefect.runs[run_id] = replace(prefect.runs[run_id], lagging=True)
    store.finished(told, status="failed", failure_reason="cancelled")  # and was killed then
    begin(engine, store, pipeline, quick)
    follower.settle()
    assert sorted(prefect.untagged) == sorted([(killed, "lagging"), (told, "lagging")])


def test_a_run_that_died_before_it_began_becomes_known(
    engine: Engine, store: RunStore, prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    run_id = prefect.put("failed", pipeline, "Validation of flow parameters failed")
    another = prefect.put("failed", "pipe_of_another_catalog", "no")
    assert follower.settle() == 1
    assert status(store, run_id) == ("failed", "Validation of flow parameters failed")
    assert status(store, another) is None
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT last_run_status FROM headrace.pipelines")) == "failed"


def test_what_the_run_said_itself_is_not_overwritten(
    engine: Engine, store: RunStore, prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    run_id = prefect.put("failed", pipeline, "crashed on the way out")
    begin(engine, store, pipeline, run_id)
    store.finished(run_id, status="completed", failure_reason=None)
    assert follower.settle() == 0
    assert status(store, run_id) == ("completed", None)
    assert prefect.emitted == []


def test_a_silent_run_is_asked_about_and_ended_when_prefect_has_lost_it(
    engine: Engine, store: RunStore, prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    going = prefect.put("running", pipeline)
    lost, lately_lost, done = (f"run_{uuid4().hex}" for _ in range(3))
    prefect.put("completed", pipeline, run_id=done)
    begin(engine, store, pipeline, going, silent_s=600)
    begin(engine, store, pipeline, lost, silent_s=600)
    begin(engine, store, pipeline, lately_lost, silent_s=60)
    begin(engine, store, pipeline, done, silent_s=60)
    assert follower.settle() == 2
    assert status(store, going) == ("running", None)
    assert status(store, lately_lost) == ("running", None)
    assert status(store, done) == ("completed", None)
    found = status(store, lost)
    assert found is not None
    assert found[0] == "failed"
    assert "deleted in Prefect" in str(found[1])


def test_the_next_runs_of_schedules_are_named_and_others_left_alone(
    prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    soon, later = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) + timedelta(days=300)
    prefect.scheduled = [
        UpcomingRun("run_1", "zealous-toucan", pipeline, soon),
        UpcomingRun("run_2", "orders by hand", pipeline, soon),
        UpcomingRun("run_3", "calm-otter", "pipe_of_another_catalog", soon),
        UpcomingRun("run_4", "calm-otter", pipeline, later),
    ]
    follower.name_upcoming_runs()
    assert prefect.renamed == {"run_1": f"orders {soon:%Y-%m-%d %H:%M:%S}Z"}


def test_names_wait_while_many_pipelines_wait_for_prefect(
    engine: Engine, follower: RunSync, prefect: Prefect, pipeline: str
) -> None:
    others = [save(engine, f"orders {number}") for number in range(9)]
    prefect.scheduled = [UpcomingRun("run_1", "calm-otter", pipeline, datetime.now(UTC))]
    follower.step()
    assert prefect.renamed == {}
    changes = DeploymentChanges(engine)
    change = changes.change_of(others[0])
    assert change is not None
    changes.done(others[0], change)
    follower.step()
    assert list(prefect.renamed) == ["run_1"]


def test_late_runs_of_a_schedule_are_known_before_anybody_begins_them(
    engine: Engine, store: RunStore, prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    now = datetime.now(UTC)
    for minutes in (30, 20, 10):
        run_id = prefect.put("pending", pipeline, run_id=f"run_{minutes:032x}")
        prefect.runs[run_id] = replace(prefect.runs[run_id], created_at=now - timedelta(minutes=minutes))
    prefect.put("pending", "pipe_of_another_headrace")
    assert (follower.record_late_runs(), follower.record_late_runs()) == (3, 0)
    oldest = store.snapshot(f"run_{30:032x}")
    assert oldest is not None
    assert (oldest.status, oldest.created_at) == ("pending", now - timedelta(minutes=30))
    assert read_run_metrics(engine).unfinished["pending"] == 3
    assert read_run_metrics(engine).waiting_s >= 30 * 60


def test_a_run_that_its_schedule_let_go_is_known_with_the_reason_and_counted_apart(
    engine: Engine, store: RunStore, prefect: Prefect, follower: RunSync, pipeline: str
) -> None:
    run_id = prefect.put("failed", pipeline)
    why = "Skipped: nobody could begin it within a minute of its time."
    prefect.runs[run_id] = replace(prefect.runs[run_id], skip_reason=why)
    before = read_run_metrics(engine).ended
    assert [follower.settle(), follower.settle()] == [1, 0]
    run = store.snapshot(run_id)
    assert run is not None
    assert (run.status, run.skip_reason, run.failure_reason, run.started_at) == ("completed", why, None, None)
    assert [line.message for line in run.log] == [why]
    [event] = prefect.emitted
    assert event["event"] == "headrace.run.skipped"
    ended = read_run_metrics(engine).ended
    assert {status: count - before.get(status, 0) for status, count in ended.items()} == {"skipped": 1}
    # somebody wants it all the same, in Prefect's UI
    begin(engine, store, pipeline, run_id)
    again = store.snapshot(run_id)
    assert again is not None
    assert (again.status, again.skip_reason) == ("running", None)
