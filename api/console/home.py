"""`/`: what needs attention first, then all pipelines; and notes on what is away, which all pages show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response

from headrace.api.console.guard import pages, plain, seen_by
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context
from headrace.api.pagination import PageRequest, encode_cursor, page_request
from headrace.api.pipelines.overview import RECENT, attention, glance
from headrace.api.requests.auth import READ
from headrace.catalog.repositories.runs import RunSummary

router = pages()

PAGE = 30
_SPARK_HEIGHT = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a sparkline: where it begins and how high it is, in pixels of a picture that is 24 high."""

    x: int
    height: float
    status: str


async def _page(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return await page_request(PAGE, cursor)


@router.get("/", name="console_home", openapi_extra=seen_by(*READ))
def show_home(
    request: Request,
    context: Context,
    page: Annotated[PageRequest, Depends(_page)],
    q: Annotated[str, Query(max_length=200)] = "",
    status: Literal["", "draft", "active", "paused"] = "",
) -> Response:
    """The page."""
    found = glance(context, page, q=q or None, status=status or None)
    first = page.after is None and not q and not status
    following = None if found.next is None else encode_cursor([found.next.created_at.isoformat(), found.next.id])
    return render(
        request,
        "home.html",
        title="Pipelines",
        page=found,
        attention=attention(context) if first else None,
        sparks={each.id: spark(each.runs) for each in found.items},
        following=following,
        first=page.after is None,
        q=q,
        status=status,
    )


def spark(runs: Sequence[RunSummary]) -> list[Bar]:
    """The bars of the newest runs, oldest first and the newest at the right edge, as high as their rows are many
    compared with the most of them."""
    counts = [_rows(run) for run in runs]
    most = max(counts, default=0)
    bars = []
    for index, (run, count) in enumerate(zip(reversed(runs), reversed(counts), strict=True)):
        height = 3 + (_SPARK_HEIGHT - 3) * (count / most) if most else 3.0
        bars.append(Bar((RECENT - len(runs) + index) * 10, round(height, 1), run.state))
    return bars


def _rows(run: RunSummary) -> int:
    return run.rows_out or 0


@router.get("/health-notes", name="console_health", openapi_extra=seen_by(*READ))
async def health_notes(context: Context) -> Response:
    """What is away at the moment; empty while all is well."""
    services = context.services
    found = await services.readiness.look(services.orchestrator)
    return plain(fragment("health_notes.html", away={each.path for each in found.problems}, worker=found.worker))
