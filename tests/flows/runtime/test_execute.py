"""Whole runs without an orchestrator: a real file into a real table, with every row accounted for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from catalog.run_records import ConnectorRecord, RunPipeline
from connectors.base import CommitCallback, PartitionLoader, Quarantined, Resume, SourceError, TargetError, Written
from flows.resume import Continuation
from flows.runtime.execute import Execution, RunTotals, run_in_threads
from flows.runtime.feed import SourceFeed
from flows.runtime.job import Job
from flows.runtime.limits import ErrorBudget, RunFailed
from flows.runtime.partition import Stopped, Work, run_partition
from flows.runtime.prepare import PlanFailed, SourceChanged, prepare, stored_plan
from tests.flows.runtime.quiet import Quiet

pytestmark = pytest.mark.postgres

ORDERS = "id,name,amount,day\n1,Ann,10,2024-01-01\n2,Bob,x,2024-01-02\n3,,30,2024-01-03\n4,Dan,-5,2024-01-04\n"
FIELDS = [
    {"name": "id", "dataType": "bigint"},
    {"name": "name", "dataType": "text"},
    {"name": "amount", "dataType": "text"},
    {"name": "day", "dataType": "date"},
]


class Notebook(Quiet):
    """A journal that keeps what it is told, the way the catalog does: a cell told twice is there once."""

    def __init__(self) -> None:
        self.cells: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.states: dict[tuple[int, int], tuple[str, Resume]] = {}
        self.lines: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        with self._lock:
            for row, column, value, error, rule in cells.rows():
                self.cells[(row, column or "", node, rule)] = (node, row, column, value, error)

    def progress(self, stage: int, partition: int, status: str, committed: Resume) -> None:
        with self._lock:
            self.states[(stage, partition)] = (status, committed)

    def log(self, stage: str, message: str) -> None:
        with self._lock:
            self.lines.append((stage, message))

    @property
    def errors(self) -> list[tuple[Any, ...]]:
        return [self.cells[key] for key in sorted(self.cells)]


class Shop:
    """A files folder and a table `public.ds_orders`, and runs from the one into the other."""

    def __init__(self, files_root: Path, database_url: str) -> None:
        self.root, self.url = files_root, database_url
        self.journal = Notebook()
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "CREATE TABLE public.ds_orders "
                "(id bigint PRIMARY KEY, name text, amount int CHECK (amount <> 13), day date)"
            )

    def pipeline(
        self,
        *,
        ops: Iterable[dict[str, Any]] = (),
        rules: Iterable[dict[str, Any]] = (),
        path: str = "orders.csv",
        execution: dict[str, Any] | None = None,
        **document: Any,
    ) -> RunPipeline:
        source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": path}, "fields": FIELDS}
        nodes: list[dict[str, Any]] = [source]
        if ops:
            nodes.append({"id": "clean", "kind": "transform", "input": "src", "ops": list(ops)})
        if rules:
            nodes.append({"id": "check", "kind": "validate", "input": nodes[-1]["id"], "rowLevel": list(rules)})
        nodes.append({"id": "tgt", "kind": "target", "input": nodes[-1]["id"], "schema": "public.ds_orders"})
        ir = {
            "kind": "pipeline",
            "version": "1.0",
            "id": "p",
            "metadata": {"name": "Orders"},
            "nodes": nodes,
            **document,
        }
        connector = ConnectorRecord("conn_1", "local_fs", {})
        tables = frozenset({"public.ds_orders"})
        return RunPipeline("pipe_1", "default", "Orders", ir, 1, connector, execution or {}, tables)

    def execution(self, run_id: str = "run_1", root: str = "run_1", earlier: Any = None, **pipeline: Any) -> Execution:
        continues = Continuation(root_run_id=root, earlier_plan=earlier)
        return Execution(prepare(Job(run_id, self.pipeline(**pipeline), self.url, self.root, continues)), self.journal)

    def run(self, **arguments: Any) -> RunTotals:
        return run_in_threads(self.execution(**arguments))

    def table(self, query: str = "SELECT id, name, amount FROM public.ds_orders ORDER BY id") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def write(self, text: str, name: str = "orders.csv") -> None:
        (self.root / name).write_text(text)


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Shop:
    return Shop(tmp_path, database_url)


def many(rows: int, bad_every: int = 0) -> str:
    """A CSV of that many orders; each `bad_every`-th has an amount that is no number."""
    lines = ["id,name,amount,day"]
    for number in range(1, rows + 1):
        amount = "bad" if bad_every and number % bad_every == 0 else str(number % 1000 + 20)
        lines.append(
            f"{number},customer {number % 97} with a name of some length,{amount},2024-02-{number % 28 + 1:02d}"
        )
    return "\n".join(lines) + "\n"


def test_good_rows_land_and_bad_rows_are_told_with_their_source_row(shop: Shop) -> None:
    shop.write(ORDERS)
    rules = [
        {"id": "named", "field": "name", "rule": "not_empty"},
        {"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "skip"},
    ]
    totals = shop.run(ops=[{"type": "cast", "field": "amount", "to": "integer"}], rules=rules)
    assert totals == RunTotals(rows_in=4, rows_out=1, failed=2, skipped=1)
    assert shop.table() == [(1, "Ann", 10)]
    assert shop.journal.errors == [
        ("clean", 2, "amount", "x", "Expected integer"),
        ("check", 3, "name", None, "Must not be empty"),
    ]


def test_many_partitions_and_batches_lose_and_double_nothing(shop: Shop) -> None:
    shop.write(many(300_000, bad_every=1000))
    execution = {"parallelism": 2, "batchSize": 7_000}
    run = shop.execution(ops=[{"type": "cast", "field": "amount", "to": "integer"}], execution=execution)
    assert len(run.prepared.plan.stages[0].partitions) > 1
    totals = run_in_threads(run)
    assert totals == RunTotals(rows_in=300_000, rows_out=299_700, failed=300, skipped=0)
    assert shop.table("SELECT count(*), count(DISTINCT id), sum(id) FROM ds_orders") == [
        (299_700, 299_700, sum(n for n in range(1, 300_001) if n % 1000))
    ]
    assert [error[1] for error in shop.journal.errors] == list(range(1000, 300_001, 1000))
    assert {status for status, _ in shop.journal.states.values()} == {"completed"}


def test_every_loaded_row_knows_the_load_it_came_with(shop: Shop) -> None:
    shop.write(ORDERS.replace("x", "20"))
    shop.run()
    query = """
        SELECT DISTINCT run_id, pipeline_id, ir_version, source_node
        FROM _headrace.loads JOIN ds_orders ON load_id = _headrace_load_id
    """
    assert shop.table(query) == [("run_1", "pipe_1", 1, "src")]


def test_what_the_database_refuses_is_told_and_the_rest_lands(shop: Shop) -> None:
    shop.write("id,name,amount,day\n1,a,1,2024-01-01\n1,b,2,2024-01-01\n3,c,13,2024-01-01\n4,d,4,2024-01-01\n")
    totals = shop.run()
    assert totals == RunTotals(rows_in=4, rows_out=2, failed=2, skipped=0)
    assert [row[0] for row in shop.table()] == [1, 4]
    assert [(node, row) for node, row, *_ in shop.journal.errors] == [("tgt", 2), ("tgt", 3)]


def test_an_abort_rule_fails_the_run_before_its_batch_is_loaded(shop: Shop) -> None:
    shop.write(ORDERS)
    with pytest.raises(RunFailed, match="Rule 'positive' stops the run: row 4"):
        shop.run(
            ops=[{"type": "cast", "field": "amount", "to": "integer"}],
            rules=[{"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "abort"}],
        )
    assert shop.table() == []
    assert ("check", 4, "amount", "-5", "Must be greater than 0") in shop.journal.errors


def test_too_many_bad_rows_fail_the_run_and_say_which_limit(shop: Shop) -> None:
    shop.write(many(5_000, bad_every=10))
    ops = [{"type": "cast", "field": "amount", "to": "integer"}]
    with pytest.raises(RunFailed, match=r"More than 100 rows failed \(errorHandling.maxErrorRows\)"):
        shop.run(ops=ops, errorHandling={"maxErrorRows": 100})
    with pytest.raises(RunFailed, match="maxErrorRate"):
        shop.run(run_id="run_2", root="run_2", ops=ops, errorHandling={"maxErrorRate": 0.05})


@pytest.mark.parametrize("amount", ["bad", "13"], ids=["does not fit the column", "refused by the database"])
def test_a_row_that_fails_at_the_target_counts_once_in_every_attempt(shop: Shop, amount: str) -> None:
    text = many(100_000).splitlines()
    for number in (1, 2, 95_001, 100_000):
        text[number] = f"{number},customer,{amount},2024-02-01"
    shop.write("\n".join(text))
    options: Any = {"execution": {"parallelism": 1, "batchSize": 10_000}, "errorHandling": {"maxErrorRows": 4}}
    first = shop.execution(**options)
    first.begin()
    assert 9_998 <= _until(first, rows=10_000, max_errors=4) < 95_000
    totals = run_in_threads(shop.execution(run_id="run_2", earlier=stored_plan(first.prepared), **options))
    assert totals == RunTotals(rows_in=100_000, rows_out=99_996, failed=4, skipped=0)


def test_a_run_that_died_is_continued_behind_what_was_committed(shop: Shop) -> None:
    text = many(200_000)
    shop.write(text)
    execution = {"parallelism": 1, "batchSize": 10_000}
    first = shop.execution(execution=execution)
    first.begin()
    stage = first.prepared.plan.stages[0]
    committed = _until(first, rows=30_000)
    assert 0 < committed < 200_000
    assert shop.table("SELECT count(*) FROM ds_orders") == [(committed,)]

    again = shop.execution(run_id="run_2", earlier=stored_plan(first.prepared), execution=execution)
    assert again.prepared.plan.stages[0].partitions == stage.partitions
    totals = run_in_threads(again)
    assert totals == RunTotals(rows_in=200_000, rows_out=200_000, failed=0, skipped=0)
    assert shop.table("SELECT count(*), count(DISTINCT id) FROM ds_orders") == [(200_000, 200_000)]
    assert any("continuing behind" in message for _, message in shop.journal.lines)


class StopAfter:
    """A loader that asks the run to stop once it has committed that many rows."""

    def __init__(self, loader: PartitionLoader, rows: int, stop: threading.Event) -> None:
        self._loader, self._rows, self._stop = loader, rows, stop

    @property
    def resume(self) -> Resume:
        return self._loader.resume

    def __enter__(self) -> PartitionLoader:
        self._loader.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loader.__exit__(*exc)

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        written = self._loader.write(frame, on_commit, quarantined)
        if self.resume.rows_done >= self._rows:
            self._stop.set()
        return written


def _until(execution: Execution, rows: int, max_errors: int = 0) -> int:
    """Runs the first partition and stops it once that many rows are committed; gives how many were."""
    prepared, stop = execution.prepared, threading.Event()
    stage = prepared.plan.stages[0]
    loader = StopAfter(prepared.modes["tgt"].loader(0, 0, "src"), rows, stop)
    budget = ErrorBudget(max_errors, None)
    source = prepared.sources["src"]
    feed = SourceFeed(source, stage, stage.partitions[0], batch_rows=10_000)
    work = Work(stage, stage.partitions[0], feed, {"tgt": loader}, execution.journal, budget, stop)
    with pytest.raises(Stopped):
        run_partition(work)
    return loader.resume.rows_loaded


def test_a_changed_source_is_not_continued(shop: Shop) -> None:
    shop.write(ORDERS)
    plan = stored_plan(shop.execution().prepared)
    shop.write(ORDERS + "5,Eve,1,2024-01-05\n")
    with pytest.raises(SourceChanged, match="changed since this run began"):
        shop.execution(run_id="run_2", earlier=plan)


def test_the_same_run_twice_loads_nothing_twice(shop: Shop) -> None:
    shop.write(ORDERS.replace("x", "20"))
    first = shop.execution()
    assert run_in_threads(first) == run_in_threads(shop.execution(earlier=stored_plan(first.prepared)))
    assert len(shop.table()) == 4


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (None, SourceError, "'orders.csv' does not exist"),
        ("", SourceError, "empty"),
        ("id,name\n1,a\n", SourceError, "amount"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(shop: Shop, text: str | None, error: type[Exception], says: str) -> None:
    if text is not None:
        shop.write(text)
    with pytest.raises(error, match=says):
        shop.run()


def test_a_header_alone_is_an_empty_run(shop: Shop) -> None:
    shop.write("id,name,amount,day\n")
    assert shop.run() == RunTotals(0, 0, 0, 0)


def test_ragged_lines_and_wrong_types_fail_alone(shop: Shop) -> None:
    shop.write(
        "id,name,amount,day\n1,a,1,2024-01-01\n2,b\n3,c,3,2024-01-03,extra\nfour,d,4,2024-01-04\n5,e,5,2024-01-05\n"
    )
    totals = shop.run()
    assert totals == RunTotals(rows_in=5, rows_out=2, failed=3, skipped=0)
    assert [(row, column, error) for _, row, column, _, error in shop.journal.errors] == [
        (2, None, "Expected 4 fields, found 2"),
        (3, None, "Expected 4 fields, found 5"),
        (4, "id", "Expected integer"),
    ]


def test_an_unknown_column_or_table_is_told_before_anything_is_read(shop: Shop) -> None:
    shop.write(ORDERS)
    with pytest.raises(PlanFailed, match=r"no column 'amont' here .did you mean 'amount'"):
        shop.run(ops=[{"type": "filter", "expression": "amont > '1'"}])
    with psycopg.connect(shop.url) as connection:
        connection.execute("DROP TABLE public.ds_orders")
    with pytest.raises(TargetError, match="ds_orders"):
        shop.run()


def test_a_connector_that_is_coming_soon_says_so_and_reads_nothing(shop: Shop) -> None:
    pipeline = shop.pipeline(ops=[{"type": "cast", "field": "amount", "to": "integer"}])
    source = pipeline.ir["nodes"][0]
    source["connector"] = "braze"
    del source["fields"]
    job = Job("run_1", pipeline, shop.url, shop.root, Continuation(root_run_id="run_1"))
    assert run_in_threads(Execution(prepare(job), shop.journal)) == RunTotals(0, 0, 0, 0)
    assert any("'braze' is coming soon" in message for _, message in shop.journal.lines)
