"""Segment: every stream is read in pages, and audit events again only if they are new."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.connectors.connector import Context
from headrace.connectors.http.shipped.documents import shipped_documents
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import Record, endpoint, moment, records
from tests.connectors.http.shipped.service import Listing, Service, segment_pages

STREAMS = [each["id"] for each in shipped_documents()["segment"]["endpoints"]]
TOO_MANY = Failure(429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767225600"}, b'{"errors": []}')


@pytest.fixture
def segment() -> Iterator[Service]:
    service = Service(("Authorization", "Bearer sgp_abc123"), TOO_MANY)
    for stream in STREAMS:
        described = endpoint("segment", stream)
        events = stream == "audit_events"
        listing = Listing(
            described["path"],
            segment_pages,
            200,
            ("pagination.count", "pagination.cursor"),
            described["records"].removeprefix("data."),
            since="startTime" if events else None,
            grows="timestamp" if events else "",
            newest_first=events,
        )
        service.add(listing).rows = made(stream, 450)
    yield service
    service.close()


def made(stream: str, count: int, *, begin: int = 1) -> list[Record]:
    found = records("segment", stream, count, begin=begin)
    for number, each in enumerate(found, begin):
        if stream == "audit_events":
            each["timestamp"] = moment(number)
    return found


def source(service: Service, stream: str) -> Context:
    return context("segment", service, stream, {"token": "sgp_abc123"})


@pytest.mark.parametrize("stream", ["audit_events", *(pytest.param(s, marks=pytest.mark.slow) for s in STREAMS)])
def test_a_stream_is_read_and_again_what_is_new(segment: Service, stream: str) -> None:
    segment.throttle(3)
    first, position = read(source(segment, stream))
    assert len({each["id"] for each in first}) == len(first) == 450
    segment.listings[endpoint("segment", stream)["path"]].rows += made(stream, 5, begin=451)
    again, _ = read(source(segment, stream), position)
    assert len(again) == (5 if stream == "audit_events" else 455)
