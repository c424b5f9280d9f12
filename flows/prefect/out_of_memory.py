"""Ends a run that exceeds its memory limit: records the failure in the catalog, in Prefect and in the log, then exits
the process, because the code that uses the memory cannot be interrupted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.logging.handlers import APILogHandler
from prefect.states import Failed

from headrace.catalog.runs.store import RunStore
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.prefect.run_reporter import RunReporter
from headrace.flows.runtime.memory.current_node import BOARD, publish_in_file
from headrace.flows.runtime.memory.watch import OutOfMemory, watch_memory

_PATIENCE_S = 15.0
_RECORDED, _NOT_RECORDED = 0, 1
"""Exit codes. With the second, the worker that started the process reports a crash to Prefect."""


class MemoryGuard:
    """Watches the memory of one run in this process. `reporter` is set when the run's pipeline is known."""

    def __init__(self, flow_run_id: UUID, run_id: str, store: RunStore, logger: RunLogger) -> None:
        self._flow_run_id, self._run_id, self._store, self._logger = flow_run_id, run_id, store, logger
        self._loop = asyncio.get_running_loop()
        self.reporter: RunReporter | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Enforces the memory limit inside the `with` block."""
        if board := os.environ.get(BOARD):
            publish_in_file(Path(board))
        with watch_memory(self._over):
            yield

    def _over(self, error: OutOfMemory) -> None:
        """Runs in the watching thread. Writes to the catalog first, because the kernel may end the process at any
        time."""
        reason, recorded = str(error), False
        with suppress(Exception):
            self._store.finished(self._run_id, status="failed", failure_reason=reason, error=reason)
        with suppress(Exception):
            self._logger.error("%s", reason)
            asyncio.run_coroutine_threadsafe(self._tell(reason), self._loop).result(_PATIENCE_S)
            recorded = True
        with suppress(Exception):
            APILogHandler().flush()
        os._exit(_RECORDED if recorded else _NOT_RECORDED)

    async def _tell(self, reason: str) -> None:
        if self.reporter is not None:
            await self.reporter.report_interruption("failed", self._logger)
        async with get_client() as client:
            # Not forced: only an orchestrated transition releases the pipeline's concurrency slot.
            await client.set_flow_run_state(self._flow_run_id, Failed(message=reason))
