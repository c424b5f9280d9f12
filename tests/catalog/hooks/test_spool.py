"""Records of a webhook are read in their order, none is skipped, and none is removed before all have loaded it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from headrace.catalog.hooks.writing import SpoolLimits, store
from tests.catalog.hooks.spools import ROOM, Spools, delivery, numbers

pytestmark = pytest.mark.postgres


def test_a_reader_beside_many_writers_sees_every_record_once_and_in_order(spools: Spools) -> None:
    """Writers of several processes share nothing but the database; transactions overlap, and some are rolled back."""
    hook = spools.make()
    done = threading.Event()

    def write(writer: int) -> None:
        for turn in range(40):
            bodies = [delivery(b"%d" % (writer * 1000 + turn * 3 + each)) for each in range(3)]
            if turn % 10 == 9:
                bad = delivery(b"0", headers="\0")  # PostgreSQL refuses it: the whole group is rolled back
                with pytest.raises(Exception, match="NUL"):
                    store(spools.engine, hook, [*bodies, bad], ROOM)
            assert all(each.result == "stored" for each in store(spools.engine, hook, bodies, ROOM))

    def read() -> tuple[list[int], list[int]]:
        seqs: list[int] = []
        found: list[int] = []
        reader = spools.reader(hook)
        while True:
            last_turn = done.is_set()
            state = reader.state()
            assert state is not None
            while len(seqs) < state.last:  # as a run: from its cursor to the end that it has seen
                records = reader.read(len(seqs), state.last, most=50, size=1 << 20)
                seqs += records.seqs
                found += numbers(records.bodies)
            if last_turn:
                reader.close()
                return seqs, found

    with ThreadPoolExecutor(7) as pool:
        reading = pool.submit(read)
        writing = [pool.submit(write, writer) for writer in range(6)]
        for each in writing:
            each.result()
        done.set()
        seqs, found = reading.result()
    assert seqs == [*range(1, 6 * 40 * 3 + 1)]
    assert sorted(found) == sorted(writer * 1000 + each for writer in range(6) for each in range(120))
    for writer in range(6):  # those of one sender stay in their order
        mine = [each for each in found if each // 1000 == writer]
        assert mine == sorted(mine)


def test_an_open_transaction_holds_back_later_ones(spools: Spools) -> None:
    """The number of a record that is not committed yet is given to nobody else, and no later one can be seen."""
    hook = spools.make()
    spools.put(hook, b"1")
    with spools.engine.connect() as slow:
        lock = "UPDATE headrace.hook_spools SET last_seq = last_seq + 1 WHERE connector_id = %s"
        slow.exec_driver_sql(lock, (hook,))
        with ThreadPoolExecutor(1) as pool:
            later = pool.submit(spools.put, hook, b"3")
            state = spools.reader(hook).state()
            assert state is not None
            assert (state.last, later.done()) == (1, False)
            slow.rollback()
            assert later.result()[0].seq == 2
    assert spools.there(hook) == [1, 2]


def test_a_full_spool_takes_no_more_and_takes_again_what_fits_after_a_load(spools: Spools) -> None:
    hook = spools.make()
    few, small = SpoolLimits(3, 1 << 20, 10, 24), SpoolLimits(100, 10, 10, 24)
    assert [each.result for each in spools.put(hook, b"1", b"2", b"3", b"4", limits=few)] == ["stored"] * 3 + ["full"]
    assert [each.result for each in spools.put(hook, b"12345678", b"5", limits=small)] == ["full", "stored"]
    pipeline = spools.pipeline(hook)
    reader = spools.reader(hook, pipeline)
    reader.acknowledge(2)
    assert spools.there(hook) == [3, 4]
    state = reader.state()
    assert state is not None
    assert (state.last, state.freed, state.size) == (4, 2, 2)
    assert [each.seq for each in spools.put(hook, b"6", b"7", limits=few)] == [5, 0]
    reader.close()


def test_the_number_of_kept_keys_is_bounded(spools: Spools) -> None:
    hook, two = spools.make(), SpoolLimits(100, 1 << 20, 2, 24)
    sent = [delivery(b"%d" % at, key=f"k{at}") for at in range(3)]
    assert [each.result for each in store(spools.engine, hook, sent, two)] == ["stored", "stored", "keys_full"]
    assert [each.result for each in store(spools.engine, hook, sent[:1], two)] == ["repeated"]
    with spools.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE headrace.hook_keys SET received_at = now() - interval '2 days'")
    assert [each.result for each in store(spools.engine, hook, sent[2:], two, tidy=True)] == ["stored"]


def test_records_stay_until_every_pipeline_that_reads_them_has_loaded_them(spools: Spools) -> None:
    hook = spools.make()
    spools.put(hook, *(b"%d" % at for at in range(1, 6)))
    one, two = spools.pipeline(hook), spools.pipeline(hook)
    first, second = spools.reader(hook, one), spools.reader(hook, two)
    second.register()
    first.acknowledge(4)
    assert spools.there(hook) == [1, 2, 3, 4, 5]
    second.acknowledge(3)
    assert spools.there(hook) == [4, 5]
    # a document that no longer reads the webhook keeps nothing
    other = {"id": "src", "kind": "source", "connector": "webhook", "connection": "another", "config": {}}
    with spools.engine.begin() as connection:
        update = (
            "UPDATE headrace.pipeline_ir_versions SET ir = jsonb_set(ir, '{nodes,0}', %s::jsonb) WHERE pipeline_id = %s"
        )
        connection.exec_driver_sql(update, (json.dumps(other), two))
    first.acknowledge(5)
    assert spools.there(hook) == []
    first.close()
    second.close()


def test_what_is_no_run_of_a_pipeline_removes_nothing(spools: Spools) -> None:
    hook = spools.make()
    spools.put(hook, b"1")
    for reader in (spools.reader(hook), spools.reader(hook, "pipe_unknown")):
        reader.register()
        reader.acknowledge(1)
        reader.close()
    assert spools.there(hook) == [1]


def test_a_batch_ends_at_its_bytes_and_has_one_record_at_least(spools: Spools) -> None:
    hook = spools.make()
    spools.put(hook, b"1" * 100, b"2" * 10, b"3" * 10, b"4" * 10)
    reader = spools.reader(hook)
    assert [*reader.read(0, 4, most=10, size=1).seqs] == [1]
    assert [*reader.read(1, 4, most=10, size=15).seqs] == [2, 3]
    assert [*reader.read(1, 4, most=1, size=1000).seqs] == [2]
    assert [*reader.read(0, 2, most=10, size=1000).seqs] == [1, 2]
    assert [*reader.read(4, 4, most=10, size=1000).seqs] == []
    reader.close()


def test_another_tenant_has_no_such_webhook_and_a_run_may_neither_write_nor_see_keys(spools: Spools) -> None:
    hook = spools.make()
    spools.put(hook, b"1")
    other = spools.reader(hook)
    other.tenant_id = "other"
    assert other.state() is None
    other.close()
    for statement in (
        "SELECT * FROM headrace.hook_keys",
        "INSERT INTO headrace.hook_records SELECT * FROM headrace.hook_records",
        "UPDATE headrace.hook_records SET body = ''",
    ):
        with psycopg.connect(spools.run_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
