"""Mailchimp: every stream is read in pages, and again only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.connectors.connector import Context
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import endpoint, moment, put, records
from tests.connectors.http.shipped.service import Listing, Service, offset_pages

KEY = "Basic aGVhZHJhY2U6YWJjMTIzLXVzNg=="
"""headrace:abc123-us6"""
BUSY = Failure(429, {}, b'{"title": "Too Many Requests", "status": 429, "detail": "10 simultaneous connections"}')
PATHS = {
    "lists": "/lists",
    "members": "/lists/id_000001/members",
    "segments": "/lists/id_000001/segments",
    "campaigns": "/campaigns",
    "reports": "/reports",
}


@pytest.fixture
def mailchimp() -> Iterator[Service]:
    service = Service(("Authorization", KEY), BUSY)
    for stream, path in PATHS.items():
        described = endpoint("mailchimp", stream)
        since = next((name for name, value in described.get("params", {}).items() if value == "{{cursor}}"), None)
        listing = Listing(
            path,
            offset_pages,
            1000,
            ("offset", "count", "sort_field", "sort_dir"),
            described["records"],
            since=since,
            grows=described.get("cursor", {}).get("field", ""),
        )
        service.add(listing).rows = changed(stream, 1 if stream == "lists" else 1100)
    yield service
    service.close()


def changed(stream: str, count: int, *, begin: int = 1) -> list[dict[str, Any]]:
    made = records("mailchimp", stream, count, begin=begin)
    for number, each in enumerate(made, begin):
        if (grows := endpoint("mailchimp", stream).get("cursor", {}).get("field")) is not None:
            put(each, grows, moment(number).replace("Z", "+00:00"))
        if stream == "members":
            each["timestamp_signup"] = ""
    return made


def source(service: Service, stream: str) -> Context:
    return context("mailchimp", service, stream, {"apiKey": "abc123-us6"}, dataCenter="us6")


@pytest.mark.parametrize("stream", ["members", *(pytest.param(s, marks=pytest.mark.slow) for s in PATHS)])
def test_a_stream_is_read_and_again_what_changed(mailchimp: Service, stream: str) -> None:
    mailchimp.throttle(3)
    first, position = read(source(mailchimp, stream))
    count = 1 if stream == "lists" else 1100
    assert len({each["id"] for each in first}) == len(first) == count
    mailchimp.listings[PATHS[stream]].rows += changed(stream, 4, begin=count + 1)
    again, _ = read(source(mailchimp, stream), position)
    assert len(again) == (4 if stream == "members" else count + 4)  # reports of the last 30 days come again
    if stream == "members":
        assert {each["timestamp_signup"] for each in first} == {None}
    if stream == "reports":
        assert mailchimp.asked[-1].query["since_send_time"].startswith("2025-12-02T")


def test_an_access_token_is_used_if_that_is_given(mailchimp: Service) -> None:
    mailchimp.key = ("Authorization", "Bearer t-456")
    assert len(read(context("mailchimp", mailchimp, "lists", {"token": "t-456"}, dataCenter="us6"))[0]) == 1
