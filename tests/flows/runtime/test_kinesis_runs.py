"""Data streams into tables: each record once, whichever step a run dies at, and over many runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from headrace.catalog.runs.records import ConnectorRecord
from headrace.connectors.errors import SourceError
from tests.connectors.kinesis.conftest import front, lite, moto
from tests.connectors.kinesis.producing import aggregated
from tests.connectors.kinesis.streams import KEY, REGION, Streams
from tests.flows.runtime.dying import Bomb
from tests.flows.runtime.stream_loads import Loads, make

__all__ = ["front", "lite", "moto"]
pytestmark = pytest.mark.postgres


def loads_of(streams: Streams, name: str, url: str, table: str, **settings: Any) -> Loads:
    place = {"streamName": name, "region": REGION, "endpoint": streams.url}
    record = ConnectorRecord("conn_1", "amazon_kinesis", place, dict(KEY))
    return Loads(record, url, settings, {"schema": f"public.{table}", "loadMode": "append"})


def value(number: int) -> bytes:
    return b"{" if number % 25 == 24 else b'{"id": %d, "amount": %d}' % (number, number * 2)


def fill(streams: Streams, name: str, numbers: range) -> None:
    """Half of them three in one record."""
    plain = [value(number) for number in numbers if number % 6 < 3]
    groups = [[number for number in numbers if number // 6 == six and number % 6 >= 3] for six in range(120)]
    streams.put(name, *plain, *(aggregated([("k", value(each)) for each in group]) for group in groups if group))


def good(numbers: range) -> list[tuple[int, int]]:
    return [(number, number * 2) for number in numbers if number % 25 != 24]


def every(step: int) -> Iterator[int]:
    at = 0
    while True:
        yield at
        at += step


@pytest.mark.parametrize("stride", [37, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_dies_between_any_two_steps_loses_and_doubles_nothing(
    moto: Streams, database_url: str, stride: int
) -> None:
    for at in every(stride):
        name, table = moto.make(2), f"d_{uuid4().hex[:8]}"
        make(database_url, f"CREATE TABLE public.{table} (id bigint, amount integer)")
        fill(moto, name, range(60))
        loads = loads_of(moto, name, database_url, table, foreignRecords="keep")
        died = loads.dies(Bomb(at))
        fill(moto, name, range(60, 80))
        loads.run()
        assert loads.run().rows_in == 0
        assert loads.rows(f"SELECT id, amount FROM public.{table} ORDER BY id, amount") == good(range(80))
        dead = f"SELECT value FROM _headrace.dead_letters WHERE place LIKE '{name} shardId-%'"
        assert loads.rows(dead) == [(b"{",)] * 3
        if not died:
            assert at > 20
            return


@pytest.mark.slow
def test_shards_that_are_split_and_merged_while_runs_die(lite: Streams, database_url: str) -> None:
    """Twenty runs, each of which dies somewhere, and a change of the shards between two of them."""
    name, table = lite.make(2), f"d_{uuid4().hex[:8]}"
    make(database_url, f"CREATE TABLE public.{table} (id bigint, amount integer)")
    loads = loads_of(lite, name, database_url, table, foreignRecords="keep")

    def still_open() -> list[str]:
        shards = lite.client.list_shards(StreamName=name)["Shards"]
        there = [each for each in shards if "EndingSequenceNumber" not in each["SequenceNumberRange"]]
        return [each["ShardId"] for each in sorted(there, key=lambda e: int(e["HashKeyRange"]["StartingHashKey"]))]

    for turn in range(20):
        fill(lite, name, range(30 * turn, 30 * turn + 15))
        if turn % 3 == 0:
            lite.split(name, still_open()[turn % 2])
        elif turn % 3 == 1:
            lite.merge(name, *still_open()[:2])
        fill(lite, name, range(30 * turn + 15, 30 * turn + 30))
        loads.dies(Bomb(5 * turn % 37))
    for _ in range(20):
        loads.run()
    assert loads.rows(f"SELECT id, amount FROM public.{table} ORDER BY id, amount") == good(range(600))


def test_a_run_reads_no_more_than_it_may_and_the_next_goes_on(moto: Streams, database_url: str) -> None:
    make(database_url, "CREATE TABLE public.kinesis_bounded (id bigint, amount integer)")
    name = moto.make()
    moto.put(name, *map(value, range(100)))
    loads = loads_of(moto, name, database_url, "kinesis_bounded")
    assert [loads.run(maxRows=40).rows_in for _ in range(4)] == [40, 40, 20, 0]
    assert loads.rows("SELECT id, amount FROM public.kinesis_bounded ORDER BY id") == good(range(100))
    assert all(error.startswith(f"{name} shardId-") for *_, error in loads.recorder.cells)


def test_what_comes_between_two_runs_that_begin_with_what_is_new(moto: Streams, database_url: str) -> None:
    make(database_url, "CREATE TABLE public.kinesis_latest (id bigint, amount integer)")
    name = moto.make(2)
    loads = loads_of(moto, name, database_url, "kinesis_latest", startAt="LATEST")
    assert loads.run().rows_in == 0
    moto.put(name, *map(value, range(10)))
    assert loads.run().rows_in == 10
    assert loads.run().rows_in == 0
    assert loads.rows("SELECT id, amount FROM public.kinesis_latest ORDER BY id") == good(range(10))


def test_a_stream_that_is_gone_fails_the_run_before_anything_is_loaded(moto: Streams, database_url: str) -> None:
    make(database_url, "CREATE TABLE public.kinesis_gone (id bigint, amount integer)")
    name = moto.make()
    loads = loads_of(moto, name, database_url, "kinesis_gone")
    loads.run()
    moto.client.delete_stream(StreamName=name)
    with pytest.raises(SourceError, match="not found") as told:
        loads.run()
    assert told.value.code == "unknown_stream"
