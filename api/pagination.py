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
    """The position of a page in its list."""

    total: int
    """The number of items on all pages, with the filters of the request."""
    has_more: bool
    """Whether there are items after this page."""
    limit: int
    """The most items of a page, as requested."""
    cursor: str | None
    """Opaque text that requests the next page, as the parameter `cursor`; null on the last page."""


class PageOf(ResponseModel, Generic[Item]):
    """One page of a list. That of an `OrderItem` is published as `OrderPage`."""

    data: list[Item]
    """The items of the page; empty if there are none."""
    pagination: Pagination
    """How many items there are, and how to get the next page."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """The name of the schema of pages of one kind of item."""
        return f"{params[0].__name__.removesuffix('Item')}Page"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Adds the description of pages of one kind of item, which pydantic leaves out."""
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__doc__ is None:
            (item,) = cls.__pydantic_generic_metadata__["args"]
            cls.__doc__ = f"One page of a list; each item is {item.__name__}."


Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The most items of a page")]
Cursor = Annotated[
    str | None, Query(description="The `pagination.cursor` of the page before; the first page without it")
]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page."""

    limit: int
    after: Position | None


async def page_request(limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> PageRequest:
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
