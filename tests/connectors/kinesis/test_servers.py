"""What moto does not do: shards that end, iterators that really expire, records that are really gone, connections that
are kept. kinesalite and kinesis-local, which npm installs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.service import Service
from headrace.connectors.kinesis.source import KinesisSource
from tests.connectors.kinesis.runs import ID, of_id, run
from tests.connectors.kinesis.streams import Streams
from tests.connectors.reading import batches, frame

pytestmark = pytest.mark.slow
ZERO, ONE, TWO, THREE, FOUR = (f"shardId-00000000000{number}" for number in range(5))


@pytest.fixture(params=["lite", "local"])
def streams(request: pytest.FixtureRequest) -> Streams:
    found: Streams = request.getfixturevalue(request.param)
    return found


def test_over_a_split_and_a_merge_each_record_is_read_once_and_parents_first(streams: Streams) -> None:
    """One key, whose records keep their order over all of it."""
    name = streams.make()
    source = KinesisSource(streams.context({"streamName": name}, fields=ID))
    seen: list[int] = []
    cursors: dict[str, Any] = {}

    def one_run() -> None:
        nonlocal cursors
        keys, cursors = run(source, cursors, batch_rows=3)
        seen.extend(keys)

    streams.put(name, *of_id(*range(10)), key="k")
    one_run()
    streams.put(name, *of_id(*range(10, 20)), key="k")
    streams.split(name, ZERO)
    streams.put(name, *of_id(*range(20, 30)), key="k")
    one_run()
    assert seen == list(range(20))
    assert cursors[ZERO]["ended"] is True
    streams.merge(name, ONE, TWO)
    streams.put(name, *of_id(*range(30, 40)), key="k")
    one_run()
    assert seen == list(range(30))
    one_run()
    one_run()
    assert seen == list(range(40))
    assert {shard for shard, place in cursors.items() if place.get("ended")} == {ZERO, ONE, TWO}
    [last] = source.discover(max_partitions=1).partitions
    assert last.cursor == THREE


def test_a_first_run_reads_all_generations_in_turn(streams: Streams) -> None:
    name = streams.make()
    for number in range(3):
        streams.put(name, *of_id(number), key="k")
        if number < 2:
            [(shard, _)] = [
                (each["ShardId"], each)
                for each in streams.client.list_shards(StreamName=name)["Shards"]
                if "EndingSequenceNumber" not in each["SequenceNumberRange"]
                and int(each["HashKeyRange"]["StartingHashKey"])
                <= 0x8CE4B16B22B58894AA86C421E8759DF3  # the MD5 of k
                <= int(each["HashKeyRange"]["EndingHashKey"])
            ]
            streams.split(name, shard)
    source = KinesisSource(streams.context({"streamName": name}, fields=ID))
    found: list[list[int]] = []
    cursors: dict[str, Any] = {}
    for _ in range(3):
        keys, cursors = run(source, cursors)
        found.append(keys)
    assert found == [[0], [1], [2]]


def test_numbers_of_56_digits_are_positions(streams: Streams) -> None:
    name = streams.make()
    streams.put(name, *of_id(*range(50)), key="k")
    source = KinesisSource(streams.context({"streamName": name, "metadata": {"sequence": "at"}}, fields=ID))
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0], batch_rows=7)
    numbers = frame(read)["at"].to_list()
    assert all(len(each) == 56 for each in numbers)
    assert all(int(one) < int(other) for one, other in pairwise(numbers))
    for batch in read:
        rest = batches(source, found, found.partitions[0], position=batch.position, rows_done=batch.rows_done)
        assert frame(rest)["id"].to_list() == list(range(batch.rows_done, 50))


def test_a_run_that_begins_with_what_is_new_over_a_split(local: Streams) -> None:
    name = local.make()
    local.put(name, *of_id(1), key="k")
    local.split(name, ZERO)
    import time

    time.sleep(1.1)  # the service tells its time in seconds
    source = KinesisSource(local.context({"streamName": name, "startAt": "LATEST"}, fields=ID))
    keys, cursors = run(source, {})
    assert (keys, set(cursors)) == ([], {ONE, TWO})
    local.put(name, *of_id(2), key="k")
    local.split(name, ONE)
    local.put(name, *of_id(*range(3, 20)))
    seen = []
    for _ in range(3):
        keys, cursors = run(source, cursors)
        seen += keys
    assert sorted(seen) == list(range(2, 20))


def test_an_iterator_that_expired_between_two_questions(lite: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first answer, six minutes pass."""
    name = lite.make()
    lite.put(name, *of_id(*range(300)), key="k")
    monkeypatch.setattr("headrace.connectors.kinesis.reading.MOST_RECORDS", 100)
    asked: list[str] = []
    plain = Service.records

    def slow(self: Service, iterator: str, what: str, most: int = 100) -> Any:
        answer = plain(self, iterator, what, 100)
        asked.append(iterator)
        lite.shift(400 * len(asked))
        return answer

    monkeypatch.setattr(Service, "records", slow)
    try:
        source = KinesisSource(lite.context({"streamName": name}, fields=ID))
        keys, _ = run(source, {})
    finally:
        lite.shift(0)
    assert keys == list(range(300))
    assert len(asked) >= 3


def test_records_that_went_before_they_were_read_are_missed(lite: Streams) -> None:
    """By the clock of the service they are 25 hours old."""
    lite.shift(-25 * 3600)
    try:
        name = lite.make()
        lite.put(name, *of_id(*range(5)), key="k")
    finally:
        lite.shift(0)
    lite.put(name, *of_id(5, 6), key="k")
    source = KinesisSource(lite.context({"streamName": name}, fields=ID))
    assert run(source, {})[0] == [5, 6]
    # A run that read up to then, and then none for 25 hours:
    [partition] = source.discover(max_partitions=1).partitions
    created = partition.location["start"]["created"]
    old = {ZERO: {"created": created, "until": partition.location["now"] - 25 * 3_600_000}}
    source.begin_at(old)
    with pytest.raises(SourceError, match="may have lost records") as told:
        source.discover(max_partitions=1)
    assert told.value.code == "offsets_gone"
    going_on = KinesisSource(lite.context({"streamName": name, "onMissingOffsets": "earliest"}, fields=ID))
    assert run(going_on, old)[0] == [5, 6]


def test_a_stream_that_was_made_anew(lite: Streams) -> None:
    import time

    name = lite.make()
    lite.put(name, *of_id(1), key="k")
    source = KinesisSource(lite.context({"streamName": name}, fields=ID))
    _, cursors = run(source, {})
    lite.client.delete_stream(StreamName=name)
    time.sleep(1.1)  # its creation is told in seconds
    lite.client.create_stream(StreamName=name, ShardCount=1)
    lite.settled(name)
    lite.put(name, *of_id(2), key="k")
    with pytest.raises(SourceError, match="created again"):
        run(source, cursors)
    going_on = KinesisSource(lite.context({"streamName": name, "onMissingOffsets": "earliest"}, fields=ID))
    assert run(going_on, cursors)[0] == [2]


def test_connections_are_kept_between_discoveries(lite: Streams) -> None:
    name = lite.make()
    source = KinesisSource(lite.context({"streamName": name}, fields=ID))
    for _ in range(3):
        source.discover(max_partitions=1)
    assert len(source._service._transport._pool.connections) == 1
    source.close()
