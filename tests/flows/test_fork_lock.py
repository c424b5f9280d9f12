"""A child that is forked while another thread holds a lock of a module does not wait for it for ever."""

from __future__ import annotations

import multiprocessing
import threading

import polars as pl
import pytest

from headrace.deployments.prefect import connection
from headrace.flows.fork_lock import ForkLock
from headrace.flows.models import embedding, language, places, sentiment
from headrace.flows.query import result_columns, result_types
from headrace.flows.runtime.shuffle import buckets
from headrace.flows.runtime.staging import scratch
from headrace.ir.sql.queries.query import query

LOCKS = {
    "queries": result_types._lock,
    "embedding": embedding._loading,
    "language": language._loading,
    "places": places._loading,
    "sentiment": sentiment._loading,
    "buckets": buckets._one_at_a_time,
    "scratch": scratch._alone,
    "prefect": connection._IMPORTING,
}


def _takes(lock: ForkLock) -> None:
    with lock:
        pass


def _types() -> None:
    result_columns(query("SELECT a + 1 AS b FROM input"), {"a": pl.Int64()})


@pytest.mark.parametrize("name", [*LOCKS, "a query"])
def test_a_child_has_its_locks(name: str) -> None:
    lock = LOCKS.get(name, result_types._lock)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            free.wait()

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_types) if name == "a query" else context.Process(target=_takes, args=(lock,))
    child.start()
    child.join(20)
    ended = child.exitcode
    child.kill()
    child.join()
    free.set()
    holding.join()
    assert ended == 0
    _takes(lock)
