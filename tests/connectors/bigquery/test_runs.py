"""Whole runs: the session has the columns and rows of the plan, and a retry continues in that session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.bigquery.source import BigQuerySource
from headrace.connectors.errors import SourceError
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.bigquery.double import Double
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

NODES: list[dict[str, Any]] = [
    {"id": "src", "kind": "source", "connector": "bigquery", "config": {"table": "t"}},
    {"id": "few", "kind": "transform", "input": "src", "ops": [{"type": "filter", "expression": "id < 900"}]},
    {"id": "out", "kind": "target", "input": "few", "schema": "public.ds_rows", "loadMode": "append"},
]


@pytest.fixture
def rows_of_t(bigquery: Double, database_url: str) -> Double:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_rows (id bigint, price numeric)")
    bigquery.make(
        "CREATE TABLE t (id INT64, price NUMERIC, unused STRING)",
        "INSERT INTO t SELECT n, CAST(n AS NUMERIC) / 4, 'x' FROM UNNEST(GENERATE_ARRAY(0, 999)) AS n",
    )
    bigquery.control(streams=3, responseRows=100)
    return bigquery


def runner(bigquery: Double, database_url: str) -> Runner:
    return Runner(Path("/nowhere"), database_url, bigquery.credentials, type="bigquery", config=bigquery.config)


def test_columns_and_rows_that_no_node_uses_are_not_read(rows_of_t: Double, database_url: str) -> None:
    runs = runner(rows_of_t, database_url)
    execution = Execution(prepare(runs.job(NODES)), runs.recorder)
    [stage] = execution.prepared.plan.describe()["stages"]
    assert "id < 900" in str(stage)
    run_in_threads(execution)
    assert loaded(database_url) == (900, 900)
    session = rows_of_t.sessions()[-1]
    assert (session["fields"], session["where"]) == (["id", "price"], "`id` < 900")
    assert len(rows_of_t.reads()) == len(execution.prepared.plan.stages[0].partitions) == 3


@pytest.mark.parametrize("expired", [False, True])
def test_a_retry_loads_what_is_left_exactly_once(rows_of_t: Double, database_url: str, *, expired: bool) -> None:
    runs = runner(rows_of_t, database_url)
    job = runs.job(NODES)
    execution = Execution(prepare(job), runs.recorder)
    source = execution.prepared.sources["src"]
    assert isinstance(source, BigQuerySource)
    source._pauses = ()
    rows_of_t.control(cuts=100, cutAfter=1)  # the first hundred rows of each stream
    with pytest.raises((SourceError, RunFailed)):
        run_in_threads(execution)
    count, different = loaded(database_url)
    assert 100 <= count == different <= 300

    rows_of_t.control(cuts=0, expired=expired)
    rows_of_t.make("DELETE FROM t WHERE id >= 10")
    continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(execution.prepared))
    again = Execution(prepare(replace(job, continues=continues)), runs.recorder)
    if expired:
        with pytest.raises((SourceError, RunFailed), match="keeps one for some hours"):
            run_in_threads(again)
        assert loaded(database_url) == (count, count)
    else:
        run_in_threads(again)
        assert loaded(database_url) == (900, 900)


def loaded(url: str) -> tuple[int, int]:
    """How many rows there are, and how many different ones."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id) FROM public.ds_rows").fetchone()
    assert found is not None
    return found[0], found[1]
