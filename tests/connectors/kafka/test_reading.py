"""Messages of topics as rows: payloads, metadata, tombstones, rejects, positions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.kafka.source import KafkaSource
from headrace.connectors.source import ROW, Discovery, Restart
from headrace.ir.schema import Field
from tests.connectors.kafka.brokers import Topics
from tests.connectors.reading import batches, frame, rows


def cursors_after(source: KafkaSource, found: Discovery, **how: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    """What is read of all partitions, and the cursors that a run leaves."""
    frames, cursors = [], {}
    for partition in found.partitions:
        read = batches(source, found, partition, **how)
        assert read[-1].position["offset"] >= partition.location["end"]
        frames += [batch.frame for batch in read]
        cursors[partition.cursor or ""] = json.loads(json.dumps(read[-1].position))
    return pl.concat(frames) if frames else pl.DataFrame(), cursors


def test_numbers_arrive_as_they_are_written_and_columns_are_found(broker: Topics, topic: str) -> None:
    broker.make(topic)
    broker.put(topic, b'{"id": 1, "amount": 1234567890.123456789012, "tags": ["a"]}')
    broker.put(topic, b'{"id": 12345678901234567890123, "amount": 1e-30, "name": "x\\u00e9"}')
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}))
    found = source.discover(max_partitions=4)
    assert [field.name for field in found.schema] == ["id", "amount", "tags", "name"]
    texts = tuple(Field(each.name, "text") for each in found.schema)
    declared = KafkaSource(broker.context({"topic": topic}, fields=texts))
    assert rows(declared) == [
        ("1", "1234567890.123456789012", '["a"]', None),
        ("12345678901234567890123", "1e-30", None, "xé"),
    ]


def test_what_a_message_has_besides_its_value_becomes_columns(broker: Topics, topic: str) -> None:
    broker.make(topic, 2)
    headers = [("h", b"1"), ("h", b"\xff"), ("n", None)]
    broker.put(topic, b'{"id": 1}', partition=1, key=b"k", headers=headers, at=1_700_000_000_123)
    broker.flush()
    names = ("key", "topic", "partition", "offset", "timestamp", "headers")
    context = broker.context({"topic": topic, "metadata": {name: f"k_{name}" for name in names}})
    source = KafkaSource(context)
    [row] = rows(source)
    at = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert row[:6] == (1, "k", topic, 1, 0, at)
    assert json.loads(row[6]) == [["h", "1"], ["h", "/w=="], ["n", None]]
    found = source.discover(max_partitions=1)
    assert {f"k_{name}" for name in names} <= found.sure


@pytest.mark.parametrize("batch_rows", [1, 3, None])
def test_tombstones_are_deletes_of_their_key(broker: Topics, topic: str, batch_rows: int | None) -> None:
    broker.make(topic)
    for key, value in (("1", 10), ("2", 20), ("1", None), ("3", 30), ("2", None)):
        body = None if value is None else json.dumps({"id": int(key), "amount": value}).encode()
        broker.put(topic, body, key=key.encode())
    broker.flush()
    settings = {"topic": topic, "key": {"columns": ["id"]}, "tombstones": "delete"}
    fields = (Field("id", "bigint"), Field("amount", "integer"))
    source = KafkaSource(broker.context(settings, fields=fields))
    expected = [(1, 10, "u"), (2, 20, "u"), (1, None, "d"), (3, 30, "u"), (2, None, "d")]
    assert rows(source, batch_rows=batch_rows) == expected
    as_json = {**settings, "key": {"format": "json", "columns": ["id"]}}
    assert rows(KafkaSource(broker.context(as_json, fields=fields))) == [each for each in expected if each[2] == "u"]


def test_a_tombstone_that_nobody_asked_for_is_an_error_row(broker: Topics, topic: str) -> None:
    broker.make(topic)
    broker.put(topic, b'{"id": 1}')
    broker.put(topic, None, key=b"1")
    broker.put(topic, b'{"id": 2}')
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}))
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0])
    assert frame(read)["id"].to_list() == [1, 2]
    [(row, _, _, error, rule)] = read[0].rejects.rows()
    assert rule == "tombstone"
    assert error.startswith(f"{topic}[0] offset 1: A tombstone")
    assert row - found.partitions[0].first_row == 1
    as_nulls = KafkaSource(broker.context({"topic": topic, "tombstones": "null"}))
    assert rows(as_nulls) == [(1,), (None,), (2,)]


def test_what_cannot_be_decoded_is_kept_as_it_came_and_the_others_go_on(broker: Topics, topic: str) -> None:
    broker.make(topic)
    good, bad = (
        [b'{"id": %d}' % number for number in range(40)],
        [b"\x00\xff", b"", b'{"id": 7', b"[1]", b'{"id": "x"}'],
    )
    for number, value in enumerate(good):
        broker.put(topic, value)
        if number % 10 == 5:
            broker.put(topic, bad[number // 10], key=b"k")
    broker.put(topic, bad[4])
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}, fields=(Field("id", "integer"),)))
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0])
    assert frame(read)["id"].to_list() == list(range(40))
    dead = pl.concat([batch.dead for batch in read if batch.dead is not None])
    assert dead["value"].to_list() == bad
    assert dead["place"].to_list() == [f"{topic}[0] offset {offset}" for offset in (6, 17, 28, 39, 44)]
    assert dead["key"].to_list() == [b"k"] * 4 + [None]
    located = read[0].locate
    assert located is not None
    assert located(dead["row"]).to_list() == dead["place"].to_list()
    assert read[0].rejects["row"].to_list() == dead["row"].to_list()


def test_a_key_that_the_sample_did_not_have_is_not_lost_in_silence(
    broker: Topics, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.connectors.kafka.source._SAMPLED", 5)
    broker.make(topic)
    broker.put(topic, b'{"id": 1, "rare": 5}')
    for number in range(10):
        broker.put(topic, b'{"id": %d}' % number)
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}))
    found = source.discover(max_partitions=1)
    assert [field.name for field in found.schema] == ["id"]
    [batch, *_] = batches(source, found, found.partitions[0])
    assert batch.frame.height == 10
    assert batch.rejects["rule"].to_list() == ["unknown_key"]
    assert "rare" in batch.rejects["error"][0]


def test_each_run_goes_on_where_the_last_one_ended_and_finds_new_partitions(broker: Topics) -> None:
    from uuid import uuid4

    prefix = f"p{uuid4().hex[:6]}"
    broker.make(f"{prefix}-a", 2)
    for number in range(6):
        broker.put(f"{prefix}-a", b'{"id": %d}' % number, partition=number % 2)
    broker.flush()
    settings = {"topicPattern": f"{prefix}-*"}
    source = KafkaSource(broker.context(settings, fields=(Field("id", "integer"),)))
    found = source.discover(max_partitions=1)
    assert (found.restart, found.fingerprint, found.total_rows) == (Restart.BOUNDARY, None, 6)
    read, cursors = cursors_after(source, found)
    assert sorted(read["id"]) == list(range(6))
    assert set(cursors) == {f"{prefix}-a/0", f"{prefix}-a/1"}

    source.begin_at(cursors)
    assert not source.discover(max_partitions=1).partitions
    broker.make(f"{prefix}-b")
    broker.put(f"{prefix}-b", b'{"id": 10}')
    broker.put(f"{prefix}-a", b'{"id": 11}', partition=1)
    broker.flush()
    read, more = cursors_after(source, source.discover(max_partitions=1))
    assert sorted(read["id"]) == [10, 11]
    assert set(more) == {f"{prefix}-a/1", f"{prefix}-b/0"}


def test_a_run_that_begins_with_what_is_new_remembers_where_that_was(broker: Topics, topic: str) -> None:
    broker.make(topic)
    broker.put(topic, b'{"id": 1}')
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic, "startAt": "latest"}, fields=(Field("id", "integer"),)))
    read, cursors = cursors_after(source, source.discover(max_partitions=1))
    assert read.height == 0
    broker.put(topic, b'{"id": 2}')
    broker.flush()
    source.begin_at(cursors)
    read, _ = cursors_after(source, source.discover(max_partitions=1))
    assert read["id"].to_list() == [2]


def test_what_comes_after_discovery_is_for_the_next_run(broker: Topics, topic: str) -> None:
    broker.make(topic)
    for number in range(5):
        broker.put(topic, b'{"id": %d}' % number)
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}, fields=(Field("id", "integer"),)))
    found = source.discover(max_partitions=1)
    broker.put(topic, b'{"id": 5}')
    broker.flush()
    read, cursors = cursors_after(source, found)
    assert read["id"].to_list() == list(range(5))
    source.begin_at(cursors)
    read, _ = cursors_after(source, source.discover(max_partitions=1))
    assert read["id"].to_list() == [5]


def test_a_topic_that_was_recreated_is_not_taken_for_the_old_one(broker: Topics, topic: str) -> None:
    fields = (Field("id", "integer"),)
    broker.make(topic)
    for number in range(3):
        broker.put(topic, b'{"id": %d}' % number)
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}, fields=fields))
    _, cursors = cursors_after(source, source.discover(max_partitions=1))
    broker.drop(topic)
    broker.make(topic)
    for number in range(100, 110):
        broker.put(topic, b'{"id": %d}' % number)
    broker.flush()
    source = KafkaSource(broker.context({"topic": topic}, fields=fields))
    source.begin_at(cursors)
    with pytest.raises(SourceError, match="recreated") as reported:
        source.discover(max_partitions=1)
    assert reported.value.code == "offsets_gone"
    source = KafkaSource(broker.context({"topic": topic, "onMissingOffsets": "earliest"}, fields=fields))
    source.begin_at(cursors)
    found = source.discover(max_partitions=1)
    assert [note for note in found.notes if "recreated" in note]
    assert cursors_after(source, found)[0]["id"].to_list() == list(range(100, 110))


def test_messages_that_are_not_kept_any_more_are_missed(cluster: Topics) -> None:
    fields = (Field("id", "integer"),)
    cluster.put("t", b'{"id": 1}')
    cluster.flush()
    source = KafkaSource(cluster.context({"topic": "t"}, fields=fields))
    _, cursors = cursors_after(source, source.discover(max_partitions=1))
    padding = b"x" * 900_000
    early = source.discover(max_partitions=1)
    for number in range(2, 14):  # the mock cluster keeps 5 MB of a partition
        cluster.put("t", b'{"id": %d, "padding": "%s"}' % (number, padding))
        cluster.flush()
    source.begin_at({**cursors, "t/0": {"offset": 1}})
    with pytest.raises(SourceError, match="does not have offset 1 any more") as reported:
        source.discover(max_partitions=1)
    assert reported.value.code == "offsets_gone"
    partition = next(each for each in early.partitions if each.cursor == "t/0")
    with pytest.raises(SourceError, match="does not have offset 0 any more"):
        batches(source, early, partition)

    source = KafkaSource(cluster.context({"topic": "t", "onMissingOffsets": "earliest"}, fields=fields))
    source.begin_at({**cursors, "t/0": {"offset": 1}})
    found = source.discover(max_partitions=1)
    assert "t[0] has lost the messages from offset 1 on" in found.notes[0]
    read, _ = cursors_after(source, found)
    assert read["id"].to_list() == list(range(14 - read.height, 14))
    assert 0 < read.height < 12


def test_offsets_without_messages_end_a_partition_and_move_its_cursor(
    cluster: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marks of transactions take offsets, the last of a partition too. (The mock cluster gives what was aborted: to
    leave it out is the client's part with a broker that names aborted transactions.)"""
    from confluent_kafka import Producer

    monkeypatch.setattr("headrace.connectors.kafka.cluster.CHECK_CRCS", False)  # its marks have none
    sender = Producer({"bootstrap.servers": cluster.servers, "transactional.id": "tx", "log_level": 0})
    sender.init_transactions(10)
    for number in range(3):
        sender.begin_transaction()
        sender.produce("t", b'{"id": %d}' % number, partition=0)
        sender.commit_transaction(10)
    source = KafkaSource(cluster.context({"topic": "t"}, fields=(Field("id", "integer"),)))
    found = source.discover(max_partitions=1)
    read, cursors = cursors_after(source, found)
    assert read["id"].to_list() == [0, 1, 2]
    assert cursors["t/0"]["offset"] == 6
    first = next(each for each in found.partitions if each.cursor == "t/0").first_row
    assert read[ROW].to_list() == [first, first + 1, first + 2]
    source.begin_at(cursors)
    assert not source.discover(max_partitions=1).partitions


def test_a_topic_of_several_brokers_is_read_whole(cluster: Topics) -> None:
    for number in range(3000):
        cluster.put("wide", b'{"id": %d}' % number, partition=number % 4)
    cluster.flush()
    source = KafkaSource(cluster.context({"topic": "wide"}, fields=(Field("id", "integer"),)))
    found = source.discover(max_partitions=2)
    assert len(found.partitions) == 4
    read, _ = cursors_after(source, found, batch_rows=100)
    assert sorted(read["id"]) == list(range(3000))


def test_a_column_besides_the_payload_is_declared_as_it_is_or_not_at_all(broker: Topics, topic: str) -> None:
    broker.make(topic)
    broker.put(topic, b'{"id": 1}')
    broker.flush()
    settings = {"topic": topic, "metadata": {"offset": "at"}}
    fields = (Field("id", "integer"), Field("at", "bigint"))
    assert rows(KafkaSource(broker.context(settings, fields=fields))) == [(1, 0)]
    with pytest.raises(SourceError, match="'at' is bigint, and is declared as text"):
        KafkaSource(broker.context(settings, fields=(fields[0], Field("at", "text")))).discover(max_partitions=1)
