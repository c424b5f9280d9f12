"""A run with what belongs to it: its pipeline, the document of its version, its retries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.api.context import RequestContext
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.runs.service import owned_run, pipeline_of, watch
from headrace.catalog.repositories.runs import LogFilter
from headrace.catalog.runs.records import LogLine, RunSnapshot
from headrace.ir import PipelineIR, parse_ir

_PAGE = 2000
_SHOWN = 500


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run. `ir` is None for a document of an earlier release that is not valid any more; `retries` are (id, status),
    oldest first."""

    run: RunSnapshot
    pipeline_name: str
    ir: PipelineIR | None
    retries: Sequence[tuple[str, str]]


def read_report(context: RequestContext, run_id: str) -> RunReport:
    """The run as it is now. Raises ApiError 404."""
    run = watch(context, pipeline_of(context, run_id), run_id)
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, run.pipeline_id)
        stored = catalog.pipelines.ir_version(pipeline, run.ir_version)
        retries = [(each.id, each.status) for each in catalog.runs.retries_of(run_id)]
    return RunReport(run, pipeline.name, parse_ir(stored.ir).ir if stored is not None else None, retries)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines of a log, newest first, and whether there are older ones that match."""

    lines: Sequence[LogLine]
    more: bool


def read_log(context: RequestContext, run_id: str, only: LogFilter) -> LogPage:
    """The newest 500 lines of the log of a run that match. Raises ApiError 404."""
    pipeline_id = pipeline_of(context, run_id)
    with context.reading() as catalog:
        found = catalog.runs.newest_log(owned_run(catalog, pipeline_id, run_id), only, limit=_SHOWN + 1)
        lines = [LogLine(each.stage, each.message, each.created_at, each.level) for each in found[:_SHOWN]]
    return LogPage(lines, len(found) > _SHOWN)


def whole_log(context: RequestContext, run_id: str) -> Iterator[LogLine]:
    """All lines of the log of a run, oldest first, read in pages. Raises ApiError 404."""
    pipeline_id = pipeline_of(context, run_id)
    after = 0
    while True:
        with context.reading() as catalog:
            page = catalog.runs.log(owned_run(catalog, pipeline_id, run_id), limit=_PAGE, after=after)
        yield from (LogLine(line.stage, line.message, line.created_at, line.level) for line in page)
        if len(page) < _PAGE:
            return
        after = page[-1].id
