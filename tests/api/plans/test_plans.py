"""Plans, previews and SQL previews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, error_of

pytestmark = pytest.mark.postgres

FIELDS = [{"name": "amount", "dataType": "integer"}, {"name": "note", "dataType": "varchar", "length": 5}]
NODES: list[dict[str, Any]] = [
    {
        "id": "src",
        "kind": "source",
        "connector": "local_fs",
        "config": {"path": "orders.csv"},
        "fields": [{"name": "amt", "dataType": "integer"}, {"name": "note", "dataType": "text"}],
    },
    {
        "id": "clean",
        "kind": "transform",
        "input": "src",
        "ops": [{"type": "rename", "from": "amt", "to": "amount"}, {"type": "filter", "expression": "amount <> 3"}],
    },
    {
        "id": "check",
        "kind": "validate",
        "input": "clean",
        "rowLevel": [{"id": "positive", "field": "amount", "rule": "gt:0"}],
        "quarantine": {"table": "dlq.plan_orders"},
    },
    {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_orders"},
]
ROWS = "amt,note\n1,a\nx,b\n3,c\n-4,d\n5,too long\n6,f\n"


@pytest.fixture
def files(facade: Facade, tmp_path: Path) -> Iterator[Path]:
    services = facade.app.state.services
    facade.app.state.services = replace(
        services, settings=services.settings.model_copy(update={"files_root": tmp_path})
    )
    (tmp_path / "orders.csv").write_text(ROWS)
    yield tmp_path
    facade.app.state.services = replace(facade.app.state.services, settings=services.settings)


@pytest.fixture
def path(facade: Facade, files: Path) -> str:
    schema = {"name": "orders", "displayName": "Orders", "fields": FIELDS}
    return f"{BASE_PATH}/pipelines/{facade.pipeline(ir=IR | {'nodes': NODES}, schema=schema)['id']}"


@pytest.fixture(autouse=True)
def nothing_is_written(facade: Facade, path: str) -> Iterator[None]:
    def state() -> list[Any]:
        tables = (
            "SELECT schemaname, relname, n_tup_ins FROM pg_stat_user_tables WHERE relname <> 'audit_log' ORDER BY 1, 2"
        )
        with facade.engine.connect() as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
            columns = connection.execute(text("SELECT count(*) FROM information_schema.columns")).scalar()
            rows = connection.execute(text("SELECT count(*) FROM public.ds_orders")).scalar()
            return [columns, rows, [row[:2] for row in connection.execute(text(tables))]]

    before = state()
    yield
    assert state() == before
    assert facade.orchestrator.parameters == []


class TestPlan:
    def test_it_reports_stages_rows_sql_and_ddl(self, facade: Facade, path: str) -> None:
        plan = facade.viewer.post(f"{path}/plan", json={}).json()
        [stage] = plan.pop("stages")
        assert (stage["name"], stage["rows"], stage["table"]) == ("src > clean > check > tgt", 6, "public.ds_orders")
        assert [partition["rows"] for partition in stage["partitions"]] == [6]
        assert [len(query) for query in stage["queries"]] == [2, 2]  # split after the filter
        assert [step for query in stage["queries"] for step in query] == stage["steps"]
        assert (stage["unread"], stage["where"]) == ([], [])  # quarantined rows are kept whole
        assert (plan["estimatedRows"], plan["loadStrategy"], plan["irVersion"]) == (6, "append", 1)
        assert plan["sql"][0]["sql"].splitlines()[-1] == (
            'COPY "public"."ds_orders" ("amount", "note", "_headrace_load_id") FROM STDIN (FORMAT binary);'
        )
        assert {"table": "dlq.plan_orders", "action": "create table", "statement": None} in plan["ddl"]

    def test_a_table_without_the_load_id_would_get_it(self, facade: Facade, path: str) -> None:
        with facade.engine.begin() as connection:
            connection.execute(text("ALTER TABLE public.ds_orders DROP COLUMN _headrace_load_id"))
        [change] = [
            each for each in facade.viewer.post(f"{path}/plan").json()["ddl"] if each["table"] == "public.ds_orders"
        ]
        assert change["statement"] == (
            'ALTER TABLE "public"."ds_orders" ADD COLUMN IF NOT EXISTS "_headrace_load_id" bigint;'
        )
        with facade.engine.begin() as connection:
            connection.execute(text("ALTER TABLE public.ds_orders ADD COLUMN _headrace_load_id bigint"))

    def test_a_conflict_is_422_with_details(self, facade: Facade, path: str, files: Path) -> None:
        (files / "orders.csv").unlink()
        error = error_of(facade.viewer.post(f"{path}/plan"), 422)
        assert (error["details"][0]["code"], "orders.csv" in error["details"][0]["message"]) == ("file_not_found", True)

    def test_another_version_may_be_planned(self, facade: Facade, path: str) -> None:
        draft = IR | {"nodes": [NODES[0], NODES[3] | {"input": "src", "mapping": {"amount": "amt"}}]}
        assert facade.editor.post(f"{path}/ir?publish=false", json=draft).json()["version"] == 2
        plan = facade.viewer.post(f"{path}/plan", json={"irVersion": 2}).json()
        assert (plan["irVersion"], plan["stages"][0]["name"]) == (2, "src > tgt")
        error_of(facade.viewer.post(f"{path}/plan", json={"irVersion": 7}), 404)

    def test_foreign_is_missing(self, facade: Facade, path: str) -> None:
        error_of(facade.foreign.post(f"{path}/plan"), 404)
        error_of(facade.foreign.get(f"{path}/sql-preview"), 404)
        error_of(facade.foreign.post(f"{path}/preview"), 404)


def test_the_sql_preview_is_the_sql_per_target(facade: Facade, path: str) -> None:
    answer = facade.viewer.get(f"{path}/sql-preview").json()
    assert answer["targets"] == facade.viewer.post(f"{path}/plan").json()["sql"]
    lines = answer["targets"][0]["sql"].splitlines()
    assert lines[0] == "-- src: read local_fs (amt integer, note text)"
    assert any(line.startswith("-- check: check amount gt:0") for line in lines)


class TestPreview:
    def test_rows_and_errors_after_each_node(self, facade: Facade, path: str) -> None:
        answer = facade.editor.post(f"{path}/preview", json={}).json()
        nodes = {node["node"]: node for node in answer["nodes"]}
        assert list(nodes) == ["src", "clean", "check", "tgt"]
        counts = {
            name: [node[key] for key in ("rowsIn", "rowsOut", "failed", "skipped")] for name, node in nodes.items()
        }
        assert counts == {"src": [6, 5, 1, 0], "clean": [5, 4, 0, 1], "check": [4, 3, 1, 0], "tgt": [3, 2, 1, 0]}
        assert nodes["src"]["errors"] == [
            {"row": 2, "column": "amt", "value": "x", "error": "Expected integer", "rule": "type", "warning": False}
        ]
        assert nodes["src"]["rows"][0] == {"row": 1, "values": {"amt": 1, "note": "a"}}
        assert [(each["row"], each["error"]) for each in nodes["check"]["errors"]] == [(4, "Must be greater than 0")]
        assert [(each["row"], each["column"]) for each in nodes["tgt"]["errors"]] == [(5, "note")]
        assert nodes["tgt"]["rows"] == [
            {"row": 1, "values": {"amount": 1, "note": "a"}},
            {"row": 6, "values": {"amount": 6, "note": "f"}},
        ]
        assert [field["name"] for field in nodes["clean"]["schema"]] == ["amount", "note"]

    def test_only_so_many_records_of_a_node(self, facade: Facade, path: str) -> None:
        [node] = facade.editor.post(f"{path}/preview", json={"node": "clean", "limit": 3}).json()["nodes"]
        assert (node["node"], [row["row"] for row in node["rows"]], node["skipped"]) == ("clean", [1], 1)

    @pytest.mark.parametrize("body", [{"limit": 0}, {"limit": 501}, {"node": "claen"}])
    def test_what_cannot_be_asked_is_400(self, facade: Facade, path: str, body: dict[str, Any]) -> None:
        error_of(facade.editor.post(f"{path}/preview", json=body), 400)

    def test_a_nearby_node_is_named(self, facade: Facade, path: str) -> None:
        error = error_of(facade.editor.post(f"{path}/preview", json={"node": "claen"}), 400)
        assert error["details"][0]["hint"] == "did you mean 'clean'?"

    def test_it_is_for_who_may_write(self, facade: Facade, path: str) -> None:
        error_of(facade.viewer.post(f"{path}/preview"), 403)
