"""Scheduled runs missed while Prefect was down are created afterwards, on a real stack."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from headrace.deployments.prefect.orchestrator import OrchestratorAway
from headrace.deployments.sync.missed_schedules import MAX_RUNS_AT_ONCE, MissedSchedules
from tests.deployments.reconciling import engine, save

pytestmark = pytest.mark.postgres

__all__ = ["engine"]

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = (NOW - HOUR / 2).minute
LAST = (NOW - HOUR / 2).replace(second=0)


@dataclass
class Prefect:
    """Remembers what it is asked to make; `made` is the time of the last run it has."""

    made: datetime | None = None
    away: bool = False
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def healthy(self) -> bool:
        return not self.away

    def last_scheduled(self, deployment_id: str, before: datetime) -> datetime | None:
        return self.made

    def create_missed(self, deployment_id: str, since: datetime, until: datetime, most: int) -> None:
        assert most == MAX_RUNS_AT_ONCE
        self.asked.append((since, until))
        self.made = until


def scheduled(engine: Engine, catchup: str, **changes: Any) -> None:
    pipeline = save(engine)
    schedule = f'{{"kind": "cron", "expression": "{MINUTE} * * * *", "timezone": "UTC", "catchup": "{catchup}"}}'
    values = {"status": "active", "updated_at": NOW - 6 * HOUR, **changes}
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE headrace.pipelines SET live_schedule = CAST(:schedule AS jsonb), scheduled_since = :since, "
                "deployment_id = gen_random_uuid()::text, live_version = 1, status = :status, updated_at = :updated_at "
                "WHERE id = :id"
            ),
            {"schedule": schedule, "since": NOW - 9 * HOUR, "id": pipeline, **values},
        )
        connection.execute(text("DELETE FROM headrace.deployment_changes"))


@pytest.mark.parametrize(
    ("catchup", "made", "asked"),
    [
        ("all", LAST - 4 * HOUR, [(LAST - 4 * HOUR + timedelta(seconds=1), LAST + timedelta(seconds=1))]),
        ("all", None, [(NOW - 6 * HOUR + timedelta(seconds=1), LAST + timedelta(seconds=1))]),
        ("latest", LAST - 4 * HOUR, [(LAST, LAST + timedelta(seconds=1))]),
        ("none", LAST - 4 * HOUR, []),
        ("all", LAST, []),
        ("latest", LAST, []),
    ],
)
def test_what_is_missing_is_made_as_the_policy_says(
    engine: Engine, catchup: str, made: datetime | None, asked: list[tuple[datetime, datetime]]
) -> None:
    scheduled(engine, catchup)
    prefect = Prefect(made)
    missed = MissedSchedules(engine, prefect)
    missed.step()
    assert prefect.asked == asked
    missed.step()  # once: it looks again when Prefect was away
    assert prefect.asked == asked


@pytest.mark.parametrize("changes", [{"status": "paused"}, {"updated_at": NOW}], ids=["paused", "just resumed"])
def test_while_it_was_paused_a_pipeline_missed_nothing(engine: Engine, changes: dict[str, Any]) -> None:
    scheduled(engine, "all", **changes)
    prefect = Prefect(LAST - 4 * HOUR)
    assert MissedSchedules(engine, prefect).fill() == 0
    assert prefect.asked == []


def test_it_looks_when_prefect_is_back(engine: Engine) -> None:
    scheduled(engine, "all")
    prefect = Prefect(LAST)
    missed = MissedSchedules(engine, prefect)
    missed.step()
    prefect.away = True
    with pytest.raises(OrchestratorAway):
        missed.step()
    prefect.away, prefect.made = False, LAST - HOUR
    missed.step()
    assert len(prefect.asked) == 1


@pytest.mark.stack
def test_prefect_makes_each_of_them_once(stack: Any) -> None:
    from headrace.deployments.prefect.orchestrator import Orchestrator
    from tests.rest import Api, eventually

    schedule = {"kind": "cron", "expression": f"{MINUTE} * * * *", "catchup": "all"}
    with closing(Api(stack, "amount,note\n1,a\n", schedule=schedule).create()) as api:
        orchestrator, deployment = Orchestrator(stack.prefect_api), api.deployment()
        for _ in range(2):
            orchestrator.create_missed(deployment, LAST - HOUR, LAST + timedelta(seconds=1), MAX_RUNS_AT_ONCE)
        assert orchestrator.last_scheduled(deployment, NOW) == LAST
        eventually(lambda: True if [run["status"] for run in api.runs()] == ["completed"] * 2 else None)
        assert api.rows() == [(1, "a")] * 2
        orchestrator.close()
