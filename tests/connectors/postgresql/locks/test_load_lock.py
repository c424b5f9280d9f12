"""The lock on a target: sharing, waiting, and a lost connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.locks.load_lock import TargetLock, is_unlocked

pytestmark = pytest.mark.postgres

Lock = Callable[..., TargetLock]


@pytest.fixture
def lock(database_url: str) -> Iterator[Lock]:
    made: list[TargetLock] = []

    def make(run_id: str, table: str = "public.t", *, shared: bool = False) -> TargetLock:
        made.append(TargetLock(database_url, table, run_id, shared=shared))
        return made[-1]

    yield make
    for each in made:
        each.release()


def forget(database_url: str, run_id: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
        assert connection.execute(kill, (f"headrace {run_id}",)).fetchall() == [(True,)]


def test_one_run_has_the_table_and_the_next_is_reported_which(lock: Lock) -> None:
    one, two, elsewhere = lock("run_1"), lock("run_2", "t"), lock("run_3", "public.u")
    assert (one.acquire(), elsewhere.acquire()) == (None, None)
    assert two.acquire() == "run_1"
    assert (one.held(), two.held()) == (True, False)
    one.release()
    assert two.acquire() is None


def test_runs_that_append_share_and_one_that_does_not_waits_for_all(lock: Lock) -> None:
    first, second, alone = lock("run_1", shared=True), lock("run_2", shared=True), lock("run_3")
    assert (first.acquire(), second.acquire()) == (None, None)
    assert alone.acquire() == "run_1, run_2"
    first.release()
    assert alone.acquire() == "run_2"
    # Later requests queue after it, or it would never get the table.
    assert lock("run_4", shared=True).acquire() == "run_2, run_3"
    second.release()
    assert alone.acquire() is None


def test_a_run_that_gives_up_waiting_lets_the_others_pass(lock: Lock) -> None:
    first, alone, second = lock("run_1", shared=True), lock("run_2"), lock("run_3", shared=True)
    first.acquire()
    assert alone.acquire() == "run_1"
    assert second.acquire() == "run_1, run_2"
    alone.release()
    assert second.acquire() is None


def test_a_lock_that_the_server_forgot_is_taken_again_unless_somebody_has_it(database_url: str, lock: Lock) -> None:
    one, two = lock("run_1"), lock("run_2")
    one.acquire()
    forget(database_url, "run_1")
    assert one.held()
    forget(database_url, "run_1")
    assert two.acquire() is None
    assert not one.held()


def test_a_server_that_is_away_is_reported(database_url: str) -> None:
    with pytest.raises(TargetError, match="cannot be reached"):
        TargetLock(database_url.replace("host=/", "host=/nowhere/"), "t", "run_1", shared=True).acquire()


def test_a_table_without_a_run_is_free_and_stays_so_for_the_transaction(database_url: str, lock: Lock) -> None:
    one = lock("run_1", shared=True)
    with psycopg.connect(database_url) as connection:
        assert is_unlocked(connection, "t")
        assert one.acquire() == "another run"
        connection.rollback()
        assert one.acquire() is None
        assert not is_unlocked(connection, "public.t")
