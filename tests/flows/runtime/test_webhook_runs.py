"""What was sent to a webhook into tables: each record once, whichever step a run dies at, and removed only then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.catalog.hooks.reading import SpoolReader
from headrace.catalog.hooks.writing import store
from headrace.connectors.errors import SourceError
from headrace.flows.runtime.streaming.stream import Stream
from tests.catalog.hooks.spools import ROOM, Spools, delivery
from tests.databases import Roles
from tests.flows.runtime.dying import Bomb
from tests.flows.runtime.hook_loads import HookLoads, good, value
from tests.flows.runtime.stream_loads import make

pytestmark = pytest.mark.postgres
_TABLE = "id bigint, amount integer"


@pytest.fixture
def spools(migrated: Roles) -> Iterator[Spools]:
    found = Spools(migrated)
    yield found
    found.close()


def loads_of(roles: Roles, spools: Spools, **settings: Any) -> tuple[HookLoads, str]:
    table = f"d_{uuid4().hex[:8]}"
    loads = HookLoads.made(roles, spools, {"schema": f"public.{table}", "loadMode": "append"}, **settings)
    make(loads.url, f"CREATE TABLE public.{table} ({_TABLE})")
    return loads, f"SELECT id, amount FROM public.{table} ORDER BY id, amount"


def send(spools: Spools, loads: HookLoads, numbers: range) -> None:
    spools.put(loads.hook, *map(value, numbers))


def every(step: int) -> Iterator[int]:
    at = 0
    while True:
        yield at
        at += step


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_dies_between_any_two_steps_loses_and_doubles_nothing(
    migrated: Roles, spools: Spools, stride: int
) -> None:
    for at in every(stride):
        loads, query = loads_of(migrated, spools)
        send(spools, loads, range(60))
        died = loads.dies(Bomb(at))
        send(spools, loads, range(60, 80))
        assert loads.run().rows_in == 20
        assert loads.run().rows_in == 0
        assert loads.rows(query) == good(range(80))
        assert spools.there(loads.hook) == []
        dead = "SELECT place, value FROM _headrace.dead_letters"
        assert ("record 25", b"{") in loads.rows(dead)
        if not died:
            assert at > 20
            return


def test_a_run_reads_no_more_than_it_may_and_the_next_goes_on(migrated: Roles, spools: Spools) -> None:
    loads, query = loads_of(migrated, spools)
    send(spools, loads, range(100))
    assert loads.run(maxRows=40).rows_in == 40
    assert spools.there(loads.hook) == [*range(41, 101)]
    assert [loads.run(maxRows=40).rows_in for _ in range(3)] == [40, 20, 0]
    assert loads.rows(query) == good(range(100))
    assert all(error.startswith("record ") for *_, error in loads.recorder.cells)


_DIES = """
import os, signal, sys
from headrace.catalog.hooks.reading import SpoolReader
from tests.flows.runtime.hook_loads import HookLoads

def killed(self, seq):
    os.kill(os.getpid(), signal.SIGKILL)

