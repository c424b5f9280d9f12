"""Whole runs that merge by key: a real file into a table with rows, every row counted, with crashes in between."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.databases import as_superuser
from tests.flows.runtime.runs import Recording

pytestmark = pytest.mark.postgres


class Merges:
    """A file `orders.csv` and the table `public.ds_orders` with its key `id`, and runs from the one into the other."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url, self.recorder = root, url, Recording()
        self.table("CREATE TABLE public.ds_orders (id bigint PRIMARY KEY, name text, amount integer)")

    def write(self, text: str) -> None:
        (self.root / "orders.csv").write_text(text)

    def numbers(self, rows: int) -> None:
        lines = [f"{number},customer {number % 97},{number % 1000}" for number in range(1, rows + 1)]
        self.write("\n".join(["id,name,amount", *lines]) + "\n")

    def execution(
        self,
        run_id: str = "run_1",
        *,
        root: str | None = None,
        earlier: Any = None,
        **options: Any,
    ) -> Execution:
        fields = [{"name": name, "dataType": kind} for name, kind in options.pop("fields", {}).items()]
        source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}}
        target = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders", **options}
        nodes = [source | ({"fields": fields} if fields else {}), target]
        ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "Orders"}, "nodes": nodes}
        connector = ConnectorRecord("conn_1", "local_fs", {})
        tables = frozenset({"public.ds_orders"})
        pipeline = RunPipeline("pipe_1", "default", "Orders", ir, 1, connector, {}, tables)
        continues = Continuation(root_run_id=root or run_id, earlier_plan=earlier)
        return Execution(prepare(Job(run_id, pipeline, self.url, self.root, continues)), self.recorder)

    def run(self, run_id: str = "run_1", **options: Any) -> RunTotals:
        return run_in_threads(self.execution(run_id, **options))

    def table(self, query: str = "SELECT id, name, amount FROM public.ds_orders ORDER BY id") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @property
    def cells(self) -> list[tuple[int, str]]:
        """Rejected cells as (row, error)."""
        return sorted((row, error) for _, row, _, _, error in self.recorder.cells)


@pytest.fixture
def loads(tmp_path: Path, database_url: str) -> Merges:
    return Merges(tmp_path, database_url)


def upsert(**options: Any) -> dict[str, Any]:
    return {"loadMode": "upsert", "upsertKey": "id", **options}


def test_an_upsert_counts_every_row_of_the_file(loads: Merges) -> None:
    loads.table("INSERT INTO public.ds_orders (id, name, amount) VALUES (1, 'old', 1), (2, 'old', 2)")
    loads.write("id,name,amount\n2,new,20\n3,c,30\n,lost,1\n3,d,x\n3,e,31\n2,newest,21\n")
    totals = loads.run(fields={"id": "bigint", "name": "text", "amount": "integer"}, **upsert())
    assert totals == RunTotals(rows_in=6, rows_out=2, failed=2, skipped=2)
    assert loads.table() == [(1, "old", 1), (2, "newest", 21), (3, "e", 31)]
    assert loads.cells == [(3, 'Null value in key column "id"'), (4, "Expected integer")]


