"""Whole runs over remote files: loaded exactly once and archived, after a crash at any step."""

from __future__ import annotations

import asyncio
from functools import partialmethod
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.stores.object_store.bucket import Bucket
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.input.file_arrival import arrive
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.connectors.stores.conftest import made
from tests.connectors.stores.places import Place
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

TAKING: dict[str, Any] = {"path": "in/", "pattern": "*.csv", "atomicity": {"successFolder": "done"}, "settleSeconds": 0}


@pytest.fixture
def table(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_rows (id bigint, name text)")
    return database_url


def runner(place: Place, url: str) -> Runner:
    return Runner(Path("/nowhere"), url, place.credentials, type=place.type, config=place.config)


def nodes(place: Place, **config: Any) -> list[dict[str, Any]]:
    return [
        {"id": "src", "kind": "source", "connector": place.connector, "config": config},
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_rows"},
    ]


def whole(job: Job, runs: Runner) -> None:
    """As the flow does it."""
    arrival = asyncio.run(arrive(job, runs.recorder))
    try:
        execution = Execution(prepare(arrival.job), runs.recorder)
        run_in_threads(execution)
    except (SourceError, RunFailed) as error:
        raise RunFailed(arrival.failed(error)) from error
    arrival.completed(execution.prepared.sources)


def loaded(url: str) -> list[tuple[int, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT id, name FROM public.ds_rows ORDER BY id").fetchall()


def kept(place: Place) -> list[str]:
    return [name for name in place.names() if ".headrace/" not in name and ".claims/" not in name]


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        ({"path": "in/b.csv"}, [2]),
        ({"path": "in/", "pattern": "*.csv", "ordering": "process_all"}, [1, 2, 3]),
        ({"path": "in/", "pattern": {"type": "regex", "value": r"[bc]\.csv"}}, [2]),
        ({"path": "in/", "pattern": "*.csv", "ordering": "latest_by_mtime"}, [1, 2, 3]),
    ],
)
def test_pattern_and_ordering_mean_the_same_as_locally(
    place: Place, table: str, config: dict[str, Any], ids: list[int]
) -> None:
    for number, name in enumerate("abc", 1):
        place.add(f"in/{name}.csv", f"id,name\n{number},{name}\n".encode())
    runs = runner(place, table)
    runs.run(nodes(place, **config))
    found = [number for number, _ in loaded(table)]
    if config.get("ordering") == "latest_by_mtime":  # of three that came at nearly the same time
        assert len(found) == 1
        assert found[0] in ids
    else:
        assert found == ids


def test_files_are_taken_loaded_and_put_away(place: Place, table: str) -> None:
    for number, name in enumerate("ab", 1):
        place.add(f"in/{name}.csv", f"id,name\n{number},{name}\n".encode())
    place.add("in/c.csv", b"")
    runs = runner(place, table)
    for _ in range(2):
        whole(runs.job(nodes(place, **TAKING)), runs)
    assert loaded(table) == [(1, "a"), (2, "b")]
    assert kept(place) == ["in/c.csv", "in/done/a.csv", "in/done/b.csv"]
    with pytest.raises(RunFailed, match=r"'in/c.csv' moved to 'in/.failed/c.csv'"):
        whole(runs.job(nodes(place, **TAKING)), runs)
    assert kept(place) == ["in/.failed/c.csv", "in/done/a.csv", "in/done/b.csv"]


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("offset", [0, 1, 2])
@pytest.mark.first_variant
def test_a_run_that_died_while_files_moved_is_exact(
    request: pytest.FixtureRequest, table: str, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    """Every third request; that of each single move is looked at elsewhere."""
    left = [-1]
    for name in ("head", "listing", "under", "text", "put", "put_new", "copy", "delete"):

        def asked(*args: Any, real: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)

        monkeypatch.setattr(Bucket, name, partialmethod(asked, real=getattr(Bucket, name)))
    step, died = offset, True
    while died:
        place = made("s3", request)
        place.add("in/a.csv", b"id,name\n1,a\n2,b\n")
        runs = runner(place, table)
        job = runs.job(nodes(place, **TAKING))
        left[0] = step
        try:
            whole(job, runs)
            died = False
        except Killed:
            left[0] = -1
            whole(job, runs)
        left[0] = -1
        assert kept(place) == ["in/done/a.csv"]
        assert loaded(table) == [(1, "a"), (2, "b")], f"killed before request {step}"
        with psycopg.connect(table) as connection:
            connection.execute("TRUNCATE public.ds_rows")
        step += 9
    assert step > 60
