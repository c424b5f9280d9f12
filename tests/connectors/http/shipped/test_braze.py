"""Braze: lists, details, series by day without gaps or doubles, and the users of a segment by an export."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import source_for
from tests.connectors.http.api_server import ApiServer, Asked, Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import Record, endpoint, records
from tests.connectors.http.shipped.service import Answer, Listing, Service, said
from tests.connectors.reading import batches

LIMITED = Failure(
    429,
    {"X-RateLimit-Limit": "250000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767225600"},
    b'{"message": "Rate limit exceeded"}',
)
LISTS = {"campaigns": 100, "canvases": 100, "segments": 100, "feed_cards": 100}
NAMES = {"events": 250, "products": 250}
SERIES = {
    "campaign_series": (100, "campaign_id"),
    "canvas_series": (14, "canvas_id"),
    "segment_series": (100, None),
    "event_series": (100, "event"),
    "revenue_series": (100, None),
    "quantity_series": (100, None),
    "feed_card_series": (100, "card_id"),
    "monthly_users_series": (100, None),
    "uninstalls_series": (100, None),
    "new_users_series": (100, None),
    "daily_users_series": (100, None),
    "session_series": (100, None),
}
DETAILS = ("campaign_details", "canvas_details", "segment_details")


def pages(service: Service, listing: Listing, asked: Asked, rows: list[Record]) -> Answer:
    """`page` from 0; the size cannot be chosen."""
    begin = int(asked.query.get("page", 0)) * listing.most
    return said(200, {"message": "success", listing.name: rows[begin : begin + listing.most]})


@pytest.fixture
def braze() -> Iterator[Service]:
    service = Service(("Authorization", "Bearer br-abc123"), LIMITED)
    for stream, size in LISTS.items():
        described = endpoint("braze", stream)
        params = ("page", *described.get("params", {}))
        service.add(Listing(described["path"], pages, size, params, described["records"])).rows = records(
            "braze", stream, 130
        )
    for stream, size in NAMES.items():
        described = endpoint("braze", stream)
        names: Any = [f"{stream} {number}/é" for number in range(260)]
        service.add(Listing(described["path"], pages, size, ("page",), described["records"])).rows = names
    for stream, (longest, of) in SERIES.items():
        described = endpoint("braze", stream)
        service.pages[described["path"]] = series(stream, longest, of or "segment_id", described["records"])
    for stream in DETAILS:
        service.pages[endpoint("braze", stream)["path"]] = details()
    service.pages["/custom_attributes"] = lambda asked: attributes(service, asked)
    service.pages["/users/export/ids"] = users_by_id
    yield service
    service.close()


def series(stream: str, longest: int, of: str, path: str) -> Callable[[Asked], Answer]:
    """The days that end with that of `ending_at`, `length` of them."""
    described = endpoint("braze", stream)["fields"]

    def answer(asked: Asked) -> Answer:
        length = int(asked.query["length"])
        if not 1 <= length <= longest or set(asked.query) - {*endpoint("braze", stream)["params"], of}:
            return said(400, {"message": "length is invalid"})
        last = datetime.fromisoformat(asked.query["ending_at"]).date()
        rows = [
            {
                name: str(last - timedelta(days=back)) if name == "time" else 7 if kind == "bigint" else None
                for name, kind in described.items()
            }
            for back in range(length)
        ]
        inner: Any = rows[::-1]
        for step in reversed(path.split(".")):
            inner = {step: inner}
        return said(200, {"message": "success", **inner})

    return answer


def details() -> Callable[[Asked], Answer]:
    """The description is the id that was asked for."""
    return lambda asked: said(200, {"message": "success", "name": "n", "description": next(iter(asked.query.values()))})


def attributes(service: Service, asked: Asked) -> Answer:
    begin, rows = int(asked.query.get("cursor", 0)), records("braze", "custom_attributes", 120)
    links = {"Link": f'<{service.url}/custom_attributes?cursor={begin + 50}>; rel="next"'} if begin < 70 else {}
    return said(200, {"message": "success", "attributes": rows[begin : begin + 50]}, links)


def users_by_id(asked: Asked) -> Answer:
    body = json.loads(asked.body)
    if len(body["external_ids"]) > 50 or not body["fields_to_export"]:
        return said(400, {"message": "too many"})
    return said(200, {"users": [{"external_id": each, "email": "a@example.org"} for each in body["external_ids"]]})


def source(service: Service, stream: str, start: str = "2026-11-01", **settings: Any) -> Context:
    made = context("braze", service, stream, {"apiKey": "br-abc123"}, restEndpoint=service.url, startDate=start)
    return replace(made, settings={**made.settings, **settings})


@pytest.mark.parametrize("stream", ["campaigns", *(pytest.param(s, marks=pytest.mark.slow) for s in (*LISTS, *NAMES))])
def test_lists_are_read(braze: Service, stream: str) -> None:
    braze.throttle(2)
    rows, _ = read(source(braze, stream))
    assert len({str(each) for each in rows}) == len(rows) == (260 if stream in NAMES else 130)
    assert len(read(source(braze, "custom_attributes"))[0]) == 120


@pytest.mark.parametrize("stream", ["campaign_series", *(pytest.param(s, marks=pytest.mark.slow) for s in SERIES)])
def test_a_series_has_each_day_once(braze: Service, stream: str) -> None:
    for listing in braze.listings.values():
        listing.rows = listing.rows[:2]
    braze.throttle(7)
    now = datetime.now(UTC).date()
    start = now - timedelta(days=230)
    arguments = {"arguments": {"segment_id": "s-1"}} if stream == "segment_series" else {}
    rows, _ = read(source(braze, stream, str(start), **arguments))
    of = SERIES[stream][1]
    found: dict[Any, list[date]] = {}
    for each in rows:
        found.setdefault(each[of] if of else None, []).append(each["time"])
    assert len(found) == (2 if of else 1)
    for days in found.values():
        assert sorted(days) == [start + timedelta(days=n) for n in range(230)]  # yesterday is the last


@pytest.mark.slow
@pytest.mark.parametrize("stream", DETAILS)
def test_details_come_with_the_id_that_they_are_of(braze: Service, stream: str) -> None:
    rows, _ = read(source(braze, stream))
    of = next(iter(endpoint("braze", stream)["parent"]["include"]))
    assert [each[of] for each in rows] == [each["description"] for each in rows]
    assert len({each[of] for each in rows}) == 130


def exported(braze: Service, bucket: ApiServer, users: int) -> list[Asked]:
    """Lets the service export users to a URL of another server, where the file is after two requests."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in range(0, users, 5_000):
            lines = [json.dumps({"braze_id": f"b{n}", "email": f"é{n}@example.org"}) for n in range(part, part + 5_000)]
            archive.writestr(f"{part:06}.txt", "\n".join(lines[: users - part]) + "\n")
    created: list[Asked] = []

    def create(asked: Asked) -> Answer:
        created.append(asked)
        return said(201, {"message": "success", "object_prefix": "p-1", "url": f"{bucket.url}/exports/p-1.zip"})

    def download(asked: Asked) -> Answer:
        ready = len(bucket.asked) > 2
        return (200, {"Content-Type": "application/zip"}, packed.getvalue()) if ready else (403, {}, b"<Error/>")

    braze.pages["/users/export/segment"] = create
    bucket.pages["/exports/p-1.zip"] = download
    return created


