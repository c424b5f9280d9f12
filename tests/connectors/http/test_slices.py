"""Parents and windows of time: each is read once, in as many partitions as there may be."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.http.settings import problems
from headrace.ir.schema import Field
from tests.connectors.http.api_server import ApiServer, numbered
from tests.connectors.http.opening import paged, source
from tests.connectors.reading import rows

PARENT: dict[str, Any] = {**paged("token", "campaigns"), "keys": ["id"], "include": {"campaign": "id"}}


@pytest.mark.parametrize("most", [1, 3, 50])
def test_the_children_of_every_parent_are_read(api: ApiServer, most: int) -> None:
    ids = ["a b", "c/d", "é?&", "x", "y"]
    api.records["campaigns"] = [f'{{"id": "{each}"}}' for each in ids]
    for each, encoded in zip(ids, ["a%20b", "c%2Fd", "%C3%A9%3F%26", "x", "y"], strict=True):
        api.records[encoded] = [f'{{"n": "{each}-{n}"}}' for n in range(150)]
    settings = paged("token", "{parent.id}", parent=PARENT)
    found = source(api, settings)
    assert len(found.discover(max_partitions=most).partitions) == min(most, 5)
    read = rows(source(api, settings), most=most)
    assert sorted(read) == sorted((f"{each}-{n}", each) for each in ids for n in range(150))


def test_a_list_may_be_the_parent(api: ApiServer) -> None:
    api.records |= {"1": ['{"a": 1}'], "2": ['{"a": 2}']}
    parent = {"values": [1, 2, 1], "include": {"list": "value"}}
    declared = (Field("list", "integer"), Field("a", "bigint"))
    read = rows(source(api, paged("token", "{parent.value}", parent=parent), fields=declared))
    assert read == [(1, 1), (2, 2)]


def test_a_parents_value_stays_one_part_of_the_address(api: ApiServer) -> None:
    for value in ("..", ".", "../secret"):
        api.asked.clear()
        with pytest.raises(SourceError):
            rows(source(api, paged("token", "{parent.value}", parent={"values": [value]})))
        assert all(each.path.startswith("/token/") and "/.." not in each.path for each in api.asked)


def test_windows_follow_each_other_without_a_gap(api: ApiServer) -> None:
    api.pages["/days"] = lambda asked: (
        200,
        {},
        f'[{{"since": "{asked.query["from"]}", "upto": "{asked.query["to"]}"}}]'.encode(),
    )
    window = {"start": "2024-01-01", "end": "2024-01-10", "step": "P4D", "format": "date", "overlap": "P1D"}
    settings = {"path": "/days", "params": {"from": "{window.start}", "to": "{window.end}"}, "window": window}
    read = [tuple(map(str, row)) for row in rows(source(api, settings), most=2)]
    assert read == [("2024-01-01", "2024-01-04"), ("2024-01-05", "2024-01-08"), ("2024-01-09", "2024-01-09")]


def test_a_source_without_parents_has_no_rows(api: ApiServer) -> None:
    api.records["campaigns"] = []
    assert rows(source(api, paged("token", "{parent.id}", parent=PARENT))) == []


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"path": "/{parent.id}"}, "config"),
        ({"path": "http://elsewhere/x"}, "config"),
        ({"path": "/a/../b"}, "config"),
        ({"path": "//elsewhere/x"}, "config"),
        ({"params": {"q": "{cursor}"}}, "config"),
        ({"body": {}}, "config"),
        ({"headers": {"Host": "x"}}, "config"),
        ({"headers": {"X": "a\r\nY: b"}}, "config.headers.X"),
        ({"pagination": {"type": "page"}}, "config.pagination"),
        ({"pagination": {"type": "cursor", "param": "a"}}, "config.pagination"),
        ({"pagination": {"type": "pages"}}, "config.pagination.type"),
        ({"maxPages": 0}, "config.maxPages"),
        ({"maxPage": 1}, "config.maxPage"),
        ({"window": {"start": "yesterday"}}, "config.window"),
        ({"window": {"start": "2024-01-01", "step": "P0D"}}, "config.window"),
        ({"format": "csv", "records": "items"}, "config"),
        ({"parent": {"path": "/x"}}, "config.parent"),
    ],
)
def test_what_cannot_be_is_reported_when_it_is_saved(settings: dict[str, Any], path: str) -> None:
    assert path in [each.path for each in problems(settings)]


def test_a_parameter_of_the_run_may_stand_anywhere() -> None:
    assert problems({"path": "/{{which}}", "maxPages": "{{most}}", "window": {"start": "{{from}}"}}) == []


def test_numbered_records_are_all_different() -> None:
    assert len(set(numbered(3000))) == 3000
