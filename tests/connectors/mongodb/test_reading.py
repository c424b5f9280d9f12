"""Collections in partitions: every document once, with any type of `_id`, and continuing after any document."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import bson
import polars as pl
import pytest
from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.binary import Binary

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Restart, Wanted
from headrace.deployments.stack.environment import base_environment
from headrace.ir.schema import Field
from tests.connectors.mongodb.bson.documents import with_element
from tests.connectors.mongodb.double import Double
from tests.connectors.reading import batches, frame, rejects, rows
from tests.fault_proxy import FaultProxy

IDS: list[Any] = [
    *(MinKey(), None, float("nan"), -5, 0.5, Decimal128("0.75"), 1, 2**60),
    *("", "a", "b", "é", Binary(b"abc", 0)),
    *(ObjectId("0" * 24), ObjectId("f" * 24), False, True, datetime(1960, 1, 1), datetime(2020, 1, 1)),
    *(Timestamp(1, 2), MaxKey()),
]
"""In the server's own order, as far as the double has it."""


class TestTypes:
    def test_are_those_of_all_documents(self, mongo: Double) -> None:
        mongo.fill(
            "t",
            [
                *({"_id": 1, "a": 1, "b": "x", "c": 1, "d": None, "e": 1, "f": [1]}, {"_id": 2, "a": Int64(2**40)}),
                *({"_id": 3, "b": 5, "c": 0.5, "late": True}, {"_id": 4, "e": Decimal128("1.5"), "f": "x"}),
            ],
        )
        found = mongo.source("t").discover(max_partitions=1)
        assert {each.name: each.data_type for each in found.schema} == {
            **{"_id": "integer", "a": "bigint", "b": "text", "c": "double", "d": "text", "e": "decimal"},
            **{"f": "json", "late": "boolean"},
        }
        assert [each.name for each in found.schema][:3] == ["_id", "a", "b"]
        assert found.notes == (
            "'b' has values of the types int, string: read as text",
            "'f' has values of the types array, string: read as json",
        )
        assert found.fingerprint is None
        assert found.guessed == frozenset()

    def test_only_of_what_is_read(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1, "a": 1}, {"_id": 2, "a": "x", "b": 1}])
        found = mongo.source("t", filter={"_id": 1}).discover(max_partitions=1)
        assert [each.data_type for each in found.schema] == ["integer", "integer"]

    def test_known_keys_are_columns_even_where_no_document_has_them(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1, "a": 1, "new": True}])
        source = mongo.source("t", knownKeys=["a", "gone", "_id", "$where"])
        found = source.discover(max_partitions=1)
        assert {each.name: each.data_type for each in found.schema} == {
            **{"_id": "integer", "a": "integer", "new": "boolean", "gone": "text", "$where": "text"}
        }
        assert [batch.frame["gone"].to_list() for batch in batches(source, found, found.partitions[0])] == [[None]]
        assert not any("$where" in text for text in mongo.seen()), "a name is never an operator"

    def test_are_those_that_are_declared(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1, "a": "1", "b": 2}])
        source = mongo.source("t", (Field("a", "integer"), Field("missing", "date"), Field("A", "text")))
        found = source.discover(max_partitions=1)
        assert found.notes == (
            "none of the first 1 documents has 'missing'",
            "none of the first 1 documents has 'A': Did you mean 'a'?",
        )
        assert rows(source) == [(1, None, None)]
        assert not [each for each in mongo.seen() if "objectToArray" in each]

    def test_an_empty_collection_has_no_columns(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1}])
        mongo.database.t.delete_many({})
        found = mongo.source("t").discover(max_partitions=3)
        assert (found.schema, found.total_rows) == ((), 0)
        assert rows(mongo.source("t", (Field("a", "text"),))) == []


