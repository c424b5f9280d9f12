"""Whole runs: a first load, an incremental load, and a retry that continues after a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.http.api_server import ApiServer, Failure, numbered
from tests.connectors.http.opening import paged
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


def nodes(config: dict[str, Any], **target: Any) -> list[dict[str, Any]]:
    return [
        {"id": "src", "kind": "source", "connector": "rest_api", "config": config},
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_rows", **target},
    ]


def runner(api: ApiServer, url: str) -> Runner:
    return Runner(Path("/nowhere"), url, {"token": "t-123456"}, type="rest_api", config=config(api))


def config(api: ApiServer) -> dict[str, Any]:
    return {"url": api.url, "insecureLogin": True}


@pytest.fixture
def table(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE public.ds_rows (id bigint, name text, amount numeric(40, 18), tags jsonb, at timestamptz)"
        )
    return database_url


def rows(url: str) -> tuple[int, int]:
    """How many there are, and how many different ones."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id) FROM public.ds_rows").fetchone()
    assert found is not None
    return found[0], found[1]


def test_a_run_loads_and_the_next_one_loads_what_is_new(api: ApiServer, table: str) -> None:
    api.records["orders"] = numbered(250)
    runs = runner(api, table)
    reads = nodes(paged("token", cursor={"field": "at"}, params={"since": "{cursor}"}), loadMode="append")
    runs.run(reads)
    assert rows(table) == (250, 250)
    with psycopg.connect(table) as connection:
        found = connection.execute("SELECT amount::text, tags::text FROM public.ds_rows WHERE id = 7").fetchone()
    assert found == ("7.100000000000000007", '["a", {"b": 7.50}]')
    api.records["orders"] += numbered(60, begin=251)
    runs.run(reads)
    assert rows(table) == (310, 310)
    runs.run(reads)
    assert rows(table) == (310, 310)


@pytest.mark.parametrize("way", ["page", "token", "next"])
def test_a_retry_goes_on_at_the_end_of_the_last_page(api: ApiServer, table: str, way: str) -> None:
    api.records["orders"] = numbered(550)
    runs = runner(api, table)
    reads = nodes(paged(way), loadMode="append")
    reads[0]["fields"] = [{"name": "id", "dataType": "bigint"}]
    job = runs.job(reads)
    execution = Execution(prepare(job), runs.recorder)
    api.before_page = lambda asked: api.failures.append(Failure(400)) if len(api.asked) == 5 else None
    with pytest.raises((SourceError, RunFailed)):
        run_in_threads(execution)
    loaded = rows(table)[0]
    assert loaded == 400  # all that was read
    asked = len(api.asked)
    continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(execution.prepared))
    run_in_threads(Execution(prepare(replace(job, continues=continues)), runs.recorder))
    assert rows(table) == (550, 550)
    # one page for the columns, and those after the loaded ones
    assert len(api.asked) - asked == 1 + -(-(550 - loaded) // 100) + (way == "page")


def test_parents_are_read_side_by_side(api: ApiServer, table: str) -> None:
    api.records["parents"] = [f'{{"id": "p{n}"}}' for n in range(9)]
    api.records |= {f"p{n}": numbered(150, begin=150 * n + 1) for n in range(9)}
    parent = {**paged("token", "parents"), "keys": ["id"]}
    runner(api, table).run(nodes(paged("token", "{parent.id}", parent=parent)))
    assert rows(table) == (1350, 1350)


def test_an_api_without_records_loads_none(api: ApiServer, table: str) -> None:
    api.records["orders"] = []
    fields = [{"name": "id", "dataType": "bigint"}]
    reads = nodes(paged("token"))
    reads[0]["fields"] = fields
    runner(api, table).run(reads)
    assert rows(table) == (0, 0)
