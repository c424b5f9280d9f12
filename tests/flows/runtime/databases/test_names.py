"""One database under several names: connectors are told apart by what they lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.catalog.runs.records import ConnectorRecord
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.locks.load_lock import TargetLock
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.targets.locks import TargetLocks
from tests.flows.runtime.databases.two import TABLE, both
from tests.flows.runtime.graphs.world import Mill
from tests.second_database import SecondDatabase

pytestmark = pytest.mark.postgres


def job(mill: Mill, run_id: str, shop: ConnectorRecord, store: ConnectorRecord) -> Job:
    """Loads into the tables of both databases, each of whose names its record has."""
    mill.named = {"shop": shop, "store": store}
    return replace(mill.execution(both("replace"), run_id).prepared.job, run_id=run_id)


@pytest.fixture
def tables(mill: Mill, second: SecondDatabase, third: SecondDatabase) -> None:
    mill.write("orders.csv", "id,name", [(1, "a")])
    for database in (second, third):
        database.alter(TABLE)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("held", ["one", "two"])
def test_runs_that_name_them_otherwise_lock_in_the_same_order(
    mill: Mill, second: SecondDatabase, third: SecondDatabase, held: str
) -> None:
    jobs = [
        job(mill, "run_1", second.connector("conn_1"), third.connector("conn_2")),
        job(mill, "run_2", second.connector("conn_4"), third.connector("conn_3")),
    ]
    before = TargetLock(jobs[0].databases.by_target[held], "public.orders", "run_0", shared=False)
    assert before.acquire() is None
    one, two = map(TargetLocks, jobs)
    assert [each.acquire() is None for each in (one, two)] == [False, False]
    before.release()
    ended = set()
    for each in (two, one, two, one):
        if each not in ended and each.acquire() is None:
            each.release()
            ended.add(each)
    assert ended == {one, two}, "each waits for what the other holds"


@pytest.mark.usefixtures("tables")
def test_two_connectors_of_one_database_are_refused_in_one_run(mill: Mill, second: SecondDatabase) -> None:
    config = {**second.config, "host": "localhost"}
    mill.named = {"shop": second.connector("conn_2"), "store": replace(second.connector("conn_3"), config=config)}
    with pytest.raises(TargetError, match="'one' and 'two' name the same database in two ways") as refused:
        mill.execution(both("append"))
    assert refused.value.code == "same_database"


@pytest.mark.usefixtures("tables")
def test_a_plan_says_it_too(mill: Mill, second: SecondDatabase, third: SecondDatabase) -> None:
    given = job(mill, "run_1", second.connector("conn_2"), third.connector("conn_3"))
    named = {"shop": second.connector("conn_2"), "store": second.connector("conn_3")}
    with pytest.raises(PlanFailed, match="the same database"):
        plan_run(replace(given, pipeline=replace(given.pipeline, named=named)))
