"""A fake of a web service: its collections, how each is paged and filtered, its login and its throttling. It refuses
parameters that its public documentation does not name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from tests.connectors.http.api_server import ApiServer, Asked, Failure
from tests.connectors.http.shipped.records import Record, at

Answer = tuple[int, dict[str, str], bytes]
Pager = Callable[["Service", "Listing", Asked, list[Record]], Answer]


@dataclass
class Listing:
    """A collection at a path. `since` is the parameter that filters by the value at the path `grows`."""

    path: str
    pager: Pager
    most: int
    """The largest page."""
    params: Iterable[str] = ()
    name: str = ""
    """The key of the records in an answer."""
    since: str | None = None
    grows: str = ""
    newest_first: bool = False
    rows: list[Record] = field(default_factory=list)


class Service(ApiServer):
    """`login` is a header and its value. Every `throttled` is answered with `limit`."""

    def __init__(self, login: tuple[str, str] | None, limit: Failure) -> None:
        super().__init__()
        self.key, self.slow_down = login, limit
        self.listings: dict[str, Listing] = {}
        self.results = 10_000
        """The most that one search finds, at HubSpot."""

    def add(self, listing: Listing) -> Listing:
        """Serves a collection."""
        self.listings[listing.path] = listing
        self.pages[listing.path] = lambda asked: self._listed(listing, asked)
        return listing

    def throttle(self, every: int) -> None:
        """Answers every so many requests with what the service says when it is asked too often."""
        self.limit = (every, self.slow_down)

    def _listed(self, listing: Listing, asked: Asked) -> Answer:
        unknown = set(asked.query) - {*listing.params, *([listing.since] if listing.since else [])}
        if unknown:
            return said(400, {"message": f"unknown parameters: {sorted(unknown)}"})
        rows = sorted(listing.rows, key=lambda each: at(each, listing.grows)) if listing.grows else list(listing.rows)
        if listing.since is not None and (low := asked.query.get(listing.since)) is not None:
            kind = type(at(rows[0], listing.grows)) if rows else str
            rows = [each for each in rows if at(each, listing.grows) >= kind(low)]
        return listing.pager(self, listing, asked, rows[::-1] if listing.newest_first else rows)


def said(status: int, answer: Any, headers: dict[str, str] | None = None) -> Answer:
    """A JSON answer."""
    return status, headers or {}, json.dumps(answer, ensure_ascii=False).encode()


def github_pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """`page` and `per_page`, 30 by default, and the header Link."""
    size, page = min(int(asked.query.get("per_page", 30)), listing.most), int(asked.query.get("page", 1))
    links = {}
    if page * size < len(rows):
        onward = f"{service.url}{asked.path}?{urlencode({**asked.query, 'page': page + 1})}"
        links = {"Link": f'<{onward}>; rel="next", <{service.url}{asked.path}?page=99>; rel="last"'}
    return said(200, rows[(page - 1) * size : page * size], links)


def stripe_pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """`limit`, 10 by default, and `starting_after` with an id."""
    size, begin = int(asked.query.get("limit", 10)), 0
    if size > listing.most:
        return said(400, {"error": {"message": f"Invalid integer: {size}"}})
    if (after := asked.query.get("starting_after")) is not None:
        begin = [each["id"] for each in rows].index(after) + 1
    more = begin + size < len(rows)
    return said(200, {"object": "list", "url": asked.path, "has_more": more, "data": rows[begin : begin + size]})


def offset_pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """Mailchimp: `offset` and `count`, 10 by default, and the number of all."""
    size, begin = int(asked.query.get("count", 10)), int(asked.query.get("offset", 0))
    if size > listing.most:
        return said(400, {"title": "Invalid Resource", "detail": "count is too large"})
    return said(200, {listing.name: rows[begin : begin + size], "total_items": len(rows), "_links": []})


def shopify_pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """`limit`, 50 by default, and the header Link with a `page_info`, which no other filter may come with."""
    size, query = int(asked.query.get("limit", 50)), dict(asked.query)
    begin = 0
    if (info := query.pop("page_info", None)) is not None:
        if set(query) - {"limit"}:
            return said(400, {"errors": {"page_info": "Invalid value."}})
        low, _, place = info.partition("~")
        begin = int(place)
        if listing.since and low:
            rows = [each for each in rows if at(each, listing.grows) >= low]
    else:
        low = query.get(listing.since or "", "")
    if size > listing.most:
        return said(400, {"errors": {"limit": "must be at most 250"}})
    links = {"X-Shopify-Shop-Api-Call-Limit": "1/40"}
    if begin + size < len(rows):
        onward = f"{service.url}{asked.path}?{urlencode({'limit': size, 'page_info': f'{low}~{begin + size}'})}"
        links["Link"] = f'<{onward}>; rel="next"'
    return said(200, {listing.name: rows[begin : begin + size]}, links)


def segment_pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """`pagination.count` and `pagination.cursor`."""
    if "pagination.count" not in asked.query:
        return said(422, {"errors": [{"type": "validation", "message": "pagination is required"}]})
    size, begin = int(asked.query["pagination.count"]), 0
    if (cursor := asked.query.get("pagination.cursor")) is not None:
        begin = int(base64.b64decode(cursor))
    more = base64.b64encode(str(begin + size).encode()).decode() if begin + size < len(rows) else None
    paged = {"current": "MA==", "next": more, "totalEntries": len(rows)}
    return said(200, {"data": {listing.name: rows[begin : begin + size], "pagination": paged}})


def hubspot_pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """`limit` and `after`."""
    return _hubspot(rows, int(asked.query.get("limit", 10)), int(asked.query.get("after", 0)))


def hubspot_search(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """A search: at most 10,000 results (here as many as `service.results`), 200 a page."""
    body = json.loads(asked.body)
    if set(body) - {"filterGroups", "sorts", "properties", "limit", "after"} or asked.method != "POST":
        return said(400, {"status": "error", "message": "Invalid input JSON"})
    for group in body.get("filterGroups", []):
        for each in group["filters"]:
            assert each["operator"] == "GTE"
            low = datetime.fromtimestamp(int(each["value"]) / 1000, UTC)
            rows = [row for row in rows if datetime.fromisoformat(row["updatedAt"]) >= low]
    assert [each["direction"] for each in body["sorts"]] == ["ASCENDING"]
    size, begin = body["limit"], int(body.get("after", 0))
    if size > listing.most or begin + size > service.results:
        return said(400, {"status": "error", "message": "paging beyond the limit of results", "category": "VALIDATION"})
    shown = [{**row, "properties": dict.fromkeys(body["properties"], "x")} for row in rows]
    return _hubspot(shown, size, begin)


def _hubspot(rows: list[Record], size: int, begin: int) -> Answer:
    answer: Record = {"total": len(rows), "results": rows[begin : begin + size]}
    if begin + size < len(rows):
        answer["paging"] = {"next": {"after": str(begin + size), "link": "?after=x"}}
    return said(200, answer)
