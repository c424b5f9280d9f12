"""Records of streams as rows: payloads, metadata, aggregated records, what is at fault, where reading goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.aggregation import hash_key_of
from headrace.connectors.kinesis.source import KinesisSource
from headrace.connectors.source import Restart
from headrace.ir.schema import Field
from tests.connectors.kinesis.producing import aggregated
from tests.connectors.kinesis.runs import ID, of_id, run
from tests.connectors.kinesis.streams import Front, Streams
from tests.connectors.reading import batches, frame, rows


def test_numbers_arrive_as_they_are_written_and_columns_are_found(moto: Streams) -> None:
    name = moto.make()
    moto.put(name, b'{"id": 1, "amount": 1234567890.123456789012, "tags": ["a"]}', key="k")
    moto.put(name, b'{"id": 12345678901234567890123, "amount": 1e-30, "name": "x\\u00e9"}', key="k")
    found = KinesisSource(moto.context({"streamName": name})).discover(max_partitions=4)
    assert [field.name for field in found.schema] == ["id", "amount", "tags", "name"]
    assert (found.restart, found.fingerprint, found.counted) == (Restart.BOUNDARY, None, False)
    texts = tuple(Field(each.name, "text") for each in found.schema)
    assert rows(KinesisSource(moto.context({"streamName": name}, fields=texts))) == [
        ("1", "1234567890.123456789012", '["a"]', None),
        ("12345678901234567890123", "1e-30", None, "xé"),
    ]


def test_declared_columns_find_the_keys_of_other_spellings_in_what_is_read(moto: Streams, front: Front) -> None:
    name = moto.make()
    moto.put(name, b'{"ORDER_ID": 7}')
    front.asked.clear()
    source = KinesisSource(moto.context({"streamName": name}, fields=(Field("order_id", "integer"),)))
    found = source.discover(max_partitions=1)
    assert [operation for operation, _ in front.asked] == ["DescribeStreamSummary", "ListShards"]
    assert frame(batches(source, found, found.partitions[0]))["order_id"].to_list() == [7]


def test_what_a_record_has_besides_its_data_becomes_columns(moto: Streams) -> None:
    name = moto.make()
    moto.put(name, aggregated([("inner", b'{"id": 1}'), ("inner", b'{"id": 2}')]), b'{"id": 3}', key="kéy")
    names = ("partitionKey", "sequence", "subsequence", "shard", "stream", "arrival")
    context = moto.context({"streamName": name, "metadata": {each: f"k_{each}" for each in names}}, fields=ID)
    source = KinesisSource(context)
    read = rows(source)
    shard = "shardId-000000000000"
    assert [row[:6] for row in read] == [
        (1, "inner", "1", 0, shard, name),
        (2, "inner", "1", 1, shard, name),
        (3, "kéy", "2", None, shard, name),
    ]
    assert all(abs(row[6] - datetime.now(UTC)) < timedelta(minutes=5) for row in read)
    assert {f"k_{each}" for each in names} <= source.discover(max_partitions=1).sure


@pytest.mark.parametrize("batch_rows", [1, 3, None])
def test_a_position_within_an_aggregated_record_is_gone_on_from(moto: Streams, batch_rows: int | None) -> None:
    name = moto.make()
    moto.put(name, aggregated([("k", each) for each in of_id(*range(5))]), *of_id(5), key="k")
    moto.put(name, aggregated([("k", each) for each in of_id(*range(6, 10))]), key="k")
    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0], batch_rows=batch_rows)
    assert frame(read)["id"].to_list() == list(range(10))
    for batch in read:
        rest = batches(source, found, found.partitions[0], position=batch.position, rows_done=batch.rows_done)
        assert frame(rest)["id"].to_list() == list(range(batch.rows_done, 10))
    assert run(source, {"shardId-000000000000": read[-1].position})[0] == []


def test_a_part_whose_key_is_of_another_shard_is_not_lost_in_silence(moto: Streams) -> None:
    name = moto.make(2)
    keys = [f"k{number}" for number in range(20)]
    here = [key for key in keys if hash_key_of(key) < 2**127]
    moto.put(name, aggregated([(key, b'{"id": %d}' % at) for at, key in enumerate(keys)]), hash_key=0)
    ours = [at for at, key in enumerate(keys) if key in here]

    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0])
    assert frame(read)["id"].to_list() == ours
    assert {*read[0].rejects["rule"]} == {"foreign"}
    assert "set foreignRecords to skip" in read[0].rejects["error"][0]
    assert read[0].dead is not None
    assert read[0].dead["key"].to_list() == [key.encode() for key in keys if key not in here]
    first = next(at for at, key in enumerate(keys) if key not in here)
    assert read[0].dead["place"][0] == f"{name} shardId-000000000000 1 part {first}"
    skipping = KinesisSource(moto.context({"streamName": name, "foreignRecords": "skip"}, fields=ID))
    assert [row[0] for row in rows(skipping)] == ours
    keeping = KinesisSource(moto.context({"streamName": name, "foreignRecords": "keep"}, fields=ID))
    assert [row[0] for row in rows(keeping)] == list(range(20))


def test_a_record_whose_parts_are_all_skipped_is_passed(moto: Streams) -> None:
    name = moto.make(2)
    there = next(f"k{number}" for number in range(99) if hash_key_of(f"k{number}") >= 2**127)
    moto.put(name, aggregated([(there, b'{"id": 1}')]), hash_key=0)
    source = KinesisSource(moto.context({"streamName": name, "foreignRecords": "skip"}, fields=ID))
    keys, cursors = run(source, {})
    assert (keys, cursors["shardId-000000000000"]["sequence"]) == ([], "1")


def test_what_cannot_be_decoded_is_kept_as_it_came_and_the_others_go_on(moto: Streams) -> None:
    name = moto.make()
    bad = [b"\x00\xff", b'{"id": 7', b"[1]", b'{"id": "x"}', aggregated([("k", b'{"id": 9}')])[:-1]]
    for number, value in enumerate(bad):
        moto.put(name, *of_id(2 * number), value, *of_id(2 * number + 1), key="k")
    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0])
    assert frame(read)["id"].to_list() == list(range(10))
    dead = pl.concat([batch.dead for batch in read if batch.dead is not None])
    assert dead["value"].to_list() == bad
    assert dead["key"].to_list() == [b"k"] * 5
    assert dead["place"].to_list() == [f"{name} shardId-000000000000 {number}" for number in (2, 5, 8, 11, 14)]


@pytest.mark.parametrize("batch_rows", [1, None])
def test_a_record_without_data_is_a_tombstone_of_its_partition_key(moto: Streams, batch_rows: int | None) -> None:
    name = moto.make()
    for key, value in (("1", b'{"id": 1}'), ("2", b'{"id": 2}'), ("1", b"")):
        moto.put(name, value, key=key, hash_key=0)
    settings = {"streamName": name, "tombstones": "delete", "key": {"columns": ["id"]}}
    source = KinesisSource(moto.context(settings, fields=ID))
    assert rows(source, batch_rows=batch_rows) == [(1, "u"), (2, "u"), (1, "d")]


def test_each_run_goes_on_where_the_last_one_ended(moto: Streams) -> None:
    name = moto.make(3)
    moto.put(name, *of_id(*range(60)))
    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    keys, cursors = run(source, {}, batch_rows=7)
    assert sorted(keys) == list(range(60))
    assert set(cursors) == {f"shardId-00000000000{number}" for number in range(3)}
    assert run(source, cursors)[0] == []
    moto.put(name, *of_id(*range(60, 70)))
    keys, cursors = run(source, cursors)
    assert sorted(keys) == list(range(60, 70))


def test_a_run_that_begins_with_what_is_new_remembers_when_that_was(moto: Streams) -> None:
    """Also where it saw no record: those that come between two runs are the next one's."""
    name = moto.make()
    source = KinesisSource(moto.context({"streamName": name, "startAt": "LATEST"}, fields=ID))
    keys, cursors = run(source, {})
    assert keys == []
    moto.put(name, *of_id(1, 2))
    keys, cursors = run(source, cursors)
    assert keys == [1, 2]
    assert run(source, cursors)[0] == []


