"""A run of several stages that dies anywhere goes on and ends as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.postgresql import sent
from deployments.stack.postgres import EmbeddedPostgres, ensure_database
from flows.runtime import sending, staging_files
from flows.runtime.execute import Execution, RunTotals, run_in_threads
from flows.runtime.prepare import stored_plan
from tests.effort import examples
from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

pytestmark = pytest.mark.postgres


class Killed(BaseException):
    """The process is gone."""


class Bomb:
    """Goes off at the n-th step of a run: before or behind a file that is written, a batch that is loaded, a ledger
    that is moved. After that nothing of the attempt gets through any more."""

    def __init__(self, at: int) -> None:
        self._at, self.steps, self.went_off = at, count(), False

    def step(self) -> None:
        if self.went_off or next(self.steps) == self._at:
            self.went_off = True
            raise Killed

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = work(*args, **kwargs)
            self.step()
            return result

        return watched


@contextmanager
def armed(bomb: Bomb) -> Iterator[None]:
    """The bomb at every place where something outlives the process."""
    from connectors.postgresql import loader, session

    places: list[tuple[Any, str]] = [
        (staging_files.StagingFiles, "write"),
        (staging_files.StagingFiles, "sink"),
        (session, "move_ledger"),
        (sending, "note_sent"),
        (sending.SendingLoader, "write"),
        (loader, "move_ledger"),
        (loader.CopyLoader, "write"),
    ]
    kept = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, work in kept:
        setattr(place, name, bomb.around(work))
    try:
        yield
    finally:
        for place, name, work in kept:
            setattr(place, name, work)


KINDS = "abcdefgh"


def nodes() -> list[Node]:
    count_all = [{"fn": "count", "as": "n"}, {"field": "amount", "fn": "sum", "as": "total"}]
    return [
        source("orders.csv", {"id": "bigint", "customer": "bigint", "amount": "text"}, "orders"),
        source("customers.csv", {"nr": "bigint", "kind": "text"}, "customers"),
        transform("clean", "orders", {"type": "cast", "field": "amount", "to": "integer"}),
        {
            "id": "both",
            "kind": "join",
            "inputs": ["clean", "customers"],
            "type": "left",
            "on": [{"left": "customer", "right": "nr"}],
        },
        {
            "id": "by",
            "kind": "branch",
            "input": "both",
            "routes": [{"name": "big", "when": "amount > 50"}],
            "default": "small",
        },
        target("big", "by.big", "big"),
        target("small", "by.small", "small"),
        transform("groups", "both", {"type": "aggregate", "groupBy": ["kind"], "aggregations": count_all}),
        target("counts", "groups", "counts", loadMode="append"),
        transform("one", "clean", {"type": "deduplicate", "keys": ["customer"], "keep": "last"}),
        target("latest", "one", "latest"),
    ]


ORDERS = [
    (number, random.Random(number).randrange(40), "bad" if number % 50 == 0 else number % 101)
    for number in range(1, 401)
]
CUSTOMERS = [(number, KINDS[number % 8]) for number in range(0, 36)]


def fill(mill: Mill) -> None:
    mill.root.mkdir(exist_ok=True)
    mill.write("orders.csv", "id,customer,amount", ORDERS)
    mill.write("customers.csv", "nr,kind", CUSTOMERS)
    for name in ("big", "small"):
        mill.table(name, "id bigint, customer bigint, amount integer, kind text")
    mill.table("counts", "kind text, n bigint, total bigint")
    mill.table("latest", "id bigint, customer bigint")


def check_tables(mill: Mill) -> None:
    good = [(n, c, a) for n, c, a in ORDERS if a != "bad"]
    kinds = dict(CUSTOMERS)
    assert mill.rows("SELECT id, customer, amount, kind FROM big ORDER BY id") == [
        (n, c, a, kinds.get(c)) for n, c, a in good if a > 50
    ]
    assert mill.rows("SELECT id FROM small ORDER BY id") == [(n,) for n, _, a in good if a <= 50]
    groups = {kind: [a for _, c, a in good if kinds.get(c) == kind] for kind in [*KINDS, None]}
    found = {kind: (n, total) for kind, n, total in mill.rows("SELECT kind, n, total FROM counts")}
    assert len(mill.rows("SELECT FROM counts")) == len(found)
    assert found == {kind: (len(amounts), sum(amounts)) for kind, amounts in groups.items() if amounts}
    latest = {c: n for n, c, _ in good}
    assert mill.rows("SELECT id, customer FROM latest ORDER BY id") == sorted((n, c) for c, n in latest.items())


def check(mill: Mill) -> None:
    check_tables(mill)
    latest, found = mill.rows("SELECT FROM latest"), mill.rows("SELECT FROM counts")
    flow = mill.flow("orders", "clean", "both", "by", "big", "small", "groups", "counts", "one", "latest")
    assert flow["orders"] == (400, 400, 0, 0)
    assert flow["clean"] == (400, 392, 8, 0)
    assert flow["both"] == (392 + 36, 392, 0, 0)
    assert flow["by"] == (392, 392, 0, 0)
    assert flow["groups"] == (392, len(found), 0, 0)
    assert flow["counts"] == (len(found), len(found), 0, 0)
    assert flow["one"] == (392, len(latest), 0, 392 - len(latest))
    assert len(mill.journal.errors) == 8


@contextmanager
def fresh(server: EmbeddedPostgres, folder: Path) -> Iterator[Mill]:
    name = f"crash_{uuid4().hex[:12]}"
    ensure_database(server.url("postgres"), name)
    try:
        mill = Mill(folder / name / "files", server.url(name))
        mill.root.parent.mkdir()
        fill(mill)
        yield mill
    finally:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def attempt(mill: Mill, number: int, earlier: Any, bomb: Bomb) -> tuple[Execution, RunTotals | None]:
    """One attempt, perhaps killed; the batches of each are cut differently."""
    run = mill.execution(nodes(), f"run_{number}", root="run_1", earlier=earlier, parallelism=2, batch=60 + 37 * number)
    with armed(bomb):
        try:
            return run, run_in_threads(run)
        except Killed:
            return run, None


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(deaths=st.lists(st.integers(0, 227), min_size=1, max_size=3), tidied=st.booleans())
def test_wherever_it_dies_a_retry_ends_it(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, deaths: list[int], tidied: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch, fresh(postgres_server, tmp_path_factory.mktemp("crashes")) as mill:
        patch.setattr("flows.compile.gather._ONE_BUCKET_ROWS", 0)
        earlier, totals = None, None
        for number, death in enumerate([*deaths, 10**9], 1):
            run, totals = attempt(mill, number, earlier, Bomb(death))
            if totals is not None:
                break
            earlier = stored_plan(run.prepared) if committed(mill) else None
            if tidied:  # another machine goes on, or somebody emptied the disk
                staging_files.StagingFiles(run.prepared.job.staging, "run_1").remove()
        assert totals is not None
        assert totals.rows_in == 436
        check(mill)


def committed(mill: Mill) -> bool:
    """As a retry asks: is anything of it committed that the next attempt must be true to?"""
    return bool(mill.rows("SELECT FROM _headrace.ledger LIMIT 1"))


def test_files_that_vanish_between_stages_are_noticed(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.compile.gather._ONE_BUCKET_ROWS", 0)
    fill(mill)
    run = mill.execution(nodes())
    run.begin()
    reading = [stage for stage in run.prepared.plan.stages if stage.source is not None]
    for stage in reading:
        for partition in stage.partitions:
            run.partition(stage, partition.index)
    victim = next(path for path in sorted(run.prepared.job.staging.rglob("p*.parquet")) if "both" in str(path))
    victim.unlink()
    gathering = next(stage for stage in run.prepared.plan.stages if stage.gathering is not None)
    with pytest.raises(Exception, match="are gone from the staging folder: retry the run"):
        run.partition(gathering, 0)
    again = mill.execution(nodes(), "run_2", root="run_1", earlier=stored_plan(run.prepared))
    run_in_threads(again)
    check(mill)
    assert sent.read_sent(psycopg.connect(mill.url), "run_1", "both.0.0") == []
