"""Every pagination type reads every record once; endless and foreign pages are reported."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from tests.connectors.http.api_server import ApiServer, numbered
from tests.connectors.http.opening import PAGINATION, paged, source
from tests.connectors.reading import rows


@pytest.mark.parametrize("way", PAGINATION)
@pytest.mark.parametrize("count", [0, 1, 100, 250])
def test_every_record_comes_once(api: ApiServer, way: str, count: int) -> None:
    api.records["orders"] = numbered(count)
    read = rows(source(api, paged(way)))
    assert [row[0] for row in read] == list(range(1, count + 1))


@pytest.mark.parametrize("way", ["page", "offset", "token"])
def test_places_may_be_sent_in_a_json_body(api: ApiServer, way: str) -> None:
    api.records["orders"] = numbered(250)
    paging = {**PAGINATION[way], "into": "body"}
    read = rows(source(api, {**paged(way), "method": "POST", "body": {"q": "all"}, "pagination": paging}))
    assert len(read) == 250
    assert api.asked[-1].method == "POST"
    assert '"q":"all"' in api.asked[-1].body


def test_a_short_page_may_be_the_last_and_saves_a_request(api: ApiServer) -> None:
    api.records["orders"] = numbered(250)
    found = source(api, paged("page"))
    rows(found)
    api.asked.clear()
    short = {**PAGINATION["page"], "stop": "short_page"}
    assert len(rows(source(api, {**paged("page"), "pagination": short}, fields=()))) == 250
    assert [each.query["page"] for each in api.asked] == ["1", "2", "3"] * 2  # for the columns, and for the rows


def test_a_total_ends_reading(api: ApiServer) -> None:
    api.records["orders"] = numbered(200)
    total = {**PAGINATION["page"], "total": "total"}
    assert len(rows(source(api, {**paged("page"), "pagination": total}))) == 200
    assert {each.query["page"] for each in api.asked} == {"1", "2"}


def test_numbers_and_nested_values_are_as_the_api_wrote_them(api: ApiServer) -> None:
    api.records["orders"] = ['{"id": 12345678901234567890123, "amount": 1234567890.123456789012, "x": {"b":  1.50}}']
    [(number, amount, nested)] = rows(source(api, paged("token")))
    assert (str(number), str(amount), nested) == ("12345678901234567890123", "1234567890.123456789012", '{"b":  1.50}')


def test_more_pages_than_allowed_are_an_error_and_nothing_is_cut_off(api: ApiServer) -> None:
    api.records["orders"] = numbered(250)
    with pytest.raises(SourceError, match="more than 2 pages") as refused:
        rows(source(api, paged("token", maxPages=2)))
    assert refused.value.code == "too_many_pages"


@pytest.mark.parametrize("way", ["page", "token", "after"])
def test_an_api_that_gives_the_same_page_again_is_noticed(api: ApiServer, way: str) -> None:
    api.records["orders"] = numbered(250)
    api.ignores_paging = True
    with pytest.raises(SourceError) as refused:
        rows(source(api, paged(way)))
    assert refused.value.code == "page_repeated"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>down</html>", "bad_page"),
        (b'{"items": [1, 2', "bad_page"),
        (b'{"items": {"id": 1}, "x": nope}', "bad_page"),
        (b'{"other": []}', "drift"),
        (b'{"items": 5}', "drift"),
        (b"", None),
        (b'{"items": null}', None),
    ],
)
def test_a_page_that_is_none_is_reported(api: ApiServer, body: bytes, code: str | None) -> None:
    api.pages["/x"] = lambda asked: (200, {}, body)
    found = source(api, {"path": "/x", "records": "items"})
    if code is None:
        assert rows(found) == []
        return
    with pytest.raises(SourceError, match=r"GET http://127.0.0.1:[0-9]+/x, page 1") as refused:
        rows(found)
    assert refused.value.code == code


def test_a_key_that_is_new_on_a_later_page_is_drift(api: ApiServer) -> None:
    api.records["orders"] = [*numbered(1200), '{"id": 1201, "surprise": 1}']
    with pytest.raises(SourceError, match="'surprise'") as refused:
        rows(source(api, paged("token")))
    assert refused.value.code == "drift"
    assert len(rows(source(api, paged("token", newKeys="ignore")))) == 1201


@pytest.mark.parametrize(
    ("settings", "body", "expected"),
    [
        ({"scalars": "name"}, b'["a", "b\\n", 3]', [("a",), ("b\n",), ("3",)]),
        ({"format": "jsonl"}, b'{"a": 1}\n\n{"a": 2}\n', [(1,), (2,)]),
        ({"format": "csv"}, b'a,b\n1,"x, y"\n2,\n', [(1, "x, y"), (2, None)]),
        ({"records": "data.0.rows"}, b'{"data": [{"rows": [{"a": true}]}]}', [(True,)]),
        ({}, b'{"a": 1.5}', [(1.5,)]),
        ({}, '\ufeff[{"a": "é\\u00e9"}]'.encode(), [("éé",)]),
    ],
)
def test_answers_are_read_as_they_are_written(
    api: ApiServer, settings: dict[str, Any], body: bytes, expected: list[Any]
) -> None:
    api.pages["/x"] = lambda asked: (200, {}, body)
    assert rows(source(api, {"path": "/x", **settings})) == expected


@pytest.mark.parametrize("as_header", [True, False])
def test_gzip_is_unpacked(api: ApiServer, *, as_header: bool) -> None:
    import gzip

    api.records["orders"] = numbered(3)
    if as_header:
        api.gzips = True
        settings = paged("token")
    else:
        api.pages["/x"] = lambda asked: (200, {"Content-Type": "application/gzip"}, gzip.compress(b'[{"id": 1}]' * 1))
        settings = {"path": "/x"}
    assert rows(source(api, settings))


def test_one_bad_record_is_one_error_row(api: ApiServer) -> None:
    api.pages["/x"] = lambda asked: (200, {}, b'[{"a": 1}, 7, {"a": 2}]')
    found = source(api, {"path": "/x"})
    seen = found.discover(max_partitions=1)
    [batch] = found.read(seen.partitions[0], seen.schema)
    assert batch.frame["a"].to_list() == [1, 2]
    assert batch.rejects.rows() == [(2, None, "7", "Expected an object, found a number", "json")]
