"""Progress as server-sent events: one on each change, until the run has ended or the key is no longer valid.

Between two polls a stream holds neither a thread nor a database connection.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable

import structlog
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.runs.progress import progress_of
from headrace.api.runs.progress_schemas import Progress
from headrace.api.runs.service import watch
from headrace.catalog.runs.records import TERMINAL
from headrace.catalog.security.api_keys import still_valid
from headrace.deployments.prefect.orchestrator import OrchestratorAway

_POLL_S = 1.0
_KEEP_ALIVE_POLLS = 15
_MAX_OUTAGE_S = 10.0
"""How long a stream stays open while the database or Prefect is unreachable and its key cannot be checked."""

_log = structlog.get_logger("headrace.api")


class _Closed(Exception):
    """The stream ends before the run does; the text is the reason."""


class _EventStream(StreamingResponse):
    """A response that holds a stream slot while it is sent."""

    def __init__(self, context: RequestContext, content: AsyncIterator[str]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream. Raises ApiError when no slot is free."""
        context = self._context
        by_tenant, by_key = context.limit("event_streams"), context.limit("event_streams_per_key")
        try:
            slot = context.services.streams.taken(context.principal, by_tenant=by_tenant, by_key=by_key)
            slot.__enter__()
        except ApiError:
            context.services.metrics.refused("event_streams")
            raise
        try:
            await super().__call__(scope, receive, send)
        finally:
            slot.__exit__(None, None, None)


def progress_stream(
    context: RequestContext, pipeline_id: str, run_id: str, *, allowed: Callable[[], bool] = lambda: True
) -> StreamingResponse:
    """The stream of a run, which also ends when `allowed` no longer holds. Raises ApiError 404. Events are `progress`
    with the body of `/progress`; the last one is `end`, or `closed` with a reason when the stream ends before the run
    does."""
    first = progress_of(watch(context, pipeline_id, run_id))
    closing = context.services.closing

    async def events() -> AsyncIterator[str]:
        progress, sent, quiet, seen_at = first, "", 0, time.monotonic()
        while True:
            ended = progress.status in TERMINAL
            document = progress.model_dump_json(by_alias=True, exclude_unset=True)
            if ended or document != sent:
                sent, quiet = document, 0
                yield _event("end" if ended else "progress", document)
            elif (quiet := quiet + 1) % _KEEP_ALIVE_POLLS == 0:
                yield ": still there\n\n"
            if ended:
                return
            if await closing.within(_POLL_S):
                yield _closed("The server stops; connect again")
                return
            try:
                progress = await run_in_threadpool(_look)
                seen_at = time.monotonic()
            except _Closed as reason:
                yield _closed(str(reason))
                return
            except (SQLAlchemyError, OrchestratorAway) as error:
                _log.warning("progress stream cannot read the run", kind=type(error).__name__)
                if time.monotonic() - seen_at > _MAX_OUTAGE_S:
                    yield _closed("The progress of the run cannot be read; connect again in a moment")
                    return

    def _look() -> Progress:
        if not _key_is_valid(context):
            raise _Closed("The API key is not valid any more")
        if not allowed():
            raise _Closed("The session has ended")
        try:
            return progress_of(watch(context, pipeline_id, run_id))
        except ApiError as error:  # the run or its pipeline was deleted
            raise _Closed(str(error.detail)) from None

    return _EventStream(context, events())


def _key_is_valid(context: RequestContext) -> bool:
    if context.services.settings.auth == "off":
        return True
    with context.reading() as catalog:
        return still_valid(catalog.session, context.principal)


def _event(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"


def _closed(reason: str) -> str:
    return _event("closed", json.dumps({"reason": reason}))
