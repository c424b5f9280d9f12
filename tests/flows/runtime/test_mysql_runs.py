"""Whole runs from MariaDB into PostgreSQL: exact values, no lost or duplicate rows after crashes, cursors, failed
rows."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.sql.mysql.market import DATABASE, Market, certificates, mariadb, market
from tests.effort import examples
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.graphs.world import Mill, Node, document, target, transform
from tests.flows.runtime.shop import Notebook

__all__ = ["certificates", "mariadb", "market"]

pytestmark = pytest.mark.postgres


class Fed(Mill):
    """A database that is fed by a MariaDB."""

    def __init__(self, root: Path, url: str, market: Market) -> None:
        super().__init__(root, url)
        self.market = market

    def execution(
        self,
        nodes: Iterable[Node],
        run_id: str = "run_1",
        *,
        root: str | None = None,
        earlier: Any = None,
        continues: Continuation | None = None,
        parallelism: int = 2,
        batch: int | None = None,
        **handling: Any,
    ) -> Execution:
        ir = document(nodes, **handling)
        config: dict[str, Any] = {"parallelism": parallelism} | ({"batchSize": batch} if batch else {})
        tables = frozenset(node["schema"] for node in ir["nodes"] if node["kind"] == "target")
        connector = ConnectorRecord("conn_1", "mysql", self.market.config, self.market.credentials)
        pipeline = RunPipeline("pipe_1", "default", "P", ir, 1, connector, config, tables)
        continues = continues or Continuation(root_run_id=root or run_id, earlier_plan=earlier)
        job = Job(run_id, pipeline, self.url, self.root, continues, networks=(ip_network("127.0.0.0/8"),))
        return Execution(prepare(job), self.recorder)


@pytest.fixture(scope="module")
def fed(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, mariadb: tuple[str, int]) -> Fed:
    name = f"mysql_{uuid4().hex[:12]}"
    ensure_database(postgres_server.url("postgres"), name)
    folder = tmp_path_factory.mktemp("mysql") / "files"
    folder.mkdir()
    path, port = mariadb
    config = {"host": "localhost", "port": port, "database": DATABASE, "sslmode": "require"}
    return Fed(folder, postgres_server.url(name), Market(port, path, config))


@pytest.fixture
def fresh(fed: Fed) -> Fed:
    fed.market.make(f"CREATE OR REPLACE DATABASE {DATABASE} CHARACTER SET utf8mb4")
    for table in ("one", "keyed", "typed"):
        fed.alter(f"DROP TABLE IF EXISTS public.{table}")
    fed.alter("DROP SCHEMA IF EXISTS _headrace CASCADE")
    fed.recorder = Notebook()
    return fed


def source(**config: Any) -> Node:
    return {"id": "src", "kind": "source", "connector": "mysql", "config": config}


def test_what_lands_in_the_target_is_what_the_source_has(fresh: Fed) -> None:
    fresh.market.make(
        "CREATE TABLE t (id int unsigned PRIMARY KEY, big bigint unsigned, d decimal(65,30), s decimal(12,2), f float, "
        "g double, day date, at datetime(6), utc timestamp(6) NULL, span time(6), txt text, raw varbinary(9), "
        "doc json, e enum('x','y'), flag tinyint(1), y year)",
        "INSERT INTO t VALUES (4294967295, 18446744073709551615, 12345678901234567890123456789012345."
        "123456789012345678901234567891, -0.10, 0.1, 0.30000000000000004e0, '2024-02-29', "
        "'0001-01-01 00:00:00.000001', "
        "'2024-01-31 10:00:00.5', '-838:59:59', 'a\\\\b\\n\\t\"é😀', X'00ff5c', '{\"b\":  1.10}', 'y', 2, 1901)",
        "INSERT INTO t (id, txt) VALUES (0, '')",
    )
    fresh.table(
        "typed",
        "id bigint, big numeric, d numeric, s numeric(12,2), f double precision, g double precision, day date, "
        "at timestamp, utc timestamptz, span text, txt text, raw bytea, doc json, e text, flag smallint, y smallint",
    )
    names = [name for name, *_ in fresh.market.rows("SHOW COLUMNS FROM t")]
    node = source(table="t", columns=names) | {"fields": [{"name": "span", "dataType": "text"}]}
    totals = fresh.run([node, target("tgt", "src", "typed")], run_id=f"t{uuid4().hex[:8]}")
    assert (totals.rows_in, totals.rows_out, totals.failed) == (2, 2, 0)
    with psycopg.connect(fresh.url, options="-ctimezone=UTC -cbytea_output=hex") as connection:
        loaded = connection.execute("SELECT row_to_json(t)::text FROM public.typed t ORDER BY id DESC").fetchall()
    assert loaded[0][0].split(',"_headrace')[0] == (
        '{"id":4294967295,"big":18446744073709551615,"d":12345678901234567890123456789012345.'
        '123456789012345678901234567891,"s":-0.10,"f":0.10000000149011612,"g":0.30000000000000004,'
        '"day":"2024-02-29","at":"0001-01-01T00:00:00.000001","utc":"2024-01-31T10:00:00.5+00:00",'
        '"span":"-838:59:59.000000","txt":"a\\\\b\\n\\t\\"é😀","raw":"\\\\x00ff5c","doc":{"b":  1.10},"e":"y",'
        '"flag":2,"y":1901'
    )
    assert fresh.rows("SELECT txt, raw, day FROM public.typed WHERE id = 0") == [("", None, None)]


def test_a_zero_date_is_a_failed_row_that_names_the_remedy(fresh: Fed) -> None:
    fresh.market.make(
        "CREATE TABLE t (id int PRIMARY KEY, day date)",
        "INSERT INTO t SELECT seq, IF(seq = 7, '0000-00-00', '2024-01-01') FROM seq_1_to_20",
    )
    fresh.table("one", "id bigint, day date")
    totals = fresh.run([source(table="t"), target("tgt", "src", "one")], run_id=f"z{uuid4().hex[:8]}")
    assert (totals.rows_in, totals.rows_out, totals.failed) == (20, 19, 1)


@settings(max_examples=examples(8), suppress_health_check=list(HealthCheck), deadline=None)
@given(
    deaths=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    keyed=st.booleans(),
    shape=st.sampled_from(["append", "upsert", "deduplicate"]),
)
def test_wherever_it_dies_rows_that_were_always_there_are_loaded_once(
    fresh: Fed, deaths: list[int], keyed: bool, shape: str
) -> None:
    """Some rows go and some come between the attempts, in the middle and at the end."""
    market, changes = fresh.market, iter(range(1, 1000))
    market.make(
        f"CREATE OR REPLACE TABLE t (id varchar(9){' PRIMARY KEY' if keyed else ''}, n int)",
        "INSERT INTO t SELECT CONCAT(IF(seq % 2, 'K', 'k'), seq), seq FROM seq_1_to_300",
    )
    fresh.alter("DROP TABLE IF EXISTS public.one, public.keyed")
    fresh.table("one", "id text, n integer")
    fresh.table("keyed", "id text PRIMARY KEY, n integer")
    node = source(table="t", partitioning={"partitions": 3})
    nodes = [node, target("tgt", "src", "one")]
    if shape == "upsert":
        nodes = [node, target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
    elif shape == "deduplicate":
        nodes = [node, transform("dd", "src", {"type": "deduplicate", "keys": ["id"]}), target("tgt", "dd", "one")]
    root, earlier = f"r{uuid4().hex[:8]}", None
    for number, death in enumerate([*deaths, 10**9], 1):
        run = fresh.execution(nodes, f"{root}_{number}", root=f"{root}_1", earlier=earlier, batch=30)
        with armed(Bomb(death)):
            try:
                run_in_threads(run)
                break
            except Killed:
                query = "SELECT FROM _headrace.ledger WHERE root_run_id LIKE %s UNION ALL "
                query += "SELECT FROM _headrace.staging_ledger WHERE root_run_id LIKE %s"
                with psycopg.connect(fresh.url) as connection:
                    begun = connection.execute(query, [f"{root}_1%"] * 2).fetchone()
                earlier = None if begun is None else stored_plan(run.prepared)
                for _ in range(5):
                    market.make(
                        f"DELETE FROM t WHERE n = {10 * next(changes)}",
                        f"INSERT INTO t VALUES ('x{next(changes)}', {1000 + next(changes)})",
                    )
    loaded = [n for (n,) in fresh.rows(f"SELECT n FROM public.{'keyed' if shape == 'upsert' else 'one'}")]
    assert len(loaded) == len(set(loaded)), "no row twice"
    assert {n for n in range(1, 301) if n % 10} <= set(loaded), "no row lost"


def test_the_next_run_reads_what_is_new_and_the_notes_are_reported(fresh: Fed) -> None:
    market = fresh.market
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamp(6))",
        "INSERT INTO t SELECT seq, NOW(6) - INTERVAL 1 HOUR FROM seq_1_to_100",
    )
    fresh.table("one", "id bigint, at timestamptz")
    nodes = [source(table="t", cursor={"column": "at"}), target("tgt", "src", "one")]
    assert fresh.run(nodes, run_id=f"c{uuid4().hex[:8]}", batch=30).rows_in == 100
    assert fresh.run(nodes, run_id=f"c{uuid4().hex[:8]}").rows_in == 0
    market.make(
        "INSERT INTO t SELECT seq, NOW(6) - INTERVAL 1 MINUTE FROM seq_101_to_130",
        "UPDATE t SET at = NOW(6) WHERE id = 5",
    )
    assert fresh.run(nodes, run_id=f"c{uuid4().hex[:8]}").rows_in == 31
    assert fresh.rows("SELECT count(*), count(DISTINCT id) FROM public.one") == [(131, 130)]


def test_filters_and_columns_are_pushed_down(fresh: Fed) -> None:
    market = fresh.market
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, kind varchar(9), big text)",
        "INSERT INTO t SELECT seq, ELT(1 + seq % 3, 'a', 'A', 'b'), REPEAT('x', 99) FROM seq_1_to_3000",
        "SET GLOBAL general_log_file = 'asked.log', GLOBAL general_log = ON",
    )
    fresh.table("one", "id bigint")
    ops = [{"type": "filter", "expression": "id <= 300 AND kind = 'a'"}, {"type": "drop", "fields": ["big", "kind"]}]
    nodes = [source(table="t"), transform("f", "src", *ops), target("tgt", "f", "one")]
    try:
        fresh.run(nodes, run_id=f"p{uuid4().hex[:8]}")
    finally:
        market.make("SET GLOBAL general_log = OFF")
    log = (Path(market.socket).parent / "data" / "asked.log").read_text()
    [asked] = [line for line in log.splitlines() if "SELECT 1, `id`" in line]
    assert "`big`" not in asked
    assert "`id` <= 300" in asked
    assert "`kind` = 'a'" in asked
    # the collation has 'A' for 'a'; the engine has not
    assert [n for (n,) in fresh.rows("SELECT id FROM public.one ORDER BY 1")] == list(range(3, 301, 3))
