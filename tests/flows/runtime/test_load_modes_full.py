"""Whole runs with staged rows: the table after a crash at any step, a retry, or a replay."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.committed import committed_partitions, committed_rows
from headrace.connectors.postgresql.ledger.partitions import full_load_key
from headrace.connectors.postgresql.locks.load_lock import TargetLock
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import OpenPartition
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.targets.locks import TargetLocks
from tests.databases import as_superuser
from tests.flows.runtime.shop import Shop, many

pytestmark = pytest.mark.postgres

FULL = ("replace", "truncate", "blue_green")
INCREMENTAL = "incremental_watermark"
ROWS = 12_000
_PATIENCE_S = 30
EXECUTION = {"parallelism": 2, "batchSize": 2_000}
FORGOTTEN = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '_headrace' LOOP
    EXECUTE format('TRUNCATE _headrace.%I CASCADE', name);
  END LOOP;
END $$
"""
OLD = "INSERT INTO ds_orders SELECT -n, 'old', 1, '2000-01-01' FROM generate_series(1, 10) AS n"


class Died(Exception):
    """Simulates the end of the process."""


class ModeShop(Shop):
    """A Shop whose target has a load mode."""

    locks: TargetLocks | None

    def __init__(self, files_root: Path, database_url: str, mode: str) -> None:
        super().__init__(files_root, database_url)
        self.mode, self.locks = mode, None
        self.write(many(ROWS))
        with psycopg.connect(database_url) as connection:
            connection.execute(OLD)

    def pipeline(self, **arguments: Any) -> RunPipeline:
        made = super().pipeline(**({"execution": EXECUTION} | arguments))
        made.ir["nodes"][-1] |= {"loadMode": self.mode, "watermarkColumn": "id"}
        return made

    def execution(self, run_id: str = "run_1", root: str = "run_1", earlier: Any = None, **pipeline: Any) -> Execution:
        """A run that has the table, unlike the one before it."""
        if self.locks is not None:
            self.locks.release()
        job = Job(run_id, self.pipeline(**pipeline), self.url, self.root, Continuation(root, earlier_plan=earlier))
        self.locks = TargetLocks(job)
        deadline = time.monotonic() + _PATIENCE_S
        while (reason := self.locks.acquire()) is not None:
            # A killed process has the table until PostgreSQL sees that its connection is gone.
            assert time.monotonic() < deadline, reason
            time.sleep(0.05)
        return Execution(prepare(job), self.recorder, self.locks)

    def again(self, died: Execution, run_id: str, **pipeline: Any) -> Execution:
        """The same run begun again, or a retry of it under another id, as `flows.resume.continuation` has it."""
        keys = ["run_1", full_load_key("run_1")] if run_id == "run_1" else ["run_1"]
        with psycopg.connect(self.url) as connection:
            _, begun = committed_rows(committed_partitions(connection, keys))
        return self.execution(run_id, earlier=stored_plan(died.prepared) if begun else None, **pipeline)

    @property
    def expected(self) -> tuple[int, int]:
        """Rows and distinct keys after a good run: the old rows stay where rows are added."""
        return (ROWS + 10, ROWS + 10) if self.mode == INCREMENTAL else (ROWS, ROWS)

    def count(self) -> tuple[int, int]:
        return self.table("SELECT count(*), count(DISTINCT id) FROM ds_orders")[0]  # type: ignore[return-value]

    def remaining_tables(self) -> list[tuple[Any, ...]]:
        return self.table("SELECT relname FROM pg_class WHERE relname ~ '^stage_|__new$'")


