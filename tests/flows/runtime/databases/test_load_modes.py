"""Every load mode loads into the database of a connector, with all that makes it exact there and nothing of it in the
warehouse."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.dry_run.preview import preview
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.graphs.world import Mill, Node, source, target
from tests.second_database import SecondDatabase

pytestmark = pytest.mark.postgres

FIELDS = {"id": "bigint", "name": "text", "amount": "integer"}
PLAIN = "id bigint, name text, amount integer"
KEYED = "id bigint PRIMARY KEY, name text, amount integer"
HISTORY = f"{PLAIN}, valid_from timestamptz, valid_to timestamptz, is_current boolean"


def nodes(**options: Any) -> list[Node]:
    return [source("orders.csv", FIELDS), target("tgt", "src", "orders", connection="shop", **options)]


def in_warehouse(mill: Mill) -> list[str]:
    """The engine's tables that have rows."""
    engine = "SELECT tablename::text FROM pg_tables WHERE schemaname = '_headrace'"
    return [name for (name,) in mill.rows(engine) if mill.rows(f"SELECT FROM _headrace.{name} LIMIT 1")]


@pytest.mark.parametrize(
    ("mode", "columns"),
    [
        ("append", PLAIN),
        ("replace", PLAIN),
        ("truncate", PLAIN),
        ("blue_green", PLAIN),
        ("upsert", KEYED),
        ("scd2", HISTORY),
        ("incremental_watermark", PLAIN),
    ],
)
@pytest.mark.first_variant
def test_each_load_mode_twice(mill: Mill, second: SecondDatabase, mode: str, columns: str) -> None:
    second.alter(f"CREATE TABLE public.orders ({columns})")
    options: dict[str, Any] = {"loadMode": mode}
    options |= {"upsertKey": ["id"]} if mode in ("upsert", "scd2") else {}
    options |= {"watermarkColumn": "id"} if mode == "incremental_watermark" else {}
    mill.write("orders.csv", "id,name,amount", [(row, f"name {row}", row % 7) for row in range(1, 501)])
    assert mill.run(nodes(**options), run_id="run_1").rows_out == 500
    mill.write("orders.csv", "id,name,amount", [(row, f"other {row}", row % 7) for row in range(401, 701)])
    mill.run(nodes(**options), run_id="run_2")

    current = " WHERE is_current" if mode == "scd2" else ""
    summed = {
        "append": (800, 1, 700),
        "replace": (300, 401, 700),
        "truncate": (300, 401, 700),
        "blue_green": (300, 401, 700),
        "upsert": (700, 1, 700),
        "scd2": (700, 1, 700),
        "incremental_watermark": (700, 1, 700),
    }
    assert second.rows(f"SELECT count(*), min(id), max(id) FROM public.orders{current}") == [summed[mode]]
    assert second.rows("SELECT count(*) FROM public.orders WHERE _headrace_load_id IS NULL") == [(0,)]
    assert second.rows("SELECT count(DISTINCT run_id) FROM _headrace.loads") == [(2,)]
    assert second.rows("SELECT count(*) > 0 FROM _headrace.ledger") == [(True,)]
    assert second.rows("SELECT count(*) FROM pg_class WHERE relname LIKE 'stage\\_%' OR relname LIKE '%\\_\\_new'") == [
        (0,)
    ]
    assert in_warehouse(mill) == []


def test_hooks_backups_and_new_columns_are_there(mill: Mill, second: SecondDatabase) -> None:
    second.alter("CREATE TABLE public.orders (id bigint, name text)")
    second.alter("INSERT INTO public.orders VALUES (0, 'before')")
    second.alter("CREATE MATERIALIZED VIEW public.names AS SELECT name FROM public.orders")
    mill.write("orders.csv", "id,name,amount", [(1, "Ann", 3)])
    hooks = [{"type": "refresh", "view": "public.names"}, {"type": "sql", "statement": "ANALYZE {table}"}]
    given = nodes(schemaContract="evolve", backupBeforeLoad=True, postHook=hooks)
    mill.run(given)
    assert second.rows("SELECT id, name, amount FROM public.orders ORDER BY id") == [(0, "before", None), (1, "Ann", 3)]
    assert second.rows("SELECT name FROM public.names ORDER BY name") == [("Ann",), ("before",)]
    assert second.rows("SELECT id, name FROM public.orders__backup_1") == [(0, "before")]
    assert second.rows("SELECT count(*) FROM _headrace.hooks") == [(2,)]
    assert in_warehouse(mill) == []


