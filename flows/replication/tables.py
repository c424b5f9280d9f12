"""The tables of one run: starts their runs, a few at a time, and records how each ends."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import httpx
from prefect import State

from headrace.catalog.replications.records import ReplicationRunSnapshot, RunTable
from headrace.catalog.replications.store import ReplicationRunStore
from headrace.catalog.runs.records import SUCCESSFUL, TERMINAL
from headrace.catalog.runs.store import RunStore
from headrace.flows.prefect.database_retries import with_database_retries
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.replication.children import Children, Refused
from headrace.flows.replication.outcome import child_message
from headrace.ir.replication import ReplicationIR

_LOOK_AGAIN_S = 0.5
_NOT_REGISTERED = "its pipeline is not registered in Prefect; retry the run"
_GONE = "its run was deleted in Prefect; retry the run"
_STOPPED = "not started, because another table failed"


class Tables:
    """The tables of one run, in one event loop."""

    def __init__(
        self,
        store: ReplicationRunStore,
        runs: RunStore,
        run_id: str,
        children: Children,
        document: ReplicationIR,
        logger: RunLogger,
    ) -> None:
        self._store, self._runs, self._run_id, self._children = store, runs, run_id, children
        self._at_once, self._stops = document.parallelism, document.on_table_failure == "stop"
        self._logger = logger
        self._running: dict[str, RunTable] = {}
        """By the id of the table's run."""

    async def copy(self, run: ReplicationRunSnapshot) -> None:
        """Copies the tables that have not ended, and returns when all have. Of an earlier start of the run those that
        run are waited for, not started again."""
        failed = any(table.status in ("failed", "refused") for table in run.tables)
        waiting = deque(table for table in run.tables if table.status == "waiting")
        self._running = {
            table.child_run_id: table for table in run.tables if table.status == "running" and table.child_run_id
        }
        for table in run.tables:
            if table.status == "refused":
                self._logger.error("%s: %s", table.name, table.message)
        while waiting or self._running:
            while waiting and failed and self._stops:
                await self._ended(waiting.popleft(), "skipped", _STOPPED)
            while waiting and len(self._running) < self._at_once:
                failed = not await self._start(waiting.popleft()) or failed
            if self._running:
                await asyncio.sleep(_LOOK_AGAIN_S)
                failed = not await self._look() or failed
            await asyncio.to_thread(self._store.touch, self._run_id)

    async def stop(self) -> None:
        """Asks the runs of tables that have not ended to end."""
        await asyncio.gather(*(self._children.cancel(run_id) for run_id in self._running), return_exceptions=True)

    async def _start(self, table: RunTable) -> bool:
        """Starts a table's run; False when it could not be."""
        while True:
            try:
                run_id = await self._children.start(table)
                break
            except Refused as error:
                await self._ended(table, "failed", str(error))
                return False
            except (httpx.HTTPError, TimeoutError) as error:
                self._logger.warning("Prefect does not take the run of %s (%r); tried again", table.name, error)
                await asyncio.sleep(_LOOK_AGAIN_S * 4)
        if run_id is None:
            await self._ended(table, "failed", _NOT_REGISTERED)
            return False
        await with_database_retries(
            self._store.table_started, self._run_id, table.name, run_id, warn=self._logger.warning
        )
        self._running[run_id] = table
        return True

    async def _look(self) -> bool:
        """Notes which runs have ended; False when one of them failed."""
        try:
            states = await self._children.states(list(self._running))
        except (httpx.HTTPError, TimeoutError):
            return True  # polled again soon
        well = True
        for run_id, table in list(self._running.items()):
            state = states.get(run_id)
            if run_id in states and (state is None or not state.is_final()):
                continue
            status, message = await self._end_of(run_id, state)
            del self._running[run_id]
            await self._ended(table, status, message)
            well = well and status in SUCCESSFUL
        return well

    async def _end_of(self, run_id: str, state: State[Any] | None) -> tuple[str, str | None]:
        """The status of a table whose run has ended in Prefect. The catalog's word comes first: it has the rows."""
        if state is None:
            return "failed", _GONE
        known = await with_database_retries(self._runs.snapshot, run_id, warn=self._logger.warning)
        if known is not None and known.status in TERMINAL:
            return known.status, child_message(known.status, known.failure_reason)
        if state.is_completed():
            return "completed", None
        message = "its run was cancelled" if state.is_cancelled() else state.message
        return "failed", message or "its run failed"

    async def _ended(self, table: RunTable, status: str, message: str | None) -> None:
        await with_database_retries(
            self._store.table_ended, self._run_id, table.name, status, message, warn=self._logger.warning
        )
        with suppress(Exception):
            if status in SUCCESSFUL:
                self._logger.info("%s: %s", table.name, status.replace("_", " "))
            else:
                self._logger.error("%s: %s", table.name, message or status)