class TestPartitions:
    def test_have_every_document_once_whatever_its_id_is(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": each, "n": place} for place, each in enumerate(reversed(IDS))])
        source = mongo.source("t", (Field("n", "integer"),), partitioning={"partitions": 6})
        found = source.discover(max_partitions=6)
        assert len(found.partitions) > 2
        assert found.restart is Restart.BOUNDARY
        assert "may be read as they were" in found.notes[0]
        expected = [(place,) for place in reversed(range(len(IDS)))]
        assert rows(source, most=6) == expected  # in the order of their ids
        assert rows(source, most=6, batch_rows=1) == expected

    def test_are_one_where_the_server_sorts_otherwise_than_it_compares(self, mongo: Double) -> None:
        """As the double does with long integers: ranges would give documents twice."""
        ids = [*(Int64(2**60 + each) for each in range(12)), *"abcdefghijkl"]
        mongo.fill("t", [{"_id": each, "n": place} for place, each in enumerate(ids)])
        source = mongo.source("t", (Field("n", "integer"),), partitioning={"partitions": 5})
        assert len(source.discover(max_partitions=5).partitions) == 1
        assert sorted(rows(source, most=5)) == [(place,) for place in range(24)]

    def test_continue_after_every_id(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": each, "n": place} for place, each in enumerate(IDS)])
        source = mongo.source("t", (Field("n", "integer"),))
        found = source.discover(max_partitions=1)
        read = batches(source, found, found.partitions[0], batch_rows=1)
        assert len(read) == len(IDS)
        for place, batch in enumerate(read[:-1]):
            after = batches(source, found, found.partitions[0], position=batch.position, rows_done=batch.rows_done)
            assert frame(after).get_column("n").to_list() == list(range(place + 1, len(IDS)))
            assert frame(after).get_column(ROW)[0] == found.partitions[0].first_row + place + 1
        last = read[-1]
        assert batches(source, found, found.partitions[0], position=last.position, rows_done=len(IDS)) == []

    def test_of_a_large_document_as_an_id(self, mongo: Double) -> None:
        ids = [{"part": place % 3, "at": datetime(2024, 1, 1 + place, tzinfo=UTC)} for place in range(9)]
        mongo.fill("t", [{"_id": each, "n": place} for place, each in enumerate(ids)])
        source = mongo.source("t", (Field("n", "integer"), Field("_id", "json")), partitioning={"partitions": 3})
        assert sorted(n for n, _ in rows(source, most=3, batch_rows=2)) == list(range(9))

    def test_none_of_a_view(self, mongo: Double) -> None:
        mongo.can("v", bson.encode({"_id": 1, "a": 1}), bson.encode({"a": 2}), kind="view")
        found = mongo.source("v", (Field("a", "integer"),), partitioning={"partitions": 4}).discover(max_partitions=4)
        assert (len(found.partitions), found.restart) == (1, Restart.NONE)
        assert rows(mongo.source("v", (Field("a", "integer"),))) == [(1,), (2,)]

    def test_a_position_of_another_order_is_none(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1}])
        source = mongo.source("t", (Field("_id", "integer"),))
        found = source.discover(max_partitions=1)
        for position in ({"by": ["at", "_id"], "after": "x"}, {"by": ["_id"], "after": "nothing"}, 7):
            with pytest.raises(SourceError) as error:
                batches(source, found, found.partitions[0], position=position)
            assert error.value.code == "bad_position"


