"""Incremental reading by a field and `_id`, up to the current time less a lag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.source import MongoSource
from headrace.connectors.source import Position
from headrace.ir.schema import Field
from tests.connectors.mongodb.double import Double
from tests.connectors.reading import batches, frame

N = (Field("n", "integer"),)
DAY = datetime(2024, 1, 1, tzinfo=UTC)


def run(source: MongoSource, position: Position | None = None, **how: Any) -> tuple[list[int], Position | None]:
    """The values that a run reads after a position, and the next position."""
    source.begin_at({} if position is None else {"default": position})
    found = source.discover(max_partitions=4)
    assert len(found.partitions) <= 1
    read = [batch for each in found.partitions for batch in batches(source, found, each, **how)]
    assert all(each.cursor == "default" for each in found.partitions)
    values = frame(read).get_column("n").to_list() if read else []
    return values, read[-1].position if read else position


def test_a_run_continues_after_the_last_one(mongo: Double) -> None:
    mongo.fill("t", [{"_id": 9 - n, "n": n, "at": DAY + timedelta(hours=n // 3)} for n in range(9)])
    source = mongo.source("t", N, cursor={"column": "at"})
    first, position = run(source, batch_rows=2)
    assert first == [2, 1, 0, 5, 4, 3, 8, 7, 6]  # of the same moment by _id
    assert run(source, position) == ([], position)
    mongo.fill("t", [{"_id": 100, "n": 20, "at": DAY + timedelta(hours=2)}, {"_id": 101, "n": 21, "at": DAY}])
    assert run(source, position)[0] == [20]


def test_every_place_among_the_same_values_is_one_to_go_on_from(mongo: Double) -> None:
    ids: list[Any] = [1, "a", ObjectId("0" * 24), DAY, 2, "b"]
    mongo.fill("t", [{"_id": each, "n": n, "at": DAY} for n, each in enumerate(ids)])
    source = mongo.source("t", N, cursor={"column": "at"})
    source.begin_at({})
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0], batch_rows=1)
    whole = frame(read).get_column("n").to_list()
    assert whole == [0, 4, 1, 5, 2, 3]
    for place, batch in enumerate(read):
        assert run(source, batch.position)[0] == whole[place + 1 :]


def test_the_present_less_the_lag(mongo: Double) -> None:
    now = datetime.now(UTC)
    mongo.fill("t", [{"_id": n, "n": n, "at": now - timedelta(minutes=n)} for n in (0, 5, 20, 30)])
    mongo.fill("t", [{"_id": 99, "n": 99, "at": now + timedelta(days=1)}])
    assert run(mongo.source("t", N, cursor={"column": "at", "lag": "PT10M"}))[0] == [30, 20]
    assert run(mongo.source("t", N, cursor={"column": "at"}))[0] == [30, 20, 5, 0]


@pytest.mark.parametrize(
    ("values", "lag", "expected"),
    [
        ([1, 2.5, 3, 10], 7, [0, 1, 2]),
        ([1, 2, 3, Decimal128("10.5")], "7.5", [0, 1, 2]),
        ([0.5, 1.5, 8.5], 7, [0, 1]),
        (["a", "b"], None, [0, 1]),
    ],
)
def test_numbers_and_texts(mongo: Double, values: list[Any], lag: Any, expected: list[int]) -> None:
    mongo.fill("t", [{"_id": n, "n": n, "v": value} for n, value in enumerate(values)])
    assert run(mongo.source("t", N, cursor={"column": "v", "lag": lag}))[0] == expected


def test_object_ids_by_the_time_in_them(mongo: Double) -> None:
    now = datetime.now(UTC)
    ids = [ObjectId.from_datetime(now - timedelta(minutes=minutes)) for minutes in (30, 20, 1)]
    mongo.fill("t", [{"_id": each, "n": n} for n, each in enumerate(ids)])
    source = mongo.source("t", N, cursor={"column": "_id", "lag": "PT10M"})
    found, position = run(source)
    assert found == [0, 1]
    assert run(mongo.source("t", N, cursor={"column": "_id"}), position)[0] == [2]
    begun = mongo.source("t", N, cursor={"column": "_id", "initial": str(ids[1])})
    assert run(begun)[0] == [1, 2]


@pytest.mark.parametrize("initial", ["2024-01-01T02:00:00Z", "2024-01-01T03:00:00+01:00", "2024-01-01 02:00:00"])
def test_the_first_run_begins_at_initial(mongo: Double, initial: str) -> None:
    mongo.fill("t", [{"_id": n, "n": n, "at": DAY + timedelta(hours=n)} for n in range(5)])
    source = mongo.source("t", N, cursor={"column": "at", "initial": initial})
    found, position = run(source)
    assert found == [2, 3, 4]
    assert run(source, position)[0] == []


def test_documents_without_a_value_to_compare_are_counted_and_not_read(mongo: Double) -> None:
    given: list[dict[str, Any]] = [{"at": DAY}, {"at": None}, {}, {"at": [DAY]}, {"at": 5}, {"at": DAY}]
    mongo.fill("t", [{"_id": n, "n": n, **each} for n, each in enumerate(given)])
    source = mongo.source("t", N, cursor={"column": "at"})
    assert source.discover(max_partitions=1).notes[0] == "4 documents of t have no at to compare: they are not read"
    assert run(source)[0] == [0, 5]


def test_nothing_to_read(mongo: Double) -> None:
    mongo.fill("t", [{"_id": 1, "n": 1}])
    assert run(mongo.source("t", N, cursor={"column": "at"})) == ([], None)


@pytest.mark.parametrize(
    ("cursor", "code"),
    [
        ({"column": "flag"}, "bad_option"),
        ({"column": "at", "initial": "yesterday"}, "bad_option"),
        ({"column": "n", "lag": "PT5M"}, "bad_option"),
        ({"column": "text", "lag": 5}, "bad_option"),
    ],
)
def test_what_cannot_be(mongo: Double, cursor: dict[str, Any], code: str) -> None:
    mongo.fill("t", [{"_id": 1, "n": 1, "at": DAY, "flag": True, "text": "x"}])
    with pytest.raises(SourceError) as error:
        run(mongo.source("t", N, cursor=cursor))
    assert error.value.code == code


def test_another_cursor_or_type_than_the_last_runs_is_an_error(mongo: Double) -> None:
    mongo.fill("t", [{"_id": 1, "n": 1, "at": DAY}])
    _, position = run(mongo.source("t", N, cursor={"column": "at"}))
    with pytest.raises(SourceError, match="reset it"):
        run(mongo.source("t", N, cursor={"column": "n"}), position)
    mongo.database.t.update_many({}, {"$set": {"at": 5}})
    with pytest.raises(SourceError, match="another type"):
        run(mongo.source("t", N, cursor={"column": "at"}), position)
