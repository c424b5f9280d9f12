"""Changes of a PostgreSQL into tables of another one: each change once, whichever step a run dies at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from headrace.connectors.errors import SourceError
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.streaming.stream import Stream
from tests.connectors.sql.postgresql.changes.origin import Origin, logical_server, origin
from tests.connectors.sql.postgresql.changes.traffic import COLUMNS, begin, busy, checksum
from tests.databases import Roles, as_superuser, in_public
from tests.flows.runtime.dying import Bomb
from tests.flows.runtime.stream_loads import Loads, make

__all__ = ["logical_server", "origin"]
pytestmark = pytest.mark.postgres


def loads_of(
    origin: Origin, url: str, mode: str, *, changes: Mapping[str, Any] | None = None, more: str = "", **target: Any
) -> Loads:
    """A pipeline from `public.t` into a new table of the database of the tests."""
    table = f"c_{uuid4().hex[:8]}"
    key = "PRIMARY KEY" if mode == "cdc_mirror" else ""
    make(url, f"CREATE TABLE public.{table} ({COLUMNS.format(key=key)}{more})")
    given = {"schema": f"public.{table}", "loadMode": mode, **target}
    if mode != "append":
        given["upsertKey"] = ["id"]
    settings = {"table": "public.t", "changes": dict(changes or {}), "partitioning": {"partitions": 3}}
    loads = Loads(origin.record, url, settings, given)
    del loads.nodes[0]["fields"]
    origin.pipeline = loads.pipeline
    return loads


def test_a_mirror_is_its_origin_after_runs_that_died_anywhere(
    origin: Origin, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys in several buckets, each merged in a transaction of its own."""
    monkeypatch.setattr("headrace.connectors.postgresql.modes.merge_keys.ROWS_PER_BUCKET", 15)
    begin(origin)
    loads, chance = loads_of(origin, database_url, "cdc_mirror"), Random(7)
    died = 0
    for at in (3, 9, 14, 6, 11, 2, 17, 8, 5, 12, 10, 4):
        died += loads.dies(Bomb(at))
        busy(origin, chance, 12)
    loads.run()
    assert died >= 10
    assert checksum(origin.rows, "t") == checksum(loads.rows, loads.table)
    assert loads.run().rows_in == 0
    assert loads.recorder.cells == []
    assert len(origin.slots()) == 1


class Cut(Bomb):
    """Ends all connections of a login at the n-th step of a run, which goes on if it can."""

    def __init__(self, at: int, ends: Callable[[], object]) -> None:
        super().__init__(at)
        self._ends = ends

    def step(self) -> None:
        if not self.went_off and next(self.steps) == self._at:
            self.went_off = True
            self._ends()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["cdc_mirror", "append"])
def test_two_hundred_faults(origin: Origin, roles: Roles, mode: str) -> None:
    """Killed runs, and connections that end at either server, while the origin goes on being changed."""
    begin(origin)
    chance, url = Random(11), roles.tenant
    url = in_public(url)
    log = ", op text, lsn pg_lsn, place bigint" if mode == "append" else ""
    if log:
        origin.make("ALTER TABLE t REPLICA IDENTITY FULL")
    loads = loads_of(
        origin, url, mode, changes={"metadata": {"lsn": "lsn", "sequence": "place"}} if log else {}, more=log
    )
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'"
    [(me,)] = loads.rows("SELECT current_user::text")
    faults = 0
    while faults < 200:
        busy(origin, chance, chance.choice((0, 1, 5, 30)))
        at, kind = chance.randint(0, 16), chance.choice(("kill", "kill", "origin", "target"))
        if kind == "kill":
            faults += loads.dies(Bomb(at))
            continue
        cut = Cut(at, lambda: origin.rows(ends.format("keeper"))) if kind == "origin" else Cut(
            at, lambda: as_superuser(url, ends.format(me)))  # fmt: skip
        faults += loads.survives(cut)
    loads.run()
    loads.run()
    table = loads.table
    if mode == "cdc_mirror":
        assert checksum(origin.rows, "t") == checksum(loads.rows, table)
        return
    events = loads.rows(f"SELECT op, id, amount, note FROM {table} ORDER BY lsn NULLS FIRST, place")
    assert replayed(events) == dict_of(origin.rows("SELECT id, amount, note FROM t"))


def replayed(events: Any) -> dict[int, Any]:
    """The table that a log of events describes: fails where an event is there twice, or one is missing."""
    rows: dict[int, Any] = {}
    for op, key, *values in events:
        if op == "t":
            rows.clear()
        elif op == "d":
            del rows[key]
        else:
            assert (key in rows) == (op == "u"), (op, key)
            rows[key] = values
    return rows


def dict_of(rows: Any) -> dict[int, Any]:
    return {key: values for key, *values in rows}