def test_a_run_can_begin_at_a_time(moto: Streams) -> None:
    name = moto.make()
    moto.put(name, *of_id(1))
    then = moto.client.get_records(
        ShardIterator=moto.client.get_shard_iterator(
            StreamName=name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
    )["Records"][0]["ApproximateArrivalTimestamp"]
    for start, expected in ((then, [1]), (then - timedelta(hours=1), [1]), ("trim_horizon", [1])):
        text = start if isinstance(start, str) else f"AT_TIMESTAMP:{start.isoformat()}"
        source = KinesisSource(moto.context({"streamName": name, "startAt": text}, fields=ID))
        assert run(source, {})[0] == expected
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with pytest.raises(SourceError, match="in the future"):
        KinesisSource(moto.context({"streamName": name, "startAt": later}, fields=ID)).discover(max_partitions=1)


def test_what_arrived_after_discovery_is_for_the_next_run(moto: Streams) -> None:
    name = moto.make()
    moto.put(name, *of_id(*range(5)))
    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    found = source.discover(max_partitions=1)
    [partition] = found.partitions
    early = replace(partition, location={**partition.location, "now": partition.location["now"] - 60_000})
    read = batches(source, found, early)
    assert [batch.rows for batch in read] == [0]
    assert run(source, {"shardId-000000000000": read[-1].position})[0] == list(range(5))


def test_an_iterator_that_expired_is_asked_for_again_where_reading_is(moto: Streams, front: Front) -> None:
    name = moto.make()
    moto.put(name, aggregated([("k", each) for each in of_id(*range(4))]), *of_id(4), key="k")
    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    found = source.discover(max_partitions=1)
    front.refuse("GetRecords", "ExpiredIteratorException", times=2)
    whole = batches(source, found, found.partitions[0], batch_rows=2)
    assert frame(whole)["id"].to_list() == list(range(5))
    front.refuse("GetRecords", "ExpiredIteratorException", times=1)
    rest = batches(source, found, found.partitions[0], position=whole[0].position, rows_done=2)
    assert frame(rest)["id"].to_list() == [2, 3, 4]
    front.refuse("GetRecords", "ExpiredIteratorException", times=9)
    with pytest.raises(SourceError, match="iterators expire at once"):
        batches(source, found, found.partitions[0])


def test_a_service_that_is_busy_is_waited_for_and_not_for_ever(
    moto: Streams, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.connectors.kinesis.service._FIRST_PAUSE_S", 0.01)
    name = moto.make()
    moto.put(name, *of_id(1))
    source = KinesisSource(moto.context({"streamName": name}, fields=ID))
    front.refuse("ListShards", "LimitExceededException")
    front.refuse("GetShardIterator", "InternalFailure", status=500)
    front.refuse("GetRecords", "com.amazonaws.kinesis#ProvisionedThroughputExceededException", times=3)
    front.refuse("GetRecords", "KMSThrottlingException")
    assert run(source, {})[0] == [1]
    assert not front.faults
    front.refuse("GetRecords", "ProvisionedThroughputExceededException", times=99)
    with pytest.raises(SourceError, match="the service kept asking to wait") as told:
        run(KinesisSource(moto.context({"streamName": name}, fields=ID), patience=0.1), {})
    assert told.value.code == "throttled"


def test_an_empty_stream_without_declared_columns_says_so(moto: Streams) -> None:
    found = KinesisSource(moto.context({"streamName": moto.make()})).discover(max_partitions=1)
    assert (found.schema, found.notes) == ((), ("no record says which columns it has",))
