"""`micro_batch`: every run continues where the last one ended, and keeps its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headrace.connectors.source import Discovery, Partition, Restart, numbered_from
from headrace.flows.runtime.execution_config import ExecutionConfig
from tests.flows.runtime.graphs.world import Mill, target, transform
from tests.flows.runtime.shelf import Shelf


@pytest.fixture
def mill(tmp_path: Path, database_url: str) -> Mill:
    files = tmp_path / "files"
    files.mkdir()
    found = Mill(files, database_url)
    found.table("one", "id bigint, amount integer")
    found.table("keyed", "id bigint PRIMARY KEY, amount integer")
    return found


def shelf_of(rows: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Shelf:
    shelf = Shelf(dict.fromkeys(range(1, rows + 1), "1"), cursor=True, **options)
    shelf.put(monkeypatch)
    return shelf


@pytest.mark.postgres
@pytest.mark.parametrize("restart", [Restart.EXACT, Restart.BOUNDARY])
@pytest.mark.parametrize("mode", ["append", "upsert", "deduplicate"])
def test_a_run_stops_at_its_most_rows_and_the_next_goes_on_there(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, mode: str, restart: Restart
) -> None:
    shelf = shelf_of(100, monkeypatch, restart=restart)
    nodes = [shelf.node(), target("tgt", "src", "one")]
    if mode == "upsert":
        nodes = [shelf.node(), target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
    elif mode == "deduplicate":
        dedup = transform("dd", "src", {"type": "deduplicate", "keys": ["id"]})
        nodes = [shelf.node(), dedup, target("tgt", "dd", "one")]

    def run() -> int:
        config = {"mode": "micro_batch", "maxRows": 45}
        return mill.run(nodes, run_id=f"m{uuid4().hex[:8]}", batch=20, config=config).rows_in

    # whole batches are read: 45 rows are reached with the third
    assert [run(), run(), run()] == [60, 40, 0]
    shelf.rows[101] = "1"
    assert run() == 1
    table = "keyed" if mode == "upsert" else "one"
    assert [key for (key,) in mill.rows(f"SELECT id FROM public.{table} ORDER BY id")] == list(range(1, 102))


@pytest.mark.postgres
def test_a_run_may_stop_by_the_clock_and_loses_nothing(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelf_of(100, monkeypatch)
    ticks = iter(range(10**6))
    monkeypatch.setattr("headrace.flows.runtime.input.partition_input.monotonic", lambda: next(ticks))
    config, nodes = {"mode": "micro_batch", "maxSeconds": 2}, [shelf.node(), target("tgt", "src", "one")]
    read = [mill.run(nodes, run_id=f"t{number}", batch=20, config=config).rows_in for number in range(4)]
    assert read == [40, 40, 20, 0]
    assert mill.rows("SELECT count(*), count(DISTINCT id) FROM public.one") == [(100, 100)]


@pytest.mark.postgres
def test_a_source_without_a_cursor_is_read_whole_and_the_run_says_so(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_of(50, monkeypatch)
    shelf.cursor = False
    run = mill.execution([shelf.node(), target("tgt", "src", "one")], config={"mode": "micro_batch", "maxRows": 10})
    [note] = [each for each in run.prepared.plan.notes if "no cursor" in each]
    assert note.startswith("src has no cursor")
    assert run.prepared.total_rows > 10


@pytest.mark.postgres
def test_outside_of_a_stream_the_mode_streaming_reads_what_is_new_once(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_of(10, monkeypatch)
    nodes, config = [shelf.node(), target("tgt", "src", "one")], {"mode": "streaming"}
    assert [mill.run(nodes, run_id=f"s{number}", config=config).rows_in for number in range(2)] == [10, 0]


def test_a_stream_is_bounded_unless_it_says_otherwise() -> None:
    config = ExecutionConfig.of({"mode": "streaming"})
    assert (config.max_seconds, config.rollover_seconds, config.max_lag_seconds) == (30, 3600, None)
    config = ExecutionConfig.of({"mode": "streaming", "maxSeconds": 5, "rolloverSeconds": 60, "maxLagSeconds": 9})
    assert (config.max_seconds, config.rollover_seconds, config.max_lag_seconds) == (5, 60, 9)


def test_the_most_rows_are_shared_out_so_that_no_partition_starves() -> None:
    config = ExecutionConfig.of({"mode": "micro_batch", "maxRows": 10})
    partitions = [Partition(index, 1 + 50 * index, 50, {}, cursor=f"shard-{index}") for index in range(3)]
    found = Discovery((), partitions, 150, None)
    assert config.rows_of(found) == 4
    bounded = config.bounded(found)
    assert [(each.rows, each.counted, each.first_row) for each in bounded.partitions] == [
        (4, False, numbered_from(index)) for index in range(3)
    ]
    assert bounded.total_rows == 12
    assert ExecutionConfig.of({"maxRows": 10}).bounded(found) is found


def test_partitioning_is_for_sources_that_say_nothing_themselves() -> None:
    config = ExecutionConfig.of({"partitioning": {"by": "key", "column": "id", "partitions": 3}})
    wanted = {"by": "key", "column": "id", "partitions": 3}
    assert config.split({"table": "t"}) == {"table": "t", "partitioning": wanted}
    own = {"table": "t", "partitioning": {"by": "none"}}
    assert config.split(own) == own
    assert config.partitions == 3
    by_file = ExecutionConfig.of({"partitioning": {"by": "file"}})
    assert by_file.split({"table": "t"}) == {"table": "t"}
