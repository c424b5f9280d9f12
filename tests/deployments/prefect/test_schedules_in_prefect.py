"""Schedules on a running stack: Prefect creates their runs, which get names, and a pause removes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack


def upcoming(api: Api) -> list[dict[str, Any]]:
    """The runs that the pipeline's schedule has made, the next first."""
    wanted = {
        "flow_runs": {"tags": {"all_": ["auto-scheduled", f"pipeline:{api.pipeline}"]}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    found: list[dict[str, Any]] = api.stack.prefect.post("/flow_runs/filter", json=wanted, timeout=30).json()
    return found


@pytest.mark.slow
def test_the_next_runs_are_there_with_names_until_the_pipeline_is_paused(stack: RunningStack) -> None:
    minute = (datetime.now(UTC).minute + 30) % 60  # far from now: none of them is due while the test looks
    every_hour = {"kind": "cron", "expression": f"{minute} * * * *", "timezone": "America/New_York"}
    api = Api(stack, schedule=every_hour).create()
    first = eventually(lambda: found[0] if (found := upcoming(api)) else None)
    [status] = [
        each
        for each in api.get("/scheduler-status", params={"limit": 100}).json()["data"]
        if each["pipelineId"] == api.pipeline
    ]
    assert first["expected_start_time"][:19] == status["nextFires"][0][:19]
    due = first["expected_start_time"][:19].replace("T", " ")
    assert eventually(lambda: upcoming(api)[0]["name"] == f"{api.name} {due}Z" or None)

    assert api.put("/pipelines", json={"id": api.pipeline, "status": "paused"}).status_code == 200
    assert eventually(lambda: upcoming(api) == [] or None)
    assert api.run()["status"] == "completed_with_errors"  # by hand it still runs
    assert api.put("/pipelines", json={"id": api.pipeline, "status": "active"}).status_code == 200
    assert eventually(lambda: upcoming(api) or None)
    api.close()


def test_what_somebody_changes_in_prefect_is_put_right(stack: RunningStack) -> None:
    from headrace.catalog.engine import make_engine
    from headrace.deployments.prefect.orchestrator import Orchestrator
    from headrace.deployments.sync.reconciler import Reconciler

    rule = {"kind": "rrule", "rrule": "FREQ=WEEKLY;BYDAY=MO;BYHOUR=7;BYMINUTE=0;BYSECOND=0", "timezone": "Asia/Tokyo"}
    changed = Api(stack, schedule={"kind": "interval", "minutes": 90}).create()
    paused, deleted = Api(stack, schedule=rule).create(), Api(stack).create()
    prefect = stack.prefect
    engine, orchestrator = make_engine(stack.database_url), Orchestrator(stack.prefect_api)
    reconciler = Reconciler(engine, orchestrator)

    def standing() -> dict[str, str]:
        has = orchestrator.registered()
        return {api.name: has.get(api.pipeline, "") for api in (changed, paused, deleted)}

    before = standing()
    [schedule] = prefect.get(f"/deployments/{changed.deployment()}/schedules").json()
    another = {"schedule": {"cron": "0 0 * * *", "timezone": "UTC"}}
    place = f"/deployments/{changed.deployment()}/schedules/{schedule['id']}"
    assert prefect.patch(place, json=another).is_success
    assert prefect.post(f"/deployments/{paused.deployment()}/pause_deployment").is_success
    assert prefect.delete(f"/deployments/{deleted.deployment()}").is_success
    assert all(now != then for now, then in zip(standing().values(), before.values(), strict=True))
    assert reconciler.compare() >= 3
    reconciler.sweep()
    # the facade's own reconciler follows the same notes, so one may still be at it
    assert eventually(lambda: standing() == before or None)
    orchestrator.close()
    engine.dispose()
    for api in (changed, paused, deleted):
        api.close()
