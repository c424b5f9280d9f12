"""The tag of a streaming run that is too far behind, in Prefect, is gone when the run has ended, however it did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun
from prefect.settings import temporary_settings
from sqlalchemy import Engine

from headrace.catalog.engine import make_engine
from headrace.catalog.runs.store import RunStore
from headrace.deployments.prefect.orchestrator import Orchestrator
from headrace.flows.prefect.names import LAGGING, STREAMING
from headrace.flows.prefect.run_reporter import RunReporter
from tests.conftest import RunningStack
from tests.databases import Roles, in_public
from tests.flows.runtime.graphs.world import Mill, target
from tests.flows.runtime.shelf import Shelf

pytestmark = pytest.mark.stack

LOGGER = logging.getLogger("test")


@pytest.fixture
def engine(migrated: Roles) -> Iterator[Engine]:
    engine = make_engine(in_public(migrated.api))
    yield engine
    engine.dispose()


@flow
def streams() -> None:
    """Stands for a flow that streams: only its run in Prefect matters."""


@pytest.fixture
def flow_run(stack: RunningStack) -> Iterator[FlowRun]:
    with temporary_settings(stack.prefect_settings), stack.prefect_client() as client:
        yield client.create_flow_run(streams, tags=["of a user"])


def tags(stack: RunningStack, flow_run: FlowRun) -> set[str]:
    return set(stack.prefect.get(f"/flow_runs/{flow_run.id}").json()["tags"])


def reporter_of(flow_run: FlowRun, engine: Engine, folder: Path) -> RunReporter:
    job = Mill(folder, "").job([Shelf().node(), target("tgt", "src", "one")], config={"mode": "streaming"})
    return RunReporter(flow_run, job, store=RunStore(engine), engine=engine, api_url="http://127.0.0.1:1/api/v1")


async def cancelled(reporter: RunReporter) -> None:
    """It reports from a task that is being cancelled, as a run does."""
    follows = asyncio.Event()

    async def runs() -> None:
        try:
            follows.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await reporter.report_interruption("cancelled", LOGGER)
            raise

    task = asyncio.create_task(runs())
    await follows.wait()
    task.cancel()
    await asyncio.wait({task})


async def failed(reporter: RunReporter) -> None:
    await reporter.ended("failed", LOGGER)


@pytest.mark.parametrize("ends", [cancelled, failed], ids=["cancelled", "failed"])
def test_a_run_that_ends_while_it_lags(
    stack: RunningStack, flow_run: FlowRun, engine: Engine, tmp_path: Path, ends: object
) -> None:
    reporter = reporter_of(flow_run, engine, tmp_path)
    asyncio.run(reporter.stream_tags(lagging=True))
    assert tags(stack, flow_run) == {"of a user", STREAMING, LAGGING}
    assert callable(ends)
    asyncio.run(ends(reporter))
    assert tags(stack, flow_run) == {"of a user", STREAMING}


def test_a_run_whose_earlier_attempt_died_while_it_lagged(
    stack: RunningStack, flow_run: FlowRun, engine: Engine, tmp_path: Path
) -> None:
    asyncio.run(reporter_of(flow_run, engine, tmp_path).stream_tags(lagging=True))
    again = reporter_of(stack.prefect_client().read_flow_run(flow_run.id), engine, tmp_path)
    asyncio.run(again.ended("failed", LOGGER))
    assert LAGGING not in tags(stack, flow_run)


def test_a_run_that_was_killed_while_it_lagged(
    stack: RunningStack, flow_run: FlowRun, engine: Engine, tmp_path: Path
) -> None:
    asyncio.run(reporter_of(flow_run, engine, tmp_path).stream_tags(lagging=True))
    outside = Orchestrator(stack.prefect_api)
    run_id = f"run_{flow_run.id.hex}"
    state = outside.state(run_id)
    assert state is not None
    assert state.lagging
    outside.remove_tag(run_id, LAGGING)
    outside.remove_tag(f"run_{0:032x}", LAGGING)  # unknown there
    assert tags(stack, flow_run) == {"of a user", STREAMING}
    outside.close()
