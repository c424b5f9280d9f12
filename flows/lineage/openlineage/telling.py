"""Telling OpenLineage of a run, from a thread of its own: the run neither waits for it nor fails because of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING

from catalog.run_records import RunSnapshot
from catalog.settings import Settings
from flows.runtime.job import Job, Prepared

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from flows.lineage.openlineage.events import RunLineageEvents

PATIENCE_S = 3.0
"""So long a run that has ended waits until the last event is sent."""
DOUBT_S = 0.5
"""As long as that, where an event could not be sent before."""

Work = Callable[["RunLineageEvents"], "RunEvent | None"]


class LineageTelling:
    """One run's voice in OpenLineage, silent where nobody is configured to hear it. `warn` is told once, from any
    thread, when somebody could not be told."""

    def __init__(self, job: Job, settings: Settings, warn: Callable[[str], None]) -> None:
        self._job, self._settings, self._warn = job, settings, warn
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._sent: Future[None] = Future()
        self._doubtful = threading.Event()
        self._configured = bool(settings.openlineage_url or settings.openlineage_file)

    def begins(self) -> None:
        """START."""
        if self._configured:
            at = datetime.now(UTC)
            self._work.put(lambda events: events.start(at))
            threading.Thread(target=self._run, name="openlineage", daemon=True).start()

    def planned(self, prepared: Prepared) -> None:
        """From now on the run's columns are known."""
        self._work.put(lambda events: events.planned(prepared))

    def ends(self, status: str, run: RunSnapshot) -> None:
        """COMPLETE, FAIL or ABORT, for `completed`, `completed_with_errors`, `failed` and `cancelled`."""
        at = datetime.now(UTC)
        self._work.put(lambda events: events.end(status, at, run))
        self._work.put(None)

    async def told(self) -> None:
        """Returns when everything is sent, or has taken too long."""
        if not self._configured:
            return
        patience = DOUBT_S if self._doubtful.is_set() else PATIENCE_S
        try:
            async with asyncio.timeout(patience):
                await asyncio.wrap_future(self._sent)
        except TimeoutError:
            self._doubt(f"it took more than {patience:g} s")

    def _run(self) -> None:
        self._sent.set_running_or_notify_cancel()  # from here on who gives up waiting does not cancel it
        try:
            self._tell()
        finally:
            self._sent.set_result(None)

    def _tell(self) -> None:
        try:
            from flows.lineage.openlineage.events import RunLineageEvents
            from flows.lineage.openlineage.sending import NotTold, recipients

            events = RunLineageEvents(self._job, self._settings.openlineage_namespace)
            everybody = [*recipients(self._settings)]
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
                except NotTold as error:
                    self._doubt(str(error))

    def _doubt(self, reason: str) -> None:
        if not self._doubtful.is_set():
            self._doubtful.set()
            with suppress(Exception):  # where nobody can be warned either, the run goes on all the same
                self._warn(f"OpenLineage was not told everything about this run: {reason}")