@pytest.fixture(params=["replace", "blue_green", INCREMENTAL])
def shop(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[ModeShop]:
    shop = ModeShop(tmp_path, database_url, request.param)
    yield shop
    if shop.locks is not None:
        shop.locks.release()


def dies(execution: Execution, step: str) -> None:
    """Runs it up to this step."""
    mode = execution.prepared.modes["tgt"]
    if step == "a batch":
        _dies_in_a_partition(execution)
    elif step in ("publish", "after publish"):
        publish = mode.publish

        def failing(stage: int, index: int, on_publish: Any) -> Any:
            def die(published: Any) -> Any:
                on_publish(published)
                raise Died

            publish(stage, index, die if step == "publish" else on_publish)
            raise Died

        mode.publish = failing  # type: ignore[method-assign]
    else:
        begin, finish = mode.begin, mode.finish

        def die(then: Any) -> Any:
            def called() -> None:
                then()
                raise Died

            return called

        if step == "begin":
            mode.begin = die(begin)  # type: ignore[method-assign]
        else:
            mode.finish = die(finish)  # type: ignore[method-assign]
    with pytest.raises(Died):
        run_in_threads(execution)


def _dies_in_a_partition(execution: Execution) -> None:
    """When some batches are committed."""
    mode = execution.prepared.modes["tgt"]
    make = mode.loader

    def loader(stage: int, partition: int, source_node: str) -> Any:
        made = make(stage, partition, source_node)
        write = made.write

        def failing(*arguments: Any) -> Any:
            written = write(*arguments)
            if made.resume.rows_done >= 4_000:
                raise Died
            return written

        made.write = failing  # type: ignore[method-assign]
        return made

    mode.loader = loader  # type: ignore[method-assign]


STEPS = ("begin", "a batch", "publish", "after publish", "finish")


@pytest.mark.parametrize("run_id", ["run_1", "run_2"], ids=["begun again", "retried"])
@pytest.mark.first_variant
def test_wherever_a_run_dies_the_next_attempt_leaves_one_copy(shop: ModeShop, run_id: str) -> None:
    for step in STEPS:
        died = shop.execution()
        dies(died, step)
        published = step in ("after publish", "finish")
        assert shop.count() == (shop.expected if published else (10, 10)), step
        totals = run_in_threads(shop.again(died, run_id))
        assert (totals.rows_in, totals.failed) == (ROWS, 0), step
        assert totals.rows_out + totals.skipped == ROWS, step
        assert (shop.count(), shop.remaining_tables()) == (shop.expected, []), step
        as_superuser(shop.url, FORGOTTEN)
        with psycopg.connect(shop.url) as connection:  # as it was before
            connection.execute("TRUNCATE ds_orders")
            connection.execute(OLD)


def test_a_new_run_instead_of_a_retry_leaves_one_copy_and_so_does_a_late_retry(shop: ModeShop) -> None:
    died = shop.execution()
    dies(died, "publish")
    assert run_in_threads(shop.execution("run_2", "run_2")) == RunTotals(ROWS, ROWS, 0, 0)
    late = run_in_threads(shop.again(died, "run_3"))
    assert late == (RunTotals(ROWS, 0, 0, ROWS) if shop.mode == INCREMENTAL else RunTotals(ROWS, ROWS, 0, 0))
    assert (shop.count(), shop.remaining_tables()) == (shop.expected, [])


def test_the_books_balance_when_rows_fail_before_and_while_they_are_published(shop: ModeShop) -> None:
    with psycopg.connect(shop.url) as connection:
        connection.execute("UPDATE ds_orders SET name = id")
        connection.execute("ALTER TABLE ds_orders ADD UNIQUE (name)")
    shop.write(
        "id,name,amount,day\n1,a,10,2024-01-01\n2,a,20,2024-01-02\n3,c,x,2024-01-03\n,d,1,2024-01-04\n5,e,13,2024-01-05\n"
    )
    ops = [{"type": "filter", "expression": "amount <> '1' or amount is null"}]
    assert shop.run(ops=ops) == RunTotals(rows_in=5, rows_out=1, failed=3, skipped=1)
    assert [(node, row) for node, row, *_ in shop.recorder.errors] == [("tgt", 2), ("tgt", 3), ("tgt", 5)]
    assert shop.table("SELECT id FROM ds_orders WHERE id > 0") == [(1,)]
    counters = [done.counters["tgt"] for _, done in shop.recorder.states.values()]
    summed = {key: sum(each[key] for each in counters) for key in counters[0]}
    assert (summed["rowsIn"], summed["rowsOut"], summed["failed"]) == (4, 1, 3)


@pytest.mark.parametrize("shop", FULL, indirect=True)
@pytest.mark.parametrize("ops", [[], [{"type": "filter", "expression": "id < 0"}]], ids=["no rows", "none is left"])
def test_a_run_without_rows_leaves_the_table_alone(shop: ModeShop, ops: list[Any]) -> None:
    if not ops:
        shop.write("id,name,amount,day\n")
    with pytest.raises(TargetError, match="No rows came"):
        shop.run(ops=ops)
    assert shop.count() == (10, 10)


@pytest.mark.parametrize("shop", [INCREMENTAL], indirect=True)
def test_an_incremental_run_without_rows_is_a_good_one_and_says_where_the_mark_is(shop: ModeShop) -> None:
    shop.run()
    shop.write("id,name,amount,day\n")
    assert shop.run(run_id="run_2", root="run_2") == RunTotals(0, 0, 0, 0)
    reported = [line for _, line in shop.recorder.lines if "watermark" in line]
    assert reported == [
        f"tgt: the watermark of id moved from -1 to {ROWS}",
        f"tgt: the watermark of id stays at {ROWS}",
    ]


def test_failed_rows_that_are_run_again_are_added(shop: ModeShop) -> None:
    strict = [{"id": "even", "field": "id", "rule": "expr:id % 10 <> 0"}]
    first = shop.execution(rules=strict)
    assert run_in_threads(first) == RunTotals(ROWS, ROWS * 9 // 10, ROWS // 10, 0)
    failed = {
        ("src", p.index): OpenPartition([row for row in range(p.first_row, p.first_row + p.rows) if row % 10 == 0], {})
        for p in first.prepared.plan.stages[0].partitions
    }
    replay = Continuation(
        "run_2", retry_of="run_1", origin_run_id="run_1", earlier_plan=stored_plan(first.prepared), open_rows=failed
    )
    again = Execution(prepare(Job("run_2", shop.pipeline(), shop.url, shop.root, replay)), shop.recorder)
    assert run_in_threads(again) == RunTotals(ROWS // 10, ROWS // 10, 0, 0)
    assert (shop.count(), shop.remaining_tables()) == (shop.expected, [])


def test_a_table_that_another_run_took_meanwhile_is_not_published_into(shop: ModeShop) -> None:
    job = Job("run_1", shop.pipeline(), shop.url, shop.root, Continuation(root_run_id="run_1"))
    locks = TargetLocks(job)
    other = TargetLock(shop.url, "ds_orders", "run_2", shared=True)
    assert locks.acquire() is None
    execution = Execution(prepare(job), shop.recorder, locks)
    publications = execution.publications

    def taken() -> Any:
        with psycopg.connect(shop.url, autocommit=True) as connection:
            kill = (
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'headrace run_1'"
            )
            connection.execute(kill)
        assert other.acquire() is None
        return publications()

    execution.publications = taken  # type: ignore[method-assign]
    try:
        with pytest.raises(TargetError, match=r"forgot the lock on public.ds_orders, and another run has it now"):
            run_in_threads(execution)
    finally:
        other.release()
        locks.release()
    assert shop.count() == (10, 10)


KILLED = """
import os, signal, sys
from pathlib import Path
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.test_load_modes_full import ModeShop
shop = ModeShop.__new__(ModeShop)
from tests.flows.runtime.shop import Notebook
shop.root, shop.url, shop.mode, shop.recorder = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Notebook()
shop.locks = None
run = shop.execution()
mode = run.prepared.modes["tgt"]
publish = mode.publish
def killed(stage, index, on_publish):
    def kill(published):
        os.kill(os.getpid(), signal.SIGKILL)
    return publish(stage, index, kill)
mode.publish = killed
run_in_threads(run)
"""


@pytest.mark.first_variant
def test_a_process_killed_inside_the_publication_changes_nothing(shop: ModeShop) -> None:
    script = [sys.executable, "-P", "-c", KILLED, str(shop.root), shop.url, shop.mode]
    ended = subprocess.run(script, env={**os.environ, "PYTHONPATH": os.getcwd()}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert shop.count() == (10, 10)
    again = shop.again(shop.execution(), "run_1")
    assert run_in_threads(again).rows_in == ROWS
    assert (shop.count(), shop.remaining_tables()) == (shop.expected, [])


@pytest.fixture(scope="module")
def fragile() -> Iterator[EmbeddedPostgres]:
    """A server of its own, to be crashed."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    # Nothing that is committed may be lost, as it would be with DISPOSABLE.
    server = EmbeddedPostgres(folder / "postgres", folder / "postgresql.log", {"fsync": "off"})
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("mode", ["replace", "blue_green", INCREMENTAL])
@pytest.mark.parametrize("step", ["a batch", "publish"])
@pytest.mark.first_variant
def test_a_crash_of_the_server_loses_and_doubles_nothing(
    fragile: EmbeddedPostgres, tmp_path: Path, mode: str, step: str
) -> None:
    name = f"crash_{mode}_{step.replace(' ', '_')}"
    ensure_database(fragile.url("postgres"), name)
    shop = ModeShop(tmp_path, fragile.url(name), mode)
    died = shop.execution()
    dies(died, step)
    assert fragile.pid is not None
    process = psutil.Process(fragile.pid)
    process.send_signal(signal.SIGQUIT)  # pg_ctl stop -m immediate
    process.wait(20)
    fragile.start()
    totals = run_in_threads(shop.again(died, "run_1"))
    assert totals == RunTotals(ROWS, ROWS, 0, 0)
    assert (shop.count(), shop.remaining_tables()) == (shop.expected, [])
