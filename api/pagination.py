"""Keyset pagination: `limit`, an opaque `cursor`, and the envelope of every list."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query

from headrace.api.errors import ApiError, invalid
from headrace.api.wire import ResponseModel
from headrace.catalog.models.base import TenantOwned
from headrace.catalog.repositories import Page, Position

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

Item = TypeVar("Item")
Stored = TypeVar("Stored", bound=TenantOwned)


class Pagination(ResponseModel):
    """Position of a page; `cursor` requests the next one."""

    total: int
    has_more: bool
    limit: int
    cursor: str | None


class PageOf(ResponseModel, Generic[Item]):
    """One page of a list."""

    data: list[Item]
    pagination: Pagination


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page."""

    limit: int
    after: Position | None


async def page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT, cursor: Annotated[str | None, Query()] = None
) -> PageRequest:
    """Reads `limit` and `cursor`. Raises ApiError 400 for an invalid cursor."""
    if cursor is None:
        return PageRequest(limit, None)
    match decode_cursor(cursor):
        case [str(created_at), str(object_id)]:
            try:
                return PageRequest(limit, Position(datetime.fromisoformat(created_at), object_id))
            except ValueError:
                pass
    raise bad_cursor()


Paged = Annotated[PageRequest, Depends(page_request)]


def page_of(page: Page[Stored], request: PageRequest, show: Callable[[Stored], Item]) -> PageOf[Item]:
    """The response for a page; `show` converts each item."""
    cursor = None if page.next is None else encode_cursor([page.next.created_at.isoformat(), page.next.id])
    pagination = Pagination(total=page.total, has_more=cursor is not None, limit=request.limit, cursor=cursor)
    return PageOf(data=[show(item) for item in page.items], pagination=pagination)


def encode_cursor(position: Sequence[Any]) -> str:
    """A position in a list as URL-safe text."""
    return base64.urlsafe_b64encode(json.dumps(list(position)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> object:
    """The position in a cursor, not validated. Raises ApiError 400 for a malformed cursor."""
    try:
        decoded: object = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise bad_cursor() from None
    return decoded


def bad_cursor() -> ApiError:
    """The 400 of a cursor that is not valid for the list."""
    return invalid("cursor", "bad_cursor", "The cursor is not one of this list", "start again without a cursor")
