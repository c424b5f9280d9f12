"""A run's errors as CSV, streamed: memory does not grow with their number."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from starlette.responses import StreamingResponse

from api.context import RequestContext
from api.runs.service import owned_run, watch
from catalog.models import RunError
from catalog.repositories.runs import position_of

HEADER = ("Row", "Column", "Value", "Error")

_PAGE = 2000
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - spreadsheets take the full-width ones too
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def errors_as_csv(context: RequestContext, pipeline_id: str, run_id: str) -> StreamingResponse:
    """All rejected cells by row, as a download; 404 as everywhere."""
    watch(context, pipeline_id, run_id)
    chunks = _chunks(context, pipeline_id, run_id)
    first = next(chunks)  # what can fail fails before the response has begun
    return StreamingResponse(
        _behind(first, chunks),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="pipeline-run-{run_id}-errors.csv"'},
    )


def _chunks(context: RequestContext, pipeline_id: str, run_id: str) -> Iterator[str]:
    lines, after = [HEADER], None
    while True:
        # a transaction per page: a slow reader must not hold one open
        with context.catalog() as catalog:
            page = catalog.runs.errors(owned_run(catalog, pipeline_id, run_id), limit=_PAGE, after=after)
        yield _lines([*lines, *map(_cells, page)])
        if len(page) < _PAGE:
            return
        lines, after = [], position_of(page[-1])


def _behind(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _cells(error: RunError) -> tuple[str, ...]:
    return str(error.row), escaped(error.column), escaped(error.value or ""), escaped(error.error)


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def escaped(cell: str) -> str:
    """The cell, with an apostrophe before what a spreadsheet would run as a formula; plain numbers stay numbers."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell) else cell
