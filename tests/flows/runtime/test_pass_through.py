"""Rows that go from PostgreSQL to PostgreSQL as they are: the same rows, errors and counts as if values were read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.sql import source as sql_source
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime import prepare as preparing
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.sql.postgresql.shop import LOOPBACK, Shop, certificates, server, shop
from tests.connectors.sql.postgresql.values import ERROR, VALUES
from tests.effort import examples
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.graphs.world import Mill, Node, document, target, transform
from tests.flows.runtime.shop import Notebook

__all__ = ["certificates", "server", "shop"]

pytestmark = pytest.mark.postgres

OWN_TYPES = ("shade", "amount", "code", "pair", "pair[]")
PASSED = [
    kind
    for kind in VALUES
    if kind.split("(")[0].removesuffix("[]")
    not in ("oid", "money", '"char"', "name", "bit", "bit varying", "macaddr", "point", "tsvector", "pg_lsn")
    and not kind.endswith("range")
    and kind not in OWN_TYPES
]
"""The types whose values are passed on. That each of them is, and no other, is a test."""


class Copied(Mill):
    """A database that is fed by the shop."""

    def __init__(self, root: Any, url: str, shop: Shop) -> None:
        super().__init__(root, url)
        self.shop, self.reads = shop, False

    def execution(
        self,
        nodes: Iterable[Node],
        run_id: str = "",
        *,
        root: str | None = None,
        earlier: Any = None,
        config: Any = None,
        **handling: Any,
    ) -> Execution:
        run_id = run_id or f"run_{uuid4().hex}"
        ir = document(nodes, **handling)
        tables = frozenset(node["schema"] for node in ir["nodes"] if node["kind"] == "target")
        connector = ConnectorRecord("conn_1", "postgresql", self.shop.config, self.shop.credentials)
        pipeline = RunPipeline(
            "pipe_1", "default", "P", ir, 1, connector, {"parallelism": 2, **(config or {})}, tables, named=self.named
        )
        continues = Continuation(root_run_id=root or run_id, earlier_plan=earlier)
        job = Job(run_id, pipeline, self.url, self.root, continues, networks=LOOPBACK)
        return Execution(prepare(job), self.recorder)

    def passes(self, nodes: Iterable[Node], **given: Any) -> bool:
        """Whether the plan says so."""
        run = self.execution(nodes, **given)
        (stage,) = run.prepared.plan.describe()["stages"]
        run.prepared.close()
        return "passedThrough" in stage["source"]


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres) -> str:
    name = f"passed_{uuid4().hex[:12]}"
    ensure_database(postgres_server.url("postgres"), name)
    return postgres_server.url(name)


@pytest.fixture
def copied(database: str, shop: Shop, tmp_path: Any) -> Copied:
    mill = Copied(tmp_path, database, shop)
    mill.alter("DROP SCHEMA IF EXISTS public, _headrace CASCADE; CREATE SCHEMA public")
    return mill


def source(table: str = "shop.t", **config: Any) -> Node:
    return {"id": "src", "kind": "source", "connector": "postgresql", "config": {"table": table, **config}}


NODES = [source(), target("tgt", "src", "t")]


def both_ways(copied: Copied, run: Callable[[], RunTotals], again: str) -> tuple[Any, Any]:
    """What a run leaves when rows are passed, and when its values are read: totals, rejected cells, rows, counts."""
    found = []
    for reads in (False, True):
        copied.alter(again)
        copied.recorder = Notebook()
        with pytest.MonkeyPatch.context() as patch:
            if reads:
                patch.setattr(preparing, "passed_through", lambda plan, *_: plan)
            totals = run()
        rows = copied.rows("SELECT (to_jsonb(t) - '_headrace_load_id')::text FROM public.t ORDER BY 1")
        loads = copied.rows("SELECT count(DISTINCT _headrace_load_id) FROM public.t")
        errors = sorted(copied.recorder.errors, key=str)  # partitions end in any order
        found.append((totals, errors, rows, loads, copied.counters()))
    return found[0], found[1]


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_rows_and_errors_are_those_of_values_that_are_read(copied: Copied, data: st.DataObject) -> None:
    """Any types, any of their values, those that have no place among them."""
    kinds = data.draw(st.lists(st.sampled_from(PASSED), min_size=1, max_size=8))
    bad = data.draw(st.booleans())
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(kinds))
    shop = copied.shop
    shop.make("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    with psycopg.connect(shop.owner, autocommit=True, options="-csearch_path=shop -ctimezone=UTC") as connection:
        for number in range(data.draw(st.integers(0, 6))):
            values = [
                data.draw(st.sampled_from([None, *(text for text, value in VALUES[kind] if bad or value is not ERROR)]))
                for kind in kinds
            ]
            casts = ", ".join(f"%s::{kind}" for kind in kinds)
            connection.execute(f"INSERT INTO t VALUES ({number}, {casts})".encode(), values)
    again = f"DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (id int PRIMARY KEY, {columns})"
    copied.alter(again)
    assert copied.passes(NODES)
    passed, read = both_ways(copied, lambda: copied.run(NODES, maxErrorRows=100), again)
    # a numeric without a size keeps its digits: 1.5, not 1.500000000
    plain = [
        [row[0].replace(".500000000", ".5").replace(".000000000", ".0") for row in found[2]] for found in (passed, read)
    ]
    assert passed[:2] + passed[3:] == read[:2] + read[3:]
    assert "numeric" in kinds or plain[0] == plain[1]
    assert len(plain[0]) == len(plain[1])


def test_the_types_that_are_passed(copied: Copied) -> None:
    kinds = [kind for kind in VALUES if kind not in OWN_TYPES]
    columns = {kind: f"c{place}" for place, kind in enumerate(kinds)}
    made = ", ".join(f"{name} {kind}" for kind, name in columns.items())
    copied.shop.make(f"CREATE TABLE t (id int PRIMARY KEY, {made})")
    copied.alter(f"CREATE TABLE public.t (id int, {made})")
    run = copied.execution(NODES)
    can = run.prepared.sources["src"].passable(run.prepared.discoveries["src"])  # type: ignore[attr-defined]
    run.prepared.close()
    assert [kind for kind, name in columns.items() if name in can.types] == PASSED
    assert not copied.passes(NODES), "one column that is not passed is enough"


MANY = """
CREATE TABLE t (id bigint PRIMARY KEY, n int, name text);
INSERT INTO t SELECT i, i % 97, CASE WHEN i % 7 > 0 THEN E'row\\t\\n' || i END FROM generate_series(1, 5000) i;
ANALYZE t;
"""
SAME = "CREATE TABLE public.t (id bigint, n int, name text)"


@pytest.mark.parametrize(
    "mode", ["append", "blue_green", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("replace", "truncate"))]
)
def test_rows_that_the_table_refuses_are_the_same_errors(
    copied: Copied, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constraints, nulls and keys; what was committed before stays, and is counted once."""
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 300)
    copied.shop.make(MANY, "UPDATE t SET n = -1 WHERE id IN (2000, 2001)", "UPDATE t SET n = NULL WHERE id = 4321")
    again = (
        "DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (id bigint UNIQUE, n int NOT NULL CHECK (n >= 0), "
        "name text DEFAULT 'none')"
    )
    nodes = [source(partitioning={"partitions": 3}), target("tgt", "src", "t", loadMode=mode)]
    copied.alter(again)
    assert copied.passes(nodes)
    passed, read = both_ways(copied, lambda: copied.run(nodes), again)
    assert passed == read
    assert (passed[0].rows_out, passed[0].failed) == (4997, 3)


