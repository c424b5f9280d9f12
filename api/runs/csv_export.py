"""Errors of a run as CSV, streamed, and the choice between JSON and CSV by the Accept header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from starlette.responses import StreamingResponse

from headrace.api.context import RequestContext
from headrace.api.runs.error_schemas import ErrorSource
from headrace.api.runs.service import owned_run, shown_error, watch
from headrace.catalog.models import RunError
from headrace.catalog.repositories.runs import ErrorFilter, position_of

HEADER = ("Row", "Column", "Value", "Error")
DETAILS = ("Node", "Rule", "Kind", "Stage", "File", "File row", "Sources")

_PAGE = 2000
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - spreadsheets take the full-width ones too
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def errors_as_csv(
    context: RequestContext, pipeline_id: str, run_id: str, only: ErrorFilter, *, details: bool
) -> StreamingResponse:
    """The errors selected by `only`, in order of rows, as a download. `details` adds further columns after the
    documented ones. Raises ApiError 404."""
    watch(context, pipeline_id, run_id)
    chunks = _chunks(context, pipeline_id, run_id, only, details=details)
    first = next(chunks)  # errors are raised before the response starts
    return StreamingResponse(
        _chain(first, chunks),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="pipeline-run-{run_id}-errors.csv"'},
    )


def _chunks(
    context: RequestContext, pipeline_id: str, run_id: str, only: ErrorFilter, *, details: bool
) -> Iterator[str]:
    lines: list[tuple[str, ...]] = [HEADER + DETAILS if details else HEADER]
    after = None
    while True:
        # a transaction per page: a slow reader must not hold one open
        with context.catalog() as catalog:
            page = catalog.runs.errors(owned_run(catalog, pipeline_id, run_id), only, limit=_PAGE, after=after)
        yield _lines([*lines, *(_cells(each) + (_details(each) if details else ()) for each in page)])
        if len(page) < _PAGE:
            return
        lines, after = [], position_of(page[-1])


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _cells(error: RunError) -> tuple[str, ...]:
    return str(error.row), escaped(error.column), escaped(error.value or ""), escaped(error.error)


def _details(error: RunError) -> tuple[str, ...]:
    shown = shown_error(error)
    row = shown.sources[0].row if shown.sources else None
    sources = "; ".join(_place(each) for each in shown.sources)
    cells = (shown.node, shown.rule, shown.kind, str(shown.stage), shown.file or "", "" if row is None else str(row))
    return tuple(map(escaped, (*cells, sources)))


def _place(source: ErrorSource) -> str:
    """`customers: customers.csv row 7`."""
    where = [] if source.file is None else [source.file]
    where += [] if source.row is None else [f"row {source.row}"]
    return f"{source.node}: {' '.join(where)}" if where else source.node


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def escaped(cell: str) -> str:
    """The cell, with an apostrophe in front if a spreadsheet would run it as a formula; plain numbers are unchanged."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell) else cell


def prefers_csv(accept: str) -> bool:
    """Whether `Accept` gives `text/csv` a higher weight than JSON; JSON is the default."""
    weights = dict(_weight(part) for part in accept.split(","))
    csv = weights.get("text/csv", weights.get("text/*", 0.0))
    json = weights.get("application/json", weights.get("application/*", 0.0))
    return csv > 0 and csv > json


def _weight(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_type, float(parameter[2:])
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0
