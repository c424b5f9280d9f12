"""Whole runs: a retry continues in the stored result of the run, even if the table has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.source import SnowflakeSource
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.snowflake.double import CREDENTIALS, Double
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

ONE = {"table": "t", "partitioning": {"by": "none"}}
NODES: list[dict[str, Any]] = [
    {"id": "src", "kind": "source", "connector": "snowflake", "config": ONE},
    {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_rows", "loadMode": "append"},
]


@pytest.mark.parametrize("expired", [False, True])
def test_a_retry_loads_what_is_left_exactly_once(account: Double, database_url: str, *, expired: bool) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute('CREATE TABLE public.ds_rows ("ID" numeric, "NAME" text)')
    account.control(chunkRows=500)
    account.make("CREATE TABLE t AS SELECT seq4() AS id, 'r' || seq4() AS name FROM TABLE(GENERATOR(ROWCOUNT => 5000))")
    runs = Runner(Path("/nowhere"), database_url, CREDENTIALS, type="snowflake", config=account.config)
    job = runs.job(NODES)
    execution = Execution(prepare(job), runs.recorder)
    source = execution.prepared.sources["src"]
    assert isinstance(source, SnowflakeSource)
    source._pauses = ()
    account.control(failChunks=100_000, failStatus=403)  # all but the rows that come with the answer itself
    with pytest.raises((SourceError, RunFailed)):
        run_in_threads(execution)
    assert rows(database_url) == (500, 500)

    account.control(failChunks=0)
    account.make("DELETE FROM t WHERE id >= 100")
    if expired:
        account.control(expire=True)
    continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(execution.prepared))
    again = Execution(prepare(replace(job, continues=continues)), runs.recorder)
    if expired:
        with pytest.raises((SourceError, RunFailed), match="keeps one for 24 hours"):
            run_in_threads(again)
        assert rows(database_url) == (500, 500)
    else:
        run_in_threads(again)
        assert rows(database_url) == (5000, 5000)


def rows(url: str) -> tuple[int, int]:
    """How many there are, and how many different ones."""
    with psycopg.connect(url) as connection:
        found = connection.execute('SELECT count(*), count(DISTINCT "ID") FROM public.ds_rows').fetchone()
    assert found is not None
    return found[0], found[1]