SpoolReader.acknowledge = killed
url, run_url, hook, pipeline, table = sys.argv[1:]
loads = HookLoads(url, run_url, hook, {"schema": f"public.{table}", "loadMode": "append"})
loads.pipeline = pipeline
loads.run()
"""


def test_a_run_that_is_killed_between_load_and_clean_up_leaves_that_to_the_next(
    migrated: Roles, spools: Spools
) -> None:
    loads, query = loads_of(migrated, spools)
    send(spools, loads, range(20))
    table = query.split("public.")[1].split()[0]
    given = (loads.url, loads.run_url, loads.hook, loads.pipeline, table)
    ended = subprocess.run([sys.executable, "-c", _DIES, *given], env={**os.environ}, check=False)
    assert ended.returncode == -9
    assert loads.rows(query) == good(range(20))
    assert spools.there(loads.hook) == [*range(1, 21)]
    send(spools, loads, range(20, 24))
    assert loads.run().rows_in == 4
    assert spools.there(loads.hook) == []
    assert loads.rows(query) == good(range(24))


def test_a_clean_up_that_fails_is_logged_and_fails_no_run(
    migrated: Roles, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: SpoolReader, seq: int) -> None:
        raise psycopg.OperationalError("the server is away")

    loads, query = loads_of(migrated, spools)
    send(spools, loads, range(3))
    with monkeypatch.context() as patched:
        patched.setattr(SpoolReader, "acknowledge", away)
        assert loads.run().rows_out == 3
    assert any("could not be acknowledged" in line and "away" in line for line in loads.recorder.lines)
    loads.run()
    assert (spools.there(loads.hook), loads.rows(query)) == ([], good(range(3)))


def test_a_stream_takes_what_comes_and_removes_it(migrated: Roles, spools: Spools) -> None:
    loads, query = loads_of(migrated, spools)
    stream: Stream = loads.stream()
    try:
        for turn in range(4):
            send(spools, loads, range(20 * turn, 20 * turn + 20))
            result = stream.step()
            assert result is not None
            assert (result.totals.rows_in, result.complete) == (20, True)
            assert spools.there(loads.hook) == []
            assert stream.step() is None
            assert stream.lags["src"].rows == 0
    finally:
        stream.close()
    assert loads.rows(query) == good(range(80))


def test_records_that_are_gone_fail_a_run_unless_it_may_go_on(migrated: Roles, spools: Spools) -> None:
    loads, query = loads_of(migrated, spools)
    send(spools, loads, range(10))
    loads.run()
    send(spools, loads, range(10, 20))
    back = f"UPDATE _headrace.cursors SET position = '{{\"sequence\": 3}}' WHERE pipeline_id = '{loads.pipeline}'"
    make(loads.url, back)
    with pytest.raises(SourceError, match="Record 4 ") as told:
        loads.run()
    assert told.value.code == "offsets_gone"
    assert loads.rows(query) == good(range(10))
    loads.nodes[0]["config"] = {"onMissingOffsets": "earliest"}
    assert loads.run().rows_in == 10
    assert loads.rows(query) == good(range(20))


def test_a_record_that_is_missing_among_others_is_noticed(migrated: Roles, spools: Spools) -> None:
    loads, query = loads_of(migrated, spools)
    send(spools, loads, range(10))
    with spools.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM headrace.hook_records WHERE seq = 4")
    with pytest.raises(SourceError, match="Record 4 "):
        loads.run(batchSize=100)
    assert loads.rows(query) == []


def test_metadata_and_several_rows_of_one_body(migrated: Roles, spools: Spools) -> None:
    table = f"d_{uuid4().hex[:8]}"
    metadata = {"sequence": "n", "key": "k", "headers": "h", "received": "at"}
    loads = HookLoads.made(
        migrated, spools, {"schema": f"public.{table}", "loadMode": "append"}, format="jsonl", metadata=metadata
    )
    named = [("n", "bigint"), ("k", "text"), ("h", "json"), ("at", "timestamptz")]
    loads.nodes[0]["fields"] = [
        {"name": "id", "dataType": "bigint"},
        *({"name": name, "dataType": kind} for name, kind in named),
    ]
    make(loads.url, f"CREATE TABLE public.{table} (id bigint, n bigint, k text, h jsonb, at timestamptz)")
    sent = [delivery(b'{"id": 1}\n{"id": 2}\n', "a", '{"X-Event":"made"}'), delivery(b'{"id": 3}')]
    store(spools.engine, loads.hook, sent, ROOM)
    assert loads.run().rows_out == 3
    found = loads.rows(f"SELECT id, n, k, h, at FROM public.{table} ORDER BY id")
    first, last = sent[0].received_at, sent[1].received_at
    event = {"X-Event": "made"}
    assert found == [(1, 1, "a", event, first), (2, 1, "a", event, first), (3, 2, None, None, last)]


def test_limits_hold_for_several_targets_too_whichever_step_a_run_dies_at(migrated: Roles, spools: Spools) -> None:
    """The rows of a partition are staged first then, as far as the limits allow."""
    one, two = (f"d_{uuid4().hex[:8]}" for _ in range(2))
    for at in (None, 5, 17, 29):
        loads = HookLoads.made(migrated, spools, {"schema": f"public.{one}", "loadMode": "append"})
        loads.nodes.append({**loads.nodes[1], "id": "other", "schema": f"public.{two}"})
        for table in (one, two):
            make(loads.url, f"DROP TABLE IF EXISTS public.{table}")
            make(loads.url, f"CREATE TABLE public.{table} ({_TABLE})")
        send(spools, loads, range(100))
        if at is None:
            assert [loads.run(maxRows=40).rows_in for _ in range(4)] == [40, 40, 20, 0]
        else:
            assert loads.dies(Bomb(at), maxRows=40)
            assert spools.there(loads.hook) == [*range(41, 101)]
            assert [loads.run(maxRows=40).rows_in for _ in range(3)] == [40, 20, 0]
        for table in (one, two):
            query = f"SELECT id, amount FROM public.{table} ORDER BY id"
            assert loads.rows(query) == good(range(100))
        assert spools.there(loads.hook) == []


def test_a_stream_into_several_targets_says_that_it_is_behind_while_its_epochs_end_early(
    migrated: Roles, spools: Spools
) -> None:
    loads, _ = loads_of(migrated, spools)
    other = f"d_{uuid4().hex[:8]}"
    make(loads.url, f"CREATE TABLE public.{other} ({_TABLE})")
    loads.nodes.append({**loads.nodes[1], "id": "other", "schema": f"public.{other}"})
    send(spools, loads, range(30))
    stream = loads.stream(maxRows=20)
    try:
        first, second = stream.step(), stream.step()
    finally:
        stream.close()
    assert first is not None
    assert second is not None
    assert [(each.totals.rows_in, each.complete) for each in (first, second)] == [(20, False), (10, True)]


def test_without_a_catalog_there_is_no_spool_and_the_error_says_so(roles: Roles) -> None:
    nowhere = HookLoads(roles.owner, "", "conn_1", {"schema": "public.t", "loadMode": "append"})
    with pytest.raises(SourceError, match="there is none here") as told:
        nowhere.run()
    assert told.value.code == "no_spool"