@pytest.mark.parametrize("dies_after", [0, 1, 3])
def test_a_run_that_dies_between_publications_is_continued(
    loads: Merges, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    monkeypatch.setattr("headrace.connectors.postgresql.modes.merge_keys.ROWS_PER_BUCKET", 1_000)
    loads.numbers(2_500)
    first = loads.execution(**upsert())
    first.begin()
    stage = first.prepared.plan.stages[0]
    for partition in stage.partitions:
        first.partition(stage, partition.index)
    publications = first.publications()
    assert len(publications) == 3
    for load, index, _ in list(reversed(publications))[:dies_after]:
        first.publication(load, index)
    # the server crashes: what is unlogged is empty then
    as_superuser(loads.url, f"TRUNCATE _headrace.staging_ledger, {_staging(loads)}")
    again = loads.execution("run_2", root="run_1", earlier=stored_plan(first.prepared), **upsert())
    totals = run_in_threads(again)
    assert totals == RunTotals(rows_in=2_500, rows_out=2_500, failed=0, skipped=0)
    assert loads.table("SELECT count(*), sum(id) FROM ds_orders") == [(2_500, sum(range(2_501)))]


def _staging(loads: Merges) -> str:
    (found,) = loads.table("SELECT min(relname::text) FROM pg_class WHERE relname ~ '^stage_[0-9a-f]+$'")
    return f"_headrace.{found[0]}"


def test_scd2_fills_the_history_of_a_table(loads: Merges) -> None:
    loads.table(
        "ALTER TABLE public.ds_orders DROP CONSTRAINT ds_orders_pkey, ADD valid_from timestamptz NOT NULL, "
        "ADD valid_to timestamptz, ADD is_current boolean NOT NULL"
    )
    options = {"loadMode": "scd2", "upsertKey": ["id"]}
    loads.write("id,name,amount,is_current\n1,a,1,no\n2,b,2,no\n")
    assert loads.run("run_1", **options) == RunTotals(2, 2, 0, 0)
    loads.write("id,name,amount,is_current\n1,a,1,no\n2,c,2,no\n")
    assert loads.run("run_2", **options) == RunTotals(2, 1, 0, 1)
    assert loads.table("SELECT id, name, is_current FROM ds_orders ORDER BY id, valid_from") == [
        (1, "a", True),
        (2, "b", False),
        (2, "c", True),
    ]


def test_flat_change_events_are_applied_in_their_order(loads: Merges) -> None:
    loads.table("INSERT INTO public.ds_orders (id, name, amount) VALUES (1, 'old', 1), (2, 'old', 2)")
    loads.write("op,id,name,amount\nc,3,c,3\nu,1,new,\nd,2,,not evaluated\nx,4,d,4\nd,3,c,3\nd,9,,\nc,3,again,33\n")
    totals = loads.run(
        fields={"op": "text", "id": "bigint", "name": "text", "amount": "text"},
        loadMode="cdc_mirror",
        upsertKey="id",
    )
    # out: 1 is changed, 2 deleted, 3 created; skipped: what was said of 3 before, and the delete of 9
    assert totals == RunTotals(rows_in=7, rows_out=3, failed=1, skipped=3)
    assert loads.table() == [(1, "new", None), (3, "again", 33)]
    assert loads.cells == [(4, "Unknown operation: expected c, u, d, r or t")]


def test_debezium_envelopes_are_read_into_the_tables_types(loads: Merges) -> None:
    loads.table("ALTER TABLE public.ds_orders ADD day date, ADD at timestamptz, ADD doc jsonb, ADD ok boolean")
    loads.table("INSERT INTO public.ds_orders (id, name) VALUES (2, 'old')")
    full = {"id": 1, "name": 'a "b"\n', "amount": 7, "day": 19723, "at": 1704067200123, "doc": {"x": [1]}, "ok": True}
    events: list[tuple[str, Any, Any]] = [
        ("c", None, full),
        ("d", {"id": 2, "name": "old", "amount": "not evaluated"}, None),
        ("u", None, {"id": 3, "amount": "seven"}),
        ("c", None, {"name": "no key"}),
        ("u", {"id": 1}, None),
        ("r", None, {"id": 4, "at": "2024-01-01T00:00:00Z", "day": "2024-01-01", "ok": False, "doc": None}),
        ("c", None, {"id": 5, "at": 1704067200123456, "name": ""}),
    ]
    with (loads.root / "orders.csv").open("w", newline="") as file:
        rows = [(op, _json(old), _json(new), 1) for op, old, new in events]
        csv.writer(file).writerows([("op", "before", "after", "ts_ms"), *rows])
    totals = loads.run(
        fields={"op": "text", "before": "text", "after": "text", "ts_ms": "bigint"},
        loadMode="cdc_mirror",
        upsertKey="id",
        schemaContract="freeze",
    )
    assert totals == RunTotals(rows_in=7, rows_out=4, failed=3, skipped=0)
    query = "SELECT id, name, amount, day::text, at::text, doc::text, ok FROM ds_orders ORDER BY id"
    assert loads.table(query) == [
        (1, 'a "b"\n', 7, "2024-01-01", "2024-01-01 00:00:00.123+00", '{"x": [1]}', True),
        (4, None, None, "2024-01-01", "2024-01-01 00:00:00+00", None, False),
        (5, "", None, None, "2024-01-01 00:00:00.123456+00", None, None),
    ]
    assert loads.cells == [
        (3, "Expected integer"),
        (4, 'Null value in key column "id"'),
        (5, "Expected the row as a JSON object"),
    ]


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value)


@pytest.mark.parametrize(
    ("options", "path", "code", "says"),
    [
        ({"loadMode": "upsert"}, "upsertKey", "missing_field", "needs an 'upsertKey'"),
        (upsert(upsertKey="nr"), "upsertKey", "unknown_column", "no column 'nr'"),
        (upsert(upsertKey="nam"), "upsertKey", "unknown_column", "did you mean 'name'"),
        (upsert(upsertKey="name"), "upsertKey", "upsert_key_not_unique", "no primary key or unique constraint"),
        (upsert(upsertKey=["id", "name", "amount"]), "upsertKey", "nothing_to_update", "nothing to update"),
        ({"loadMode": "scd2", "upsertKey": "id"}, "upsertKey", "history_columns", "needs valid_from"),
        ({"loadMode": "cdc_mirror", "upsertKey": "id"}, "loadMode", "no_operation", "no column 'op'"),
    ],
)
def test_what_cannot_be_merged_is_reported_when_it_is_planned(
    loads: Merges, options: dict[str, Any], path: str, code: str, says: str
) -> None:
    loads.numbers(3)
    with pytest.raises(PlanFailed, match=says) as failed:
        loads.execution(**options)
    assert [(problem.path, problem.code) for problem in failed.value.problems] == [(f"nodes[1].{path}", code)]


def test_a_publication_whose_backend_is_ended_is_tried_again(loads: Merges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.postgresql.modes.merge_keys.ROWS_PER_BUCKET", 150)
    loads.table(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$"
    )
    loads.table("CREATE TRIGGER slow BEFORE INSERT ON public.ds_orders FOR EACH ROW EXECUTE FUNCTION slow()")
    loads.numbers(200)
    run = loads.execution(**upsert())
    run.begin()
    stage = run.prepared.plan.stages[0]
    done = [run.partition(stage, partition.index) for partition in stage.partitions]
    with ThreadPoolExecutor(1) as pool:
        for load, index, _ in run.publications():
            ended = pool.submit(_end_a_merge, loads.url)
            done.append(run.publication(load, index))
            assert ended.result()
    assert run.finish(done) == RunTotals(200, 200, 0, 0)
    assert loads.table("SELECT count(*), sum(id) FROM ds_orders") == [(200, sum(range(201)))]


def _end_a_merge(url: str) -> bool:
    """Ends the backend that is merging as soon as there is one."""
    end = (
        "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE 'MERGE%'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(20_000):
            if connection.execute(end).fetchone() == (True,):
                return True
    return False
