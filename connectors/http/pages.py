"""The pages of one slice of an endpoint, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import Answer, records_of
from headrace.connectors.http.client import Api, Sent
from headrace.connectors.http.paging import Place, added, first, following
from headrace.connectors.http.request_settings import Request
from headrace.connectors.http.template import Values, filled, filled_path, places_of
from headrace.connectors.network.web_address import WebAddress


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `here` is its position, `after` the position of the next page, None after the last."""

    here: Place
    after: Place | None
    records: list[bytes]
    answer: Answer


def pages(api: Api, request: Request, values: Values, begin: Place | None = None, label: str = "") -> Iterator[Page]:
    """Requests pages one by one from a position on. Raises SourceError; `page_repeated` if two consecutive pages are
    the same, as from an API that ignores the page parameter."""
    place = begin if begin is not None else first(request.pagination)
    before: list[bytes] | None = None
    while True:
        answer = api.asked(sent_of(api, request, values, place, label))
        records = records_of(answer, request)
        if before is not None and len(records) > 1 and records == before:
            raise SourceError(
                "page_repeated",
                f"{answer.what}: pages {place.pages} and {place.pages + 1} are the same: reading would not end.",
                "Check 'param' and 'into' of the pagination.",
            )
        before = records
        after = _without_login(api, request, following(request, place, answer, records))
        yield Page(place, after, records, answer)
        if after is None:
            return
        place = after


def sent_of(api: Api, request: Request, values: Values, place: Place, label: str) -> Sent:
    """The request of a page. Raises SourceError."""
    paging = request.pagination
    path = filled_path(request.path, values)
    url, query = api.address(path), _pairs(_known(request.params, values), values)
    what = f"{request.method} {api.shown(url)}{label}, page {place.pages + 1}"
    headers = {name: _header(name, filled(text, values)) for name, text in _known(request.headers, values).items()}
    if place.token is not None and paging.type in ("link", "next_url"):
        url, query = _own(api, place.token, what), []
    more = added(paging, place) if not (place.token and paging.type in ("link", "next_url")) else {}
    body: bytes | None = None
    if paging.into == "query":
        query = [*((name, value) for name, value in query if name not in more), *more.items()]
    elif paging.into == "header":
        headers |= {name: _header(name, value) for name, value in more.items()}
    inner: dict[str, Any] = dict(more) if paging.into == "body" else {}
    if request.form is not None:
        pairs = [(name, value) for name, value in _pairs(_known(request.form, values), values) if name not in inner]
        body = urlencode([*pairs, *inner.items()]).encode()
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    elif request.method == "POST":
        numbers = {
            name: int(value) if _is_number(paging.type, name, paging.size_param) else value
            for name, value in inner.items()
        }
        body = msgspec.json.encode({**filled(_known(request.body or {}, values), values), **numbers})
        headers.setdefault("Content-Type", "application/json")
    if request.format == "xml":
        headers.setdefault("Accept", "application/xml, text/xml, */*;q=0.5")
    return Sent(request.method, url, query, headers, body, what, request.empty_statuses)


def _is_number(kind: str, name: str, size: str | None) -> bool:
    return kind in ("page", "offset") or name == size


def _known(given: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """The parameters, without those of the cursor before it has a value."""
    if "cursor" in values:
        return dict(given)
    return {name: value for name, value in given.items() if "cursor" not in places_of(value)}


def _pairs(given: Mapping[str, Any], values: Values) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                text = ("true" if each else "false") if isinstance(each, bool) else str(filled(each, values))
                found.append((name, text))
    return found


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise SourceError("bad_value", f"The header {name} cannot be sent: it has signs not allowed in headers.", "")
    return value


def _without_login(api: Api, request: Request, place: Place | None) -> Place | None:
    """The URL of the next page without the API key in it, because positions are stored."""
    if place is None or place.token is None or request.pagination.type not in ("link", "next_url"):
        return place
    url = httpx.URL(place.token)
    kept = [(name, value) for name, value in url.params.multi_items() if name not in api.login.query]
    if len(kept) == len(url.params.multi_items()):
        return place
    return replace(place, token=str(url.copy_with(query=urlencode(kept).encode())))


def _own(api: Api, url: str, what: str) -> str:
    """The URL of the next page, checked to have the API's origin. Raises SourceError(`foreign_page`)."""
    there, base = WebAddress.of(url), api.base
    if (there.url.scheme, there.host, there.port) != (base.url.scheme, base.host, base.port):
        raise SourceError(
            "foreign_page",
            f"{what}: the next page is on another server ({there.url.scheme}://{there.host}).",
            "Only pages of the connector's own url are followed.",
        )
    return url