@pytest.fixture
def bucket() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


def test_the_users_of_a_segment_are_exported(
    braze: Service, bucket: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.connectors.http.archive.waited", lambda *given: None)
    monkeypatch.setattr("headrace.connectors.http.archive._BLOCK", 1 << 16)
    created = exported(braze, bucket, 12_000)
    made = source(braze, "users", arguments={"segment_id": "seg-1"})
    found = source_for("braze", made)
    seen = found.discover(max_partitions=4)
    whole = batches(found, seen, seen.partitions[0], batch_rows=500)
    ids = [each for batch in whole for each in batch.frame["braze_id"].to_list()]
    assert sorted(ids) == sorted(f"b{n}" for n in range(12_000))
    body = json.loads(created[0].body)
    assert (body["segment_id"], "email" in body["fields_to_export"], len(created)) == ("seg-1", True, 1)
    assert not [each for each in bucket.asked if "Authorization" in each.headers]
    assert len(whole) > 5
    for stop in (0, 3, len(whole) - 2):  # a retry reads on in the same file
        more = batches(found, seen, seen.partitions[0], batch_rows=500, position=whole[stop].position)
        assert sum(batch.rows for batch in whole[: stop + 1]) + sum(batch.rows for batch in more) == 12_000
    assert len(created) == 1


def test_an_export_without_an_address_or_with_another_file_is_reported(
    braze: Service, bucket: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.connectors.http.archive.waited", lambda *given: None)
    exported(braze, bucket, 5_000)
    made = source(braze, "users", arguments={"segment_id": "seg-1"})
    braze.pages["/users/export/segment"] = lambda asked: said(201, {"message": "success", "object_prefix": "p-1"})
    with pytest.raises(SourceError, match="there is no 'url'"):
        read(made)
    exported(braze, bucket, 5_000)
    bucket.pages["/exports/p-1.zip"] = lambda asked: (200, {}, b"PK\x03\x04 no archive")
    with pytest.raises(SourceError, match="the ZIP file cannot be read"):
        read(made)


def test_users_are_found_by_their_ids(braze: Service) -> None:
    rows, _ = read(source(braze, "users_by_id", parent={"values": ["u1", "u2"]}))
    assert [each["external_id"] for each in rows] == ["u1", "u2"]
