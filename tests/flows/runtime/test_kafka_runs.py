"""Topics into tables: each message once, whichever step a run dies at, and over many runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.catalog.runs.records import ConnectorRecord
from headrace.connectors.errors import SourceError
from tests.connectors.kafka.brokers import Topics
from tests.connectors.kafka.conftest import broker, topic
from tests.flows.runtime.dying import Bomb
from tests.flows.runtime.stream_loads import Loads, make

__all__ = ["broker", "topic"]
pytestmark = pytest.mark.postgres


def loads_of(topics: Topics, url: str, config: Mapping[str, Any], target: Mapping[str, Any]) -> Loads:
    place = {"bootstrapServers": topics.servers, "securityProtocol": "PLAINTEXT"}
    return Loads(ConnectorRecord("conn_1", "kafka", place, {}), url, config, target)


def fill(broker: Topics, topic: str, numbers: range) -> None:
    for number in numbers:
        value = b'{"id": %d, "amount": %d}' % (number, number * 2)
        broker.put(topic, b"{" if number % 25 == 24 else value, partition=number % 2)
    broker.flush()


def good(numbers: range) -> list[tuple[int, int]]:
    return [(number, number * 2) for number in numbers if number % 25 != 24]


def every(step: int) -> Iterator[int]:
    at = 0
    while True:
        yield at
        at += step


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.first_variant
def test_a_run_that_dies_between_any_two_steps_loses_and_doubles_nothing(
    broker: Topics, database_url: str, mode: str, stride: int
) -> None:
    for at in every(stride):
        name, table = f"d-{uuid4().hex[:8]}", f"d_{uuid4().hex[:8]}"
        key = " PRIMARY KEY" if mode == "upsert" else ""
        make(database_url, f"CREATE TABLE public.{table} (id bigint{key}, amount integer)")
        broker.make(name, 2)
        fill(broker, name, range(60))
        target = {"schema": f"public.{table}", "loadMode": mode}
        if mode == "upsert":
            target["upsertKey"] = "id"
        loads = loads_of(broker, database_url, {"topic": name}, target)
        died = loads.dies(Bomb(at))
        fill(broker, name, range(60, 80))
        loads.run()
        assert loads.run().rows_in == 0
        assert loads.rows(f"SELECT id, amount FROM public.{table} ORDER BY id, amount") == good(range(80))
        dead = loads.rows(f"SELECT place, value FROM _headrace.dead_letters WHERE place LIKE '{name}[%' ORDER BY place")
        assert dead == [(f"{name}[0] offset 12", b"{"), (f"{name}[0] offset 37", b"{"), (f"{name}[1] offset 24", b"{")]
        if not died:
            assert at > 20
            return


def test_messages_that_cannot_be_decoded_are_kept_with_several_targets_too(broker: Topics, database_url: str) -> None:
    name = f"s-{uuid4().hex[:8]}"
    for table in ("left_side", "right_side"):
        make(database_url, f"CREATE TABLE public.{table} (id bigint, amount integer)")
    broker.make(name, 2)
    fill(broker, name, range(60))
    loads = loads_of(broker, database_url, {"topic": name}, {"schema": "public.left_side"})
    loads.nodes.append({"id": "other", "kind": "target", "input": "src", "schema": "public.right_side"})
    loads.run()
    for table in ("left_side", "right_side"):
        assert loads.rows(f"SELECT id, amount FROM public.{table} ORDER BY id") == good(range(60))
    dead = loads.rows(f"SELECT place, value FROM _headrace.dead_letters WHERE place LIKE '{name}[%' ORDER BY place")
    assert [value for _, value in dead] == [b"{"] * len(dead)
    assert [place for place, _ in dead] == sorted(error.split(":")[0] for *_, error in loads.recorder.cells)
    assert len(dead) >= 2


def test_a_topic_with_tombstones_is_mirrored(broker: Topics, topic: str, database_url: str) -> None:
    make(database_url, "CREATE TABLE public.mirrored (id bigint PRIMARY KEY, amount integer)")
    broker.make(topic)
    state: dict[int, int] = {}

    def change(number: int, amount: int | None) -> None:
        value = None if amount is None else json.dumps({"id": number, "amount": amount}).encode()
        broker.put(topic, value, key=b"%d" % number)
        state.pop(number, None)
        if amount is not None:
            state[number] = amount

    config = {"topic": topic, "tombstones": "delete", "key": {"columns": ["id"]}}
    target = {"schema": "public.mirrored", "loadMode": "cdc_mirror", "upsertKey": "id"}
    loads = loads_of(broker, database_url, config, target)
    for turn in range(4):
        for number in range(40):
            change(number % 13, None if (number + turn) % 5 == 0 else number * turn)
        broker.flush()
        loads.run()
        assert loads.rows("SELECT id, amount FROM public.mirrored ORDER BY id") == sorted(state.items())


def test_a_run_reads_no_more_than_it_may_and_the_next_goes_on(broker: Topics, topic: str, database_url: str) -> None:
    make(database_url, "CREATE TABLE public.bounded (id bigint, amount integer)")
    broker.make(topic, 2)
    fill(broker, topic, range(100))
    loads = loads_of(broker, database_url, {"topic": topic}, {"schema": "public.bounded"})
    read = [loads.run(maxRows=40).rows_in for _ in range(4)]
    assert read == [40, 40, 20, 0]
    assert loads.rows("SELECT id, amount FROM public.bounded ORDER BY id") == good(range(100))
    assert all(error.startswith(f"{topic}[") for *_, error in loads.recorder.cells)


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_stream_takes_new_messages_and_new_partitions(
    broker: Topics, topic: str, database_url: str, mode: str
) -> None:
    key = " PRIMARY KEY" if mode == "upsert" else ""
    make(database_url, f"CREATE TABLE public.streamed (id bigint{key}, amount integer)")
    target = {"schema": "public.streamed", "loadMode": mode, **({"upsertKey": "id"} if key else {})}
    broker.make(topic, 2)
    loads = loads_of(broker, database_url, {"topicPattern": f"{topic}*"}, target)
    stream = loads.stream()
    read = []
    for turn in range(4):
        if turn == 2:
            broker.make(f"{topic}-more")
            broker.put(f"{topic}-more", b'{"id": 1000, "amount": 2000}')
        fill(broker, topic, range(30 * turn, 30 * turn + 30))
        while (step := stream.step()) is not None:
            read.append(step.totals.rows_in)
    assert sum(read) == 121
    assert len(read) >= 4
    assert loads.rows("SELECT id, amount FROM public.streamed ORDER BY id") == [*good(range(120)), (1000, 2000)]
    assert loads.rows("SELECT count(*), count(DISTINCT row) FROM _headrace.dead_letters WHERE place LIKE 't-%%'")[
        0
    ] >= (
        4,
        4,
    )
    assert stream.lags["src"].rows == 0
    stream.close()


def test_a_topic_is_mirrored_by_a_stream(broker: Topics, topic: str, database_url: str) -> None:
    make(database_url, "CREATE TABLE public.followed (id bigint PRIMARY KEY, amount integer)")
    broker.make(topic)
    config = {"topic": topic, "tombstones": "delete", "key": {"columns": ["id"]}}
    stream = loads_of(
        broker, database_url, config, {"schema": "public.followed", "loadMode": "cdc_mirror", "upsertKey": "id"}
    ).stream()
    state: dict[int, int] = {}
    for turn in range(5):
        for number in range(12):
            key, amount = number % 7, None if (number + turn) % 4 == 0 else number * turn
            value = None if amount is None else json.dumps({"id": key, "amount": amount}).encode()
            broker.put(topic, value, key=b"%d" % key)
            state.pop(key, None)
            if amount is not None:
                state[key] = amount
        broker.flush()
        while stream.step() is not None:
            pass
        with psycopg.connect(database_url) as connection:
            found = connection.execute("SELECT id, amount FROM public.followed ORDER BY id").fetchall()
        assert found == sorted(state.items())
    stream.close()


def test_offsets_that_are_gone_fail_the_run_before_anything_is_loaded(
    broker: Topics, topic: str, database_url: str
) -> None:
    make(database_url, "CREATE TABLE public.gone (id bigint, amount integer)")
    broker.make(topic, 2)
    fill(broker, topic, range(5))
    loads = loads_of(broker, database_url, {"topic": topic}, {"schema": "public.gone"})
    loads.run()
    broker.drop(topic)
    broker.make(topic, 2)
    fill(broker, topic, range(100, 120))
    with pytest.raises(SourceError, match="recreated"):
        loads.run()
    assert loads.rows("SELECT count(*) FROM public.gone") == [(5,)]
