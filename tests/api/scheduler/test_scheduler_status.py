"""The state of schedules: scheduled pipelines, their lag, their next fires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created

pytestmark = pytest.mark.postgres

STATUS = f"{BASE_PATH}/scheduler-status"


def scheduled_since(facade: Facade, at: datetime) -> None:
    with facade.engine.begin() as connection:
        connection.execute(text("UPDATE headrace.pipelines SET scheduled_since = :at"), {"at": at})


def test_scheduled_pipelines_are_listed_with_their_next_fires(facade: Facade) -> None:
    facade.pipeline("by hand")
    cron = facade.pipeline("cron", schedule="0 2 * * *")
    rule = {"kind": "rrule", "rrule": "FREQ=DAILY;COUNT=2", "timezone": "Europe/Paris"}
    counted = facade.pipeline("counted", ir=IR | {"schedule": rule})
    found = facade.viewer.get(STATUS).json()
    assert (found["totalPipelines"], found["scheduled"], found["prefect"]) == (3, 2, "ok")
    assert [each["pipelineId"] for each in found["data"]] == [counted["id"], cron["id"]]
    assert found["data"][0]["schedule"] == rule | {"catchup": "latest"}
    assert len(found["data"][0]["nextFires"]) == 1  # the first was the minute it was saved in
    fires = [datetime.fromisoformat(each) for each in found["data"][1]["nextFires"]]
    assert [(at.hour, at.minute) for at in fires] == [(2, 0)] * 5
    assert fires[0] > datetime.now(UTC)
    assert found["data"][1]["lagSeconds"] is None


def test_a_fire_without_a_run_is_late_until_there_is_one(facade: Facade) -> None:
    made = facade.pipeline(ir=IR | {"schedule": {"kind": "interval", "minutes": 60}})
    scheduled_since(facade, datetime.now(UTC) - timedelta(days=1))

    def only() -> dict[str, Any]:
        [each] = facade.viewer.get(STATUS).json()["data"]
        return dict(each)

    late = only()
    due = datetime.fromisoformat(late["lastDueAt"])
    assert timedelta(0) <= datetime.now(UTC) - due <= timedelta(minutes=60)
    assert abs(late["lagSeconds"] - (datetime.now(UTC) - due).total_seconds()) < 30
    created(facade.editor, f"{BASE_PATH}/pipelines/{made['id']}/run", {})
    assert only()["lagSeconds"] == 0


def test_it_is_answered_while_prefect_is_away_and_only_with_ones_own(facade: Facade) -> None:
    facade.pipeline(schedule="0 2 * * *")
    facade.orchestrator.away = True
    assert facade.viewer.get(STATUS).json()["prefect"] == "away"
    assert facade.foreign.get(STATUS).json()["scheduled"] == 0


def test_pages_are_followed_by_their_cursor(facade: Facade) -> None:
    for number in range(3):
        facade.pipeline(f"p{number}", schedule="0 2 * * *")
    first = facade.viewer.get(f"{STATUS}?limit=2").json()
    second = facade.viewer.get(f"{STATUS}?limit=2&cursor={first['pagination']['cursor']}").json()
    assert [each["name"] for each in (*first["data"], *second["data"])] == ["p2", "p1", "p0"]


def test_a_paused_pipeline_fires_no_more_and_is_not_late(facade: Facade) -> None:
    made = facade.pipeline(ir=IR | {"schedule": {"kind": "interval", "minutes": 60}})
    scheduled_since(facade, datetime.now(UTC) - timedelta(days=1))
    assert facade.editor.put(f"{BASE_PATH}/pipelines", json={"id": made["id"], "status": "paused"}).status_code == 200
    [paused] = facade.viewer.get(STATUS).json()["data"]
    assert (paused["status"], paused["lagSeconds"], paused["nextFires"]) == ("paused", None, [])


def test_the_oldest_run_that_waits_is_the_lag_however_often_the_schedule_fires(facade: Facade) -> None:
    made = facade.pipeline(ir=IR | {"schedule": {"kind": "interval", "minutes": 1}})
    scheduled_since(facade, datetime.now(UTC) - timedelta(days=1))
    for _ in range(2):
        created(facade.editor, f"{BASE_PATH}/pipelines/{made['id']}/run", {})
    with facade.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE headrace.pipeline_runs SET created_at = now() - interval '3 hours' "
                "WHERE id = (SELECT min(id) FROM headrace.pipeline_runs)"
            )
        )
    [status] = facade.viewer.get(STATUS).json()["data"]
    assert status["lagSeconds"] >= 3 * 3600
