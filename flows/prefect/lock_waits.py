"""Reports that a run waits for a lock in PostgreSQL or for an API, and cancels the wait when the run is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from prefect import State
from prefect.states import Running

from headrace.connectors.errors import TargetError
from headrace.connectors.http import waits as requests
from headrace.connectors.postgresql.locks.lock_wait import LockWait
from headrace.flows.prefect.names import WAITING
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.run_recorder import RunRecorder

_LOOK_S = 2.0


@asynccontextmanager
async def report_lock_waits(
    job: Job, recorder: RunRecorder, tell_prefect: Callable[[State[Any]], Awaitable[None]]
) -> AsyncIterator[None]:
    """Inside the block, logs which session holds a lock that the run needs, or which API it waits for, and says so
    in the message of its state in Prefect. Reports a wait only after two consecutive looks, `_LOOK_S` seconds apart."""
    waits = [LockWait(database, job.run_id) for database in job.databases.all]

    def reason_of_any() -> str | None:
        return next((reason for wait in waits if (reason := wait.look()) is not None), None) or requests.reason()

    async def look() -> None:
        before, reported = None, None
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(Exception):  # the next look may succeed
                reason = await asyncio.to_thread(reason_of_any)
                if reason == before and reason != reported:
                    reported = reason
                    recorder.log("run", reason or "continues")
                    await tell_prefect(Running() if reason is None else Running(message=f"{WAITING}{reason}"))
                before = reason

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        for wait in waits:
            wait.close()


def cancel_lock_wait(job: Job) -> None:
    """Cancels statements of the run that wait for a lock in PostgreSQL, so that stopping the run does not wait for
    them."""
    with suppress(TargetError):
        for database in job.databases.all:
            with suppress(psycopg.Error, TargetError):
                LockWait(database, job.run_id).give_up()
