"""Progress as server-sent events: one whenever it changed, until the run has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.context import RequestContext
from api.runs.progress import progress_of
from api.runs.schemas import Progress
from api.runs.service import watch
from catalog.run_records import TERMINAL

_LOOK_SECONDS = 1.0
_KEEP_ALIVE_LOOKS = 15


def progress_stream(context: RequestContext, pipeline_id: str, run_id: str) -> StreamingResponse:
    """The stream; 404 before it begins. Events are `progress` with the document of `/progress`, the last one `end`."""
    first = progress_of(watch(context, pipeline_id, run_id))

    async def events() -> AsyncIterator[str]:
        progress, sent, quiet = first, "", 0
        while True:
            ended = progress.status in TERMINAL
            document = progress.model_dump_json(by_alias=True, exclude_unset=True)
            if ended or document != sent:
                sent, quiet = document, 0
                yield _event("end" if ended else "progress", document)
            elif (quiet := quiet + 1) % _KEEP_ALIVE_LOOKS == 0:
                yield ": still there\n\n"
            if ended:
                return
            await anyio.sleep(_LOOK_SECONDS)
            progress = await run_in_threadpool(_look)

    def _look() -> Progress:
        return progress_of(watch(context, pipeline_id, run_id))

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


def _event(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"
