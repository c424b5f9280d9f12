"""Row lineage: the run that loaded each row of a table."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.connectors.postgresql.ledger.schema import create_ledger
from tests.api.conftest import SCHEMA, Facade, created, error_of

pytestmark = pytest.mark.postgres

LINEAGE = f"{BASE_PATH}/lineage?schema=public&table="


@pytest.fixture
def schema(facade: Facade, facade_url: str) -> dict[str, Any]:
    with psycopg.connect(facade_url, autocommit=True) as connection:
        create_ledger(connection)
    return created(facade.editor, f"{BASE_PATH}/schemas", SCHEMA)


def load(facade: Facade, rows: int, run: str = "run_1") -> None:
    with facade.engine.begin() as connection:
        register = text("""
            INSERT INTO _headrace.loads (root_run_id, run_id, pipeline_id, ir_version, source_node, target_node,
                target_table, stage, partition)
            VALUES (:run, :run, 'pipe_1', 1, 'src', 'tgt', 'public.ds_orders', 0, 0)
            ON CONFLICT (run_id, target_node, stage, partition) DO UPDATE SET source_node = 'src' RETURNING load_id
        """)
        load_id = connection.scalar(register, {"run": run})
        insert = (
            "INSERT INTO public.ds_orders (amount, _headrace_load_id) SELECT n, :id FROM generate_series(1, :rows) n"
        )
        connection.execute(text(insert), {"id": load_id, "rows": rows})


def test_the_newest_rows_come_first_in_the_documented_shape(facade: Facade, schema: dict[str, Any]) -> None:
    load(facade, 2)
    load(facade, 1, "run_2")
    found = facade.viewer.get(f"{LINEAGE}ds_orders&limit=100").json()
    assert list(found) == ["schema", "table", "lineageColumn", "rows", "count"]
    assert found["schema"] == {"id": schema["id"], "name": "orders", "displayName": "Orders"}
    assert (found["table"], found["lineageColumn"], found["count"]) == ("public.ds_orders", "_headrace_load_id", 3)
    assert found["rows"][0] == {
        "row": {"id": 3, "amount": 1},
        "lineage": {"runId": "run_2", "pipelineId": "pipe_1", "sourceNodeId": "src"},
    }
    assert [each["lineage"]["runId"] for each in found["rows"]] == ["run_2", "run_1", "run_1"]


def test_a_row_that_no_run_loaded_has_none(facade: Facade, schema: dict[str, Any]) -> None:
    with facade.engine.begin() as connection:
        connection.execute(text("INSERT INTO public.ds_orders (amount) VALUES (7)"))
    [only] = facade.viewer.get(f"{LINEAGE}ds_orders").json()["rows"]
    assert (only["row"]["amount"], only["lineage"]) == (7, None)


@pytest.mark.parametrize(("limit", "count"), [(5, 5), (0, 1), (-3, 1), (5000, 1000)])
def test_the_limit_is_clamped_and_only_the_tables_end_is_read(
    facade: Facade, schema: dict[str, Any], limit: int, count: int
) -> None:
    load(facade, 30_000)
    found = facade.viewer.get(f"{LINEAGE}ds_orders&limit={limit}").json()
    assert found["count"] == len(found["rows"]) == count
    assert [each["row"]["id"] for each in found["rows"]] == list(range(30_000, 30_000 - count, -1))


def test_an_end_of_the_table_that_is_empty_does_not_hide_what_is_before_it(
    facade: Facade, schema: dict[str, Any]
) -> None:
    load(facade, 30_000)
    with facade.engine.begin() as connection:
        connection.execute(text("DELETE FROM public.ds_orders WHERE id > 3"))
    assert [each["row"]["id"] for each in facade.viewer.get(f"{LINEAGE}ds_orders").json()["rows"]] == [3, 2, 1]


def test_without_the_column_it_is_400_and_says_how_to_get_it(facade: Facade, schema: dict[str, Any]) -> None:
    with facade.engine.begin() as connection:
        connection.execute(text("ALTER TABLE public.ds_orders DROP COLUMN _headrace_load_id"))
    error = error_of(facade.viewer.get(f"{LINEAGE}ds_orders"), 400)
    assert "run a pipeline" in error["details"][0]["hint"]


@pytest.mark.parametrize("table", ["ds_none", "pg_class", "ds_orders;", 'ds_orders" t--'])
def test_other_tables_are_not_shown(facade: Facade, schema: dict[str, Any], table: str) -> None:
    error_of(facade.viewer.get(LINEAGE + table), 404)


def test_foreign_is_missing_and_a_table_must_be_named(facade: Facade, schema: dict[str, Any]) -> None:
    error_of(facade.foreign.get(f"{LINEAGE}ds_orders"), 404)
    error_of(facade.viewer.get(f"{BASE_PATH}/lineage?schema=headrace&table=ds_orders"), 404)
    error_of(facade.viewer.get(f"{BASE_PATH}/lineage"), 400)