class TestWhatIsAsked:
    def test_only_the_keys_that_are_used(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1, "a": "x", "b": "y", "c": "z"}])
        source = mongo.source("t", (Field("a", "text"), Field("b", "text")))
        assert rows(source, columns=("b",)) == [("y",)]
        assert "'projection': {'_id': 1, 'b': 1}" in mongo.seen()[-1]

    def test_keys_with_points_and_dollars_come_with_all_others(self, mongo: Double) -> None:
        mongo.can("t", bson.encode({"_id": 1, "a.b": 2, "$c": 3, "a": {"b": 4}, "x": 5}))
        source = mongo.source("t", (Field("a.b", "integer"), Field("$c", "integer"), Field("a", "json")))
        assert rows(source) == [(2, 3, '{"b":4}')]

    def test_a_filter_and_a_projection(self, mongo: Double) -> None:
        at = datetime(2024, 1, 1, tzinfo=UTC)
        mongo.fill("t", [{"_id": n, "at": at, "a": {"b": n, "c": "x"}, "k": ObjectId(f"{n:024x}")} for n in range(9)])
        settings: dict[str, Any] = {
            "filter": {"k": {"$gt": {"$oid": f"{3:024x}"}}, "at": {"$date": "2024-01-01T00:00:00Z"}, "_id": {"$ne": 5}},
            "projection": {"a.b": 1},
        }
        assert rows(mongo.source("t", **settings)) == [(4, '{"b":4}'), (6, '{"b":6}'), (7, '{"b":7}'), (8, '{"b":8}')]

    def test_the_whole_document(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": 1, "a": None, "b": {"c": [Decimal128("1.10")]}}, {"_id": 2}])
        source = mongo.source("t", document="all")
        assert rows(source) == [("1", '{"_id":1,"a":null,"b":{"c":[1.10]}}'), ("2", '{"_id":2}')]
        assert not [each for each in mongo.seen() if "objectToArray" in each]

    def test_a_sample(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": n, "a": n} for n in range(20)])
        assert mongo.source("t").sample(7).get_column("a").to_list() == list(range(7))

    def test_majority_is_read(self, mongo: Double) -> None:
        """What a failover could take back is not loaded."""
        mongo.fill("t", [{"_id": 1}])
        rows(mongo.source("t", (Field("_id", "integer"),)))
        assert "'readConcern': {'level': 'majority'}" in mongo.seen()[-1]


class TestWhatTheServerSends:
    def test_is_read_byte_by_byte(self, mongo: Double) -> None:
        twice = with_element(bson.encode({"_id": 2, "a": 1}), b"\x10a\0\x02\0\0\0")
        latin = bson.encode({"_id": 3, "a": "M_nchen"}).replace(b"M_nchen", b"M\xfcnchen")
        mongo.can("t", bson.encode({"_id": 1, "a": 1}), twice, latin, bson.encode({"_id": 4, "a": "x"}))
        source = mongo.source("t", (Field("_id", "integer"), Field("a", "integer")))
        first = source.discover(max_partitions=1).partitions[0].first_row
        assert rows(source) == [(1, 1)]
        assert rejects(source) == [
            (first + 1, None, None, "The key is there twice: 'a'", "duplicate"),
            (first + 2, None, None, "A text that is not UTF-8: 'a'", "encoding"),
            (first + 3, "a", "x", "Expected integer", "type"),
        ]

    def test_rows_are_located_by_their_id(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": ObjectId("a" * 24), "a": 1}, {"_id": ObjectId("b" * 24), "a": "x"}])
        source = mongo.source("t", (Field("a", "integer"),))
        found = source.discover(max_partitions=1)
        [batch] = batches(source, found, found.partitions[0])
        assert batch.locate is not None
        assert batch.cells is not None
        assert batch.locate(batch.rejects.get_column("row")).to_list() == ["_id=" + "b" * 24]
        numbers = pl.Series([found.partitions[0].first_row + 1], dtype=pl.Int64)
        assert batch.cells(["a"], numbers).rows() == [("x", numbers[0])]


class TestLostConnections:
    def test_reading_continues_after_the_last_batch(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": n, "a": n} for n in range(60)])
        proxy = FaultProxy("127.0.0.1", mongo.port).start()
        try:
            source = mongo.opened(mongo.context({"collection": "t"}, (Field("a", "integer"),), port=proxy.port))
            found = source.discover(max_partitions=1)
            read = []
            wanted = Wanted(frozenset({"a"}), batch_rows=7)
            for batch in source.read(found.partitions[0], found.schema, wanted=wanted):
                read.append(batch)
                if len(read) in (2, 5):
                    assert proxy.reset_all()
        finally:
            proxy.stop()
        assert frame(read).get_column("a").to_list() == list(range(60))

    @pytest.mark.parametrize("code", [43, 189, 11600])
    def test_a_cursor_or_a_primary_that_is_gone(self, mongo: Double, code: int) -> None:
        mongo.fill("t", [{"_id": n, "a": n} for n in range(40)])
        source = mongo.source("t", (Field("a", "integer"),))
        mongo.steer("fail", name="getMore", after=1, code=code, times=1)
        assert [n for (n,) in rows(source, batch_rows=9)] == list(range(40))

    def test_a_server_that_stays_away_is_an_error(self, mongo: Double) -> None:
        mongo.fill("t", [{"_id": n, "a": n} for n in range(40)])
        source = mongo.source("t", (Field("a", "integer"),))
        found = source.discover(max_partitions=1)
        mongo.steer("fail", name="getMore", after=0, code=189, times=1000)
        mongo.steer("fail", name="find", after=1, code=189, times=1000)
        with pytest.raises(SourceError) as error:
            batches(source, found, found.partitions[0], batch_rows=9)
        assert error.value.code == "connection_lost"

    def test_of_a_view_the_reading_begins_again(self, mongo: Double) -> None:
        """By the run, which has loaded none of its rows: they are staged."""
        mongo.can("v", *(bson.encode({"a": n}) for n in range(40)), kind="view")
        source = mongo.source("v", (Field("a", "integer"),))
        mongo.steer("fail", name="getMore", after=1, code=189, times=1)
        found = source.discover(max_partitions=1)
        with pytest.raises(SourceError) as error:
            batches(source, found, found.partitions[0], batch_rows=9)
        assert error.value.code == "connection_lost"


def test_memory_is_that_of_a_batch(mongo: Double) -> None:
    """180 MB of documents in batches of 16 MiB: what a read holds does not grow with them."""
    some = [bson.encode({"_id": n, "text": "x" * 900}) for n in range(100)]
    mongo.steer("repeat", name="t", documents=some, times=2000)
    program = f"""
import resource
from headrace.ir.schema import Field
from tests.connectors.mongodb.double import Double
config = {mongo.config!r}
source = Double({mongo.port}, config).source("t", (Field("_id", "integer"), Field("text", "text")))
found = source.discover(max_partitions=1)
peaks, count = [], 0
for batch in source.read(found.partitions[0], found.schema):
    count += batch.rows
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
source.close()
print(count, peaks[len(peaks) // 3], peaks[-1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=base_environment() | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=170,
    )
    count, early, late = (int(each) for each in ran.stdout.split())
    assert count == 200_000
    assert late - early < 60, f"{early} MiB after a third, {late} MiB at the end"
