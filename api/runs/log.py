"""The log of a run over REST: all lines in pages, or the newest, and those that come later."""

from __future__ import annotations

from headrace.api.context import RequestContext
from headrace.api.runs.log_schemas import LogEntry, RunLogPage
from headrace.api.runs.service import owned_run, watch
from headrace.catalog.repositories.runs import LogFilter
from headrace.catalog.runs.records import TERMINAL


def read_lines(
    context: RequestContext, pipeline_id: str, run_id: str, only: LogFilter, *, limit: int, after: int, tail: int | None
) -> RunLogPage:
    """At most `limit` lines that match, after the line `after`; with `tail` the newest so many. Raises ApiError 404."""
    # The status first: when it is final, all lines are there.
    run = watch(context, pipeline_id, run_id)
    with context.reading() as catalog:
        owned = owned_run(catalog, pipeline_id, run_id)
        if tail is not None:
            found = catalog.runs.newest_log(owned, only, limit=tail)[::-1]
            page, more = found, False
        else:
            found = catalog.runs.log(owned, only, limit=limit + 1, after=after)
            page, more = found[:limit], len(found) > limit
    lines = [
        LogEntry(stage=each.stage, message=each.message, timestamp=each.created_at, level=each.level) for each in page
    ]
    waiting = next((LogEntry.model_validate(each) for each in run.log if each.stage == "queue"), None)
    last = page[-1].id if page else after
    return RunLogPage(run_id=run_id, lines=lines, last=last, more=more, ended=run.status in TERMINAL, waiting=waiting)
