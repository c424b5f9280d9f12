"""`/calendar`: a week of runs and fire times, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from headrace.api.console.guard import pages, seen_by
from headrace.api.console.rendering import render
from headrace.api.context import Context
from headrace.api.errors import invalid
from headrace.api.pagination import PageRequest, encode_cursor, page_request
from headrace.api.requests.auth import READ
from headrace.api.scheduler.calendar import DAYS, week

router = pages()

PAGE = 25
_FARTHEST = timedelta(days=366)


async def _page(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return await page_request(PAGE, cursor)


@router.get("/calendar", name="console_calendar", openapi_extra=seen_by(*READ))
def show_calendar(
    request: Request,
    context: Context,
    page: Annotated[PageRequest, Depends(_page)],
    first: Annotated[date | None, Query(alias="from")] = None,
    every: Annotated[bool, Query(alias="all")] = False,
) -> Response:
    """The week that begins on Monday, or on the given day. Raises ApiError 400 for a day more than a year away."""
    now = datetime.now(UTC)
    today = now.date()
    begins = first if first is not None else today - timedelta(days=today.weekday())
    if abs(begins - today) > _FARTHEST:
        raise invalid("from", "too_far", "The day is more than a year away", "choose one that is nearer")
    found = week(context, page, begins, scheduled=not every, now=now)
    following = None if found.next is None else encode_cursor([found.next.created_at.isoformat(), found.next.id])
    return render(
        request,
        "calendar.html",
        title="Calendar",
        found=found,
        days=[begins + timedelta(days=number) for number in range(DAYS)],
        today=today,
        begins=begins,
        before=begins - timedelta(days=DAYS),
        after=begins + timedelta(days=DAYS),
        every=every,
        following=following,
        first=page.after is None,
    )
