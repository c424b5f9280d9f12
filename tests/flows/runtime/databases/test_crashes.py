"""A run into two databases that dies anywhere, also between the publications of the two, is continued exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.databases.two import TABLE, both, in_both, key
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.graphs.world import Mill
from tests.second_database import SecondDatabase

pytestmark = pytest.mark.postgres

_DIES = """
import os, sys
from headrace.connectors.postgresql.load import loader, publication
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.databases.two import both, open_mill

mode, place, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
steps = 0

def dying(work):
    def killed(*args, **kwargs):
        global steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), 9)
        return work(*args, **kwargs)
    return killed

if place == "batch":
    loader.advance_ledger = dying(loader.advance_ledger)
else:
    publication.record_publication = dying(publication.record_publication)
mill = open_mill(*sys.argv[4:8])
run_in_threads(mill.execution(both(mode), parallelism=1, batch=40))
"""


@pytest.fixture
def two(mill: Mill, second: SecondDatabase, third: SecondDatabase) -> Mill:
    mill.named = {"shop": second.connector("conn_2"), "store": third.connector("conn_3")}
    mill.write("orders.csv", "id,name", [(row, f"name {row}") for row in range(1, 301)])
    for database in (second, third):
        database.alter(TABLE)
    return mill


def die(two: Mill, mode: str, place: str, at: int, databases: list[SecondDatabase]) -> None:
    """A run in a process of its own that is killed with signal 9 within a transaction of the second database or the
    third."""
    names = [each.name for each in databases]
    command = [sys.executable, "-c", _DIES, mode, place, str(at), str(two.root), two.url, *names]
    environment = {**os.environ, "SECOND_PORT": str(databases[0].config["port"])}
    killed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.parametrize(
    ("mode", "place", "at"),
    [
        ("append", "batch", 4),  # the first sink has committed a batch that the second lacks
        pytest.param("append", "batch", 5, marks=pytest.mark.slow),
        pytest.param("upsert", "batch", 4, marks=pytest.mark.slow),
        ("upsert", "publication", 2),  # published in one database, not in the other
        pytest.param("replace", "publication", 2, marks=pytest.mark.slow),
        pytest.param("scd2", "publication", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.first_variant
def test_killed_and_retried(
    two: Mill, second: SecondDatabase, third: SecondDatabase, mode: str, place: str, at: int
) -> None:
    key(mode, second, third)
    planned = two.execution(both(mode), parallelism=1, batch=40)
    earlier = stored_plan(planned.prepared)
    assert earlier["databases"] == {"one": "conn_2", "two": "conn_3"}
    die(two, mode, place, at, [second, third])
    if place == "publication":
        counts = {each.rows("SELECT count(*) FROM public.orders")[0][0] for each in (second, third)}
        assert counts == {0, 300}, "one is published, the other is not"

    again = run_in_threads(two.execution(both(mode), "run_2", root="run_1", earlier=earlier, parallelism=1, batch=55))
    assert again.rows_in == 300
    assert in_both(second, third) == [(300, 300, 45150)] * 2


def attempt(mill: Mill, mode: str, number: int, earlier: Any, bomb: Bomb) -> tuple[Execution, RunTotals | None]:
    run = mill.execution(both(mode), f"run_{number}", root="run_1", earlier=earlier, batch=30 + 17 * number)
    with armed(bomb):
        try:
            return run, run_in_threads(run)
        except Killed:
            return run, None


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("first", [1, 6, 14])
@pytest.mark.first_variant
def test_wherever_it_dies(two: Mill, second: SecondDatabase, third: SecondDatabase, mode: str, first: int) -> None:
    key(mode, second, third)
    earlier: Any = None
    totals = None
    for number, at in enumerate((first, first + 4, 10_000), start=1):
        run, totals = attempt(two, mode, number, earlier, Bomb(at))
        earlier = stored_plan(run.prepared)
        if totals is not None:
            break
    assert totals is not None
    assert in_both(second, third) == [(300, 300, 45150)] * 2


def test_a_rule_that_holds_rows_back_holds_them_back_in_both(
    two: Mill, second: SecondDatabase, third: SecondDatabase
) -> None:
    rule = {"rowCount": {"min": 301, "onFail": "abort"}}
    run = two.execution(both("append", datasetLevel=rule), batch=40)
    with pytest.raises(RunFailed, match="A dataset rule does not hold"):
        run_in_threads(run)
    assert in_both(second, third) == [(0, 0, None)] * 2
    assert second.rows("SELECT count(*) FROM _headrace.staging_ledger WHERE kind = 'measure'") == [(1,)]
    assert third.rows("SELECT count(*) FROM _headrace.staging_ledger WHERE kind = 'measure'") == [(0,)]

    allowed = {"rowCount": {"min": 300, "onFail": "abort"}}
    again = two.execution(both("append", datasetLevel=allowed), "run_2", batch=40)
    assert run_in_threads(again).rows_out == 600
    assert in_both(second, third) == [(300, 300, 45150)] * 2


def test_two_names_of_one_chain_are_two_ledgers(two: Mill, second: SecondDatabase, third: SecondDatabase) -> None:
    run_in_threads(two.execution(both("append"), batch=40))
    for database, node in ((second, "one"), (third, "two")):
        assert database.rows("SELECT DISTINCT target_node FROM _headrace.ledger") == [(node,)]
        assert database.rows("SELECT sum(rows_loaded) FROM _headrace.ledger") == [(300,)]