@pytest.mark.parametrize(
    "key",
    ["PRIMARY KEY", "UNIQUE NULLS NOT DISTINCT", *(pytest.param(key, marks=pytest.mark.slow) for key in ("UNIQUE",))],
)
def test_an_upsert_merges_passed_rows_as_those_that_are_read(
    copied: Copied, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a key that repeats, and is null in some rows; of each the last row counts. Some rows are refused."""
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 300)
    copied.shop.make(
        MANY,
        "ALTER TABLE t ADD code int",
        "UPDATE t SET code = CASE WHEN id % 100 > 0 OR id < 3000 THEN id % 700 END",
        "UPDATE t SET n = -1 WHERE id IN (4000, 4001)",
    )
    again = (
        f"DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (code int {key}, id bigint, n int CHECK (n >= 0), "
        "name text); INSERT INTO public.t SELECT i, -i, 1, 'old' FROM generate_series(0, 1000, 10) i"
    )
    nodes = [source(partitioning={"partitions": 3}), target("tgt", "src", "t", loadMode="upsert", upsertKey="code")]
    copied.alter(again)
    assert copied.passes(nodes)
    passed, read = both_ways(copied, lambda: copied.run(nodes), again)
    assert passed == read
    equal = key == "UNIQUE NULLS NOT DISTINCT"  # the nulls are one key
    assert passed[0].failed == (2 if equal else 22)
    assert len(passed[2]) == (732 if equal else 731)


def test_a_log_line_says_why_values_are_read(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 1000)
    copied.shop.make(MANY)
    copied.alter("CREATE TABLE public.t (id bigint, n int, name text, CHECK (id <> 3500))")
    totals = copied.run([source(partitioning={"by": "none"}), NODES[1]])
    assert (totals.rows_out, totals.failed) == (4999, 1)
    [line] = [text for _, text in copied.recorder.lines if "values" in text]
    assert line.startswith(
        "Partition 1: from here on values are read, because PostgreSQL refused a row: Value violates check"
    )
    assert copied.rows("SELECT count(*), count(DISTINCT id) FROM public.t") == [(4999, 4999)]


PASSING: dict[str, list[Node]] = {
    "a copy": NODES,
    "renamed and dropped": [
        source(),
        transform("ops", "src", {"type": "rename", "from": "n", "to": "m"}, {"type": "drop", "fields": ["name"]}),
        target("tgt", "ops", "t", mapping={"n": "m"}),
    ],
    "fewer columns": [source(columns=["id", "n"]), NODES[1]],
    "an upsert": [source(), target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")],
    "no ops": [source(), transform("ops", "src"), target("tgt", "ops", "t")],
}
READING: dict[str, list[Node]] = {
    "an expression": [
        source(),
        transform("ops", "src", {"type": "expression", "field": "n", "expression": "n + 1"}),
        target("tgt", "ops", "t"),
    ],
    "a filter": [
        source(),
        transform("ops", "src", {"type": "filter", "expression": "n > 1"}),
        target("tgt", "ops", "t"),
    ],
    "a cast": [
        source(),
        transform("ops", "src", {"type": "cast", "field": "n", "to": "bigint"}),
        target("tgt", "ops", "t"),
    ],
    "a constant": [
        source(),
        transform("ops", "src", {"type": "drop", "fields": ["n"]}, {"type": "add_field", "field": "n", "value": 1}),
        target("tgt", "ops", "t"),
    ],
    "a rule": [
        source(),
        {"id": "ok", "kind": "validate", "input": "src", "rowLevel": [{"id": "r", "field": "n", "rule": "gte:0"}]},
        target("tgt", "ok", "t"),
    ],
    "two targets": [*NODES, target("other", "src", "u")],
    "rows that are skipped": [source(), target("tgt", "src", "narrow", schemaContract="discard_row")],
    "a column that is added": [source(), target("tgt", "src", "narrow", schemaContract="evolve")],
    "a declared type": [source() | {"fields": [{"name": "id", "dataType": "text"}]}, NODES[1]],
    "a key of the author's": [source(key=["n", "id"], table="shop.no_key"), NODES[1]],
    "no key": [source("shop.no_key"), NODES[1]],
    "a query": [source() | {"config": {"query": "SELECT * FROM shop.t"}}, NODES[1]],
    "a key that is not read": [source(columns=["n"]), NODES[1]],
    "another length": [source(), target("tgt", "src", "other")],
    "a domain": [source(), target("tgt", "src", "domained")],
}


def world(copied: Copied) -> None:
    copied.shop.make(MANY, "CREATE TABLE no_key AS SELECT * FROM t")
    for table in ("t", "u"):
        copied.alter(f"CREATE TABLE public.{table} (id bigint UNIQUE, n int, name text)")
    copied.alter("CREATE TABLE public.keyed (id bigint PRIMARY KEY, n int, name text)")
    copied.alter("CREATE TABLE public.narrow (id bigint, n int)")
    copied.alter("CREATE TABLE public.other (id bigint, n int, name varchar(20))")
    copied.alter("CREATE DOMAIN public.number AS int; CREATE TABLE public.domained (id bigint, n number, name text)")


@pytest.mark.parametrize("shape", PASSING)
def test_a_plan_that_only_moves_columns_passes_rows(copied: Copied, shape: str) -> None:
    world(copied)
    assert copied.passes(PASSING[shape])
    assert copied.run(PASSING[shape]).rows_out == 5000
    loaded = "keyed" if shape == "an upsert" else "t"
    assert copied.rows(f"SELECT count(DISTINCT id), sum(n) FROM public.{loaded}") == [
        (5000, sum(i % 97 for i in range(1, 5001)))
    ]


def test_a_plan_that_needs_values_reads_them(copied: Copied) -> None:
    world(copied)
    assert [shape for shape, nodes in READING.items() if copied.passes(nodes)] == []


def end_sessions(copied: Copied) -> None:
    """Ends those of a run that died, as its process would have: here its generators live until they are collected."""
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
    copied.shop.rows(f"{ended} usename = 'reader'")
    copied.rows(f"{ended} datname = current_database() AND usename = current_user")


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck), deadline=None)
@given(
    deaths=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    mode=st.sampled_from(["append", "append", "replace", "blue_green", "upsert", "upsert"]),
    refused=st.booleans(),
    cut=st.sampled_from([{"partitions": 3}, {"by": "none"}, {"by": "key", "column": "n", "partitions": 3}]),
)
def test_wherever_it_dies_every_row_is_loaded_once(
    copied: Copied, deaths: list[int], mode: str, refused: bool, cut: dict[str, Any]
) -> None:
    """By passed rows and by read ones, in turns."""
    copied.shop.make(
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (id text PRIMARY KEY, n int NOT NULL, v numeric(9,2))",
        "INSERT INTO t SELECT 'k' || i, i, i / 4.0 FROM generate_series(1, 300) i",
    )
    copied.alter(
        "DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (id text, n int CHECK (n <> 77), v numeric(9,2))"
    )
    if mode == "upsert":  # some rows are there, with other values
        copied.alter(
            "ALTER TABLE public.t ADD PRIMARY KEY (id); "
            "INSERT INTO public.t SELECT 'k' || i, -1 FROM generate_series(1, 300, 7) i"
        )
    if refused:
        copied.shop.make("UPDATE t SET n = 77 WHERE n IN (100, 200)")
    else:
        copied.shop.make("UPDATE t SET n = 0 WHERE n = 77")
    key = {"upsertKey": "id"} if mode == "upsert" else {}
    nodes = [source(partitioning=cut), target("tgt", "src", "t", loadMode=mode, **key)]
    root, earlier = f"r{uuid4().hex[:8]}", None
    for number, death in enumerate([*deaths, 10**9], 1):
        with pytest.MonkeyPatch.context() as patch, armed(Bomb(death)):
            if number % 2 == 0:
                patch.setattr(preparing, "passed_through", lambda plan, *_: plan)
            run = copied.execution(
                nodes, f"{root}_{number}", root=f"{root}_1", earlier=earlier, config={"batchSize": 30}
            )
            try:
                totals = run_in_threads(run)
                break
            except Killed:
                query = "SELECT FROM _headrace.ledger WHERE root_run_id LIKE %s UNION ALL "
                query += "SELECT FROM _headrace.staging_ledger WHERE root_run_id LIKE %s"
                with psycopg.connect(copied.url) as connection:
                    begun = connection.execute(query, [f"{root}_1%"] * 2).fetchone()
                earlier = None if begun is None else stored_plan(run.prepared)
                end_sessions(copied)
    lost = 3 if refused else 0
    assert (totals.rows_in, totals.rows_out, totals.failed) == (300, 300 - lost, lost)
    assert copied.rows("SELECT count(*), count(DISTINCT id) FROM public.t") == [(300 - lost, 300 - lost)]
    wanted = copied.shop.rows("SELECT id, n, v FROM t WHERE n <> 77 ORDER BY 1")
    assert copied.rows("SELECT id, n, v FROM public.t ORDER BY 1") == wanted


KEYS = {
    "timestamptz": "timestamptz '2024-01-01 00:00:00.000001+00' + i * interval '1 hour'",
    "timestamp": "timestamp '0004-02-29 00:00:00.000001' + i * interval '1 day'",
    "date": "date '1999-12-01' + i",
    "uuid": "md5(i::text)::uuid",
    "varchar(9)": "chr(200 + i) || 'é'",
    "smallint": "i - 50",
}


@pytest.mark.parametrize(
    "key", [key if key == "timestamptz" else pytest.param(key, marks=pytest.mark.slow) for key in KEYS]
)
def test_reading_goes_on_behind_any_key(copied: Copied, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of the key is refused in the middle, so that values are read from its batch on."""
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 10)
    copied.shop.make(
        f"CREATE TABLE t (id {key}, n int, PRIMARY KEY (id, n))",
        f"INSERT INTO t SELECT {KEYS[key]}, i FROM generate_series(1, 100) i",
    )
    copied.alter(f"CREATE TABLE public.t (id {key}, n int CHECK (n <> 55))")
    nodes = [source(partitioning={"by": "none"}), NODES[1]]
    assert copied.passes(nodes)
    totals = copied.run(nodes)
    assert (totals.rows_in, totals.rows_out, totals.failed) == (100, 99, 1)
    assert copied.rows("SELECT id, n FROM public.t ORDER BY n") == copied.shop.rows(
        "SELECT id, n FROM t WHERE n <> 55 ORDER BY n"
    )


