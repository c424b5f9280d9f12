"""When schedules want their next runs: a pipeline is late from then on until a run has begun."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from headrace.catalog.due_runs import DueRuns
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.store import RunStore
from tests.catalog.conftest import IR, add_pipeline

pytestmark = pytest.mark.postgres

HOURLY = {"kind": "cron", "expression": "0 * * * *", "timezone": "UTC"}


def scheduled(mine: TenantCatalog, name: str = "orders", schedule: Mapping[str, Any] = HOURLY) -> Pipeline:
    pipeline = add_pipeline(mine, name)
    mine.pipelines.save_ir(pipeline, {**IR, "schedule": dict(schedule)}, authored_by="a test")
    mine.session.commit()
    return pipeline


def now_due(engine: Engine, pipeline_id: str, before: timedelta) -> None:
    with engine.begin() as connection:
        change = text("UPDATE headrace.due_runs SET due_at = now() - :before WHERE pipeline_id = :id")
        assert connection.execute(change, {"id": pipeline_id, "before": before}).rowcount == 1


def late(mine: TenantCatalog) -> list[str]:
    mine.session.rollback()
    return [name for _, name, _ in mine.pipelines.late(datetime.now(UTC), 10)]


def begin(engine: Engine, pipeline_id: str, run_id: str = "run_1") -> None:
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": pipeline_id, "root_run_id": run_id}
    RunStore(engine).open(
        run_id, **facts, ir_version=1, retry_of=None, load_strategy="append", status="running", created_at=None
    )


def test_the_next_fire_time_is_due_once_there_is_a_schedule(mine: TenantCatalog) -> None:
    pipeline = scheduled(mine)
    due = mine.pipelines.due([pipeline.id])[pipeline.id]
    assert (due.minute, due.second) == (0, 0)
    assert timedelta() < due - datetime.now(UTC) <= timedelta(hours=1)
    mine.pipelines.save_ir(pipeline, IR, authored_by="a test")
    mine.session.commit()
    assert mine.pipelines.due([pipeline.id]) == {}


def test_a_run_is_late_until_it_has_begun_and_then_the_next_one_is_due(engine: Engine, mine: TenantCatalog) -> None:
    pipeline = scheduled(mine)
    scheduled(mine, "in time")
    now_due(engine, pipeline.id, timedelta(minutes=10))
    DueRuns(engine).step()
    assert late(mine) == ["orders"], "no run has begun, so nothing is moved on"
    begin(engine, pipeline.id)
    assert late(mine) == [], "without waiting for the next step"
    DueRuns(engine).step()
    assert mine.pipelines.due([pipeline.id])[pipeline.id] > datetime.now(UTC)


def test_what_was_due_while_a_pipeline_was_paused_is_not_late_when_it_goes_on(
    engine: Engine, mine: TenantCatalog
) -> None:
    pipeline = scheduled(mine)
    pipeline.status = "paused"
    mine.pipelines.save(pipeline)
    mine.session.commit()
    now_due(engine, pipeline.id, timedelta(hours=5))
    assert (late(mine), mine.pipelines.due([pipeline.id])) == ([], {})
    DueRuns(engine).step()
    pipeline.status = "active"
    mine.pipelines.save(pipeline)
    mine.session.commit()
    assert late(mine) == []


def test_pipelines_of_earlier_releases_get_a_time(engine: Engine, mine: TenantCatalog) -> None:
    pipeline = scheduled(mine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM headrace.due_runs"))
    DueRuns(engine).step()
    assert list(mine.pipelines.due([pipeline.id])) == [pipeline.id]


def test_tenants_see_only_their_late_pipelines(engine: Engine, mine: TenantCatalog, theirs: TenantCatalog) -> None:
    pipeline = scheduled(mine)
    now_due(engine, pipeline.id, timedelta(minutes=10))
    assert theirs.pipelines.late(datetime.now(UTC), 10) == []
    assert theirs.pipelines.due([pipeline.id]) == {}
