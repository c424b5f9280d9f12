"""Waits before a run reads: for files that arrive, and for tables that other runs use. Meanwhile it is `pending` in
the catalog, and the message of its state in Prefect says for what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from prefect import State, get_client
from prefect.context import FlowRunContext
from prefect.states import Running

from headrace.catalog.runs.store import RunStore
from headrace.flows.prefect.database_retries import with_database_retries
from headrace.flows.prefect.names import WAITING
from headrace.flows.runtime.input.file_arrival import Arrival, arrive
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.flows.runtime.targets.locks import TargetLocks

_POLL_S = 0.5


async def wait_for_files(store: RunStore, job: Job, recorder: CatalogRecorder) -> Arrival:
    """Waits for the files of the sources, by their `waitPolicy`, and claims them."""
    waited = False

    async def report(reason: str) -> None:
        nonlocal waited
        if not waited:
            store.waits(job.run_id)
            await set_prefect_state(Running(message=f"{WAITING}{reason}"))
            waited = True

    arrival = await arrive(job, recorder, report)
    if waited:
        await set_prefect_state(Running())
    return arrival


async def wait_for_tables(
    store: RunStore, job: Job, locks: TargetLocks, recorder: CatalogRecorder, warn: Callable[[str], None]
) -> None:
    """Returns when the run has locked its tables, so that no other run changes them."""
    reported: str | None = None
    while (reason := await with_database_retries(locks.acquire, warn=warn)) is not None:
        if reason != reported:
            store.waits(job.run_id)
            await set_prefect_state(Running(message=f"{WAITING}{reason}"))
            recorder.log("run", reason)  # last, so that who reads it finds the run waiting in Prefect and the catalog
            reported = reason
        await asyncio.sleep(_POLL_S)
    if reported is not None:
        await set_prefect_state(Running())


async def set_prefect_state(state: State[Any]) -> None:
    """Sets the state of the flow run of this process. Not forced: a run that is being cancelled stays so."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    async with get_client() as client:
        await client.set_flow_run_state(context.flow_run.id, state)
