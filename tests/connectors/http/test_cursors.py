"""Incremental reading without duplicates; records that move between pages during reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.http.watch import RepeatWatch
from headrace.connectors.source import Batch
from tests.connectors.http.api_server import ApiServer, Asked, numbered
from tests.connectors.http.opening import paged, source
from tests.connectors.reading import batches, run

CURSOR: dict[str, Any] = {"cursor": {"field": "at"}, "params": {"since": "{cursor}"}}


@pytest.mark.parametrize("way", ["page", "token", "next"])
@pytest.mark.parametrize("filtered", [True, False])
def test_a_run_reads_what_is_new_once(api: ApiServer, way: str, *, filtered: bool) -> None:
    """Also where the API gives records at the cursor again, or knows no parameter for it."""
    settings = paged(way, **(CURSOR if filtered else {"cursor": {"field": "at"}}))
    api.records["orders"] = numbered(250)
    read, position = run(source(api, settings), None)
    assert sorted(read) == list(range(1, 251))
    assert run(source(api, settings), position) == ([], position)
    # one is added at the very moment that the last one had
    api.records["orders"] += [
        json.dumps({**json.loads(api.records["orders"][-1]), "id": 999}),
        *numbered(30, begin=251),
    ]
    read, position = run(source(api, settings), position)
    assert sorted(read) == [*range(251, 281), 999]
    assert run(source(api, settings), position)[0] == []


def test_records_may_come_in_any_order(api: ApiServer) -> None:
    api.records["orders"] = numbered(250)[::-1]
    read, position = run(source(api, paged("token", **CURSOR)), None, batch_rows=30)
    assert len(read) == 250
    api.records["orders"] = [*numbered(20, begin=251)[::-1], *api.records["orders"]]
    assert sorted(run(source(api, paged("token", **CURSOR)), position)[0]) == list(range(251, 271))


@pytest.mark.parametrize("stop", range(5))
def test_a_run_that_was_broken_off_is_gone_on_with_by_the_next(api: ApiServer, stop: int) -> None:
    """The position of every batch, also in the middle of a page of records that come newest first."""
    settings = paged("token", **CURSOR)
    api.records["orders"] = numbered(250)[::-1]
    found = source(api, settings)
    seen = found.discover(max_partitions=1)
    first = batches(found, seen, seen.partitions[0], batch_rows=60)[: stop + 1]
    read = [each for batch in first for each in batch.frame["id"].to_list()]
    more, position = run(source(api, settings), json.loads(json.dumps(first[-1].position)), batch_rows=60)
    assert sorted(read + more) == list(range(1, 251))
    assert run(source(api, settings), position)[0] == []


def test_each_parent_has_its_own_cursor(api: ApiServer) -> None:
    parent = {"values": ["a", "b"], "include": {"of": "value"}}
    settings = paged("token", "{parent.value}", parent=parent, **CURSOR)
    api.records |= {"a": numbered(120), "b": numbered(5)}
    read, position = run(source(api, settings), None)
    assert len(read) == 125
    api.records["b"] = numbered(30)
    api.records["a"] += numbered(1, begin=121)
    assert sorted(run(source(api, settings), position)[0]) == sorted([*range(6, 31), 121])
    settings["parent"] = {"values": ["a", "b", "c"], "include": {"of": "value"}}
    api.records["c"] = numbered(2)
    assert len(run(source(api, settings), position)[0]) == 28


def test_a_lookback_reads_what_arrived_late(api: ApiServer) -> None:
    cursor = {**CURSOR, "cursor": {"field": "at", "lookback": "PT10M"}}
    api.records["orders"] = numbered(60)
    _, position = run(source(api, paged("token", **cursor)), None)
    api.asked.clear()
    assert sorted(run(source(api, paged("token", **cursor)), position)[0]) == list(range(50, 61))
    assert api.asked[-1].query["since"] == "2024-01-01T00:50:00Z"


def test_the_first_run_begins_where_it_is_reported(api: ApiServer) -> None:
    api.records["orders"] = numbered(60)
    cursor = {**CURSOR, "cursor": {"field": "at", "initial": "2024-01-01T00:55:00Z"}}
    assert run(source(api, paged("token", **cursor)), None)[0] == [55, 56, 57, 58, 59, 60]


def test_a_record_without_the_cursors_value_is_an_error_row(api: ApiServer) -> None:
    api.records["orders"] = [*numbered(3), '{"id": 4, "name": "n", "amount": 1, "tags": [], "at": null}']
    found = source(api, paged("token", cursor={"field": "at"}))
    seen = found.discover(max_partitions=1)
    [batch] = batches(found, seen, seen.partitions[0])
    assert batch.frame["id"].to_list() == [1, 2, 3]
    assert [row[1::3] for row in batch.rejects.rows()] == [("at", "cursor")]


def test_a_position_that_is_no_value_is_reported(api: ApiServer) -> None:
    api.records["orders"] = numbered(3)
    position = {"marks": {"": {"value": "yesterday", "ties": []}}}
    with pytest.raises(SourceError) as refused:
        run(source(api, paged("token", **CURSOR)), position)
    assert refused.value.code == "bad_position"


def shifting(api: ApiServer) -> None:
    """A record is put in front while the second page is asked for, so that one comes twice."""
    turns = iter([False, True])

    def before(asked: Asked) -> None:
        if asked.query.get("page") == "2" and next(turns, False):
            api.records["orders"].insert(0, numbered(1, begin=900)[0])

    api.before_page = before


def read_while_shifting(api: ApiServer, **more: Any) -> Iterator[Batch]:
    api.records["orders"] = numbered(250)
    shifting(api)
    found = source(api, paged("page", **more))
    seen = found.discover(max_partitions=1)
    yield from batches(found, seen, seen.partitions[0])


def test_a_record_that_moved_to_the_next_page_is_reported_where_a_key_is_given(api: ApiServer) -> None:
    read = list(read_while_shifting(api, key=["id"]))
    ids = [each for batch in read for each in batch.frame["id"].to_list()]
    assert sorted(ids) == list(range(1, 251))
    [(row, column, _, error, rule)] = [row for batch in read for row in batch.rejects.rows()]
    assert (row, column, rule) == (101, None, "repeated")
    assert "page 2" in error


def test_without_a_key_it_is_there_twice_for_the_target_to_deduplicate(api: ApiServer) -> None:
    ids = [each for batch in read_while_shifting(api) for each in batch.frame["id"].to_list()]
    assert len(ids) == 251


def test_a_key_that_came_many_pages_ago_is_known() -> None:
    watch = RepeatWatch(["id"])
    for begin in range(0, 12_000, 500):
        page = watch.repeated([pl.Series([str(n) for n in range(begin, begin + 500)])])
        assert page is not None
        assert not page.any()
    again = pl.Series(["12000", "0", "5600", "11999", "12001", "12001"])
    found = watch.repeated([again])
    assert found is not None
    assert found.to_list() == [False, True, True, True, False, True]
    after = RepeatWatch(["id"])
    after.load(watch.as_json())
    assert len(watch.as_json()) == 500
    found = after.repeated([again[:4]])
    assert found is not None
    assert found.to_list() == [True, True, True, True]
