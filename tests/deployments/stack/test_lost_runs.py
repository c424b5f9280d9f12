"""Unfinished runs of a killed stack end at its next start; others are not changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Cancelling, Pending, Running, State

from headrace.deployments.prefect.orchestrator import Orchestrator, RegisteredPipeline
from headrace.deployments.stack.lost_runs import end_lost_runs

pytestmark = pytest.mark.stack


def test_only_what_the_dead_worker_had_taken_ends(stack: Any) -> None:
    client = stack.prefect_client()
    pool = f"left-{uuid4().hex[:8]}"
    client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    orchestrator = Orchestrator(stack.prefect_api, work_pool=pool)

    def run(state: State[Any] | None, worker: str | None) -> tuple[str, str]:
        key = uuid4().hex[:8]
        deployment = orchestrator.register(RegisteredPipeline(f"pipe_{key}", key, "default"))
        run_id = orchestrator.start(deployment, parameters={}, idempotency_key=None).run_id
        flow_run = UUID(run_id.removeprefix("run_"))
        if worker is not None:
            client.update_flow_run_labels(flow_run, {"prefect.worker.name": worker})
        if state is not None:
            client.set_flow_run_state(flow_run, Pending())
            client.set_flow_run_state(flow_run, state)
        return run_id, deployment

    mine, deployment = run(Running(), "mine")
    cancelling, _ = run(Running(), "mine")
    client.set_flow_run_state(UUID(cancelling.removeprefix("run_")), Cancelling())
    taken, _ = run(Pending(), None)
    others, _ = run(Running(), "somebody else's")
    waiting, _ = run(None, None)

    assert end_lost_runs(stack.prefect_api, pool=pool, worker="mine", before=_long_ago()) == 0
    assert end_lost_runs(stack.prefect_api, pool=pool, worker="mine", before=datetime.now(UTC)) == 3
    names = {}
    for run_id in (mine, cancelling, taken, others, waiting):
        state = orchestrator.state(run_id)
        assert state is not None
        names[run_id] = state.state_name
    assert names == {
        mine: "Crashed",
        cancelling: "Cancelled",
        taken: "Crashed",
        others: "Running",
        waiting: "Scheduled",
    }
    # The pipeline's only slot is free again.
    limit = client.read_deployment(UUID(deployment)).global_concurrency_limit
    assert limit is not None
    assert limit.active_slots == 0


def _long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)