def test_a_log_of_events_has_each_once(origin: Origin, database_url: str) -> None:
    begin(origin, 20)
    metadata = {"metadata": {"lsn": "at", "xid": "by"}}
    loads = loads_of(origin, database_url, "append", changes=metadata, more=", op text, at pg_lsn, by bigint")
    loads.dies(Bomb(5))
    origin.make("UPDATE t SET amount = 1", "DELETE FROM t WHERE id > 10")
    loads.dies(Bomb(4))
    origin.make("TRUNCATE t", "INSERT INTO t VALUES (1, 2, NULL)")
    loads.run()
    table = loads.table
    assert loads.rows(f"SELECT op, count(*), count(DISTINCT id) FROM {table} GROUP BY op ORDER BY op") == [
        ("c", 1, 1), ("d", 10, 10), ("r", 20, 20), ("t", 1, 0), ("u", 20, 20)]  # fmt: skip
    assert loads.rows(f"SELECT count(DISTINCT by), count(DISTINCT at) FROM {table}") == [(4, 4)]


def test_a_history_has_the_versions_and_ends_them(origin: Origin, database_url: str) -> None:
    begin(origin, 4)
    history = ", valid_from timestamptz, valid_to timestamptz, is_current boolean"
    changes = {"metadata": {"committedAt": "valid_from"}}
    loads = loads_of(origin, database_url, "scd2", changes=changes, more=history, events=True)
    loads.run()
    origin.make("UPDATE t SET amount = 5 WHERE id = 1", "DELETE FROM t WHERE id = 2")
    loads.run()
    table = loads.table
    versions = f"SELECT id, amount, is_current, valid_to IS NULL FROM {table} ORDER BY id, valid_from"
    assert loads.rows(versions) == [(1, 0, False, False), (1, 5, True, True), (2, 0, False, False),
                                    (3, 0, True, True), (4, 0, True, True)]  # fmt: skip
    [(same,)] = loads.rows(f"SELECT count(*) FROM {table} a JOIN {table} b USING (id) "
                           "WHERE a.valid_to = b.valid_from AND b.amount = 5")  # fmt: skip
    assert same == 1
    origin.make("TRUNCATE t", "INSERT INTO t VALUES (3, 9, NULL)")
    loads.run()
    current = f"SELECT id, amount FROM {table} WHERE is_current"
    assert loads.rows(current) == [(3, 9)]
    assert loads.recorder.cells == []


def test_an_epoch_for_news_and_none_without(origin: Origin, database_url: str) -> None:
    begin(origin)
    loads = loads_of(origin, database_url, "cdc_mirror", more=", added date")
    stream = loads.stream()
    try:
        assert stream.step() is not None
        assert stream.step() is None
        origin.make("UPDATE t SET amount = 3 WHERE id < 10", "ALTER TABLE t ADD COLUMN added date")
        origin.make("INSERT INTO t VALUES (99, 1, NULL, '2024-02-29')")
        step = stream.step()
        assert step is not None
        assert step.totals.rows_in == 10
        assert stream.step() is None
        assert {node: lag.rows for node, lag in stream.lags.items()} == {"src": 0}
    finally:
        stream.close()
    table = loads.table
    assert loads.rows(f"SELECT added::text FROM {table} WHERE id = 99") == [("2024-02-29",)]
    assert checksum(origin.rows, "t") == checksum(loads.rows, table)


def test_a_crash_of_the_target_after_an_epoch_is_published(origin: Origin, database_url: str) -> None:
    """A retry of the run continues with its last epoch, which the table has, though nothing of it is staged any more
    and the origin has other rows by now."""
    begin(origin)
    loads, plans = loads_of(origin, database_url, "cdc_mirror"), []
    first = loads.job(mode="streaming")
    stream = Stream(first, loads.recorder, lambda prepared, epoch: plans.append((stored_plan(prepared), epoch)))
    stream.step()
    stream.close()
    as_superuser(database_url, "TRUNCATE _headrace.staging_ledger")
    origin.make("DELETE FROM t WHERE id > 20")
    continues = Continuation(
        root_run_id=first.run_id, retry_of=first.run_id, earlier_plan=plans[0][0], epoch=plans[0][1]
    )
    again = Stream(loads.job(continues, mode="streaming"), loads.recorder, lambda prepared, epoch: None)
    try:
        step = again.step()
        assert step is not None
        assert (step.totals.rows_in, step.totals.rows_out) == (60, 60)
        assert loads.rows(f"SELECT count(*) FROM {loads.table}") == [(60,)]
        again.step()
    finally:
        again.close()
    assert checksum(origin.rows, "t") == checksum(loads.rows, loads.table)


def test_a_slot_that_is_gone_fails_the_run_or_reads_the_table_again(origin: Origin, database_url: str) -> None:
    begin(origin)
    loads = loads_of(origin, database_url, "cdc_mirror")
    loads.run()
    origin.make("DELETE FROM t WHERE id < 30", "UPDATE t SET amount = 7")
    origin.rows(f"SELECT pg_drop_replication_slot('{origin.slots()[0]}')")
    with pytest.raises(SourceError, match="is gone, or the server has removed changes") as raised:
        loads.run()
    assert raised.value.code == "slot_lost"
    loads.nodes[0]["config"]["changes"]["onLostSlot"] = "snapshot"
    loads.run()
    origin.make("UPDATE t SET amount = 8 WHERE id = 40")
    loads.run()
    assert checksum(origin.rows, "t") == checksum(loads.rows, loads.table)
    assert len(origin.slots()) == 1
