"""Sends the OpenLineage events of a run from a thread, so that the run neither waits nor fails because of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING

from headrace.catalog.runs.records import RunSnapshot
from headrace.catalog.settings import Settings
from headrace.flows.runtime.job import Job, Prepared

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from headrace.flows.lineage.openlineage.events import RunLineageEvents

TIMEOUT_S = 3.0
"""How long an ended run waits for the last event to be sent."""
TIMEOUT_AFTER_FAILURE_S = 0.5
"""Seconds to wait if an earlier event could not be sent."""

Work = Callable[["RunLineageEvents"], "RunEvent | None"]


class LineageEmitter:
    """Sends the events of one run; does nothing without a configured recipient. `warn` is called once, from any thread,
    when an event could not be sent."""

    def __init__(self, job: Job, settings: Settings, warn: Callable[[str], None]) -> None:
        self._job, self._settings, self._warn = job, settings, warn
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._sent: Future[None] = Future()
        self._doubtful = threading.Event()
        self._configured = bool(settings.openlineage_url or settings.openlineage_file)

    def begins(self) -> None:
        """Sends START."""
        if self._configured:
            at = datetime.now(UTC)
            self._work.put(lambda events: events.start(at))
            threading.Thread(target=self._run, name="openlineage", daemon=True).start()

    def planned(self, prepared: Prepared) -> None:
        """Adds the columns of the planned run to later events."""
        self._work.put(lambda events: events.planned(prepared))

    def ends(self, status: str, run: RunSnapshot) -> None:
        """Sends COMPLETE (for `completed` and `completed_with_errors`), FAIL (`failed`) or ABORT (`cancelled`)."""
        at = datetime.now(UTC)
        self._work.put(lambda events: events.end(status, at, run))
        self._work.put(None)

    async def delivered(self) -> None:
        """Waits until everything is sent, or a timeout."""
        if not self._configured:
            return
        patience = TIMEOUT_AFTER_FAILURE_S if self._doubtful.is_set() else TIMEOUT_S
        try:
            async with asyncio.timeout(patience):
                await asyncio.wrap_future(self._sent)
        except TimeoutError:
            self._doubt(f"it took more than {patience:g} s")

    def _run(self) -> None:
        self._sent.set_running_or_notify_cancel()  # from here on a timeout of `delivered` does not cancel it
        try:
            self._tell()
        finally:
            self._sent.set_result(None)

    def _tell(self) -> None:
        try:
            from headrace.flows.lineage.openlineage.events import RunLineageEvents
            from headrace.flows.lineage.openlineage.transports import DeliveryFailed, configured_transports

            events = RunLineageEvents(self._job, self._settings.openlineage_namespace)
            everybody = [*configured_transports(self._settings)]
        except Exception as error:  # noqa: BLE001 (whatever it is, the run goes on)
            self._doubt(f"{type(error).__name__}")
            return
        while (work := self._work.get()) is not None:
            try:
                event = work(events)
            except Exception as error:  # noqa: BLE001 (as above)
                self._doubt(f"{type(error).__name__}")
                continue
            if event is None:
                continue
            for each in everybody:
                try:
                    each.send(event)
                except DeliveryFailed as error:
                    self._doubt(str(error))

    def _doubt(self, reason: str) -> None:
        if not self._doubtful.is_set():
            self._doubtful.set()
            with suppress(Exception):  # the run continues even if the warning fails
                self._warn(f"OpenLineage did not receive all events of this run: {reason}")