def test_a_plan_and_a_preview_look_there(mill: Mill, second: SecondDatabase) -> None:
    second.alter("CREATE TABLE public.orders (id bigint, name varchar(3), amount integer)")
    mill.write("orders.csv", "id,name,amount", [(1, "Ann", 3), (2, "Berta", 4)])
    job = mill.execution(nodes()).prepared.job
    plan = plan_run(job)
    assert f"in the database {second.name} on 127.0.0.1" in plan.targets[0].sql
    assert {each.table for each in plan.changes} >= {"public.orders", "_headrace.ledger"}
    assert second.rows("SELECT to_regnamespace('_headrace')") == [(None,)]  # nothing is made for a plan
    shown = {each.node: each for each in preview(job, rows=10)}["tgt"]
    assert [error.row for error in shown.errors] == [2]


def test_the_same_table_name_in_two_databases(mill: Mill, second: SecondDatabase) -> None:
    mill.table("orders", PLAIN)
    second.alter(f"CREATE TABLE public.orders ({KEYED})")
    second.alter("INSERT INTO public.orders VALUES (5, 'was there', 0)")
    mill.write("orders.csv", "id,name,amount", [(row, "x", row) for row in range(1, 11)])
    here = target("here", "src", "orders")
    totals = mill.run([*nodes(), here])
    assert (totals.rows_in, totals.rows_out, totals.failed) == (10, 19, 1)
    assert mill.rows("SELECT count(*) FROM public.orders") == [(10,)]
    assert second.rows("SELECT count(*) FROM public.orders") == [(10,)]
    assert mill.rows("SELECT DISTINCT target_node FROM _headrace.ledger") == [("here",)]
    assert second.rows("SELECT DISTINCT target_node FROM _headrace.ledger") == [("tgt",)]


def failure(mill: Mill) -> str:
    with pytest.raises((TargetError, PlanFailed)) as failed:
        run_in_threads(mill.execution(nodes()))
    return str(failed.value)


def test_what_is_wrong_is_reported_with_the_remedy(mill: Mill, second: SecondDatabase) -> None:
    mill.write("orders.csv", "id,name,amount", [(1, "Ann", 3)])
    assert "public.orders" in failure(mill)
    second.alter(f"CREATE TABLE public.orders ({PLAIN})")

    mill.named = {"shop": second.connector("conn_2", password="wrong")}
    reported = failure(mill)
    assert "password authentication failed" in reported
    assert "Check 'username' and 'password' in authConfig." in reported
    assert "wrong" not in reported.replace("wrong_", "")

    def elsewhere(**config: Any) -> str:
        record = second.connector("conn_2")
        mill.named = {"shop": type(record)("conn_2", "postgresql", {**record.config, **config}, record.credentials)}
        return failure(mill)

    assert "The host 'no-such-host.invalid' cannot be found" in elsewhere(host="no-such-host.invalid")
    assert "address inside the server's network" in elsewhere(host="10.1.2.3")
    assert "Check 'database'" in elsewhere(database="nothing")
    assert "server does not support SSL" in elsewhere(sslmode="require")
    mill.named = {"shop": type(second.connector("c"))("conn_2", "aws_s3", {}, {})}
    assert "A target loads through a connector of type postgresql" in failure(mill)
    mill.named = {}
    assert "which does not exist" in failure(mill)


def test_missing_rights_are_reported_before_anything_is_loaded(mill: Mill, second: SecondDatabase) -> None:
    second.alter(f"CREATE TABLE public.orders ({PLAIN})")
    with psycopg.connect(second.superuser, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        try:
            connection.execute("GRANT ALL ON public.orders TO guest")
            mill.named = {"shop": second.connector("conn_2", username="guest", password="guest")}
            mill.write("orders.csv", "id,name,amount", [(1, "Ann", 3)])
            reported = failure(mill)
            assert f"GRANT CREATE ON DATABASE {second.name} TO guest" in reported
            assert second.rows("SELECT count(*) FROM public.orders") == [(0,)]
        finally:
            connection.execute("DROP OWNED BY guest; DROP ROLE guest")
