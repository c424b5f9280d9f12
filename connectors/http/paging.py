"""Pagination: the position as JSON, and the parameters that it adds to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import Answer, says_yes, text_at, value_at
from headrace.connectors.http.request_settings import Pagination, Request
from headrace.connectors.network.web_address import WebAddress


@dataclass(frozen=True, slots=True)
class Place:
    """The position of the next page. `token` is a token or a URL; `pages` and `records` count what was read before."""

    number: int | None = None
    token: str | None = None
    pages: int = 0
    records: int = 0

    def as_json(self) -> dict[str, Any]:
        """The position as JSON, without unset fields."""
        found = {"number": self.number, "token": self.token, "pages": self.pages, "records": self.records}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Place:
        """The inverse of `as_json`."""
        return cls(found.get("number"), found.get("token"), int(found["pages"]), int(found["records"]))


def first(pagination: Pagination) -> Place:
    """The position of the first page."""
    if pagination.type in ("page", "offset"):
        start = pagination.start
        return Place(start if start is not None else int(pagination.type == "page"))
    return Place()


def added(pagination: Pagination, place: Place) -> dict[str, str]:
    """The request parameters of a page."""
    found: dict[str, str] = {}
    if pagination.size_param is not None:
        found[pagination.size_param] = str(pagination.page_size)
    if pagination.param is not None:
        value = place.token if place.number is None else str(place.number)
        if value is not None and pagination.type in ("page", "offset", "cursor"):
            found[pagination.param] = value
    return found


def following(request: Request, place: Place, answer: Answer, records: list[bytes]) -> Place | None:
    """The page after this one; None if it is the last. Raises SourceError: `too_many_pages`, `page_repeated` where a
    token leads to itself."""
    paging, count = request.pagination, len(records)
    done = Place(place.number, None, place.pages + 1, place.records + count)
    if (
        answer.nothing
        or paging.type == "none"
        or (paging.has_more is not None and not says_yes(answer, paging.has_more))
    ):
        return None
    if paging.total is not None and done.records >= _total(answer, paging.total):
        return None
    number, token = place.number, _token(paging, answer, records)
    if paging.type in ("page", "offset"):
        if not count or (paging.stop == "short_page" and count < (paging.page_size or 0)):
            return None
        number = (number or 0) + (count if paging.type == "offset" else 1)
    elif token is None:
        return None
    elif token == place.token:
        raise SourceError(
            "page_repeated",
            f"{answer.what}: page {done.pages} leads to itself, so that reading would never end.",
            "Check 'param' and 'next' of the pagination.",
        )
    if done.pages >= request.max_pages:
        raise SourceError(
            "too_many_pages",
            f"{answer.what}: there are more than {request.max_pages:,} pages, the most that 'maxPages' allows.",
            "Raise it, or read less; the pages after it are not skipped silently.",
        )
    return Place(number, token, done.pages, done.records)


def _token(paging: Pagination, answer: Answer, records: list[bytes]) -> str | None:
    if paging.type == "link":
        try:
            links = httpx.Response(200, headers={"Link": answer.headers.get("link", "")}).links
        except ValueError:
            links = {}
        found = links.get("next", {}).get("url")
        return None if found is None else str(WebAddress.of(answer.url).onward(found).url)
    if paging.always and not _is_there(paging, answer):
        raise SourceError(
            "drift",
            f"{answer.what}: the token of the next page is not in the response, so that it may not be the last page.",
            "Run it again; a proxy may have removed the header.",
        )
    if paging.next_header is not None:
        token = answer.headers.get(paging.next_header.lower()) or None
    elif paging.next is not None:
        token = text_at(answer, paging.next)
    elif paging.next_from_record is not None:
        if not records:
            return None
        last = text_at(Answer(answer.what, answer.url, {}, records[-1]), paging.next_from_record)
        if last is None:
            raise SourceError(
                "drift",
                f"{answer.what}: the last record has no '{paging.next_from_record}', which the next page begins with.",
                "Correct 'nextFromRecord'.",
            )
        return last
    else:
        return None
    if token is not None and paging.type == "next_url":
        return str(WebAddress.of(answer.url).onward(token).url)
    return None if token in (None, "false", "0", "null") else token


def _is_there(paging: Pagination, answer: Answer) -> bool:
    if paging.next_header is not None:
        return paging.next_header.lower() in answer.headers
    return paging.next is None or value_at(answer, paging.next) is not None


def _total(answer: Answer, path: str) -> int:
    found = text_at(answer, path)
    if found is None or not found.isascii() or not found.isdigit():
        raise SourceError("drift", f"{answer.what}: there is no number at '{path}'.", "Correct 'total'.")
    return int(found)