def test_a_cursor_goes_on_where_passed_rows_ended(copied: Copied) -> None:
    copied.shop.make(MANY)
    copied.alter(SAME)
    nodes = [source(cursor={"column": "id"}), NODES[1]]
    assert copied.passes(nodes)
    assert copied.run(nodes, config={"mode": "micro_batch", "maxRows": 2000, "batchSize": 1000}).rows_in == 2000
    assert copied.run(nodes).rows_in == 3000
    copied.shop.make("INSERT INTO t VALUES (6000, 1, 'new')")
    assert copied.run(nodes).rows_in == 1
    assert copied.rows("SELECT count(*), count(DISTINCT id) FROM public.t") == [(5001, 5001)]


def test_a_table_that_was_altered_after_the_plan_takes_read_values(copied: Copied) -> None:
    """An integer's four bytes are a real too."""
    copied.shop.make(MANY)
    copied.alter(SAME)
    run = copied.execution(NODES)
    copied.alter("ALTER TABLE public.t ALTER COLUMN n TYPE real")
    assert run_in_threads(run).rows_out == 5000
    assert copied.rows("SELECT max(n) FROM public.t") == [(96.0,)]


def test_a_source_that_was_altered_after_the_plan_is_cast(copied: Copied) -> None:
    copied.shop.make(MANY)
    copied.alter(SAME)
    run = copied.execution(NODES)
    copied.shop.make("ALTER TABLE t ALTER COLUMN n TYPE real")
    assert run_in_threads(run).rows_out == 5000
    assert copied.rows("SELECT max(n) FROM public.t") == [(96,)]
